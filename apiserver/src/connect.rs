//! A TLS connection to the API server, and to nobody else.
//!
//! The name is looked up at every dial, and the files are read again. The certificate is checked before
//! a byte of a request exists, and sessions are not resumed: a resumed one would not show a certificate.

mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::upstream::{Credential, Server, Upstream};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use self::tls::TlsFiles;
use crate::fault::DialError;
use crate::limits::{ADDRESSES_TRIED, Deadlines};

/// A connection whose far end has proven to be the API server.
pub type Secured = TlsStream<TcpStream>;

/// What is offered to speak on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/2, or HTTP/1.1 where the server knows no better.
    Newest,
    /// HTTP/1.1 only: for plain reads, and for upgrades, which HTTP/2 does not have.
    Http1,
}

/// Opens connections to one API server with one credential.
#[derive(Debug)]
pub struct Connector {
    server: Server,
    tls: TlsFiles,
    deadlines: Deadlines,
}

impl Connector {
    /// A connector to `upstream`, which has dialled nothing yet.
    pub fn new(upstream: &Upstream, deadlines: Deadlines) -> Self {
        let certificate = match &upstream.credential {
            Credential::ClientCertificate(pair) => Some(pair.clone()),
            Credential::Token(_) | Credential::TokenFile(_) => None,
        };
        let tls = TlsFiles::new(upstream.authorities.clone(), certificate);
        Self {
            server: upstream.server.clone(),
            tls,
            deadlines,
        }
    }

    /// Host and port of the server, as `Host` and `:authority` say it.
    pub fn authority(&self) -> &str {
        &self.server.authority
    }

    /// How long its steps may take.
    pub const fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Connects TCP, within the connect deadline.
    ///
    /// # Errors
    /// When the name has no address or none of its addresses answers.
    pub async fn reach(&self) -> Result<TcpStream, DialError> {
        let deadline = self.deadlines.connect;
        match timeout(deadline, self.reach_any_address()).await {
            Ok(result) => result,
            Err(_late) => Err(DialError::ConnectLate {
                authority: self.server.authority.clone(),
                deadline,
            }),
        }
    }

    async fn reach_any_address(&self) -> Result<TcpStream, DialError> {
        let addresses = self.resolve().await?;
        // Each address gets its share, so that one that swallows packets does not use up the others'.
        let shares = u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let share = self.deadlines.connect / shares;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses {
            match connect_tcp(address, share).await {
                Ok(tcp) => return Ok(tcp),
                Err(error) => last = error,
            }
        }
        Err(DialError::Unreachable {
            authority: self.server.authority.clone(),
            source: Arc::new(last),
        })
    }

    async fn resolve(&self) -> Result<Vec<SocketAddr>, DialError> {
        let unresolved = |error: io::Error| DialError::Unresolved {
            host: self.server.host.clone(),
            source: Arc::new(error),
        };
        let found = lookup_host((self.server.host.as_str(), self.server.port)).await;
        let addresses: Vec<_> = found.map_err(unresolved)?.take(ADDRESSES_TRIED).collect();
        if addresses.is_empty() {
            return Err(unresolved(io::Error::new(
                io::ErrorKind::NotFound,
                "no address",
            )));
        }
        Ok(addresses)
    }

    /// Makes TLS of a TCP connection and checks whom it leads to. The deadline is the caller's affair. With
    /// it comes the number of the client certificate that was shown; by now there may be a newer one.
    ///
    /// # Errors
    /// When the far end is not the API server, or does not want us.
    pub async fn secure(&self, tcp: TcpStream, offer: Offer) -> Result<(Secured, u64), DialError> {
        let (config, certificate) = self.tls.current(offer).await?;
        let connecting =
            TlsConnector::from(config).connect(self.server.tls_server_name.clone(), tcp);
        let io = connecting.await.map_err(|error| self.tls_fault(error))?;
        Ok((io, certificate))
    }

    /// The number of the client certificate that connections are made with now.
    pub fn certificate(&self) -> u64 {
        self.tls.certificate()
    }

    /// The same after another look at its files.
    pub async fn reread_certificate(&self) -> u64 {
        self.tls.reread_certificate().await
    }

    /// What a failure of TLS means, in the handshake or right after it.
    pub fn tls_fault(&self, error: io::Error) -> DialError {
        use rustls::Error as Tls;

        let authority = self.server.authority.clone();
        let inner = error.get_ref();
        let tls = inner.and_then(|inner| inner.downcast_ref::<Tls>());
        match (inner, tls) {
            (_, Some(Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented)) => {
                DialError::Impostor {
                    authority,
                    source: Arc::new(error),
                }
            }
            (_, Some(_)) => DialError::Tls {
                authority,
                source: Arc::new(error),
            },
            (Some(_), None) => DialError::Protocol {
                authority,
                source: Arc::new(error),
            },
            (None, None) => DialError::Unreachable {
                authority,
                source: Arc::new(error),
            },
        }
    }
}

/// Whether the server chose HTTP/2. None chosen means HTTP/1.1 (RFC 7301 §3.1: ALPN is optional).
pub fn chose_http2(io: &Secured) -> bool {
    io.get_ref().1.alpn_protocol() == Some(b"h2".as_slice())
}

async fn connect_tcp(address: SocketAddr, deadline: Duration) -> io::Result<TcpStream> {
    let tcp = timeout(deadline, TcpStream::connect(address)).await??;
    // Nobody sends pings on an upgraded connection: there the kernel's probes alone notice a lost host.
    gangplank_tcp::tune(&tcp)?;
    Ok(tcp)
}
