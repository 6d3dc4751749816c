//! A relay's registry, its hosting of tunnels and its boarding, with agents and callers around them, in
//! simulated time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::pem;
use gangplank_tunnel::wire::{
    Hello, RefusalCode, ServerName, SoftwareName, StreamHeader, StreamStatus,
};
use gangplank_tunnel::{
    ControlReader, ControlWriter, Notice, Session, Stream, answer, greet, receive_header,
};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::{Boarding, KnownNames, OnBoard, Passenger};
use super::craft::{self, End, PASSENGER};
use super::model::{Model, Place, Reception, State};
use super::port::Port;
use crate::listener::{Reason, recheck_agents};
use crate::metrics::Counters;
use crate::registry::Registry;
use crate::tunnels::Host;

/// Something that happens.
#[derive(Debug, Clone)]
pub(super) enum Event {
    /// An agent dials, and greets after so many milliseconds.
    Join {
        place: Place,
        paper: usize,
        greets_after: u64,
    },
    /// The agent of this tunnel dials anew for the same place.
    Renew { tunnel: usize, greets_after: u64 },
    /// A tunnel's agent says that it drains, and how long what runs may take.
    Leave { tunnel: usize, seconds: u64 },
    /// A tunnel's agent closes its control stream in good order.
    Finish { tunnel: usize },
    /// A tunnel's agent is gone.
    Vanish { tunnel: usize },
    /// A caller asks for a cluster.
    Call {
        name: usize,
        receptions: [Reception; 3],
    },
    /// A caller hangs up.
    HangUp { caller: usize },
    /// An agent's certificate is revoked.
    Revoke { paper: usize },
    /// The relay is told to end.
    DrainRelay,
}

/// An agent's side of a tunnel.
#[derive(Debug)]
struct Agent {
    place: Place,
    paper: usize,
    session: Arc<End>,
    /// Its control stream, once it was welcomed.
    writer: Arc<Mutex<Option<ControlWriter>>>,
}

/// A caller, and its place when it has one.
struct Caller {
    leaves: CancellationToken,
    on_board: Arc<Mutex<Option<OnBoard>>>,
}

/// All that there is in one sequence.
pub(super) struct Voyage<'p> {
    port: &'p Port,
    model: Model,
    host: Host,
    boarding: Boarding,
    tasks: TaskTracker,
    agents: Vec<Agent>,
    callers: Vec<Caller>,
}

impl<'p> Voyage<'p> {
    /// A relay that has just started.
    pub(super) fn begin(port: &'p Port, hide_names: bool) -> Self {
        let (registry, counters) = (Registry::default(), Counters::default());
        let host = port.host(registry.clone(), counters.clone());
        let names = KnownNames {
            joined: watch::Sender::default().subscribe(),
            hidden: hide_names,
        };
        Self {
            port,
            model: Model::new(port.names.len(), hide_names),
            boarding: Boarding::new(registry, counters, names),
            host,
            tasks: TaskTracker::new(),
            agents: Vec::new(),
            callers: Vec::new(),
        }
    }

    /// Lets it happen.
    pub(super) async fn take(&mut self, event: Event) {
        let tunnels = self.agents.len();
        let which = |tunnel: usize| tunnel.checked_rem(tunnels);
        match event {
            Event::Join {
                place,
                paper,
                greets_after,
            } => self.join(place, paper, greets_after),
            Event::Renew {
                tunnel,
                greets_after,
            } => {
                if let Some(agent) = which(tunnel).map(|number| &self.agents[number]) {
                    let place = Place {
                        epoch: agent.place.epoch + 1,
                        ..agent.place
                    };
                    self.join(place, agent.paper, greets_after);
                }
            }
            Event::Leave { tunnel, seconds } => {
                if let Some(number) = which(tunnel) {
                    self.leave(number, Duration::from_secs(seconds)).await;
                }
            }
            Event::Finish { tunnel } => {
                if let Some(number) = which(tunnel) {
                    self.finish(number).await;
                }
            }
            Event::Vanish { tunnel } => {
                if let Some(number) = which(tunnel) {
                    self.model.go(number);
                    self.agents[number].session.vanish();
                }
            }
            Event::Call { name, receptions } => self.call(name, receptions),
            Event::HangUp { caller } => {
                if let Some(number) = caller.checked_rem(self.callers.len()) {
                    self.hang_up(number);
                }
            }
            Event::Revoke { paper } => {
                self.model.revoke(paper);
                let verifier = self.port.revoke(paper);
                let (registry, clock) = (&self.host.registry, &*self.port.clock);
                recheck_agents(registry, &verifier, clock, Reason::Change).await;
            }
            Event::DrainRelay => {
                self.model.drain_relay();
                self.host.drain.cancel();
            }
        }
    }

