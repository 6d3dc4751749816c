//! The entrance: where callers' TCP connections arrive, and their way on board.
//!
//! The life of a caller's connection, in the words of the functions here: it *arrives* on the quay,
//! the relay *peeks* at its ClientHello, *routes by SNI*, *boards* a tunnel of that name, and
//! *carries* bytes until either side ends. Nothing of the content is decrypted, changed, measured or
//! logged: what the relay learns of a caller is an address, a server name and two byte counts.
//!
//! Called by [`Relay`](crate::Relay) with a listener; each connection is a task of its own on the
//! given tracker, so one that panics or stalls is nobody else's affair.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gangplank_enrolment::Names;
use gangplank_pki::{EntranceDomain, TunnelName, WithCauses};
use gangplank_tcp::{Listener, Lookout};
use gangplank_tunnel::http2::RelayEndpoint;
use gangplank_tunnel::wire::{ServerName, StreamHeader};
use gangplank_tunnel::{Session, splice};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use uuid::Uuid;

use crate::landing::Landing;
use crate::metrics::Counters;
use crate::reception::Reception;
use crate::registry::Registry;

mod alert;
mod board;
mod forwarded;
mod hello;
mod peek;
mod plain_http;
mod quay;
mod refusal;
mod standstill;

pub(crate) use forwarded::Forwarders;
pub use forwarded::{Mismatch, MismatchCrowd, MismatchView, forwarded_source};
pub use peek::peek_server_name;
pub(crate) use quay::Quay;
pub(crate) use standstill::Standstill;

use board::{Boarding, KnownNames, OnBoard, Passenger};
use forwarded::read_forwarded;
use peek::{PEEK_DEADLINE, PeekError, Peeked, peek};
use quay::{Place, Source};
use refusal::{Farewell, Refusal};

/// Callers who are taken in after the port was to be closed, because they had connected before: as many as may be on
/// the quay. Without a bound a flood of them would keep it open.
const MOST_LATECOMERS: usize = 4096;

/// What the entrance goes by. Shared by all connections.
#[derive(Debug)]
pub(crate) struct Entrance {
    domain: EntranceDomain,
    own_name: String,
    hide_names: bool,
    forwarders: Forwarders,
    quay: Quay,
    boarding: Boarding,
    reception: Option<Reception>,
    landing: Option<Arc<Landing>>,
    counters: Counters,
    lookout: Lookout,
}

/// How an entrance differs from another.
#[derive(Debug)]
pub(crate) struct Signpost {
    /// Entrances are `<cluster>.<account>.<domain>`.
    pub(crate) domain: EntranceDomain,
    /// The relay's own host name, lower case, no final dot.
    pub(crate) own_name: String,
    /// Whether an offline name looks like an unknown one.
    pub(crate) hide_names: bool,
    /// Whose word for a caller's address is taken.
    pub(crate) forwarders: Forwarders,
    /// The clusters that have joined, whether they have a tunnel or not.
    pub(crate) joined: watch::Receiver<Arc<Names>>,
    /// Who receives those that ask for the relay itself, if anyone.
    pub(crate) reception: Option<Reception>,
    /// Where those land that ask it for a tunnel, if anywhere.
    pub(crate) landing: Option<Arc<Landing>>,
}

/// Whom somebody came to.
enum Errand {
    /// A cluster: it is on board.
    Aboard(OnBoard, tracing::Span),
    /// The relay itself, with these first bytes.
    Relay(Vec<u8>),
}

/// A caller's socket and where it comes from.
#[derive(Debug)]
struct Caller {
    socket: TcpStream,
    address: SocketAddr,
    arrived: Instant,
}

impl Entrance {
    pub(crate) fn new(
        signpost: Signpost,
        registry: Registry<Arc<dyn Session>>,
        quay: Quay,
        counters: Counters,
    ) -> Self {
        let Signpost {
            domain,
            own_name,
            hide_names,
            forwarders,
            joined,
            reception,
            landing,
        } = signpost;
        let names = KnownNames {
            joined,
            hidden: hide_names,
        };
        let boarding = Boarding::new(registry, counters.clone(), names);
        Self {
            domain,
            own_name,
            hide_names,
            forwarders,
            quay,
            boarding,
            reception,
            landing,
            counters,
            lookout: Lookout::default(),
        }
    }

    /// Looks out for callers on board who are gone, at the port that they came to, for as long as it is polled.
    pub(crate) fn look_out(&self, port: SocketAddr) -> impl Future<Output = ()> + Send + use<> {
        self.lookout.clone().keep(port)
    }

