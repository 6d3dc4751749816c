//! A QUIC connection as a [`Session`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quinn::{Connection, RecvStream, SendStream};
use rustls_pki_types::CertificateDer;

use super::closing::{HandshakeError, closed};
use super::credit::StreamCredit;
use super::precedence::{Place, Recently};
use super::stream::{QuicReader, QuicWriter};
use crate::session::{BoxFuture, Closed, Session, SessionError, Traffic};
use crate::stream::{OpenStreams, Stream};
use crate::tls::ALPN;
use crate::wire::{CloseCode, Message};

/// One agent's QUIC connection to one relay. Its streams keep it alive; it ends when it is closed,
/// or when it and all its streams are dropped.
#[derive(Debug)]
pub struct QuicSession {
    connection: Connection,
    peer: Vec<CertificateDer<'static>>,
    open: OpenStreams,
    credit: Mutex<StreamCredit>,
    recently: Arc<Recently>,
}

impl QuicSession {
    /// Takes a connection whose handshake is over, if the peer spoke our protocol and showed a
    /// certificate.
    pub(super) fn over(
        connection: Connection,
        credit: StreamCredit,
    ) -> Result<Self, HandshakeError> {
        let protocol = connection
            .handshake_data()
            .and_then(|data| data.downcast::<quinn::crypto::rustls::HandshakeData>().ok())
            .and_then(|data| data.protocol);
        if protocol.as_deref() != Some(ALPN) {
            return Err(HandshakeError::NoProtocol);
        }
        let peer = *connection
            .peer_identity()
            .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
            .filter(|chain| !chain.is_empty())
            .ok_or(HandshakeError::NoCertificate)?;
        Ok(Self {
            connection,
            peer,
            open: OpenStreams::default(),
            credit: Mutex::new(credit),
            recently: Recently::new(),
        })
    }

    fn stream(&self, (send, receive): (SendStream, RecvStream)) -> Stream {
        let (read, write) = (
            Box::new(QuicReader(receive)),
            Box::new(QuicWriter::new(send, Place::of(&self.recently))),
        );
        Stream::new(read, write, &self.open)
    }

    fn raise_credit(&self, raise: impl FnOnce(&mut StreamCredit) -> Option<u32>) {
        let mut credit = self.credit.lock();
        if let Some(streams) = raise(&mut credit) {
            self.connection
                .set_max_concurrent_bi_streams(streams.into());
        }
    }
}

impl Session for QuicSession {
    fn open(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
        Box::pin(async {
            let halves = self.connection.open_bi().await;
            halves
                .map(|halves| self.stream(halves))
                .map_err(|error| SessionError(closed(&error)))
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
        Box::pin(async {
            let halves = self.connection.accept_bi().await;
            let halves = halves.map_err(|error| SessionError(closed(&error)))?;
            let stream = self.stream(halves);
            self.raise_credit(|credit| credit.after_use(self.open.count()));
            Ok(stream)
        })
    }

    fn closed(&self) -> BoxFuture<'_, Closed> {
        Box::pin(async { closed(&self.connection.closed().await) })
    }

    fn close(&self, code: CloseCode, reason: &str) {
        // The transport would forget who closed first, and why.
        if self.connection.close_reason().is_none() {
            let reason = Message::fitting(reason);
            self.connection
                .close(code.number().into(), reason.as_bytes());
        }
    }

    fn remote_address(&self) -> SocketAddr {
        canonical(self.connection.remote_address())
    }

    fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer
    }

    fn round_trip_time(&self) -> Duration {
        self.connection.rtt()
    }

    fn transport(&self) -> &'static str {
        "quic"
    }

    fn grow_stream_credit(&self, streams: u32) {
        self.raise_credit(|credit| credit.at_least(streams));
    }

    fn open_streams(&self) -> usize {
        self.open.count()
    }

    fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        Traffic {
            sent: stats.udp_tx.bytes,
            received: stats.udp_rx.bytes,
            datagrams_sent: stats.udp_tx.datagrams,
            datagrams_received: stats.udp_rx.datagrams,
            datagrams_lost: stats.path.lost_packets,
        }
    }
}

/// An IPv4 peer on a socket of both families is an IPv4 peer.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
