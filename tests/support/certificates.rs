//! Authorities and papers made with rcgen alone, so that the program's own issuing is not what checks it.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationList,
    CertificateRevocationListParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType,
};
use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A moment as rcgen wants it.
pub(crate) type Moment = (i32, u8, u8);

/// Long ago, and long hence: a certificate whose validity is not the matter.
const ALWAYS: (Moment, Moment) = ((2020, 1, 1), (2099, 1, 1));

/// A certificate authority.
#[derive(Debug)]
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its chain, and its key.
#[derive(Debug, Clone)]
pub(crate) struct Papers {
    /// The leaf, then intermediates.
    pub(crate) certificates: String,
    /// The key.
    pub(crate) key: String,
}

/// An organisation: its authority, and the prefix its callers have at the exits under test.
#[derive(Debug)]
pub(crate) struct Organisation {
    /// Its provider's name.
    pub(crate) name: String,
    /// What its usernames begin with.
    pub(crate) prefix: String,
    /// Its authority.
    pub(crate) authority: Authority,
}

impl Authority {
    /// An authority with a key of its own.
    pub(crate) fn new(common_name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority_params(common_name);
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("an authority"),
        }
    }

    /// An authority below this one.
    pub(crate) fn intermediate(&self, common_name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = authority_params(common_name);
        Self {
            issuer: CertifiedIssuer::signed_by(params, key, &self.issuer).expect("an authority"),
        }
    }

    /// Its certificate.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// SHA-256 of its certificate, as an administrator compares it.
    pub(crate) fn fingerprint(&self) -> String {
        gangplank_pki::Fingerprint::of(self.issuer.der()).to_string()
    }

    /// Its key, for who issues by it.
    pub(crate) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// As a root store.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("an authority");
        roots
    }

    /// A caller's certificate with this common name.
    pub(crate) fn caller(&self, common_name: &str) -> Papers {
        self.caller_valid(common_name, ALWAYS.0, ALWAYS.1)
    }

    /// A caller's certificate, good between two days.
    pub(crate) fn caller_valid(&self, common_name: &str, from: Moment, until: Moment) -> Papers {
        let mut params = leaf_params(common_name, ExtendedKeyUsagePurpose::ClientAuth);
        params.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
        params.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
        self.sign(&params)
    }

    /// An agent's certificate: one DNS name, which is the tunnel's.
    pub(crate) fn agent(&self, tunnel: &str) -> Papers {
        let mut params = leaf_params(tunnel, ExtendedKeyUsagePurpose::ClientAuth);
        params.subject_alt_names = vec![dns(tunnel)];
        self.sign(&params)
    }

    /// An exit's certificate for a cluster's two entrance names.
    pub(crate) fn exit(&self, cluster: &str, domain: &str) -> Papers {
        let mut params = leaf_params(cluster, ExtendedKeyUsagePurpose::ServerAuth);
        params.subject_alt_names = vec![
            dns(&format!("{cluster}.{domain}")),
            dns(&format!("kube-mtls-proxy.{cluster}.{domain}")),
        ];
        self.sign(&params)
    }

    /// A server's certificate for a host name or address.
    pub(crate) fn relay(&self, host: &str) -> Papers {
        let mut params = leaf_params(host, ExtendedKeyUsagePurpose::ServerAuth);
        params.subject_alt_names = vec![match host.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => dns(host),
        }];
        self.sign(&params)
    }

    /// Its revocation list of that number.
    pub(crate) fn revocation_list(
        &self,
        number: u64,
        serials: &[u64],
    ) -> CertificateRevocationList {
        self.revocation_list_until(always().1, number, serials)
    }

    /// The same, whose successor is overdue after that moment.
    pub(crate) fn revocation_list_until(
        &self,
        until: time::OffsetDateTime,
        number: u64,
        serials: &[u64],
    ) -> CertificateRevocationList {
        let (from, _) = always();
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: from,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: from,
            next_update: until,
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list")
    }

    /// Signs whatever the test needs.
    pub(crate) fn sign(&self, params: &CertificateParams) -> Papers {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Papers {
            certificates: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Organisation {
    /// An organisation whose prefix is `spiffe://<name>.example/`.
    pub(crate) fn new(name: &str) -> Self {
        Self::with_subject(name, &format!("{name} CA"))
    }

    /// One whose authority has a given subject, which others may have too.
    pub(crate) fn with_subject(name: &str, subject: &str) -> Self {
        Self {
            name: name.to_owned(),
            prefix: format!("spiffe://{name}.example/"),
            authority: Authority::new(subject),
        }
    }

    /// The username of a common name.
    pub(crate) fn username(&self, common_name: &str) -> String {
        format!("{}{common_name}", self.prefix)
    }

    /// A caller of this organisation.
    pub(crate) fn caller(&self, common_name: &str) -> Papers {
        self.authority.caller(common_name)
    }

    /// Its `TrustedIdentityProvider` object.
    pub(crate) fn provider(&self) -> String {
        format!(
            "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: TrustedIdentityProvider\nmetadata:\n  name: {}\n\
             spec:\n  prefix: \"{}\"\n  certificateAuthorityData: {}\n",
            self.name,
            self.prefix,
            BASE64_STANDARD.encode(self.authority.pem())
        )
    }
}

impl Papers {
    /// The same leaf with further certificates behind it.
    pub(crate) fn with_intermediate(&self, authority: &Authority) -> Self {
        Self {
            certificates: format!("{}{}", self.certificates, authority.pem()),
            key: self.key.clone(),
        }
    }

    /// Writes `<name>.crt` and `<name>.key`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        fs::write(folder.join(format!("{name}.crt")), &self.certificates).expect("written");
        fs::write(folder.join(format!("{name}.key")), &self.key).expect("written");
    }

    /// The chain in DER.
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.certificates.as_bytes())
            .map(|found| found.expect("a certificate"))
            .collect()
    }

    /// The key in DER.
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key")
    }
}

fn authority_params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = always();
    params
}

/// The parameters of a leaf for one purpose, always valid; a test changes what it is about.
pub(crate) fn leaf_params(
    common_name: &str,
    purpose: ExtendedKeyUsagePurpose,
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![purpose];
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = always();
    params
}

fn always() -> (time::OffsetDateTime, time::OffsetDateTime) {
    let (from, until) = ALWAYS;
    (
        rcgen::date_time_ymd(from.0, from.1, from.2),
        rcgen::date_time_ymd(until.0, until.1, until.2),
    )
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("a DNS name"))
}
