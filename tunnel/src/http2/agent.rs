//! The agent's end: dials over TCP and serves what the relay opens.

use std::sync::Arc;

use bytes::Bytes;
use h2::server::Connection;
use http::Response;
use parking_lot::Mutex;
use rustls_pki_types::ServerName;
use tokio::io::AsyncBufReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::closing::HandshakeError;
use super::driver::{Carrier, Driver, asks};
use super::ending::{Ending, Lifeline};
use super::ends::Ends;
use super::meter::Meter;
use super::pulse::Pulse;
use super::session::{Http2Session, Role, stream};
use super::sessions::Sessions;
use super::socket::Socket;
use super::stream::{Incoming, Kind};
use super::{CONTROL, limits};
use crate::quic::canonical;
use crate::stream::OpenStreams;
use crate::tls::{self, ALPN, AgentTls};

/// Where an agent's sessions over TCP are made. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct AgentEndpoint {
    sessions: Sessions,
}

impl AgentEndpoint {
    /// Goes on with a connection to a relay, which must prove to be `server_name`, until `deadline`. The
    /// relay has judged our certificate when this returns.
    ///
    /// # Errors
    ///
    /// When the relay is not who it should be, does not take us, or is too slow.
    pub async fn begin(
        &self,
        socket: TcpStream,
        server_name: &str,
        tls: AgentTls,
        deadline: Instant,
    ) -> Result<Http2Session, HandshakeError> {
        let name = ServerName::try_from(server_name.to_owned())
            .map_err(|error| HandshakeError::not_begun(&error))?;
        let config = tls::client(tls).map_err(|error| HandshakeError::not_begun(&error))?;
        let connector = TlsConnector::from(Arc::new(config));
        // On the heap for as long as it takes: it is large, and whoever waits for it may live long.
        timeout_at(
            deadline,
            Box::pin(self.shake_hands(socket, name, connector)),
        )
        .await
        .unwrap_or(Err(HandshakeError::TooLate))
    }

    async fn shake_hands(
        &self,
        socket: TcpStream,
        name: ServerName<'static>,
        connector: TlsConnector,
    ) -> Result<Http2Session, HandshakeError> {
        let (meter, ending) = (Meter::new(), Ending::new());
        let remote = canonical(socket.peer_addr()?);
        let socket = Socket::new(socket, Bytes::new(), meter.clone());
        let remains = socket.remains();
        let mut tls = connector.connect(name, socket).await?;
        let peer = judge(&tls)?;
        // The relay judges our certificate after our side of the handshake is over. Its first words show
        // that it has, or its alert says why not.
        tls.fill_buf().await?;
        let mut connection = limits::agent().handshake(tls).await?;
        let (control, incoming) = first_stream(&mut connection).await?;
        let (arrivals, arriving) = mpsc::channel(ARRIVALS);
        let mut carrier = Carrier::Agent {
            connection,
            arrivals,
        };
        let pings = carrier.ping_pong().ok_or(HandshakeError::NoBeginning)?;
        let (lifeline, open) = (Lifeline::new(&ending), OpenStreams::default());
        let kind = Kind::Control(ending.clone());
        let session = Http2Session {
            role: Role::Agent(AsyncMutex::new(arriving)),
            control: Mutex::new(Some(stream(
                (Arc::clone(&control), incoming),
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
            pulse: Pulse::new(limits::KEEPALIVE_INTERVAL, limits::IDLE_TIMEOUT),
            meter,
            remains,
            leaving: self.sessions.leaving.clone(),
        }
        .spawn(&self.sessions);
        Ok(session)
    }

    /// Ends every session; the relays are told that this agent is going away.
    pub fn close(&self) {
        self.sessions.close();
    }

    /// Waits until every relay was told. Give it a deadline.
    pub async fn wait_idle(&self) {
        self.sessions.wait_idle().await;
    }
}

/// Streams that may wait to be taken: as many as can be open.
const ARRIVALS: usize = 1024;

/// The relay must have spoken our protocol and shown a certificate.
fn judge(
    tls: &TlsStream<Socket>,
) -> Result<Vec<rustls_pki_types::CertificateDer<'static>>, HandshakeError> {
    let connection = tls.get_ref().1;
    if connection.alpn_protocol() != Some(ALPN) {
        return Err(HandshakeError::NoProtocol);
    }
    let peer = connection.peer_certificates().unwrap_or_default();
    if peer.is_empty() {
        return Err(HandshakeError::NoCertificate);
    }
    Ok(peer.to_vec())
}

/// The stream that the relay opens before all others.
async fn first_stream(
    connection: &mut Connection<TlsStream<Socket>, Bytes>,
) -> Result<(Arc<Ends>, Incoming), HandshakeError> {
    let first = connection.accept().await;
    let (request, mut answer) = first.ok_or(HandshakeError::NoBeginning)??;
    if !asks(&request, CONTROL) {
        return Err(HandshakeError::NoBeginning);
    }
    let send = answer.send_response(Response::new(()), false)?;
    let incoming = Incoming::Flowing(request.into_body());
    Ok((Arc::new(Ends::new(send)), incoming))
}
