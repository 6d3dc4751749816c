//! The agent's end: a UDP socket from which relays are dialled.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::rand;
use quinn::Endpoint;
use quinn::crypto::rustls::QuicClientConfig;
use tokio::time::{Instant, timeout_at};

use super::closing::HandshakeError;
use super::congestion::CongestionControl;
use super::credit::StreamCredit;
use super::keys::{RelaySecret, endpoint_config};
use super::runtime::Considerate;
use super::session::QuicSession;
use super::socket::{self, BindError};
use super::{limits, route};
use crate::tls::{self, AgentTls, TlsError};
use crate::wire::{CloseCode, Message};

/// A UDP socket from which relays are dialled.
#[derive(Debug, Clone)]
pub struct AgentEndpoint {
    endpoint: Endpoint,
    congestion: CongestionControl,
}

impl AgentEndpoint {
    /// Takes a port of the kernel's choice, for IPv6 and IPv4 where the host has both. Must be
    /// called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// When no socket can be had.
    pub fn bind() -> Result<Self, BindError> {
        Self::bind_to((Ipv6Addr::UNSPECIFIED, 0).into())
            .or_else(|_no_ipv6| Self::bind_to((Ipv4Addr::UNSPECIFIED, 0).into()))
    }

    fn bind_to(address: SocketAddr) -> Result<Self, BindError> {
        let (socket, _buffers) = socket::bind(address)?;
        let unusable = |cause| BindError::Socket { address, cause };
        let mut secret = [0; 32];
        rand::fill(&mut secret)
            .map_err(|_unspecified| unusable(std::io::Error::other("no random numbers")))?;
        let config = endpoint_config(&RelaySecret::new(secret))?;
        let endpoint =
            Endpoint::new(config, None, socket, Arc::new(Considerate)).map_err(unusable)?;
        Ok(Self {
            endpoint,
            congestion: CongestionControl::default(),
        })
    }

    /// The same with another congestion control of the sessions that it will dial.
    #[must_use]
    pub const fn with_congestion_control(mut self, congestion: CongestionControl) -> Self {
        self.congestion = congestion;
        self
    }

    /// Where it sends from.
    ///
    /// # Errors
    ///
    /// When the socket is gone.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Dials the relay at `address`, which must prove to be `server_name`, until `deadline`.
    ///
    /// The relay judges our certificate only after this has returned: a refusal shows as the
    /// session's end, in [`greet`](crate::greet).
    ///
    /// # Errors
    ///
    /// When nobody answers, the relay is not who it should be, or the identity cannot be used.
    pub async fn dial(
        &self,
        address: SocketAddr,
        server_name: &str,
        tls: AgentTls,
        deadline: Instant,
    ) -> Result<QuicSession, HandshakeError> {
        let not_begun = |message: String| HandshakeError::NotBegun {
            message: Message::fitting(&message),
        };
        let config = client_config(tls, route::mtu(address), self.congestion)
            .map_err(|error| not_begun(error.to_string()))?;
        let connecting = self
            .endpoint
            .connect_with(config, address, server_name)
            .map_err(|error| not_begun(error.to_string()))?;
        let connected = timeout_at(deadline, connecting).await;
        let connection = connected.map_or(Err(HandshakeError::TooLate), |done| Ok(done?))?;
        let credit = StreamCredit::new(limits::INITIAL_STREAM_CREDIT, limits::MAX_STREAM_CREDIT);
        QuicSession::over(connection, credit)
    }

    /// Ends every session and the endpoint. `reason` is for a person.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.endpoint
            .close(code.number().into(), Message::fitting(reason).as_bytes());
    }

    /// Waits until every relay has been told of its session's end. Give it a deadline.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }

    /// Goes on with another socket, as after a change of network. Sessions follow.
    ///
    /// # Errors
    ///
    /// When no socket can be had; the old one stays.
    pub fn rebind(&self) -> Result<(), BindError> {
        let address = if self
            .endpoint
            .local_addr()
            .is_ok_and(|address| address.is_ipv6())
        {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        };
        let (socket, _buffers) = socket::bind(address)?;
        self.endpoint
            .rebind(socket)
            .map_err(|cause| BindError::Socket { address, cause })
    }
}

fn client_config(
    tls: AgentTls,
    mtu: Option<usize>,
    congestion: CongestionControl,
) -> Result<quinn::ClientConfig, TlsError> {
    let config = tls::client(tls)?;
    let crypto = QuicClientConfig::try_from(config).map_err(|_none| TlsError::NoInitialSuite)?;
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(Arc::new(limits::agent_transport(mtu, congestion)));
    Ok(client)
}
