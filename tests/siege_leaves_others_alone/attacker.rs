//! Whoever attacks: on a thread of its own that yields to everything else on the machine, so that what the victim feels is the
//! work that the attack makes for the path, not the work of making it.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::setpriority_process;
use rustix::time::{ClockId, clock_gettime};
use rustls::ClientConfig;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::client::TlsStream;

use super::ground::Ground;
use crate::support::caller;
use crate::support::certificates::Papers;
use crate::support::wait;

/// As much as a thread can yield: whatever else can run goes first.
const NICEST: i32 = 19;

/// Addresses that attackers come from, so that neither ports nor what one source may have runs out.
const SOURCES: usize = 8;

/// What the kernel keeps for an attacker: enough for a handshake.
const RECEIVE_BUFFER: u32 = 16 * 1024;

/// An attack under way: what became of the attackers, as one line.
pub(super) type Running = Pin<Box<dyn Future<Output = String>>>;

/// One who attacks with papers of the hostile organisation.
#[derive(Clone)]
pub(super) struct Attacker {
    pub(super) ground: Arc<Ground>,
    one: Arc<ClientConfig>,
    two: Arc<ClientConfig>,
}

/// What an attack has come to.
pub(super) struct Fought {
    /// What became of the attackers, or what should not have been.
    pub(super) became: Result<String, String>,
    /// CPU time that attacking itself took.
    pub(super) cpu: Duration,
}

/// Attacks on a thread that yields; when it ends, all that the attackers held is closed.
pub(super) fn attack(ground: Arc<Ground>, with: fn(Attacker) -> Running) -> Fought {
    let thread = std::thread::spawn(move || {
        setpriority_process(None, NICEST).expect("everybody may yield");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let papers = ground.hostile.caller("attacker");
        let became = runtime.block_on(with(Attacker::with(ground, &papers)));
        drop(runtime);
        let used = clock_gettime(ClockId::ThreadCPUTime);
        let used = Duration::try_from(used).expect("a time that has passed");
        (became, used)
    });
    match thread.join() {
        Ok((became, cpu)) => Fought {
            became: Ok(became),
            cpu,
        },
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Fought {
                became: Err(text.unwrap_or_else(|| "the attack itself failed".to_owned())),
                cpu: Duration::ZERO,
            }
        }
    }
}

impl Attacker {
    /// With other papers than the usual.
    pub(super) fn with(ground: Arc<Ground>, papers: &Papers) -> Self {
        let speaking = |protocol| {
            Arc::new(caller::config(
                ground.site.authority(),
                Some(papers),
                &[protocol],
            ))
        };
        let (one, two) = (speaking("http/1.1"), speaking("h2"));
        Self { ground, one, two }
    }

    /// A connection without TLS, of the so manyth attacker.
    pub(super) async fn socket(&self, number: usize) -> io::Result<TcpStream> {
        let last = u8::try_from(2 + number % SOURCES).expect("few sources");
        let socket = TcpSocket::new_v4()?;
        // Who means not to read asks for little in its own kernel: what is held is held by the path.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
        socket.connect(self.ground.site.address).await
    }

    /// The same with TLS and HTTP/1.1 agreed.
    pub(super) async fn http1(&self, number: usize) -> io::Result<TlsStream<TcpStream>> {
        self.tls(number, &self.one).await
    }

    /// The same with TLS and HTTP/2 agreed.
    pub(super) async fn http2(&self, number: usize) -> io::Result<TlsStream<TcpStream>> {
        self.tls(number, &self.two).await
    }

    async fn tls(
        &self,
        number: usize,
        config: &Arc<ClientConfig>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let entrance = &self.ground.site.entrance;
        wait::within("an attacker's handshake", async {
            let socket = self.socket(number).await?;
            caller::over(socket, entrance, Arc::clone(config)).await
        })
        .await
    }
}

/// How many, and how many a second at most.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    pub(super) count: usize,
    pub(super) a_second: u32,
}

/// Sends them out one after the other, each when its turn has come, and waits for all; answers what they tell.
pub(super) async fn send_out<T, F>(pace: Pace, sortie: impl Fn(usize) -> F + Send) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let mut turns = interval(Duration::from_secs(1) / pace.a_second);
    turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut out = JoinSet::new();
    for number in 0..pace.count {
        turns.tick().await;
        out.spawn(sortie(number));
    }
    let mut told = Vec::with_capacity(pace.count);
    while let Some(back) = out.join_next().await {
        match back {
            Ok(back) => told.push(back),
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
    told
}

/// How often each was told: `300 × this, 2 × that`.
pub(super) fn counted<T: Into<String>>(told: impl IntoIterator<Item = T>) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for what in told {
        *counts.entry(what.into()).or_default() += 1;
    }
    let each = counts
        .iter()
        .map(|(what, count)| format!("{count} × {what}"));
    each.collect::<Vec<_>>().join(", ")
}
