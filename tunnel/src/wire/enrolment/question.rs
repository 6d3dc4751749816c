//! What an agent asks.

use std::fmt;

use super::token::{TOKEN_ID, TOKEN_SECRET};
use crate::wire::fields::Fields;
use crate::wire::{Text, WireFault, bounded_length, record};

/// The largest body of a question, in bytes. A certificate request for a P-384 key and the longest name
/// has some 500, a service account's token 1,200; eight times as many leave room for extensions that are
/// refused with the right words, and for tokens of others than Kubernetes.
pub const MAX_QUESTION: usize = 12 << 10;

const WHAT: &str = "enrolment question";
const JOIN: u8 = 1;
const RENEW: u8 = 2;
const VOUCHED: u8 = 3;

/// A cluster's name as the other side writes it: two labels and a dot.
pub type TunnelText = Text<127>;

/// A question for a certificate. Requests are PKCS#10 in DER (RFC 2986), not looked into here.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrolmentQuestion {
    /// The first certificate of a cluster, by a token.
    Join {
        /// Which token.
        id: [u8; TOKEN_ID],
        /// That the asker has it. Secret.
        secret: [u8; TOKEN_SECRET],
        /// The certificate request.
        request: Vec<u8>,
    },
    /// A certificate of a cluster, by the token of a service account there.
    Vouched {
        /// The cluster's name.
        tunnel: TunnelText,
        /// The token, a JWT. Secret.
        token: Vec<u8>,
        /// The certificate request.
        request: Vec<u8>,
    },
    /// The next certificate of the agent whose certificate the connection shows.
    Renew {
        /// The certificate request, for a new key.
        request: Vec<u8>,
    },
}

impl fmt::Debug for EnrolmentQuestion {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join { .. } => f.write_str("Join"),
            Self::Vouched { tunnel, .. } => write!(f, "Vouched({tunnel})"),
            Self::Renew { .. } => f.write_str("Renew"),
        }
    }
}

impl EnrolmentQuestion {
    /// The question as bytes, version and length included.
    ///
    /// # Errors
    ///
    /// When the request is longer than a question may be.
    pub fn encode(&self) -> Result<Vec<u8>, WireFault> {
        let mut body = Vec::new();
        match self {
            Self::Join {
                id,
                secret,
                request,
            } => {
                body.push(JOIN);
                body.extend_from_slice(id);
                body.extend_from_slice(secret);
                body.extend_from_slice(request);
            }
            Self::Vouched {
                tunnel,
                token,
                request,
            } => {
                body.push(VOUCHED);
                for field in [tunnel.as_bytes(), token] {
                    let length = bounded_length(field, WHAT, MAX_QUESTION)?;
                    body.extend_from_slice(&length.to_be_bytes());
                    body.extend_from_slice(field);
                }
                body.extend_from_slice(request);
            }
            Self::Renew { request } => {
                body.push(RENEW);
                body.extend_from_slice(request);
            }
        }
        record(&body, WHAT, MAX_QUESTION)
    }

    /// Reads a question's body.
    ///
    /// # Errors
    ///
    /// When the body is not a question.
    pub fn parse(body: &[u8]) -> Result<Self, WireFault> {
        let mut fields = Fields::of(body);
        match fields.byte("question.kind")? {
            JOIN => Ok(Self::Join {
                id: fields.array("question.token")?,
                secret: fields.array("question.secret")?,
                request: fields.remainder().to_vec(),
            }),
            VOUCHED => {
                let mut field = |what| {
                    let length = usize::from(fields.short(what)?);
                    fields.bytes(length, what)
                };
                Ok(Self::Vouched {
                    tunnel: TunnelText::parse(field("question.tunnel")?, "question.tunnel")?,
                    token: field("question.token")?.to_vec(),
                    request: fields.remainder().to_vec(),
                })
            }
            RENEW => Ok(Self::Renew {
                request: fields.remainder().to_vec(),
            }),
            _ => Err(WireFault::Meaningless {
                what: "question.kind",
            }),
        }
    }
}
