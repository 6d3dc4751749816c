//! Asking a relay for a certificate: one connection, one question, one answer.

use std::io;
use std::sync::Arc;

use gangplank_config::{Anchors, HttpProxy, KeyPair};
use gangplank_pki::clock::Clock;
use gangplank_pki::issue::{IssueFault, RequestedKey};
use gangplank_pki::peer::{PinnedRelayVerifier, RelayVerifier, VerifierFault};
use gangplank_pki::{Fingerprint, TunnelName, pem};
use gangplank_tunnel::wire::enrolment::{
    EnrolmentQuestion, EnrolmentRefusal, Grant, JOIN_PROTOCOL, JoinToken, RENEW_PROTOCOL,
    TunnelText,
};
use gangplank_tunnel::wire::{Message, WireFault};
use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::{CertificateDer, ServerName};

pub use self::visit::{DEADLINE, Step, Steps};
use self::visit::{ask, client, in_time, meet};
use crate::way::WayError;

mod visit;

/// A certificate that was granted, and what goes with it.
#[derive(Debug)]
pub struct Enrolled {
    /// Key and chain in one PEM text. Secret.
    pub identity_pem: Identity,
    /// The domain below which callers reach the cluster.
    pub entrance_domain: String,
    /// The authorities by which the relay is known from now on, PEM.
    pub relay_authorities_pem: String,
}

/// Key and chain in one PEM text. Secret.
pub struct Identity(pub String);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// The relay took too long.
    #[error("the relay did not answer in time: {} s went by without {step}; {}", DEADLINE.as_secs(), .step.remedy())]
    TooLate {
        /// What was waited for.
        step: Step,
    },
    /// No connection to the relay.
    #[error("the relay cannot be reached")]
    Unreachable(#[source] WayError),
    /// The handshake failed.
    #[error("the TLS handshake with the relay failed; {}", remedy(.0))]
    Handshake(#[source] io::Error),
    /// The relay's name is no server name.
    #[error("`{0}` cannot be the name of a relay")]
    Name(String),
    /// No key could be made.
    #[error("no key could be made")]
    Key(#[source] IssueFault),
    /// The authorities of the relay cannot be used.
    #[error("the relay's authorities cannot be used")]
    Authorities(#[source] VerifierFault),
    /// TLS cannot be set up.
    #[error("the present certificate cannot be used")]
    Tls(#[source] rustls::Error),
    /// The connection broke off before the answer.
    #[error("the connection broke off before the relay had answered; try again")]
    Broken(#[source] io::Error),
    /// The answer makes no sense.
    #[error("the relay's answer was not understood; update the older side")]
    Answer(#[source] WireFault),
    /// The relay said no.
    #[error("the relay refused: {message}")]
    Refused {
        /// Why.
        code: EnrolmentRefusal,
        /// The relay's words.
        message: Message,
    },
    /// What the relay gave is not what was asked for.
    #[error("the relay gave a certificate of another name or key; tell its administrator")]
    NotAsked,
}

/// What to do about a failed handshake.
fn remedy(error: &io::Error) -> &'static str {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "this is not the relay that is meant, or its authority is another than it was: \
             compare the address, and make a new token if the authority was replaced"
        }
        Some(rustls::Error::AlertReceived(alert)) => match u8::from(*alert) {
            112 => "the relay does not serve enrolment under this name: look at its `enrolment`",
            120 => "the relay does not speak this protocol: update the older side",
            44 => {
                "this agent's certificate was revoked: at the relay `gangplank token create --config FILE --cluster NAME`, \
                 then here `gangplank join RELAY --token-file FILE --again --directory DIR`"
            }
            45 | 48 => {
                "the relay does not accept this agent's certificate any more: at the relay \
                 `gangplank token create --config FILE --again --cluster NAME`, then here \
                 `gangplank join RELAY --token-file FILE --again --directory DIR`"
            }
            _ => "look into the relay's log",
        },
        _ => "is it a relay, and is `enrolment` in its file?",
    }
}

impl EnrolmentError {
    /// The error as one word, for metrics and logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLate { .. } => "TooLate",
            Self::Unreachable(_) => "Unreachable",
            Self::Handshake(_) => "HandshakeFailed",
            Self::Name(_) => "NotAName",
            Self::Key(_) => "NoKey",
            Self::Authorities(_) => "AuthoritiesUnusable",
            Self::Tls(_) => "CertificateUnusable",
            Self::Broken(_) => "BrokenOff",
            Self::Answer(_) => "NotUnderstood",
            Self::Refused { code, .. } => code.reason(),
            Self::NotAsked => "NotAsked",
        }
    }

    /// Whether asking again will not help before a person has done something.
    pub const fn needs_a_person(&self) -> bool {
        match self {
            Self::Refused { code, .. } => !code.may_pass(),
            Self::Unreachable(error) => error.needs_a_person(),
            Self::TooLate { .. } | Self::Broken(_) => false,
            _ => true,
        }
    }
}

/// Where a relay is asked: `host:port` over TCP.
#[derive(Debug, Clone, Copy)]
pub struct Address<'a> {
    /// A DNS name, looked up anew each time, or an address.
    pub host: &'a str,
    /// The port.
    pub port: u16,
    /// The HTTP proxy on the way, if there is one.
    pub proxy: Option<&'a HttpProxy>,
}

