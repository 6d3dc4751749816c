//! Two relays and two agents of one cluster are restarted one after the other, under a load of callers who keep their
//! connections and watch: no request fails, and no event is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use self::callers::{Caller, Tally};
use crate::support::certificates::Organisation;
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::gangplank::Gangplank;
use crate::support::measured::tell;
use crate::support::path::{Relay, Site};
use crate::support::{caller, wait};

mod callers;

const NAME: &str = "harbour.acme";

/// Between two events of a watch.
const BETWEEN_EVENTS: Duration = Duration::from_millis(200);

/// How much is asked, and how the roles end.
struct Load {
    callers: usize,
    /// Of each caller.
    watches: usize,
    /// Between two requests of each caller.
    pace: Duration,
    /// Between two requests of a caller who connects anew for each of them, if there is one.
    newcomers: Option<Duration>,
    /// How often all four are restarted.
    rounds: usize,
    /// The `drain` line of all four files.
    drain: &'static str,
}

/// How long an answer takes, so that there is always somebody who waits for one.
const THOUGHT: Duration = Duration::from_millis(50);

/// One in so many takes longer than a tunnel needs to be replaced.
const SLOW: u64 = 20;
const LONG_THOUGHT: Duration = Duration::from_secs(1);

/// An API server where something happens at each of these moments, which every watch tells from its version on.
async fn eventful_server() -> FakeApiServer {
    let (begun, asked) = (Instant::now(), Arc::<AtomicU64>::default());
    FakeApiServer::start(&["h2", "http/1.1"], move |request| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let number = asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let version = query.rsplit_once("resourceVersion=");
            let Some(version) = version.and_then(|(_, version)| version.parse::<u32>().ok()) else {
                sleep(if number.is_multiple_of(SLOW) {
                    LONG_THOUGHT
                } else {
                    THOUGHT
                })
                .await;
                return ok("{}");
            };
            let events = stream::unfold(version, move |version| async move {
                let next = version + 1;
                sleep_until(begun + BETWEEN_EVENTS * next).await;
                let metadata = format!("{{\"resourceVersion\":\"{next}\"}}");
                let event =
                    format!("{{\"type\":\"MODIFIED\",\"object\":{{\"metadata\":{metadata}}}}}\n");
                Some((Ok(Frame::data(Bytes::from(event))), next))
            });
            let answer = Response::builder().header("content-type", "application/json");
            answer
                .body(BodyExt::boxed(StreamBody::new(events)))
                .expect("a response")
        })
    })
    .await
}

/// Two of each.
struct Fleet {
    relays: [Relay; 2],
    agents: [Site; 2],
}

impl Fleet {
    fn start(fake: &FakeApiServer, organisation: &Organisation, drain: &str) -> Self {
        let first = Relay::start_with(drain);
        let relays = [first.start_sibling(), first];
        let exit = (&*fake.kubeconfig(), &[organisation][..]);
        let agent = Site::at_both([&relays[0], &relays[1]], NAME, exit, drain);
        let fleet = Self {
            agents: [agent.start_replica(), agent],
            relays,
        };
        fleet.await_tunnels();
        fleet
    }

    /// Every agent has a tunnel to every relay.
    fn await_tunnels(&self) {
        for relay in &self.relays {
            wait::until("a tunnel of each agent", || {
                (relay.tunnels(NAME) >= self.agents.len()).then_some(())
            });
        }
    }

    /// As an operator does it: one after the other, and the next when the last has its tunnels again.
    fn roll(&mut self) -> String {
        let mut said = String::new();
        for number in 0..self.relays.len() {
            let drained = end_in_order(&self.relays[number].process);
            let begun = Instant::now();
            self.relays[number].restart();
            self.relays[number].process.await_ready();
            let ready = begun.elapsed();
            self.await_tunnels();
            said += &format!(
                "relay {number}: drained in {drained:.1?}, ready after {ready:.1?}, its tunnels back after {:.1?}\n",
                begun.elapsed()
            );
        }
        for number in 0..self.agents.len() {
            let drained = end_in_order(&self.agents[number].exit);
            let begun = Instant::now();
            self.agents[number].restart_exit();
            self.agents[number].exit.await_ready();
            let ready = begun.elapsed();
            self.await_tunnels();
            said += &format!(
                "agent {number}: drained in {drained:.1?}, ready after {ready:.1?}, at both relays after {:.1?}\n",
                begun.elapsed()
            );
        }
        said
    }
}