    /// Accepts until `closing`, then closes the listener, so that a client's next attempt goes to the
    /// next address. Who has connected by then is let in: closing the port would reset it. Connections run
    /// on in `connections`.
    pub(crate) async fn accept_callers(
        self: Arc<Self>,
        mut listener: Listener,
        connections: TaskTracker,
        closing: CancellationToken,
    ) {
        loop {
            let next = listener.accept(|| self.counters.accept_paused());
            let Some(arrived) = closing.run_until_cancelled(next).await else {
                break;
            };
            self.welcome(arrived, &connections);
        }
        for _ in 0..MOST_LATECOMERS {
            let next = listener.accept(|| self.counters.accept_paused());
            // It is there, or it is not.
            let Ok(arrived) = timeout(Duration::ZERO, next).await else {
                return;
            };
            self.welcome(arrived, &connections);
        }
    }

    fn welcome(
        self: &Arc<Self>,
        (socket, address): (TcpStream, SocketAddr),
        connections: &TaskTracker,
    ) {
        let caller = Caller {
            socket,
            address,
            arrived: Instant::now(),
        };
        let place = self.quay.arrive(Source::of(address.ip()));
        let span = tracing::debug_span!(
            "entrance",
            client.addr = %address,
            sni = tracing::field::Empty
        );
        connections.spawn(Arc::clone(self).attend(caller, place).instrument(span));
    }

    /// One connection, from arrival to its end.
    async fn attend(self: Arc<Self>, mut caller: Caller, place: Place) {
        let boarded = tokio::select! {
            boarded = self.bring_on_board(&mut caller, &place) => boarded,
            () = place.sent_away() => Err(Refusal::Crowded),
        };
        match boarded {
            Ok(Errand::Aboard(on_board, span)) => {
                drop(place);
                self.carry(caller, on_board).instrument(span).await;
            }
            // On the quay until it leaves: that bounds how many there are.
            Ok(Errand::Relay(first_bytes)) => tokio::select! {
                () = self.receive(caller, first_bytes) => {}
                () = place.sent_away() => {}
            },
            // Still on the quay, so that those who dawdle over their alert are bounded too.
            Err(refusal) => tokio::select! {
                biased;
                () = self.refuse(caller, &refusal) => {}
                () = place.sent_away() => {}
            },
        }
    }

    /// Hands who came for the relay itself to the landing or the reception. On the heap: it is rare, and
    /// larger than all that the others need.
    async fn receive(&self, caller: Caller, first_bytes: Vec<u8>) {
        if let Some(landing) = self.landing_for(&first_bytes) {
            let agent = (caller.socket, caller.address);
            Box::pin(landing.receive(agent, first_bytes)).await;
        } else if let Some(reception) = &self.reception {
            Box::pin(reception.receive(caller.socket, caller.address, first_bytes)).await;
        }
    }

    /// Peeks, routes, boards.
    async fn bring_on_board(&self, caller: &mut Caller, place: &Place) -> Result<Errand, Refusal> {
        if self.forwarders.include(caller.address.ip()) {
            // On the heap, since few are.
            Box::pin(caller.forwarded()).await?;
            place.belongs_to(Source::of(caller.address.ip()));
        }
        let Peeked { server_name, raw } = peek(&mut caller.socket, caller.arrived).await?;
        if self.is_own_name(&server_name)
            && (self.reception.is_some() || self.landing_for(&raw).is_some())
        {
            return Ok(Errand::Relay(raw));
        }
        let tunnel = self.route_by_sni(&server_name)?;
        let passenger = passenger(caller.address, tunnel, &server_name, raw);
        let span = tracing::debug_span!(
            "tunnel",
            cluster = %passenger.tunnel,
            conn.id = %Uuid::from_u128(passenger.header.connection)
        );
        let on_board = self
            .boarding
            .board(&passenger)
            .instrument(span.clone())
            .await?;
        self.counters
            .caller_boarded(caller.arrived.elapsed().as_secs_f64());
        Ok(Errand::Aboard(on_board, span))
    }

    /// The landing, if it is a tunnel that is asked for.
    fn landing_for(&self, first_bytes: &[u8]) -> Option<&Arc<Landing>> {
        self.landing
            .as_ref()
            .filter(|_| RelayEndpoint::is_asked_for(first_bytes))
    }

    fn is_own_name(&self, server_name: &str) -> bool {
        let bare = server_name.strip_suffix('.').unwrap_or(server_name);
        bare.eq_ignore_ascii_case(&self.own_name)
    }