/// By what a relay is known to who joins.
#[derive(Debug, Clone, Copy)]
pub enum Proof<'a> {
    /// A token, which pins the relay's authority.
    Token(&'a JoinToken),
    /// A service account of the cluster.
    Vouched(Vouched<'a>),
}

/// A service account that vouches for its cluster, and the relay it goes to.
#[derive(Debug, Clone, Copy)]
pub struct Vouched<'a> {
    /// The cluster.
    pub tunnel: &'a TunnelName,
    /// The account's token, made for the relay's audience. Secret.
    pub token: &'a [u8],
    /// The name that the relay's certificate must carry.
    pub server_name: &'a str,
    /// The authorities that it may come from.
    pub authorities: &'a [CertificateDer<'a>],
}

impl Proof<'_> {
    /// The cluster that it is of.
    pub fn tunnel(&self) -> &TunnelName {
        match self {
            Self::Token(token) => &token.tunnel,
            Self::Vouched(vouched) => vouched.tunnel,
        }
    }

    /// How the relay is to show itself.
    fn client(
        &self,
        clock: Arc<dyn Clock>,
    ) -> Result<(ClientConfig, ServerName<'static>), EnrolmentError> {
        let (verifier, name): (Arc<dyn ServerCertVerifier>, &str) = match self {
            Self::Token(token) => {
                let pin = Fingerprint::from_bytes(token.relay_authority);
                let verifier = PinnedRelayVerifier::new(pin, clock);
                (Arc::new(verifier), &token.relay)
            }
            Self::Vouched(vouched) => {
                let verifier = RelayVerifier::new(vouched.authorities, clock);
                let verifier = verifier.map_err(EnrolmentError::Authorities)?;
                (Arc::new(verifier), vouched.server_name)
            }
        };
        Ok((client(verifier)?.with_no_client_auth(), server_name(name)?))
    }

    fn question(&self, request: Vec<u8>) -> EnrolmentQuestion {
        match self {
            Self::Token(token) => EnrolmentQuestion::Join {
                id: token.id,
                secret: token.secret,
                request,
            },
            Self::Vouched(vouched) => EnrolmentQuestion::Vouched {
                tunnel: TunnelText::fitting(vouched.tunnel.as_str()),
                token: vouched.token.to_vec(),
                request,
            },
        }
    }
}

