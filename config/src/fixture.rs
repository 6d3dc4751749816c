//! A folder with everything a role needs, valid, for tests to break one thing in.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gangplank_pki::TunnelName;
use gangplank_pki::clock::at;
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, Request};
use rustls_pki_types::UnixTime;

/// The time at which everything is made.
pub(crate) fn now() -> UnixTime {
    at(1_900_000_000)
}

/// A new authority.
pub(crate) fn authority(common_name: &str) -> CertificateAuthority {
    CertificateAuthority::create(common_name, 365, now()).unwrap()
}

/// The certificate of a new authority, PEM.
pub(crate) fn authority_pem(common_name: &str) -> String {
    authority(common_name).certificate_pem().to_owned()
}

/// A leaf of `kind` below `authority`.
pub(crate) fn issued(authority: &CertificateAuthority, kind: Kind) -> Issued {
    let lifetime = Duration::from_secs(86_400);
    authority
        .issue(&Request {
            kind,
            lifetime,
            now: now(),
        })
        .unwrap()
}

/// A revocation list: its number, until when it is current, and which serial numbers it revokes, in
/// hexadecimal.
#[derive(Clone, Copy)]
pub(crate) struct List<'s> {
    pub(crate) number: u64,
    pub(crate) next_update: u64,
    pub(crate) serials: &'s [&'s str],
}

impl List<'_> {
    /// An empty one, current for a day.
    pub(crate) fn numbered(number: u64) -> Self {
        Self {
            number,
            next_update: now().as_secs() + 86_400,
            serials: &[],
        }
    }

    /// As `authority` publishes it, in DER.
    pub(crate) fn der(&self, authority: &CertificateAuthority) -> Vec<u8> {
        self.sign(authority).der().to_vec()
    }

    /// The same in PEM.
    pub(crate) fn pem(&self, authority: &CertificateAuthority) -> String {
        self.sign(authority).pem().unwrap()
    }

    fn sign(&self, authority: &CertificateAuthority) -> rcgen::CertificateRevocationList {
        let key = rcgen::KeyPair::from_pem(&authority.key_pem()).unwrap();
        let issuer = rcgen::Issuer::from_ca_cert_der(authority.anchor().der(), key).unwrap();
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let revoked = |serial: &&str| rcgen::RevokedCertParams {
            serial_number: rcgen::SerialNumber::from_slice(&bytes(serial)),
            revocation_time: epoch,
            reason_code: None,
            invalidity_date: None,
        };
        let params = rcgen::CertificateRevocationListParams {
            this_update: epoch,
            next_update: epoch + Duration::from_secs(self.next_update),
            crl_number: self.number.into(),
            issuing_distribution_point: None,
            revoked_certs: self.serials.iter().map(revoked).collect(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&issuer).unwrap()
    }
}

/// The bytes that hexadecimal digits stand for.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let pairs = pairs.map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

pub(crate) fn caller() -> Kind {
    Kind::Caller {
        common_name: "alice".to_owned(),
        uri: None,
    }
}

pub(crate) fn agent() -> Kind {
    Kind::Agent {
        tunnel: TunnelName::parse("one.acme").unwrap(),
    }
}

pub(crate) fn exit() -> Kind {
    Kind::Exit {
        dns_names: vec!["one.acme.tunnels.example.com".to_owned()],
    }
}

pub(crate) fn relay() -> Kind {
    Kind::Relay {
        hosts: vec!["relay.example.com".to_owned()],
    }
}

pub(crate) fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// A provider's manifest.
pub(crate) fn provider_yaml(name: &str, prefix: &str, authorities_pem: &str) -> String {
    let data = base64(authorities_pem);
    format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\n\
         kind: TrustedIdentityProvider\n\
         metadata:\n  name: {name}\n  namespace: namespace-a\n\
         spec:\n  prefix: \"{prefix}\"\n  certificateAuthorityData: {data}\n"
    )
}

