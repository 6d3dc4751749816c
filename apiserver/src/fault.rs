//! Why there is no connection to the API server, or no credential for it.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::Fault;

/// Why no connection to the API server came about. Cloned to everyone who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address.
    #[error("the API server's name {host} cannot be resolved")]
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: Arc<io::Error>,
    },
    /// No address accepted a connection.
    #[error("the API server at {authority} cannot be reached")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// What the last address's attempt said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Connecting took too long.
    #[error("connecting to the API server at {authority} took longer than {} s", .deadline.as_secs())]
    ConnectLate {
        /// Host and port.
        authority: String,
        /// What was allowed.
        deadline: Duration,
    },
    /// The server is not the one that was configured.
    #[error("the server at {authority} does not prove that it is the API server")]
    Impostor {
        /// Host and port.
        authority: String,
        /// What is wrong with its certificate.
        #[source]
        source: Arc<io::Error>,
    },
    /// The server did not want our certificate, or no TLS came about for another reason.
    #[error("the TLS handshake with the API server at {authority} failed")]
    Tls {
        /// Host and port.
        authority: String,
        /// What TLS said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The connection was up, but HTTP on it was not.
    #[error("the server at {authority} does not speak HTTP as announced")]
    Protocol {
        /// Host and port.
        authority: String,
        /// What was wrong.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// TLS, or the server's first word of HTTP/2, took too long.
    #[error("the API server at {authority} was connected but silent for {} s", .deadline.as_secs())]
    HandshakeLate {
        /// Host and port.
        authority: String,
        /// What was allowed.
        deadline: Duration,
    },
    /// The files that the connection is made with cannot be used.
    #[error("the connection to the API server cannot be set up from its configuration")]
    Material(#[source] Arc<dyn Error + Send + Sync>),
}

impl DialError {
    /// The cause's name, for metrics and audit.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } => "UpstreamUnresolved",
            Self::Unreachable { .. } => "UpstreamUnreachable",
            Self::ConnectLate { .. } => "UpstreamConnectLate",
            Self::Impostor { .. } => "UpstreamImpostor",
            Self::Tls { .. } => "UpstreamTls",
            Self::Protocol { .. } => "UpstreamProtocol",
            Self::HandshakeLate { .. } => "UpstreamHandshakeLate",
            Self::Material(_) => "UpstreamMaterial",
        }
    }

    /// What a person can do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } => "check the exit's upstream server name and its DNS",
            Self::Unreachable { .. } | Self::ConnectLate { .. } | Self::HandshakeLate { .. } => {
                "check that the API server runs and that the exit's network reaches it"
            }
            Self::Impostor { .. } => {
                "check the exit's upstream address, its CA and its tls-server-name; nothing was sent"
            }
            Self::Tls { .. } => "check that the API server accepts the exit's client certificate",
            Self::Protocol { .. } => "check what is listening at the exit's upstream address",
            Self::Material(_) => "correct the exit's upstream CA, certificate or key",
        }
    }
}

/// Why the proxy has no credential to send.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The token's file is missing, unreadable, empty, or holds no token.
    #[error("the exit's own token cannot be read")]
    Unusable(#[source] Fault),
    /// Reading it took too long.
    #[error("reading the exit's own token took longer than {} s", .0.as_secs())]
    Late(Duration),
    /// It cannot be put into a header.
    #[error("the exit's own token is not a token")]
    NotAToken,
}

impl CredentialError {
    /// The cause's name, for metrics and audit.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unusable(_) => "CredentialUnusable",
            Self::Late(_) => "CredentialLate",
            Self::NotAToken => "CredentialMalformed",
        }
    }

    /// What a person can do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Unusable(_) | Self::Late(_) => {
                "make the exit's service account token readable again; nothing was sent"
            }
            Self::NotAToken => "replace the exit's token; nothing was sent",
        }
    }
}
