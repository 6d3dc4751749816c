//! The CA itself.

use std::fmt;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, DnValue, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::OffsetDateTime;

use super::{AgentRequest, IssueFault, Issued, Kind, Request};
use crate::anchor::TrustAnchor;
use crate::certificate::Certificate as ReadCertificate;
use crate::clock::at;
use crate::identify::check_common_name;
use crate::path::{self, Chain, Trusted};
use crate::pem;
use crate::succession::advances;

/// How long before `now` a certificate begins, so that a clock that is a little slow accepts it; of a short
/// life a tenth, so that "two thirds of its life" still means something.
const BACKDATED_SECONDS: u64 = 5 * 60;

/// Bytes of a serial number: 128 bits, far beyond guessing and below RFC 5280's 20 bytes.
const SERIAL_BYTES: usize = 16;

const SECONDS_A_DAY: u64 = 24 * 60 * 60;

/// A certificate and its key, to issue others with.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    anchor: TrustAnchor,
    certificate_pem: String,
}

impl CertificateAuthority {
    /// A new CA with a new key. It may issue leaves, not further CAs.
    ///
    /// # Errors
    /// When the name is empty or not printable, or the lifetime is no time.
    pub fn create(
        common_name: &str,
        lifetime_days: u32,
        now: UnixTime,
    ) -> Result<Self, IssueFault> {
        let lifetime = u64::from(lifetime_days).saturating_mul(SECONDS_A_DAY);
        Self::create_for(common_name, Duration::from_secs(lifetime), now)
    }

    /// A new CA that lives for so long.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn create_for(
        common_name: &str,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<Self, IssueFault> {
        check_common_name(common_name).map_err(IssueFault::Name)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = DnValue::Utf8String(common_name.to_owned());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let not_before = at(now.as_secs().saturating_sub(BACKDATED_SECONDS));
        let not_after = end(now, lifetime)?;
        dress(&mut params, not_before, not_after)?;
        let key = new_key()?;
        let certificate = params.self_signed(&key).map_err(IssueFault::Library)?;
        Self::from_parts(certificate.der(), key)
    }

    /// A CA that was made before.
    ///
    /// # Errors
    /// When the files are broken, do not belong together, or are no CA.
    pub fn load(cert_pem: &str, key_pem: &str) -> Result<Self, IssueFault> {
        let certificates = pem::certificates(cert_pem.as_bytes()).map_err(IssueFault::Pem)?;
        let key = pem::private_key(key_pem.as_bytes()).map_err(IssueFault::Pem)?;
        let none = pem::PemFault {
            line: 1,
            problem: pem::PemProblem::NoCertificate,
        };
        let certificate = certificates.first().ok_or(IssueFault::Pem(none))?;
        pem::key_matches(certificate, &key).map_err(IssueFault::Key)?;
        let key = KeyPair::try_from(&key).map_err(IssueFault::Library)?;
        Self::from_parts(certificate, key)
    }

    fn from_parts(certificate: &CertificateDer<'_>, key: KeyPair) -> Result<Self, IssueFault> {
        let anchor = TrustAnchor::parse(certificate.clone()).map_err(IssueFault::Authority)?;
        let issuer = Issuer::from_ca_cert_der(certificate, key).map_err(IssueFault::Library)?;
        Ok(Self {
            issuer,
            anchor,
            certificate_pem: pem::encode("CERTIFICATE", certificate),
        })
    }

    /// Its certificate, PEM: what others have to trust.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its private key, PKCS#8 PEM. Secret.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Its certificate, read.
    pub fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    /// Issues a certificate with a new key, and verifies it as the other side will.
    ///
    /// It begins five minutes before `now` (a tenth of its life if that is less), but not before the CA, and ends with the CA at the
    /// latest.
    ///
    /// # Errors
    /// When the names cannot be used, the CA is not valid at that time, or cannot sign.
    pub fn issue(&self, request: &Request) -> Result<Issued, IssueFault> {
        let key = new_key()?;
        let certificate = self.sign(&key, request)?;
        Ok(Issued {
            cert_pem: pem::encode("CERTIFICATE", &certificate),
            key_pem: key.serialize_pem(),
            ca_pem: self.certificate_pem.clone(),
        })
    }

