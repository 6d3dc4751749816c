//! A connection of HTTP/2 as a [`Session`].

use std::fmt;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Uri, Version};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use tokio::sync::{Mutex as AsyncMutex, mpsc};

use super::driver::Arrived;
use super::ending::{Ending, Lifeline};
use super::ends::Ends;
use super::meter::Meter;
use super::stream::{Http2Reader, Http2Writer, Incoming, Kind};
use super::{CALLER, PROTOCOL, closing};
use crate::session::{BoxFuture, Closed, Session, SessionError, Traffic};
use crate::stream::{OpenStreams, Stream};
use crate::wire::CloseCode;

/// One agent's connection to one relay over TCP. Its streams keep it alive; it ends when it is closed, or
/// when it and all its streams are dropped.
pub struct Http2Session {
    pub(super) role: Role,
    /// The control stream until the greeting takes it.
    pub(super) control: Mutex<Option<Stream>>,
    pub(super) ending: Ending,
    pub(super) lifeline: Arc<Lifeline>,
    pub(super) open: OpenStreams,
    pub(super) peer: Vec<CertificateDer<'static>>,
    pub(super) remote: SocketAddr,
    pub(super) meter: Meter,
}

/// Where streams come from.
pub(super) enum Role {
    /// It opens them.
    Relay(SendRequest<Bytes>),
    /// It accepts them.
    Agent(AsyncMutex<mpsc::Receiver<Arrived>>),
}

/// Asks for a stream.
pub(super) fn ask(
    sender: &mut SendRequest<Bytes>,
    target: &'static str,
) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
    let uri = Uri::builder()
        .scheme("https")
        .authority(PROTOCOL)
        .path_and_query(target)
        .build();
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri.unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
    request
        .extensions_mut()
        .insert(Protocol::from_static(PROTOCOL));
    sender.send_request(request, false)
}

/// A stream of its two ends.
pub(super) fn stream(
    (send, incoming): (Arc<Ends>, Incoming),
    kind: Kind,
    lifeline: &Arc<Lifeline>,
    open: &OpenStreams,
) -> Stream {
    let reader = Http2Reader::new(
        incoming,
        Arc::clone(&send),
        kind.clone(),
        Arc::clone(lifeline),
    );
    let writer = Http2Writer::new(send, kind, Arc::clone(lifeline));
    Stream::new(Box::new(reader), Box::new(writer), open)
}

impl Http2Session {
    fn take_control(&self) -> Option<Stream> {
        self.control.lock().take()
    }

    fn caller(&self, send: SendStream<Bytes>, incoming: Incoming) -> Stream {
        let ends = Arc::new(Ends::new(send));
        stream((ends, incoming), Kind::Caller, &self.lifeline, &self.open)
    }

    async fn ask_for_stream(&self, sender: &SendRequest<Bytes>) -> Result<Stream, Closed> {
        let mut sender = sender.clone();
        let opened = async {
            let (answer, send) = ask(&mut sender, CALLER)?;
            let stream = self.caller(send, Incoming::Awaited(answer));
            // It waits behind those that the agent does not take yet.
            poll_fn(|cx| sender.poll_ready(cx)).await?;
            Ok::<_, h2::Error>(stream)
        };
        opened.await.map_err(|error| closing::ended(&error))
    }

    async fn take_caller(&self, arrivals: &AsyncMutex<mpsc::Receiver<Arrived>>) -> Stream {
        let arrived: Option<(SendStream<Bytes>, RecvStream)> = arrivals.lock().await.recv().await;
        match arrived {
            Some((send, receive)) => self.caller(send, Incoming::Flowing(receive)),
            None => pending().await, // the session has ended, and says so
        }
    }
}

impl Session for Http2Session {
    fn open(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
        Box::pin(async {
            let opening = async {
                match &self.role {
                    Role::Relay(sender) => self.ask_for_stream(sender).await,
                    // The relay has opened it already.
                    Role::Agent(_) => match self.take_control() {
                        Some(control) => Ok(control),
                        None => pending().await,
                    },
                }
            };
            tokio::select! {
                biased;
                closed = self.closed() => Err(SessionError(closed)),
                opened = opening => opened.map_err(SessionError),
            }
        })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
        Box::pin(async {
            let accepting = async {
                match &self.role {
                    // An agent opens nothing but the control stream, and this it had opened for it.
                    Role::Relay(_) => match self.take_control() {
                        Some(control) => control,
                        None => pending().await,
                    },
                    Role::Agent(arrivals) => self.take_caller(arrivals).await,
                }
            };
            tokio::select! {
                biased;
                closed = self.closed() => Err(SessionError(closed)),
                stream = accepting => Ok(stream),
            }
        })
    }

    fn closed(&self) -> BoxFuture<'_, Closed> {
        Box::pin(self.ending.closed())
    }

    fn close(&self, code: CloseCode, reason: &str) {
        // Only the code goes to the peer; what it means there is said there.
        tracing::trace!(%code, reason, "a tunnel over TCP is closed");
        self.ending.close(code);
    }

    fn remote_address(&self) -> SocketAddr {
        self.remote
    }

    fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &self.peer
    }

    fn round_trip_time(&self) -> Duration {
        self.meter.round_trip()
    }

    fn transport(&self) -> &'static str {
        "tcp"
    }

    /// Without effect: a connection of HTTP/2 takes as many from the first moment as it ever does.
    fn grow_stream_credit(&self, _streams: u32) {}

    fn open_streams(&self) -> usize {
        self.open.count()
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}

impl fmt::Debug for Http2Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2Session")
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}
