//! The workers of each kind of load.

use std::sync::Arc;

use anyhow::ensure;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;

use super::http1::{Http1, request};
use super::tally::{Tally, Window, Worker};
use super::{Connector, Job, Lanes, Load, Protocol, Way, http2, watches};
use crate::clock::nanoseconds;

mod crowd;
mod giant;
mod steady;

/// The small object.
pub(super) const SMALL: &str = "/api/v1/namespaces/shop/configmaps/small";

/// Handshakes at once while many connections are set up.
const HANDSHAKES: usize = 64;

/// Streams of one connection that watches share: what kube-apiserver and most proxies allow.
const STREAMS: u32 = 100;

/// A part of a body so small that every stack has sent it on when its caller stops reading.
const STALL_AFTER: u64 = 1;

/// What all workers of a job have in common.
#[derive(Clone)]
struct Crew {
    way: Arc<Way>,
    connector: Connector,
    window: Arc<Window>,
    reports: Sender<Tally>,
    handshakes: Arc<Semaphore>,
}

impl Crew {
    fn of(job: &Job, window: &Arc<Window>, reports: &Sender<Tally>) -> anyhow::Result<Self> {
        let protocol = match job.load {
            Load::Http2 { .. } | Load::Idle { http2: true, .. } => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok(Self {
            way: Arc::new(job.way.clone()),
            connector: Connector::new(&job.way, protocol)?,
            window: Arc::clone(window),
            reports: reports.clone(),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        })
    }

    fn worker(&self) -> Worker {
        Worker::new(&self.window, &self.reports)
    }

    async fn connect(&self, bulk: bool) -> anyhow::Result<Http1> {
        let _turn = self.handshakes.acquire().await?;
        Http1::connect(&self.way, &self.connector, bulk).await
    }
}

/// Starts the workers of a job.
pub(super) fn start(
    job: &Job,
    lanes: &Lanes,
    window: &Arc<Window>,
    reports: &Sender<Tally>,
) -> anyhow::Result<()> {
    let crew = Crew::of(job, window, reports)?;
    match job.load {
        Load::Http1 { connections, bytes } => each(lanes, &crew, connections, |crew, worker, _| {
            repeat(crew, worker, bytes)
        }),
        Load::Http2 { connections, .. } => {
            for _ in 0..connections {
                share(lanes, &crew, job.load);
            }
        }
        Load::Fresh { connections } => each(lanes, &crew, connections, |crew, worker, _| {
            afresh(crew, worker)
        }),
        Load::Echo => each(lanes, &crew, 1, |crew, worker, _| echo(crew, worker)),
        Load::Stalled { readers, bytes } => each(lanes, &crew, readers, move |crew, worker, _| {
            stall(crew, worker, bytes)
        }),
        Load::Trickle { watches, period_ms } => {
            each(lanes, &crew, watches, move |crew, worker, number| {
                trickle(crew, worker, (period_ms, number))
            });
        }
        Load::Idle { watches, http2 } => start_idle(lanes, &crew, (watches, http2))?,
        Load::Crowd { .. } => crowd::start(lanes, &crew, job.load),
        Load::Batches { .. } => each(lanes, &crew, 1, |crew, worker, _| {
            repeat(crew, worker, None)
        }),
        Load::Giant { bytes, up } => each(lanes, &crew, 1, |crew, worker, _| {
            giant::carry(crew, worker, (bytes, up))
        }),
        Load::Bulk { connections } => each(lanes, &crew, connections, |crew, worker, _| {
            steady::read_on(crew, worker)
        }),
        Load::Paced {
            connections,
            per_second,
        } => each(lanes, &crew, connections, move |crew, worker, number| {
            let beat = steady::Beat::of(number, connections, per_second);
            steady::ask_in_time(crew, worker, beat)
        }),
    }
    Ok(())
}

fn start_idle(lanes: &Lanes, crew: &Crew, (watches, http2): (u32, bool)) -> anyhow::Result<()> {
    if !http2 {
        each(lanes, crew, watches, |crew, worker, _| idle(crew, worker));
        return Ok(());
    }
    for begun in (0..watches).step_by(usize::try_from(STREAMS)?) {
        let watches = STREAMS.min(watches - begun);
        share(lanes, crew, Load::Idle { watches, http2 });
    }
    Ok(())
}

/// So many workers with a task each.
fn each<W>(lanes: &Lanes, crew: &Crew, count: u32, work: impl Fn(Crew, Box<Worker>, u32) -> W)
where
    W: Future<Output = ()> + Send + 'static,
{
    for number in 0..count {
        lanes.spawn(work(crew.clone(), Box::new(crew.worker()), number));
    }
}

/// Workers that share one HTTP/2 connection.
fn share(lanes: &Lanes, crew: &Crew, load: Load) {
    let (streams, bytes) = match load {
        Load::Http2 { streams, bytes, .. } => (streams, Some(bytes)),
        Load::Idle { watches, .. } => (watches, None),
        _ => return,
    };
    let crew = crew.clone();
    let workers: Vec<Worker> = (0..streams).map(|_| crew.worker()).collect();
    lanes.spawn(async move {
        let connected = async {
            let _turn = crew.handshakes.acquire().await?;
            http2::connect(&crew.way, &crew.connector).await
        }
        .await;
        for mut worker in workers {
            match &connected {
                Err(error) => worker.fail(&anyhow::anyhow!("{error:#}")),
                Ok(sender) => {
                    let sender = sender.clone();
                    drop(Handle::current().spawn(async move {
                        let done = match bytes {
                            Some(bytes) => repeat_stream(&sender, &mut worker, bytes).await,
                            None => idle_stream(&sender, &mut worker).await,
                        };
                        if let Err(error) = done {
                            worker.fail(&error);
                        }
                    }));
                }
            }
        }
    });
}

async fn repeat_stream(
    sender: &h2::client::SendRequest<bytes::Bytes>,
    worker: &mut Worker,
    bytes: Option<u64>,
) -> anyhow::Result<()> {
    let request = http2::request(&target(bytes))?;
    worker.stand();
    while !worker.is_over() {
        let begun = nanoseconds();
        let length = http2::get(sender, &request).await?;
        ensure!(
            bytes.is_none_or(|wanted| wanted == length),
            "{length} bytes"
        );
        worker.note(begun, length);
    }
    Ok(())
}

async fn idle_stream(
    sender: &h2::client::SendRequest<bytes::Bytes>,
    worker: &mut Worker,
) -> anyhow::Result<()> {
    let request = http2::request(&watches::idle_target())?;
    let body = http2::ask(sender, &request).await?;
    watches::hold_stream(body, worker).await
}

fn target(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || SMALL.to_owned(),
        |bytes| format!("/api/v1/namespaces/shop/configmaps?bytes={bytes}"),
    )
}

