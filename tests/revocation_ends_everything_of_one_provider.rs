//! Whatever takes their right away, all that the callers of one provider hold ends: watches on connections of their own
//! and on shared ones, and execs. The watches of the provider beside it miss no event meanwhile.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use gangplank_pki::Fingerprint;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, Protocol};
use crate::support::path::{Site, Way};
use crate::support::wire::{self, Wire};
use crate::support::{measured, own_answer, wait};

mod cause;
mod newsroom;

use cause::{CAUSES, Cause, Trusted};
use newsroom::{Newsroom, Readers};

/// How much is open.
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Of each provider.
    watches: usize,
    /// Of the provider whose right ends.
    execs: usize,
}

/// What every run of the tests can afford.
const FEW: Load = Load {
    watches: 60,
    execs: 6,
};

/// What the soak opens.
const MANY: Load = Load {
    watches: 1_000,
    execs: 50,
};

/// Watches that share a connection: as many as kube-apiserver grants a client. Every other group of them has a
/// connection for each, over HTTP/1.1, as long as [`ALONE`] lasts.
const SHARED: usize = 100;

/// Watches with a connection of their own, so that the descriptors of a test process suffice.
const ALONE: usize = 100;

/// How often an event comes while the right ends: often enough that some come in the middle of it.
const BETWEEN_EVENTS: Duration = Duration::from_millis(50);

/// Contract 4.6: each cause in turn, on the whole path.
#[tokio::test(flavor = "multi_thread")]
async fn cause_by_cause() {
    revoke_for_each_cause(FEW).await;
}

/// The same with 1,000 watches and 50 execs, beside 1,000 watches.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a load of minutes: make soak"]
async fn soak_a_thousand_watches_and_fifty_execs() {
    revoke_for_each_cause(MANY).await;
}

async fn revoke_for_each_cause(load: Load) {
    let newsroom = Newsroom::open().await;
    let staying = Organisation::new("staying");
    let site = Site::start(Way::Tunnel, &newsroom.server.kubeconfig(), &[&staying]);
    let trusted = Trusted::new(&site);
    let (keeper, mut opening) = (staying.caller("keeper"), Duration::ZERO);
    let (kept, _connections) = open_watches(&site, &keeper, load.watches).await;
    let kept = Readers::follow(kept);
    for cause in CAUSES {
        trusted.restore(&site);
        let papers = match cause {
            // Time enough for all of it to be open, judged by how long it took before.
            Cause::Expired => trusted.papers_for(Duration::from_secs(4) + opening * 3),
            _ => trusted.papers(),
        };
        await_told(&site, &newsroom, &papers.0, cause::USER).await;
        let begun = Instant::now();
        let held = Held::open(&site, &papers.0, load).await;
        opening = opening.max(begun.elapsed());
        newsroom.publish();
        kept.await_all(newsroom.published()).await;
        assert_eq!(
            newsroom.watching("leaving"),
            load.watches,
            "{cause:?}: all are open"
        );

        let since = match cause {
            Cause::Expired => until(papers.1),
            _ => trusted.withdraw(&site, cause, &Fingerprint::of(&papers.0.chain()[0])),
        };
        let ended = publish_until(&newsroom, held.end()).await;
        tell(cause, load, since, &ended);

        assert_eq!(
            ended.len(),
            load.watches + load.execs,
            "{cause:?}: all of it has ended"
        );
        wait::until("what it had upstream to end too", || {
            (newsroom.watching("leaving") == 0).then_some(())
        });
        assert_eq!(newsroom.watching("staying"), load.watches, "{cause:?}");
        kept.await_all(newsroom.published()).await;
        await_told(&site, &newsroom, &papers.0, cause.told()).await;
    }
}

/// All that is open of the provider whose right ends.
struct Held {
    watches: Vec<hyper::body::Incoming>,
    execs: Vec<Wire<tokio_rustls::client::TlsStream<tokio::net::TcpStream>>>,
    /// What the watches run on.
    _connections: Vec<Connection>,
}