    fn join(&mut self, place: Place, paper: usize, greets_after: u64) {
        // A relay that drains takes no arrivals.
        if self.host.drain.is_cancelled() {
            return;
        }
        let paper = Port::paper_of(place.name, paper);
        let Some(number) = self.model.dial(place, paper) else {
            return;
        };
        let chain = self.port.chains[paper].clone();
        let (at_relay, at_agent) = craft::session(chain, &self.model, number);
        let writer = Arc::<Mutex<_>>::default();
        let host = self.host.clone();
        self.tasks
            .spawn(async move { host.take_in(at_relay).await });
        self.agents.push(Agent {
            place,
            paper,
            session: Arc::clone(&at_agent),
            writer: Arc::clone(&writer),
        });
        let (model, tasks) = (self.model.clone(), self.tasks.clone());
        self.tasks.spawn(async move {
            sleep(Duration::from_millis(greets_after)).await;
            model.greet(number);
            let hello = Hello {
                instance: place.instance,
                slot: place.slot,
                epoch: place.epoch,
                software: SoftwareName::fitting("a model"),
            };
            let deadline = Instant::now() + Duration::from_secs(10);
            if let Ok((_, reader, its_writer)) = greet(&*at_agent, hello, deadline).await {
                *writer.lock() = Some(its_writer);
                tasks.spawn(listen(reader, model.clone(), number));
                while let Ok(stream) = at_agent.accept().await {
                    tasks.spawn(receive(stream, model.clone(), number));
                }
            }
        });
    }

    async fn leave(&self, number: usize, limit: Duration) {
        let writer = self.agents[number].writer.lock().take();
        if let Some(mut writer) = writer {
            self.model.leave(number, limit);
            // A session that has ended meanwhile needs not be told.
            drop(writer.drain(limit).await);
            *self.agents[number].writer.lock() = Some(writer);
        }
    }

    async fn finish(&self, number: usize) {
        if self.model.state(number) != State::Serving {
            return;
        }
        let writer = self.agents[number].writer.lock().take();
        if let Some(writer) = writer {
            self.model.go(number);
            drop(writer.finish().await);
        }
    }

    fn call(&mut self, name: usize, receptions: [Reception; 3]) {
        // A relay that drains has closed its port.
        if self.host.drain.is_cancelled() {
            return;
        }
        let number = self.model.arrive(name, receptions);
        let passenger = self.port.passenger(name, number);
        let (leaves, place) = (CancellationToken::new(), Arc::default());
        self.callers.push(Caller {
            leaves: leaves.clone(),
            on_board: Arc::clone(&place),
        });
        let (boarding, model) = (self.boarding.clone(), self.model.clone());
        self.tasks.spawn(PASSENGER.scope(number, async move {
            match leaves.run_until_cancelled(boarding.board(&passenger)).await {
                Some(Ok(on_board)) => {
                    model.board(number);
                    *place.lock() = Some(on_board);
                }
                Some(Err(refusal)) => model.refuse(number, &refusal),
                None => {}
            }
        }));
    }

    fn hang_up(&self, number: usize) {
        self.model.give_up(number);
        self.callers[number].leaves.cancel();
        drop(self.callers[number].on_board.lock().take());
    }

