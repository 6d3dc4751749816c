//! A TCP connection to a relay: straight, or by way of an HTTP proxy.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use gangplank_config::HttpProxy;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::addresses::{LookUpError, first_of, look_up};

mod proxy;

pub use proxy::{ProxyFault, proxy_status};

/// How long one address may take to answer: a lost SYN is sent again after 1 and 3 s.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a proxy may take to reach the relay and say so.
const PROXY_LIMIT: Duration = Duration::from_secs(10);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WayError {
    /// The host has no address.
    #[error("`{host}` cannot be found")]
    LookUp {
        /// Which host.
        host: String,
        /// Why.
        #[source]
        cause: LookUpError,
    },
    /// Nobody answers.
    #[error("no connection to {address}; does it listen there, and is TCP let through?")]
    Unreachable {
        /// The last address that was tried.
        address: SocketAddr,
        /// What went wrong there.
        #[source]
        cause: io::Error,
    },
    /// The proxy does not help.
    #[error("the HTTP proxy {proxy} leads nowhere")]
    Proxy {
        /// Which, without its password.
        proxy: String,
        /// Why.
        #[source]
        cause: ProxyFault,
    },
}

impl WayError {
    /// The error as one word, for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::LookUp { cause, .. } => cause.reason(),
            Self::Unreachable { .. } => "Unreachable",
            Self::Proxy { cause, .. } => cause.reason(),
        }
    }

    /// Whether a person has to do something: waiting alone will not help.
    pub const fn needs_a_person(&self) -> bool {
        matches!(self, Self::Proxy { cause, .. } if cause.needs_a_person())
    }
}

/// Connects to `host`, over `proxy` if there is one.
///
/// # Errors
///
/// When nobody is reached.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    proxy: Option<&HttpProxy>,
) -> Result<TcpStream, WayError> {
    let Some(proxy) = proxy else {
        return straight(host, port).await;
    };
    let through = async {
        let reached = straight(proxy.host(), proxy.port()).await;
        let mut socket = reached.map_err(|error| ProxyFault::Unreachable(Box::new(error)))?;
        timeout(PROXY_LIMIT, proxy::ask(&mut socket, proxy, (host, port)))
            .await
            .unwrap_or(Err(ProxyFault::TooLate))?;
        Ok(socket)
    };
    through.await.map_err(|cause| WayError::Proxy {
        proxy: proxy.to_string(),
        cause,
    })
}

async fn straight(host: &str, port: u16) -> Result<TcpStream, WayError> {
    let lost = |cause| WayError::LookUp {
        host: host.to_owned(),
        cause,
    };
    let addresses = look_up(host, port).await.map_err(lost)?;
    let attempts = addresses.into_iter().map(|address| async move {
        let connected = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
        let late = |_elapsed| Err(io::ErrorKind::TimedOut.into());
        let connected = connected.unwrap_or_else(late);
        connected.map_err(|cause| WayError::Unreachable { address, cause })
    });
    let nowhere = || Err(lost(LookUpError::NoAddress));
    first_of(attempts).await.unwrap_or_else(nowhere)
}