/// One request after the other on one connection.
async fn repeat(crew: Crew, mut worker: Box<Worker>, bytes: Option<u64>) {
    let done = async {
        let request = request(&target(bytes), "");
        let mut http = crew.connect(bytes.is_some()).await?;
        worker.stand();
        while !worker.is_over() {
            let begun = nanoseconds();
            let length = http.get(&request).await?;
            ensure!(
                bytes.is_none_or(|wanted| wanted == length),
                "{length} bytes"
            );
            worker.note(begun, length);
        }
        http.close().await;
        Ok(())
    };
    if let Err(error) = done.await {
        worker.fail(&error);
    }
}

/// One request a connection.
async fn afresh(crew: Crew, mut worker: Box<Worker>) {
    let done = async {
        let request = request(SMALL, "");
        worker.stand();
        while !worker.is_over() {
            let begun = nanoseconds();
            let mut http = Http1::connect(&crew.way, &crew.connector, false).await?;
            let length = http.get(&request).await?;
            worker.note(begun, length);
            http.close().await;
        }
        Ok(())
    };
    if let Err(error) = done.await {
        worker.fail(&error);
    }
}

async fn echo(crew: Crew, mut worker: Box<Worker>) {
    let done = async {
        let mut http = crew.connect(false).await?;
        let upgrade = request(
            "/api/v1/namespaces/shop/pods/web/exec?command=cat&stdin=true&stdout=true",
            "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n",
        );
        let head = http.ask(&upgrade).await?;
        ensure!(head.status == 101, "status {}", head.status);
        worker.stand();
        while !worker.is_over() {
            let begun = nanoseconds();
            http.echo().await?;
            worker.note(begun, 1);
        }
        Ok(())
    };
    if let Err(error) = done.await {
        worker.fail(&error);
    }
}

/// Reads a body's beginning and no more.
async fn stall(crew: Crew, mut worker: Box<Worker>, bytes: u64) {
    let done = async {
        ensure!(bytes > STALL_AFTER, "nothing to leave unread");
        let mut http = crew.connect(false).await?;
        let head = http.ask(&request(&target(Some(bytes)), "")).await?;
        ensure!(head.status == 200, "status {}", head.status);
        worker.stand();
        worker.over().await;
        Ok(())
    };
    if let Err(error) = done.await {
        worker.fail(&error);
    }
}

async fn trickle(crew: Crew, mut worker: Box<Worker>, (period_ms, number): (u32, u32)) {
    let done = async {
        let phase = number % period_ms.max(1);
        let http = {
            let _turn = crew.handshakes.acquire().await?;
            watches::open(
                &crew.way,
                &crew.connector,
                &watches::target(period_ms, phase),
            )
            .await?
        };
        worker.stand();
        watches::follow(http, &mut worker).await
    };
    if let Err(error) = done.await {
        worker.fail(&error);
    }
}

async fn idle(crew: Crew, mut worker: Box<Worker>) {
    let done = async {
        let http = {
            let _turn = crew.handshakes.acquire().await?;
            watches::open(&crew.way, &crew.connector, &watches::idle_target()).await?
        };
        watches::hold(http, &mut worker).await
    };
    if let Err(error) = done.await {
        worker.fail(&error);
    }
}