/// SIGTERM, and how long it took to end.
fn end_in_order(process: &Gangplank) -> Duration {
    let begun = Instant::now();
    assert_eq!(process.terminate().code(), Some(0));
    begun.elapsed()
}

/// Restarts all four under a load, and holds that nobody noticed; answers what there was to see.
async fn roll_under(load: Load) -> String {
    let (fake, organisation) = (eventful_server().await, Organisation::new("acme"));
    let mut fleet = Fleet::start(&fake, &organisation, load.drain);
    let (tally, papers) = (Arc::<Tally>::default(), organisation.caller("a"));
    let site = &fleet.agents[0];
    let tls = Arc::new(caller::config(site.authority(), Some(&papers), &["h2"]));
    let addresses = fleet.relays.each_ref().map(|relay| relay.address);
    let (mut asking, mut watching) = (JoinSet::new(), JoinSet::new());
    let begun = Instant::now();
    for number in 0..load.callers {
        let mut addresses = addresses;
        addresses.rotate_left(number % 2);
        let caller = Arc::new(Caller {
            number,
            ..Caller::like(&tally, addresses, &site.entrance, &tls)
        });
        asking.spawn(Arc::clone(&caller).ask_at(load.pace));
        for _ in 0..load.watches {
            watching.spawn(Arc::clone(&caller).watch());
        }
    }
    if let Some(pace) = load.newcomers {
        let newcomer = Caller {
            number: load.callers,
            keeps: false,
            ..Caller::like(&tally, addresses, &site.entrance, &tls)
        };
        asking.spawn(Arc::new(newcomer).ask_at(pace));
    }
    let rolling = tokio::task::spawn_blocking(move || {
        let said: String = (0..load.rounds).map(|_| fleet.roll()).collect();
        (fleet, said)
    });
    let (fleet, said) = rolling.await.expect("they restart");
    tally.finish();
    let asked: usize = wait::within("the last answers", asking.join_all())
        .await
        .iter()
        .sum();
    let seconds = begun.elapsed().as_secs_f64();
    let told = wait::within("the watches", watching.join_all()).await;
    drop(fleet);

    assert_eq!(tally.failed(), BTreeMap::new(), "{said}");
    assert_eq!(tally.answered.load(Ordering::SeqCst), asked);
    let (first, last) = (told.iter().min(), told.iter().max());
    assert!(
        first
            .zip(last)
            .is_some_and(|(first, last)| last - first < 50),
        "{told:?}"
    );
    hold_that_changes_arrived_once(&fake);
    format!("{said}{}", tally.summary(asked, told.len(), seconds))
}

fn hold_that_changes_arrived_once(fake: &FakeApiServer) {
    let mut changes = BTreeMap::<_, usize>::new();
    for arrived in fake.arrived().into_iter().filter(|it| it.method == "POST") {
        *changes.entry(arrived.target).or_default() += 1;
    }
    assert!(!changes.is_empty());
    changes.retain(|_, times| *times != 1);
    assert_eq!(changes, BTreeMap::new(), "each POST arrives once");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_relays_and_two_agents() {
    let said = roll_under(Load {
        callers: 4,
        watches: 2,
        pace: Duration::from_millis(100),
        newcomers: None,
        rounds: 1,
        drain: "drain: { settle: 100ms, limit: 30s }\n",
    });
    tell(&said.await);
}

/// Two hundred requests a second and fifty watches, and callers who come anew; the roles end as they do by default.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a load of a minute: make soak"]
async fn soak_of_all_at_two_hundred_requests_a_second() {
    let said = roll_under(Load {
        callers: 10,
        watches: 5,
        pace: Duration::from_millis(50),
        newcomers: Some(Duration::from_millis(200)),
        rounds: 5,
        drain: "",
    });
    tell(&said.await);
}
