//! An agent's request for a certificate: made where the key stays, read where the authority is.

use std::fmt;

use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, DnValue, IsCa,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKey, PublicKeyData as _,
    SanType,
};
use rustls_pki_types::CertificateSigningRequestDer;
use thiserror::Error;

use super::authority::new_key;
use super::{IssueFault, Kind};
use crate::tunnel_name::TunnelName;

/// A new key, and the request (PKCS#10, RFC 2986) for a certificate that goes with it.
pub struct RequestedKey {
    /// The key, PKCS#8 PEM. Secret: it stays where it was made.
    pub key_pem: String,
    /// The request, DER: its subject and its only alternative name are the tunnel's.
    pub request: Vec<u8>,
}

impl RequestedKey {
    /// Makes a key for the agent of `tunnel`.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub fn for_tunnel(tunnel: &TunnelName) -> Result<Self, IssueFault> {
        let kind = Kind::Agent {
            tunnel: tunnel.clone(),
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some((kind, value)) = kind.common_name()? {
            params.distinguished_name.push(kind, value);
        }
        params.subject_alt_names = kind.alternative_names()?;
        let key = new_key()?;
        let request = params
            .serialize_request(&key)
            .map_err(IssueFault::Library)?;
        Ok(Self {
            key_pem: key.serialize_pem(),
            request: request.der().to_vec(),
        })
    }
}

impl fmt::Debug for RequestedKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestedKey").finish_non_exhaustive()
    }
}

/// A request that was read, and asks for nothing but one tunnel's name.
#[derive(Debug)]
pub struct AgentRequest {
    tunnel: TunnelName,
    public_key: PublicKey,
}

/// Why a request is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AgentRequestFault {
    /// Not a request, not signed by its own key, or with extensions that are not known here.
    #[error("it is no certificate request signed by its own key")]
    Unreadable,
    /// A key of another kind.
    #[error("its key is none of ECDSA P-256, ECDSA P-384 and Ed25519")]
    Key,
    /// The subject is somebody else.
    #[error("its subject is not the tunnel's name alone")]
    Subject,
    /// The alternative names are others, or more.
    #[error("its alternative names are not the tunnel's name alone")]
    AlternativeNames,
    /// It asks to be more than an agent.
    #[error("it asks for more than an agent's certificate is")]
    Purpose,
}

impl AgentRequestFault {
    /// The kind of fault, for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Unreadable => "RequestUnreadable",
            Self::Key => "RequestedKeyRefused",
            Self::Subject => "RequestedSubjectRefused",
            Self::AlternativeNames => "RequestedNamesRefused",
            Self::Purpose => "RequestedPurposeRefused",
        }
    }
}

impl AgentRequest {
    /// Reads a request for `tunnel`. Nothing of it goes into a certificate but its key; that it asks for
    /// something else is refused all the same, so that nobody believes to have got it.
    ///
    /// # Errors
    /// When it is no request, was not signed by its own key, or asks for anything but this name.
    pub fn read(der: &[u8], tunnel: &TunnelName) -> Result<Self, AgentRequestFault> {
        let der = CertificateSigningRequestDer::from(der);
        let CertificateSigningRequestParams { params, public_key } =
            CertificateSigningRequestParams::from_der(&der)
                .map_err(|_unreadable| AgentRequestFault::Unreadable)?;
        if !is_strong(&public_key) {
            return Err(AgentRequestFault::Key);
        }
        if !names_at_most(&params.distinguished_name, tunnel) {
            return Err(AgentRequestFault::Subject);
        }
        match params.subject_alt_names.as_slice() {
            [SanType::DnsName(name)] if name.as_str() == tunnel.as_str() => {}
            _ => return Err(AgentRequestFault::AlternativeNames),
        }
        let plain = matches!(params.is_ca, IsCa::NoCa | IsCa::ExplicitNoCa)
            && params.key_usages.is_empty()
            && params.extended_key_usages.is_empty();
        if !plain {
            return Err(AgentRequestFault::Purpose);
        }
        Ok(Self {
            tunnel: tunnel.clone(),
            public_key,
        })
    }

    /// Whom it is for.
    pub const fn tunnel(&self) -> &TunnelName {
        &self.tunnel
    }

    pub(super) const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }
}

/// The kinds of key that an agent may have, each of the length that its curve gives it: the algorithm is
/// read from the signature, which does not say the curve.
fn is_strong(key: &PublicKey) -> bool {
    let lengths = [
        (&PKCS_ECDSA_P256_SHA256, 65),
        (&PKCS_ECDSA_P384_SHA384, 97),
        (&PKCS_ED25519, 32),
    ];
    lengths
        .into_iter()
        .any(|(algorithm, length)| key.algorithm() == algorithm && key.der_bytes().len() == length)
}

