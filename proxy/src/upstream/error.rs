//! Why a request did not get an answer from the API server.

use std::time::Duration;

use gangplank_apiserver::{CredentialError, DialError};
use http::StatusCode;

/// Why the API server's answer is not there.
///
/// [`certainly_not_sent`](Self::certainly_not_sent) tells whether the API server may have acted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// No connection could be opened.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The proxy's own credential is not there.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// The request does not say who it is for in exactly the way it must.
    #[error("the request's identity headers are not those of the caller's certificate: {0}")]
    IdentityHeaders(&'static str),
    /// The request cannot be addressed to the API server.
    #[error("the request's target cannot be sent to the API server: {0}")]
    Target(&'static str),
    /// Every connection is full and no more may be opened, or too many requests wait already.
    #[error("all connections to the API server are in use")]
    Crowded,
    /// The server refused the request unseen, again and again.
    #[error("the API server refused the request {attempts} times without processing it")]
    RefusedUnprocessed {
        /// How often it was offered.
        attempts: usize,
    },
    /// The connection broke after the request had gone out.
    #[error("the connection to the API server broke before it answered")]
    BrokeOff(#[source] hyper::Error),
    /// The server stopped answering at all.
    #[error("the API server stopped answering")]
    Silent(#[source] hyper::Error),
    /// The caller's body ended before its end, and the request with it.
    #[error("the request's body broke off")]
    RequestBody(#[source] hyper::Error),
    /// The server answered something that is not HTTP.
    #[error("the API server's answer is malformed")]
    Malformed(#[source] hyper::Error),
    /// A 101 that nobody asked for, or with another protocol than asked for.
    #[error("the API server switched to another protocol than the one asked for")]
    WrongProtocol,
    /// The answer to a request for an upgrade did not come in time.
    #[error("the API server did not answer the request for an upgrade within {} s", .0.as_secs())]
    UpgradeLate(Duration),
    /// The exit is ending.
    #[error("the exit is shutting down")]
    Stopping,
}

impl UpstreamError {
    /// The cause's name, for metrics and audit.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Dial(error) => error.reason(),
            Self::Credential(error) => error.reason(),
            Self::IdentityHeaders(_) => "IdentityHeaders",
            Self::Target(_) => "BadTarget",
            Self::Crowded => "UpstreamCrowded",
            Self::RefusedUnprocessed { .. } => "UpstreamRefused",
            Self::BrokeOff(_) => "UpstreamBrokeOff",
            Self::Silent(_) => "UpstreamSilent",
            Self::RequestBody(_) => "RequestBodyBrokeOff",
            Self::Malformed(_) => "UpstreamMalformed",
            Self::WrongProtocol => "UpstreamWrongProtocol",
            Self::UpgradeLate(_) => "UpstreamUpgradeLate",
            Self::Stopping => "Stopping",
        }
    }

    /// What a person can do about it.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Dial(error) => error.remedy(),
            Self::Credential(error) => error.remedy(),
            Self::IdentityHeaders(_) => "report this as a defect of the exit; nothing was sent",
            Self::Target(_) => "correct the request's path",
            Self::Crowded | Self::RefusedUnprocessed { .. } => {
                "try again later; end watches that are not needed"
            }
            Self::BrokeOff(_) => {
                "check whether the request took effect before trying again; see whether the API server \
                 restarted"
            }
            Self::Silent(_) | Self::UpgradeLate(_) => {
                "check the API server's health and the network between it and the exit"
            }
            Self::RequestBody(_) => "send the request again, with its whole body",
            Self::Malformed(_) | Self::WrongProtocol => {
                "check what is listening at the configured API server's address"
            }
            Self::Stopping => "try again; another exit or a restarted one takes over",
        }
    }

    /// The status that a caller is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Dial(error) => status_of_dial(error),
            Self::Credential(_)
            | Self::Crowded
            | Self::RefusedUnprocessed { .. }
            | Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::IdentityHeaders(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Target(_) | Self::RequestBody(_) => StatusCode::BAD_REQUEST,
            Self::BrokeOff(_) | Self::Malformed(_) | Self::WrongProtocol => StatusCode::BAD_GATEWAY,
            Self::Silent(_) | Self::UpgradeLate(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether the API server certainly did not act on the request, so that a caller may be told to
    /// send it again, whatever its verb.
    pub const fn certainly_not_sent(&self) -> bool {
        match self {
            Self::Dial(_)
            | Self::Credential(_)
            | Self::IdentityHeaders(_)
            | Self::Target(_)
            | Self::Crowded
            | Self::RefusedUnprocessed { .. }
            | Self::Stopping => true,
            Self::BrokeOff(_)
            | Self::Silent(_)
            | Self::RequestBody(_)
            | Self::Malformed(_)
            | Self::WrongProtocol
            | Self::UpgradeLate(_) => false,
        }
    }
}

/// The status for a caller whose request found no connection.
const fn status_of_dial(error: &DialError) -> StatusCode {
    match error {
        DialError::Unresolved { .. }
        | DialError::Unreachable { .. }
        | DialError::ConnectLate { .. }
        | DialError::HandshakeLate { .. } => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_GATEWAY,
    }
}
