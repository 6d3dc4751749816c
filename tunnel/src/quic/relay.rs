//! The relay's end: a UDP port where agents arrive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, Incoming, ValidationTokenConfig};
use tokio::time::{Instant, timeout_at};

use super::closing::HandshakeError;
use super::congestion::CongestionControl;
use super::credit::StreamCredit;
use super::keys::{RelaySecret, endpoint_config};
use super::limits;
use super::runtime::Considerate;
use super::session::{QuicSession, canonical};
use super::socket::{self, BindError, SocketBuffers};
use crate::tls::{self, RelayTls, TlsError};
use crate::wire::{CloseCode, Message};

/// A UDP port where agents arrive.
#[derive(Debug)]
pub struct RelayEndpoint {
    endpoint: Endpoint,
    secret: RelaySecret,
    congestion: CongestionControl,
    buffers: SocketBuffers,
    in_flight: Arc<AtomicUsize>,
}

impl RelayEndpoint {
    /// Takes UDP `address`; `[::]` takes IPv4 too. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the socket cannot be had or the identity not be used.
    pub fn bind(
        address: SocketAddr,
        tls: RelayTls,
        secret: RelaySecret,
        congestion: CongestionControl,
    ) -> Result<Self, BindError> {
        let server = server_config(tls, &secret, congestion)?;
        let (socket, buffers) = socket::bind(address)?;
        let endpoint = Endpoint::new(
            endpoint_config(&secret)?,
            Some(server),
            socket,
            Arc::new(Considerate),
        )
        .map_err(|cause| BindError::Socket { address, cause })?;
        if buffers.fall_short() {
            tracing::warn!(
                wanted = limits::SOCKET_BUFFER,
                receive = buffers.receive,
                send = buffers.send,
                "the kernel grants small UDP buffers: many agents that return at once will need \
                 seconds; raise net.core.rmem_max and net.core.wmem_max"
            );
        }
        Ok(Self {
            endpoint,
            secret,
            congestion,
            buffers,
            in_flight: Arc::default(),
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// When the socket is gone.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// What the kernel granted.
    pub const fn buffers(&self) -> SocketBuffers {
        self.buffers
    }

    /// Serves new connections with another identity; those that stand are not disturbed.
    ///
    /// # Errors
    ///
    /// When the identity cannot be used; the old one stays.
    pub fn replace_tls(&self, tls: RelayTls) -> Result<(), TlsError> {
        let server = server_config(tls, &self.secret, self.congestion)?;
        self.endpoint.set_server_config(Some(server));
        Ok(())
    }

    /// Takes no new connections any more; those that stand are not disturbed.
    pub fn refuse_arrivals(&self) {
        self.endpoint.set_server_config(None);
    }

    /// Waits for the next agent; `None` when the endpoint was closed. Under pressure, sources that
    /// have not proven their address are sent a Retry first, and what exceeds the bound is refused.
    /// Run each arrival's [`complete`](Arrival::complete) in a task of its own.
    pub async fn accept(&self) -> Option<Arrival> {
        loop {
            let incoming = self.endpoint.accept().await?;
            let in_flight = self.in_flight.load(Ordering::Relaxed);
            if in_flight >= limits::HANDSHAKES_IN_FLIGHT {
                incoming.refuse();
            } else if in_flight >= limits::RETRY_ABOVE && !incoming.remote_address_validated() {
                if incoming.retry().is_err() {
                    tracing::debug!("an attempt could not be sent a Retry and was refused");
                }
            } else {
                let place = Place::take(&self.in_flight);
                return Some(Arrival { incoming, place });
            }
        }
    }

    /// Ends every session and the endpoint. `reason` is for a person.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.endpoint
            .close(code.number().into(), Message::fitting(reason).as_bytes());
    }

    /// Waits until every peer has been told of its session's end. Give it a deadline.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }

    /// Sessions and handshakes that are open now.
    pub fn open_connections(&self) -> usize {
        self.endpoint.open_connections()
    }
}

/// A place among the handshakes in flight.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(places: &Arc<AtomicUsize>) -> Self {
        places.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(places))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An agent that knocks: nothing has been spent on it yet. Dropping it refuses it.
#[derive(Debug)]
pub struct Arrival {
    incoming: Incoming,
    place: Place,
}

impl Arrival {
    /// Where it says it comes from; proven only if [`address_proven`](Self::address_proven).
    pub fn remote_address(&self) -> SocketAddr {
        canonical(self.incoming.remote_address())
    }

    /// Whether the source has answered a Retry.
    pub fn address_proven(&self) -> bool {
        self.incoming.remote_address_validated()
    }

    /// Tells it to try later.
    pub fn refuse(self) {
        self.incoming.refuse();
    }

    /// Runs the handshake until `deadline`. The agent's certificate has then been verified.
    ///
    /// # Errors
    ///
    /// When the agent is refused, goes away, or is too slow.
    pub async fn complete(self, deadline: Instant) -> Result<QuicSession, HandshakeError> {
        let Self { incoming, place } = self;
        let connecting = incoming.accept()?;
        let connected = timeout_at(deadline, connecting).await;
        drop(place);
        let connection = connected.map_or(Err(HandshakeError::TooLate), |done| Ok(done?))?;
        let credit = StreamCredit::new(limits::CONTROL_STREAMS, limits::CONTROL_STREAMS);
        QuicSession::over(connection, credit)
    }
}

pub(super) fn server_config(
    tls: RelayTls,
    secret: &RelaySecret,
    congestion: CongestionControl,
) -> Result<quinn::ServerConfig, TlsError> {
    let config = tls::server(tls)?;
    let crypto = QuicServerConfig::try_from(config).map_err(|_none| TlsError::NoInitialSuite)?;
    let mut tokens = ValidationTokenConfig::default();
    tokens.sent(0); // agents return from new addresses; a Retry proves them when it matters
    let mut server = quinn::ServerConfig::new(Arc::new(crypto), Arc::new(secret.token_key()));
    server
        .transport_config(Arc::new(limits::relay_transport(congestion)))
        .validation_token_config(tokens)
        .retry_token_lifetime(limits::RETRY_LIFETIME)
        .migration(true) // an agent behind NAT changes its port now and then
        .max_incoming(limits::WAITING_ATTEMPTS)
        .incoming_buffer_size(limits::ATTEMPT_BUFFER)
        .incoming_buffer_size_total(limits::ATTEMPTS_BUFFER);
    Ok(server)
}