/// Nothing, or one common name that is the tunnel's.
fn names_at_most(subject: &DistinguishedName, tunnel: &TunnelName) -> bool {
    subject.iter().all(|(kind, value)| {
        let text = match value {
            DnValue::Utf8String(text) => Some(text.as_str()),
            DnValue::PrintableString(text) => Some(text.as_str()),
            _ => None,
        };
        *kind == DnType::CommonName && text == Some(tunnel.as_str())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256};

    use super::*;
    use crate::fixture::{DAY, now};
    use crate::issue::CertificateAuthority;

    fn tunnel() -> TunnelName {
        TunnelName::parse("edge-1.acme").unwrap()
    }

    /// A request with everything right, changed by `spoil`.
    fn spoilt(
        spoil: impl FnOnce(&mut CertificateParams),
    ) -> Result<AgentRequest, AgentRequestFault> {
        let mut params = CertificateParams::new(vec!["edge-1.acme".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        spoil(&mut params);
        let request = params.serialize_request(&new_key().unwrap()).unwrap();
        AgentRequest::read(request.der(), &tunnel())
    }

    #[test]
    fn a_request_becomes_a_certificate_of_that_name_and_key() {
        let ca = CertificateAuthority::create("agents", 365, now()).unwrap();
        let mine = RequestedKey::for_tunnel(&tunnel()).unwrap();
        let read = AgentRequest::read(&mine.request, &tunnel()).unwrap();
        let certificate = ca.certify(&read, Duration::from_secs(DAY), now()).unwrap();
        assert_eq!(
            TunnelName::from_agent_certificate(&certificate),
            Ok(tunnel())
        );
        let key = crate::pem::private_key(mine.key_pem.as_bytes()).unwrap();
        crate::pem::key_matches(&certificate, &key).unwrap();
        assert!(!format!("{mine:?}").contains("PRIVATE"));
    }

    #[test]
    fn a_request_for_anything_else_is_refused() {
        assert!(spoilt(|_| {}).is_ok());
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let refused = |spoil: fn(&mut CertificateParams)| spoilt(spoil).unwrap_err();
        assert_eq!(
            refused(|params| {
                params
                    .distinguished_name
                    .push(DnType::CommonName, "edge-2.acme");
            }),
            AgentRequestFault::Subject
        );
        assert_eq!(
            refused(|params| {
                params
                    .distinguished_name
                    .push(DnType::OrganizationName, "edge-1.acme");
            }),
            AgentRequestFault::Subject
        );
        for names in [
            vec![],
            vec![dns("edge-2.acme")],
            vec![dns("edge-1.acme"), dns("edge-2.acme")],
            vec![
                dns("edge-1.acme"),
                SanType::IpAddress([127, 0, 0, 1].into()),
            ],
            vec![dns("*.acme")],
            vec![dns("EDGE-1.acme")],
        ] {
            let read = spoilt(|params| params.subject_alt_names.clone_from(&names));
            assert_eq!(
                read.unwrap_err(),
                AgentRequestFault::AlternativeNames,
                "{names:?}"
            );
        }
        for key_usage in [
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::DigitalSignature,
        ] {
            let read = spoilt(|params| params.key_usages = vec![key_usage]);
            assert_eq!(read.unwrap_err(), AgentRequestFault::Purpose);
        }
        assert_eq!(
            refused(|params| params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained)),
            AgentRequestFault::Purpose
        );
    }

    #[test]
    fn a_request_that_its_key_did_not_sign_is_refused() {
        let mut request = RequestedKey::for_tunnel(&tunnel()).unwrap().request;
        let key = AgentRequest::read(&request, &tunnel()).unwrap().public_key;
        let mut read = 0;
        for at in 0..request.len() {
            request[at] ^= 1;
            if let Ok(changed) = AgentRequest::read(&request, &tunnel()) {
                assert_eq!(changed.public_key, key, "byte {at}");
                read += 1;
            }
            request[at] ^= 1;
        }
        // A signature does not sign how it is written itself: in a few places that may be done otherwise.
        assert!(read <= 4, "{read}");
        assert!(AgentRequest::read(&[], &tunnel()).is_err());
    }

    #[test]
    fn rsa_is_not_a_kind_of_key_that_agents_have() {
        let Ok(key) = KeyPair::generate_for(&PKCS_RSA_SHA256) else {
            return; // this build of the library makes no RSA keys
        };
        let params = CertificateParams::new(vec!["edge-1.acme".to_owned()]).unwrap();
        let request = params.serialize_request(&key).unwrap();
        assert_eq!(
            AgentRequest::read(request.der(), &tunnel()).unwrap_err(),
            AgentRequestFault::Key
        );
    }
}
