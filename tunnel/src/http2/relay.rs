//! The relay's end: takes what arrived at its own name and opens streams on it.

use std::future::{Future, poll_fn};
use std::io::Cursor;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::closing::HandshakeError;
use super::driver::{Carrier, Driver};
use super::ending::{Ending, Lifeline};
use super::ends::Ends;
use super::meter::Meter;
use super::pulse::Pulse;
use super::session::{Http2Session, Role, ask, stream};
use super::sessions::Sessions;
use super::socket::Socket;
use super::stream::{Incoming, Kind};
use super::{CONTROL, limits};
use crate::quic::canonical;
use crate::stream::OpenStreams;
use crate::tls::{self, ALPN, RelayTls, TlsError};

/// Where agents arrive over TCP.
#[derive(Debug)]
pub struct RelayEndpoint {
    tls: Mutex<Arc<ServerConfig>>,
    sessions: Sessions,
}

impl RelayEndpoint {
    /// Takes sessions with this identity.
    ///
    /// # Errors
    ///
    /// When the identity cannot be used.
    pub fn new(tls: RelayTls) -> Result<Self, TlsError> {
        Ok(Self {
            tls: Mutex::new(Arc::new(tls::server(tls)?)),
            sessions: Sessions::default(),
        })
    }

    /// Takes new sessions with another identity; those that stand are not disturbed.
    ///
    /// # Errors
    ///
    /// When the identity cannot be used; the old one stays.
    pub fn replace_tls(&self, tls: RelayTls) -> Result<(), TlsError> {
        let config = Arc::new(tls::server(tls)?);
        *self.tls.lock() = config;
        Ok(())
    }

    /// Whether a connection that began with these bytes, a whole ClientHello, is to be a tunnel.
    pub fn is_asked_for(first_bytes: &[u8]) -> bool {
        let mut acceptor = Acceptor::default();
        let mut unread = Cursor::new(first_bytes);
        loop {
            match acceptor.read_tls(&mut unread) {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let mut offered = accepted.client_hello().alpn().into_iter().flatten();
                    return offered.any(|protocol| protocol == ALPN);
                }
                Ok(None) => {}
                Err(_) => return false,
            }
        }
    }

    /// Runs the handshake on a connection of which `first_bytes` were read already, until `deadline`. The
    /// agent's certificate has then been verified. `remote` is where the agent is: behind a load balancer the socket knows
    /// only that one's address.
    ///
    /// # Errors
    ///
    /// When the agent is refused, goes away, or is too slow.
    pub async fn complete(
        &self,
        (socket, remote): (TcpStream, SocketAddr),
        first_bytes: Vec<u8>,
        deadline: Instant,
    ) -> Result<Http2Session, HandshakeError> {
        let shaking = self.shake_hands((socket, canonical(remote)), first_bytes);
        // On the heap for as long as it takes.
        timeout_at(deadline, Box::pin(shaking))
            .await
            .unwrap_or(Err(HandshakeError::TooLate))
    }

    async fn shake_hands(
        &self,
        (socket, remote): (TcpStream, SocketAddr),
        first_bytes: Vec<u8>,
    ) -> Result<Http2Session, HandshakeError> {
        let (meter, ending) = (Meter::new(), Ending::new());
        let socket = Socket::new(socket, first_bytes.into(), meter.clone());
        let remains = socket.remains();
        let config = Arc::clone(&self.tls.lock());
        let tls = TlsAcceptor::from(config).accept(socket).await?;
        let agent = tls.get_ref().1;
        if agent.alpn_protocol() != Some(ALPN) {
            return Err(HandshakeError::NoProtocol);
        }
        let peer = agent.peer_certificates().unwrap_or_default().to_vec();
        if peer.is_empty() {
            return Err(HandshakeError::NoCertificate);
        }
        let (mut sender, mut connection) = limits::relay().handshake(tls).await?;
        agents_settings(&sender, &mut connection).await?;
        let (answer, send) = ask(&mut sender, CONTROL)?;
        let control = Arc::new(Ends::new(send));
        let mut carrier = Carrier::Relay(connection);
        let pings = carrier.ping_pong().ok_or(HandshakeError::NoBeginning)?;
        let (lifeline, open) = (Lifeline::new(&ending), OpenStreams::default());
        let kind = Kind::Control(ending.clone());
        let session = Http2Session {
            role: Role::Relay(sender),
            control: Mutex::new(Some(stream(
                (Arc::clone(&control), Incoming::Awaited(answer)),
                kind,
                &lifeline,
                &open,
            ))),
            ending: ending.clone(),
            lifeline,
            open,
            peer,
            remote,
            meter: meter.clone(),
        };
        Driver {
            carrier,
            control,
            ending,
            pings,
            pulse: Pulse::new(limits::MEASURING_INTERVAL, limits::IDLE_TIMEOUT),
            meter,
            remains,
            leaving: self.sessions.leaving.clone(),
        }
        .spawn(&self.sessions);
        Ok(session)
    }

    /// Ends every session; the agents are told that this relay is going away.
    pub fn close(&self) {
        self.sessions.close();
    }

    /// Waits until every agent was told. Give it a deadline.
    pub async fn wait_idle(&self) {
        self.sessions.wait_idle().await;
    }
}

/// Until the agent has said that it takes extended CONNECT, and how many streams.
async fn agents_settings(
    sender: &SendRequest<Bytes>,
    connection: &mut Connection<TlsStream<Socket>, Bytes>,
) -> Result<(), HandshakeError> {
    let mut connection = pin!(connection);
    poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(ended.and(Err(h2::Reason::CONNECT_ERROR.into())));
        }
        if sender.is_extended_connect_protocol_enabled() {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    })
    .await
    .map_err(HandshakeError::from)
}