    /// Waits, and holds that all is as it must be then.
    pub(super) async fn wait(&self, millis: u64) -> Result<(), String> {
        // The clock stands still while anybody has something to do.
        sleep(Duration::from_millis(millis.max(1))).await;
        self.send_a_byte().await;
        sleep(Duration::from_millis(1)).await;
        self.model.hold_calm();
        let tunnels = self.host.registry.tunnels();
        let registered: BTreeSet<_> = tunnels
            .iter()
            .map(|tunnel| self.port.place(tunnel.name(), tunnel.slot()))
            .collect();
        let serving = self.model.serving();
        if registered != serving || registered.len() != tunnels.len() {
            self.model
                .note(|| format!("registered are {registered:?}, and serving {serving:?}"));
        }
        self.model.fault().map_or(Ok(()), Err)
    }

    /// Each caller on board says something more: it comes to its exit, or the stream says that it does not.
    #[expect(
        clippy::significant_drop_tightening,
        reason = "who is on board stays so until the byte is sent"
    )]
    async fn send_a_byte(&self) {
        for (number, caller) in self.callers.iter().enumerate() {
            let on_board = caller.on_board.lock().take();
            let Some(mut on_board) = on_board else {
                continue;
            };
            let rides = self.model.rides(number);
            let carried = on_board.stream.write_all(&[1]).await.is_ok();
            if rides != carried {
                self.model.note(|| {
                    format!("caller {number}: its tunnel lives: {rides}, its stream: {carried}")
                });
            }
            if carried {
                *caller.on_board.lock() = Some(on_board);
            }
        }
    }

    /// Waits until everybody must have heard what became of them.
    pub(super) async fn end(&self) -> Result<(), String> {
        self.wait(20_000).await?;
        self.model.hold_nobody_waits();
        for number in 0..self.callers.len() {
            self.hang_up(number);
        }
        self.wait(1).await
    }
}

async fn listen(mut reader: ControlReader, model: Model, tunnel: usize) {
    while let Ok(Some(Notice::Drain { .. })) = reader.next().await {
        model.hear_drain(tunnel);
    }
}

/// An exit, with one caller.
async fn receive(mut stream: Stream, model: Model, tunnel: usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let Ok(header) = receive_header(&mut stream, deadline).await else {
        return;
    };
    let Ok(caller) = usize::try_from(header.connection) else {
        return model.note(|| format!("tunnel {tunnel} gets a header that nobody sent"));
    };
    let mut first_bytes = [0; 8];
    if stream.read_exact(&mut first_bytes).await.is_err() {
        return;
    }
    if u128::from(u64::from_be_bytes(first_bytes)) != header.connection {
        model.note(|| format!("the bytes of caller {caller} are another's"));
    }
    let status = match model.reception(caller, tunnel) {
        Some(Reception::Accepts(millis)) => {
            sleep(Duration::from_millis(millis)).await;
            StreamStatus::Accepted
        }
        Some(Reception::SlowCredit) => StreamStatus::Accepted,
        Some(Reception::Refuses(millis)) => {
            sleep(Duration::from_millis(millis)).await;
            StreamStatus::refused(RefusalCode::NotReady, "not yet")
        }
        Some(Reception::Breaks) => return,
        Some(Reception::Silent | Reception::NoCredit) => {
            return sleep(Duration::from_secs(3600)).await;
        }
        None => StreamStatus::refused(RefusalCode::Draining, "this exit is going away"),
    };
    if answer(&mut stream, &status).await.is_err() || status != StreamStatus::Accepted {
        return;
    }
    while stream.read_u8().await.is_ok() {
        model.heard(caller, tunnel);
    }
}

impl Port {
    /// A caller as the entrance makes it.
    fn passenger(&self, name: usize, number: usize) -> Passenger {
        let number = u64::try_from(number).expect("a number");
        let tunnel = self.names[name].clone();
        Passenger {
            header: StreamHeader {
                connection: u128::from(number),
                sni: ServerName::fitting(&tunnel.to_string()),
                caller: ([192, 0, 2, 7], 4711).into(),
                traceparent: None,
            },
            tunnel,
            first_bytes: number.to_be_bytes().to_vec(),
        }
    }
}

/// The certificates of a PEM file.
pub(super) fn chain(pem: &str) -> Vec<rustls_pki_types::CertificateDer<'static>> {
    pem::certificates(pem.as_bytes()).expect("a certificate")
}