    /// Issues a certificate for the key of an agent's request, to the tunnel that the request was read for.
    /// Times as with [`issue`](Self::issue).
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn certify(
        &self,
        wanted: &AgentRequest,
        lifetime: Duration,
        now: UnixTime,
    ) -> Result<CertificateDer<'static>, IssueFault> {
        let kind = Kind::Agent {
            tunnel: wanted.tunnel().clone(),
        };
        let request = Request {
            kind,
            lifetime,
            now,
        };
        self.sign(wanted.public_key(), &request)
    }

    /// Certifies that `successor` follows this one: a proof for those who have pinned this one
    /// ([`advances`]). It ends with the first of the two.
    ///
    /// # Errors
    /// When this CA is not valid now, or cannot sign.
    pub fn certify_successor(
        &self,
        successor: &Self,
        now: UnixTime,
    ) -> Result<CertificateDer<'static>, IssueFault> {
        if now < self.anchor.not_before() || now > self.anchor.not_after() {
            return Err(IssueFault::AuthorityNotValid);
        }
        let name = common_name(&successor.anchor).ok_or(IssueFault::Succession)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = DnValue::Utf8String(name);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let not_before = self.anchor.not_before().max(successor.anchor.not_before());
        let not_after = self.anchor.not_after().min(successor.anchor.not_after());
        dress(&mut params, not_before, not_after)?;
        let key = successor.issuer.key();
        let certificate = params
            .signed_by(key, &self.issuer)
            .map_err(IssueFault::Library)?;
        let proof = certificate.der().clone();
        let holds = advances(&self.anchor, &successor.anchor, &proof, now);
        holds.then_some(proof).ok_or(IssueFault::Succession)
    }

    fn sign(
        &self,
        key: &impl PublicKeyData,
        request: &Request,
    ) -> Result<CertificateDer<'static>, IssueFault> {
        let now = request.now;
        if now < self.anchor.not_before() || now > self.anchor.not_after() {
            return Err(IssueFault::AuthorityNotValid);
        }
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some((kind, value)) = request.kind.common_name()? {
            params.distinguished_name.push(kind, value);
        }
        params.subject_alt_names = request.kind.alternative_names()?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![request.kind.extended_key_usage()];
        let backdating = BACKDATED_SECONDS.min(request.lifetime.as_secs() / 10);
        let backdated = at(now.as_secs().saturating_sub(backdating));
        let not_after = end(now, request.lifetime)?.min(self.anchor.not_after());
        dress(
            &mut params,
            backdated.max(self.anchor.not_before()),
            not_after,
        )?;
        let certificate = params
            .signed_by(key, &self.issuer)
            .map_err(IssueFault::Library)?;
        self.check(&certificate, request)?;
        Ok(certificate.der().clone())
    }

    /// A CA made elsewhere may have a name or key identifier that rcgen does not repeat exactly.
    fn check(&self, certificate: &Certificate, request: &Request) -> Result<(), IssueFault> {
        let sent = [certificate.der().clone()];
        let chain = Chain::read(&sent).map_err(IssueFault::Unverifiable)?;
        let from_here = chain
            .issuers()
            .all(|(name, key)| name == self.anchor.subject() && key == Some(self.anchor.key_id()));
        if !from_here {
            return Err(IssueFault::Unverifiable(chain.unknown_issuer()));
        }
        path::verify(
            &chain,
            &[Trusted::from(&self.anchor)],
            request.kind.usage(),
            request.now,
        )
        .map(|_paths| ())
        .map_err(IssueFault::Unverifiable)
    }
}

impl fmt::Debug for CertificateAuthority {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("anchor", &self.anchor)
            .finish_non_exhaustive()
    }
}

/// What every certificate of ours has.
fn dress(
    params: &mut CertificateParams,
    not_before: UnixTime,
    not_after: UnixTime,
) -> Result<(), IssueFault> {
    params.not_before = date(not_before)?;
    params.not_after = date(not_after)?;
    params.serial_number = Some(random_serial()?);
    params.use_authority_key_identifier_extension = true;
    Ok(())
}

/// The one common name of an authority.
fn common_name(anchor: &TrustAnchor) -> Option<String> {
    let read = ReadCertificate::parse(anchor.der())?;
    match read.common_names().as_slice() {
        [name] => name.as_str().ok().map(ToOwned::to_owned),
        _ => None,
    }
}

fn end(now: UnixTime, lifetime: Duration) -> Result<UnixTime, IssueFault> {
    if lifetime.as_secs() == 0 {
        return Err(IssueFault::Lifetime);
    }
    now.as_secs()
        .checked_add(lifetime.as_secs())
        .map(at)
        .ok_or(IssueFault::Lifetime)
}

fn date(moment: UnixTime) -> Result<OffsetDateTime, IssueFault> {
    i64::try_from(moment.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or(IssueFault::Lifetime)
}

pub(super) fn new_key() -> Result<KeyPair, IssueFault> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(IssueFault::Library)
}

/// Positive: the first bit is clear, the second set, so that the length never varies.
fn random_serial() -> Result<SerialNumber, IssueFault> {
    let mut serial = [0; SERIAL_BYTES];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_unspecified| IssueFault::Randomness)?;
    if let Some(first) = serial.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(SerialNumber::from_slice(&serial))
}