/// Joins: makes a key, and asks for a certificate for the name that the proof is of.
///
/// # Errors
///
/// When the relay cannot be reached, is another, or says no.
pub async fn join(
    relay: Address<'_>,
    proof: Proof<'_>,
    clock: Arc<dyn Clock>,
    steps: &Steps,
) -> Result<Enrolled, EnrolmentError> {
    let (config, name) = proof.client(clock)?;
    let key = RequestedKey::for_tunnel(proof.tunnel()).map_err(EnrolmentError::Key)?;
    let question = proof.question(key.request.clone());
    let grant = in_time(steps, async {
        let stream = meet(relay, name, (config, JOIN_PROTOCOL), steps).await?;
        ask(stream, &question, steps).await
    });
    enrolled(&grant.await?, &key, proof.tunnel())
}

/// Whether a relay could be joined at: it is reached, is the one of the proof, and has enrolment. Nothing is asked
/// of it, and the proof is not shown.
///
/// # Errors
///
/// As those of [`join`], without what the relay would answer.
pub async fn look_at(
    relay: Address<'_>,
    proof: Proof<'_>,
    clock: Arc<dyn Clock>,
    steps: &Steps,
) -> Result<(), EnrolmentError> {
    let (config, name) = proof.client(clock)?;
    let met = meet(relay, name, (config, JOIN_PROTOCOL), steps);
    in_time(steps, met).await.map(drop)
}

/// Who renews, and whom it believes.
#[derive(Clone, Copy)]
pub(crate) struct Present<'a> {
    pub(crate) identity: &'a KeyPair,
    pub(crate) tunnel: &'a TunnelName,
    pub(crate) authorities: &'a Anchors,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

/// Renews: makes a new key, and asks for a certificate for the name of the present one.
pub(crate) async fn renew(
    relay: Address<'_>,
    name: &str,
    present: Present<'_>,
) -> Result<Enrolled, EnrolmentError> {
    let name = server_name(name)?;
    let authorities = present.authorities.certificates();
    let verifier = RelayVerifier::new(&authorities, Arc::clone(present.clock))
        .map_err(EnrolmentError::Authorities)?;
    let (chain, own_key) = (
        present.identity.chain().to_vec(),
        present.identity.private_key(),
    );
    let config = client(Arc::new(verifier))?
        .with_client_auth_cert(chain, own_key)
        .map_err(EnrolmentError::Tls)?;
    let key = RequestedKey::for_tunnel(present.tunnel).map_err(EnrolmentError::Key)?;
    let question = EnrolmentQuestion::Renew {
        request: key.request.clone(),
    };
    let steps = &Steps::default();
    let grant = in_time(steps, async {
        let stream = meet(relay, name, (config, RENEW_PROTOCOL), steps).await?;
        ask(stream, &question, steps).await
    });
    let grant = grant.await?;
    enrolled(&grant, &key, present.tunnel)
}

fn server_name(name: &str) -> Result<ServerName<'static>, EnrolmentError> {
    ServerName::try_from(name.to_owned()).map_err(|_invalid| EnrolmentError::Name(name.to_owned()))
}

/// Takes what the relay gave, if it is what was asked for.
fn enrolled(
    grant: &Grant,
    key: &RequestedKey,
    tunnel: &TunnelName,
) -> Result<Enrolled, EnrolmentError> {
    let not_asked = || EnrolmentError::NotAsked;
    let leaf = grant.chain.first().ok_or_else(not_asked)?;
    let leaf = CertificateDer::from(leaf.as_slice());
    let named = TunnelName::from_agent_certificate(&leaf).map_err(|_other| not_asked())?;
    let own_key = pem::private_key(key.key_pem.as_bytes()).map_err(|_unreadable| not_asked())?;
    pem::key_matches(&leaf, &own_key).map_err(|_other| not_asked())?;
    if named != *tunnel {
        return Err(not_asked());
    }
    let certificates = |all: &[Vec<u8>]| -> String {
        all.iter()
            .map(|der| pem::encode("CERTIFICATE", der))
            .collect()
    };
    Ok(Enrolled {
        identity_pem: Identity(format!("{}{}", key.key_pem, certificates(&grant.chain))),
        entrance_domain: grant.entrance_domain.as_str().to_owned(),
        relay_authorities_pem: certificates(&grant.relay_authorities),
    })
}