impl Held {
    async fn open(site: &Site, papers: &Papers, load: Load) -> Self {
        let (watches, connections) = open_watches(site, papers, load.watches).await;
        let mut execs = Vec::new();
        for _ in 0..load.execs {
            execs.push(open_exec(site, papers).await);
        }
        Self {
            watches,
            execs,
            _connections: connections,
        }
    }

    /// Reads all of it to its end, in whatever way it ends; answers when each ended.
    async fn end(self) -> Vec<Instant> {
        let mut ends = JoinSet::new();
        for mut watch in self.watches {
            ends.spawn(async move {
                while newsroom::piece(&mut watch).await.is_some() {}
                Instant::now()
            });
        }
        for mut exec in self.execs {
            ends.spawn(async move {
                exec.rest().await;
                Instant::now()
            });
        }
        wait::within("everything of the provider to end", ends.join_all()).await
    }
}

async fn open_watches(
    site: &Site,
    papers: &Papers,
    count: usize,
) -> (Vec<hyper::body::Incoming>, Vec<Connection>) {
    let alone = ALONE.min(count / 2);
    let (mut watches, mut connections) = (Vec::new(), Vec::new());
    for number in 0..count {
        if number < alone {
            connections.push(Connection::open(site, Some(papers), Protocol::One).await);
        } else if (number - alone).is_multiple_of(SHARED) {
            connections.push(Connection::open(site, Some(papers), Protocol::Two).await);
        }
        let connection = connections.last_mut().expect("there is one");
        let watch = connection.get(newsroom::WATCH).await.expect("an answer");
        assert_eq!(watch.status(), 200);
        watches.push(watch.into_body());
    }
    (watches, connections)
}

/// An exec that has proven to echo.
async fn open_exec(
    site: &Site,
    papers: &Papers,
) -> Wire<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
    let mut wire = Wire::open(site, papers).await;
    wire.say(format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n",
        newsroom::EXEC
    ))
    .await;
    assert_eq!(wire::status(&wire.head().await), 101);
    wire.say("typed").await;
    assert_eq!(wire.take(5).await, b"typed");
    wire
}

/// Publishes events until that has come to its end, and one more.
async fn publish_until<T>(newsroom: &Arc<Newsroom>, ending: impl Future<Output = T>) -> T {
    let mut ending = std::pin::pin!(ending);
    loop {
        newsroom.publish();
        if let Ok(ended) = tokio::time::timeout(BETWEEN_EVENTS, &mut ending).await {
            newsroom.publish();
            return ended;
        }
    }
}

/// The moment at which the system's clock passes that one.
fn until(moment: SystemTime) -> Instant {
    match moment.duration_since(SystemTime::now()) {
        Ok(ahead) => Instant::now() + ahead,
        Err(_) => Instant::now(),
    }
}

/// Waits until a new connection with these papers speaks for that user, or is told the class of that refusal.
async fn await_told(site: &Site, newsroom: &Newsroom, papers: &Papers, expected: &str) {
    wait::until_async(&format!("a new caller to be {expected}"), || async {
        let mut connection = Connection::open(site, Some(papers), Protocol::Two).await;
        let answer = connection.get("/version").await.expect("an answer");
        let told = match answer.status().as_u16() {
            200 => newsroom.last_user("/version"),
            _ => own_answer::read(answer).await.class,
        };
        (told == expected).then_some(())
    })
    .await;
}

/// Says how long it took. Nothing depends on it.
fn tell(cause: Cause, load: Load, since: Instant, ended: &[Instant]) {
    let took = ended.iter().map(|end| end.saturating_duration_since(since));
    measured::tell(&format!(
        "revocation: {cause:?}: {} watches and {} execs ended, the first after {:?}, the last after {:?}",
        load.watches,
        load.execs,
        took.clone().min().unwrap_or_default(),
        took.max().unwrap_or_default(),
    ));
}
