//! Somebody of another organisation who asks for little, at a rate that does not depend on the answers: a request that
//! has to wait counts from the moment at which it was due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::ground::{BESIDE, Ground};
use crate::support::caller;
use crate::support::connection::{Connection, Protocol};

/// The connections that stay, in the order of their turns.
const LANES: [Protocol; 4] = [Protocol::One, Protocol::Two, Protocol::One, Protocol::Two];

/// Between two requests: 200 a second in all, a tenth of a core of the whole path.
const BEAT: Duration = Duration::from_millis(5);

/// Every so manyth beat a caller comes anew: ten a second.
const NEWCOMER_EVERY: usize = 20;

/// What a caller waits before it counts as not served.
const PATIENCE: Duration = Duration::from_secs(10);

/// Beats that may wait for a lane: more than there are in [`PATIENCE`].
const WAITING: usize = 4096;

/// What became of one request.
struct Told {
    due: Instant,
    took: Duration,
    is_newcomer: bool,
    fault: Option<String>,
}

type Record = Arc<Mutex<Vec<Told>>>;

/// A victim who is asking.
pub(super) struct Victim {
    over: Arc<AtomicBool>,
    record: Record,
    threads: Vec<JoinHandle<()>>,
}

/// How it was for those who were due between two moments.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// From the first byte of a new connection to the end of its first answer.
    pub(super) newcomers_p99: Duration,
    /// Who was not served, and why.
    pub(super) faults: BTreeMap<String, usize>,
}

impl Victim {
    /// Two threads: one that knows only the time, one that asks.
    pub(super) fn start(ground: &Ground) -> Self {
        let (over, record) = (Arc::new(AtomicBool::new(false)), Record::default());
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..=LANES.len()).map(|_| channel(WAITING)).unzip();
        let until = Arc::clone(&over);
        let beating = std::thread::spawn(move || beat(&senders, &until));
        let (caller, told) = (Caller::of(ground), Arc::clone(&record));
        let asking = std::thread::spawn(move || ask_all(&caller, receivers, &told));
        Self {
            over,
            record,
            threads: vec![beating, asking],
        }
    }

    /// Stops when all that was due is answered.
    pub(super) fn stop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("the victim's faults are recorded");
        }
    }

    /// How it was between two moments.
    pub(super) fn window(&self, from: Instant, to: Instant) -> Window {
        let record = self.record.lock();
        let (mut all, mut new, mut faults) = (Vec::new(), Vec::new(), BTreeMap::new());
        for told in record.iter().filter(|told| (from..to).contains(&told.due)) {
            let of = if told.is_newcomer { &mut new } else { &mut all };
            of.push(told.took);
            if let Some(fault) = &told.fault {
                *faults.entry(fault.clone()).or_default() += 1;
            }
        }
        drop(record);
        Window {
            p50: percentile(&mut all, 50),
            p99: percentile(&mut all, 99),
            newcomers_p99: percentile(&mut new, 99),
            faults,
        }
    }
}

/// The nearest rank.
fn percentile(all: &mut [Duration], rank: usize) -> Duration {
    all.sort_unstable();
    let number = (all.len() * rank).div_ceil(100);
    all.get(number.saturating_sub(1))
        .copied()
        .unwrap_or_default()
}

/// Says whose turn it is, by a clock that is finer than a runtime's. The last of them is the newcomers'.
fn beat(turns: &[Sender<Instant>], over: &AtomicBool) {
    let (newcomers, lanes) = turns.split_last().expect("there are lanes");
    let mut due = Instant::now() + BEAT;
    for number in 0_usize.. {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if over.load(Ordering::Relaxed) {
            return;
        }
        let lane = &lanes[number % lanes.len()];
        lane.try_send(due).expect("a lane gives up in time");
        if number.is_multiple_of(NEWCOMER_EVERY) {
            newcomers.try_send(due).expect("they wait for nobody");
        }
        due += BEAT;
    }
}

fn ask_all(caller: &Caller, mut turns: Vec<Receiver<Instant>>, record: &Record) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let mut asking = JoinSet::new();
        let newcomers = turns.pop().expect("there are newcomers");
        asking.spawn(come_anew(caller.clone(), newcomers, Arc::clone(record)));
        for (lane, protocol) in turns.into_iter().zip(LANES) {
            asking.spawn(stay(caller.clone(), protocol, lane, Arc::clone(record)));
        }
        while let Some(ended) = asking.join_next().await {
            ended.expect("a fault is recorded, and no panic");
        }
    });
}

/// Asks on one connection, which is opened anew when a request failed.
async fn stay(caller: Caller, protocol: Protocol, mut turns: Receiver<Instant>, record: Record) {
    let mut open = None;
    while let Some(due) = turns.recv().await {
        let asked = timeout(PATIENCE, async {
            let mut connection = match open.take() {
                Some(connection) => connection,
                None => caller.connect(protocol).await?,
            };
            ask(&mut connection).await?;
            open = Some(connection);
            Ok(())
        });
        note(&record, due, false, asked.await);
    }
}

/// Asks once on each connection; nobody waits for the one before.
async fn come_anew(caller: Caller, mut turns: Receiver<Instant>, record: Record) {
    let mut coming = JoinSet::new();
    while let Some(due) = turns.recv().await {
        let (caller, record) = (caller.clone(), Arc::clone(&record));
        coming.spawn(async move {
            let asked = timeout(PATIENCE, async {
                let mut connection = caller.connect(Protocol::One).await?;
                ask(&mut connection).await
            });
            note(&record, due, true, asked.await);
        });
    }
    while let Some(ended) = coming.join_next().await {
        ended.expect("a fault is recorded, and no panic");
    }
}

async fn ask(connection: &mut Connection) -> Result<(), String> {
    match connection.fetch(BESIDE).await {
        Ok((200, _)) => Ok(()),
        Ok((status, _)) => Err(format!("answer {status}")),
        Err(error) => Err(error.to_string()),
    }
}

fn note<E>(record: &Record, due: Instant, is_newcomer: bool, asked: Result<Result<(), String>, E>) {
    let fault = match asked {
        Ok(asked) => asked.err(),
        Err(_) => Some(format!("no answer within {PATIENCE:?}")),
    };
    record.lock().push(Told {
        due,
        took: due.elapsed(),
        is_newcomer,
        fault,
    });
}

/// Where to, and with what papers.
#[derive(Clone)]
struct Caller {
    address: std::net::SocketAddr,
    entrance: String,
    one: Arc<ClientConfig>,
    two: Arc<ClientConfig>,
}

impl Caller {
    fn of(ground: &Ground) -> Self {
        let papers = ground.honest.caller("victim");
        let speaking = |protocol| {
            Arc::new(caller::config(
                ground.site.authority(),
                Some(&papers),
                &[protocol],
            ))
        };
        Self {
            address: ground.site.address,
            entrance: ground.site.entrance.clone(),
            one: speaking("http/1.1"),
            two: speaking("h2"),
        }
    }

    async fn connect(&self, protocol: Protocol) -> Result<Connection, String> {
        let config = match protocol {
            Protocol::One => &self.one,
            Protocol::Two => &self.two,
        };
        let stream = async {
            let socket = TcpStream::connect(self.address).await?;
            caller::over(socket, &self.entrance, Arc::clone(config)).await
        };
        let stream = stream.await.map_err(|error| error.to_string())?;
        Ok(Connection::over(stream, protocol, &self.entrance).await)
    }
}