    /// The tunnel that a server name means. Exact labels below the domain, no default.
    fn route_by_sni(&self, server_name: &str) -> Result<TunnelName, Refusal> {
        if self.is_own_name(server_name) {
            return Err(Refusal::OwnName);
        }
        let tunnel = self
            .domain
            .route(server_name)
            .map_err(Refusal::NoEntrance)?;
        // Only now it is certain to be a host name, and safe to write down.
        let bare = server_name.strip_suffix('.').unwrap_or(server_name);
        tracing::Span::current().record("sni", bare);
        Ok(tunnel)
    }

    /// Carries bytes both ways until both directions have ended or one broke off.
    async fn carry(&self, caller: Caller, on_board: OnBoard) {
        let OnBoard {
            berth,
            stream,
            announced,
        } = on_board;
        tracing::debug!(session = berth.tunnel().id(), "on board");
        let source = Source::of(caller.address.ip());
        let patience = || berth.tunnel().standstill().begin(source);
        let gone = self.lookout.follow(&caller.socket);
        let spliced = splice(caller.socket, stream, &patience, gone).await;
        let to_exit = spliced.to_tunnel_bytes.saturating_add(announced);
        let to_caller = spliced.to_caller_bytes;
        berth.carried(to_exit.saturating_add(to_caller));
        self.counters
            .carried(spliced.ended.reason(), to_exit, to_caller);
        tracing::debug!(
            reason = spliced.ended.reason(),
            to_exit,
            to_caller,
            seconds = caller.arrived.elapsed().as_secs_f64(),
            "a caller's connection ended"
        );
    }

    async fn refuse(&self, caller: Caller, refusal: &Refusal) {
        self.counters.caller_refused(refusal.reason());
        if let Some(fault) = refusal.forward_fault() {
            self.forwarders.refused(caller.address.ip(), fault);
        }
        tell_of_refusal(refusal);
        match refusal.farewell(self.hide_names) {
            Farewell::Alert(alert) => alert::send_off(caller.socket, &alert.record()).await,
            Farewell::PlainHttp => {
                alert::send_off(caller.socket, plain_http::answer().as_bytes()).await;
            }
            Farewell::Close => drop(caller),
            Farewell::Reset => {
                // If that fails the socket is dead already, and closing it does the same.
                drop(caller.socket.set_zero_linger());
                drop(caller);
            }
        }
    }
}

impl Caller {
    /// Takes its address from who forwards it, within the deadline that its hello has.
    async fn forwarded(&mut self) -> Result<(), PeekError> {
        let header = timeout_at(
            self.arrived + PEEK_DEADLINE,
            read_forwarded(&mut self.socket),
        );
        let header = header.await.map_err(|_elapsed| PeekError::TooSlow)?;
        let source = header.map_err(|failed| match failed.kind() {
            ErrorKind::UnexpectedEof => PeekError::Closed,
            _ => PeekError::Socket(failed),
        })??;
        if let Some(source) = source {
            self.address = source;
        }
        Ok(())
    }
}

/// The caller's address is the socket's, or what a listed forwarder says; never anything the caller says.
fn passenger(
    address: SocketAddr,
    tunnel: TunnelName,
    server_name: &str,
    first_bytes: Vec<u8>,
) -> Passenger {
    let bare = server_name.strip_suffix('.').unwrap_or(server_name);
    let header = StreamHeader {
        connection: Uuid::new_v4().as_u128(),
        sni: ServerName::fitting(&bare.to_ascii_lowercase()),
        caller: SocketAddr::new(address.ip().to_canonical(), address.port()),
        traceparent: None,
    };
    Passenger {
        tunnel,
        header,
        first_bytes,
    }
}

fn tell_of_refusal(refusal: &Refusal) {
    tracing::debug!(
        reason = refusal.reason(),
        error = %WithCauses(refusal),
        "a caller was refused"
    );
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A connection's task lives as long as the connection, and an idle one must cost little: 10 KiB with
    /// everything. The largest step decides, even when it is long over.
    #[tokio::test]
    async fn task_of_a_connection_is_small() {
        let signpost = Signpost {
            domain: EntranceDomain::parse("tunnels.example.com").unwrap(),
            own_name: "relay.example.com".to_owned(),
            hide_names: false,
            forwarders: Forwarders::default(),
            joined: watch::Sender::default().subscribe(),
            reception: None,
            landing: None,
        };
        let quay = Quay::default();
        let place = quay.arrive(Source::of([192, 0, 2, 1].into()));
        let entrance = Entrance::new(signpost, Registry::default(), quay, Counters::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let socket = TcpStream::connect(address).await.unwrap();
        let caller = Caller {
            socket,
            address,
            arrived: Instant::now(),
        };
        let task = Arc::new(entrance).attend(caller, place);
        let size = size_of_val(&task);
        drop(task);
        assert!(size <= 4 * 1024, "{size} bytes");
    }
}