/// A temporary folder.
pub(crate) struct Workplace {
    folder: tempfile::TempDir,
}

impl Workplace {
    pub(crate) fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Role files and all that they name.
    pub(crate) fn furnished() -> Self {
        let place = Self::empty();
        for (name, kind) in [("relay", relay()), ("agent", agent()), ("exit", exit())] {
            let authority = authority(&format!("{name} authority"));
            let issued = issued(&authority, kind);
            place.write(&format!("{name}.crt"), &issued.cert_pem);
            place.write(&format!("{name}.key"), &issued.key_pem);
            place.write(&format!("{name}-ca.crt"), &issued.ca_pem);
            place.write(&format!("{name}-ca.key"), authority.key_pem());
        }
        place.write("relay.yaml", RELAY);
        place.write("agent.yaml", AGENT);
        place.write("proxy.yaml", PROXY);
        place.write(
            "upstream.kubeconfig",
            kubeconfig(&authority_pem("kubernetes")),
        );
        fs::create_dir(place.path("trust")).unwrap();
        place
    }

    /// The same, and a relay where clusters join.
    pub(crate) fn enrolling() -> Self {
        let place = Self::furnished();
        place.write("relay.yaml", format!("{RELAY}{ENROLMENT}"));
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).unwrap();
    }

    /// Puts a file in place whole, as careful programs do.
    pub(crate) fn replace(&self, name: &str, content: impl AsRef<[u8]>) {
        let beside = self.path(".replacement");
        fs::write(&beside, content).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// Replaces text in a file; it must be there.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from:?}");
        self.write(name, text.replacen(from, to, 1));
    }

    /// What is said, without the path of this folder.
    pub(crate) fn told(&self, said: &impl fmt::Display) -> String {
        let folder = format!("{}/", self.root().display());
        said.to_string().replace(&folder, "")
    }
}

/// A kubeconfig with a token.
pub(crate) fn kubeconfig(authority_pem: &str) -> String {
    let data = base64(authority_pem);
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: here\n\
         clusters:\n\
         - name: kubernetes\n  \
           cluster:\n    \
             server: https://10.0.0.1:6443\n    \
             certificate-authority-data: {data}\n\
         users:\n\
         - name: proxy\n  \
           user:\n    \
             token: hunter2\n\
         contexts:\n\
         - name: here\n  \
           context: {{ cluster: kubernetes, user: proxy }}\n"
    )
}

const RELAY: &str = "\
listen: \"[::]:8443\"
domain: tunnels.example.com
tunnel:
  serverName: relay.example.com
  certificateFile: relay.crt
  keyFile: relay.key
  clientCAFile: agent-ca.crt
hideNames: true
admin: { listen: \"127.0.0.1:9091\" }
log: { format: json, level: debug }
drain: { settle: 500ms, limit: 1m30s }
";

const ENROLMENT: &str = "\
enrolment:
  certificateFile: agent-ca.crt
  keyFile: agent-ca.key
  relayCAFile: relay-ca.crt
  register: { file: enrolment.db }
  certificateLifetime: 12h
  renewalGrace: 48h
";

const AGENT: &str = "\
relays:
  - { address: \"relay.example.com:8443\", caFile: relay-ca.crt }
  - { address: \"10.0.0.7:443\", serverName: relay.example.com, caFile: relay-ca.crt }
tunnel: { certificateFile: agent.crt, keyFile: agent.key }
exit:
  servingCertificate: { certificateFile: exit.crt, keyFile: exit.key }
  trust: { directory: trust }
  clientAuth: Request
  upstream: { kubeconfig: upstream.kubeconfig }
";

const PROXY: &str = "\
listen: \"127.0.0.1:8444\"
exit:
  servingCertificate: { certificateFile: exit.crt, keyFile: exit.key }
  trust: { directory: trust }
  clientAuth: Require
  upstream: { kubeconfig: upstream.kubeconfig, context: here }
";
