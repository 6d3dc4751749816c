//! What the relay answers.

use std::fmt;

use crate::wire::fields::Fields;
use crate::wire::{EntranceDomain, Message, WireFault, record};

/// The largest body of an answer, in bytes: a handful of certificates of 2 KiB.
pub const MAX_ANSWER: usize = 32 << 10;

/// The most certificates in a chain, and the most authorities of a relay: beyond it somebody jokes.
const MOST_CERTIFICATES: usize = 8;

const WHAT: &str = "enrolment answer";
const GRANTED: u8 = 0;
const REFUSED: u8 = 1;

/// The relay's answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnrolmentAnswer {
    /// The certificate, and what goes with it.
    Granted(Grant),
    /// None.
    Refused {
        /// Why.
        code: EnrolmentRefusal,
        /// Why, and what to do, for a person.
        message: Message,
    },
}

/// What an agent gets. Certificates are in DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The domain below which callers reach the cluster.
    pub entrance_domain: EntranceDomain,
    /// The agent's certificate and its intermediates, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The authorities by which the agent is to know the relay from now on.
    pub relay_authorities: Vec<Vec<u8>>,
}

/// Why a relay gave no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EnrolmentRefusal {
    /// No such token, or not with this secret: which of the two is not said.
    TokenUnknown,
    /// The token was used before.
    TokenUsed,
    /// The token's time is over.
    TokenExpired,
    /// The certificate request asks for something else than the name it may have.
    RequestRefused,
    /// The certificate that was shown does not entitle to another.
    NotRenewable,
    /// The question was not understood.
    Malformed,
    /// The service account's token is none, is not good now, or is not for this name and this relay.
    ProofRefused,
    /// The relay cannot look it up or write it down now.
    Unavailable,
    /// A number of a later version.
    Other(u16),
}

impl EnrolmentRefusal {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        match self {
            Self::TokenUnknown => 1,
            Self::TokenUsed => 2,
            Self::TokenExpired => 3,
            Self::RequestRefused => 4,
            Self::NotRenewable => 5,
            Self::Malformed => 6,
            Self::Unavailable => 7,
            Self::ProofRefused => 8,
            Self::Other(number) => number,
        }
    }

    /// What a number on the wire means.
    pub const fn from_number(number: u16) -> Self {
        match number {
            1 => Self::TokenUnknown,
            2 => Self::TokenUsed,
            3 => Self::TokenExpired,
            4 => Self::RequestRefused,
            5 => Self::NotRenewable,
            6 => Self::Malformed,
            7 => Self::Unavailable,
            8 => Self::ProofRefused,
            other => Self::Other(other),
        }
    }

    /// The code as one word, for metrics and logs.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TokenUnknown => "TokenUnknown",
            Self::TokenUsed => "TokenUsed",
            Self::TokenExpired => "TokenExpired",
            Self::RequestRefused => "RequestRefused",
            Self::NotRenewable => "NotRenewable",
            Self::Malformed => "Malformed",
            Self::Unavailable => "Unavailable",
            Self::ProofRefused => "ProofRefused",
            Self::Other(_) => "Other",
        }
    }

    /// Whether asking again later may help without a person.
    pub const fn may_pass(self) -> bool {
        matches!(self, Self::Unavailable | Self::Other(_))
    }
}

impl fmt::Display for EnrolmentRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl EnrolmentAnswer {
    /// A refusal; the message is made to fit.
    pub fn refused(code: EnrolmentRefusal, message: &str) -> Self {
        Self::Refused {
            code,
            message: Message::fitting(message),
        }
    }

    /// The answer as bytes, version and length included.
    ///
    /// # Errors
    ///
    /// When the certificates are too many or too long.
    pub fn encode(&self) -> Result<Vec<u8>, WireFault> {
        let mut body = Vec::new();
        match self {
            Self::Granted(grant) => {
                body.push(GRANTED);
                put_certificates(&mut body, &grant.chain, "answer.chain")?;
                put_certificates(&mut body, &grant.relay_authorities, "answer.authorities")?;
                body.extend_from_slice(grant.entrance_domain.as_bytes());
            }
            Self::Refused { code, message } => {
                body.push(REFUSED);
                body.extend_from_slice(&code.number().to_be_bytes());
                body.extend_from_slice(message.as_bytes());
            }
        }
        record(&body, WHAT, MAX_ANSWER)
    }

    /// Reads an answer's body.
    ///
    /// # Errors
    ///
    /// When the body is not an answer.
    pub fn parse(body: &[u8]) -> Result<Self, WireFault> {
        let mut fields = Fields::of(body);
        match fields.byte("answer.kind")? {
            GRANTED => Ok(Self::Granted(Grant {
                chain: take_certificates(&mut fields, "answer.chain")?,
                relay_authorities: take_certificates(&mut fields, "answer.authorities")?,
                entrance_domain: EntranceDomain::parse(fields.remainder(), "answer.domain")?,
            })),
            REFUSED => Ok(Self::Refused {
                code: EnrolmentRefusal::from_number(fields.short("answer.code")?),
                message: Message::parse(fields.remainder(), "answer.message")?,
            }),
            _ => Err(WireFault::Meaningless {
                what: "answer.kind",
            }),
        }
    }
}

/// A count, then a length and its bytes for each.
fn put_certificates(
    body: &mut Vec<u8>,
    certificates: &[Vec<u8>],
    what: &'static str,
) -> Result<(), WireFault> {
    let too_long = |length, limit| WireFault::TooLong {
        what,
        length,
        limit,
    };
    let count = u8::try_from(certificates.len())
        .ok()
        .filter(|_| certificates.len() <= MOST_CERTIFICATES)
        .ok_or_else(|| too_long(certificates.len(), MOST_CERTIFICATES))?;
    body.push(count);
    for certificate in certificates {
        let length = u16::try_from(certificate.len())
            .map_err(|_long| too_long(certificate.len(), MAX_ANSWER))?;
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(certificate);
    }
    Ok(())
}

fn take_certificates(
    fields: &mut Fields<'_>,
    what: &'static str,
) -> Result<Vec<Vec<u8>>, WireFault> {
    let count = usize::from(fields.byte(what)?);
    if count == 0 || count > MOST_CERTIFICATES {
        return Err(WireFault::Meaningless { what });
    }
    (0..count)
        .map(|_nth| {
            let length = usize::from(fields.short(what)?);
            fields.bytes(length, what).map(<[u8]>::to_vec)
        })
        .collect()
}
