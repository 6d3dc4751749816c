//! UDP is dropped from the start, passes, and is dropped in the middle, under what a person holds before a real API server:
//! connections, a watch, an exec, a port-forward.

use std::sync::Arc;

use tokio::time::Instant;

use super::ledger::seconds;
use super::story::Row;
use crate::support::certificates::Organisation;
use crate::support::gangplank::Gangplank;
use crate::support::held::{Held, Place};
use crate::support::http_proxy::{HttpProxy, Manner};
use crate::support::path::{Course, Relay, Site};
use crate::support::strait::Strait;
use crate::support::{cluster, wait};

const NAME: &str = "harbour.acme";

/// Name and password of who may use the proxy, and as they stand behind `Basic`.
const CREDENTIALS: (&str, &str) = ("me:secret", "bWU6c2VjcmV0");

/// What is held.
const HELD: &str = "HTTP/1.1 and HTTP/2 connections, watch, exec, port-forward";

fn await_state(agent: &Gangplank, state: &str) {
    wait::until(&format!("the agent to be {state}"), || {
        let status = agent.status();
        (status["agent"]["relays"][0]["state"] == state).then_some(())
    });
}

/// A way on which UDP can be shut, under a cluster's tunnel.
struct Crossing {
    relay: Arc<Relay>,
    strait: Strait,
    proxy: HttpProxy,
    by_proxy: bool,
    organisation: Organisation,
    place: Place,
    site: Site,
    /// When the agent was started.
    begun: Instant,
}

impl Crossing {
    /// UDP is shut.
    async fn lay(by_proxy: bool) -> Self {
        let (cluster, relay) = (cluster::shared(), Arc::new(Relay::start()));
        let namespace = if by_proxy { "udp-by-proxy" } else { "udp-lost" };
        let organisation = Organisation::new(namespace);
        let place = Place::new(cluster, namespace, &[&organisation]).await;
        let strait = Strait::to(relay.address, false);
        let proxy = HttpProxy::start(Manner::For(CREDENTIALS.1));
        let mut course = Course::by(strait.address);
        if by_proxy {
            let line = format!("httpProxy: http://{}@{}", CREDENTIALS.0, proxy.address);
            course = course.with(&line);
        }
        let upstream = &cluster.facts.proxy_kubeconfig;
        let begun = Instant::now();
        let site = Site::tunnel_on(&relay, NAME, (upstream, &[&organisation]), &course);
        let site = site.with_kubectl(cluster);
        Self {
            relay,
            strait,
            proxy,
            by_proxy,
            organisation,
            place,
            site,
            begun,
        }
    }

    async fn hold(&self) -> Held {
        Held::open(&self.place, &self.site, &self.organisation).await
    }

    fn row(&self, fault: &str, since: Instant, ended: &str, went_on: &str) -> Row {
        let way = if self.by_proxy {
            ", by an HTTP proxy"
        } else {
            ""
        };
        Row {
            fault: format!("{fault}{way} (kubectl)"),
            noticed: "–".to_owned(),
            back: seconds(since.elapsed()),
            ended: ended.to_owned(),
            went_on: went_on.to_owned(),
            wrongs: Vec::new(),
        }
    }

    /// What the agent counts.
    fn assert_dials(&self, transport: &str, count: f64) {
        let (relay, agent) = (self.strait.address, &self.site.exit);
        let line = format!(
            "gangplank_agent_dials_total{{relay=\"{relay}\",transport=\"{transport}\",outcome=\"Accepted\"}}"
        );
        assert_eq!(agent.metric(&line), Some(count), "{}", agent.metrics());
    }

    /// What ran over QUIC ends, and others need not wait for that.
    async fn drop_udp(&self, over_quic: &mut Held) -> (Row, Held) {
        let agent = &self.site.exit;
        let (lost, logged) = (Instant::now(), agent.log().len());
        self.strait.let_udp_pass(false);
        await_state(agent, "up (tcp)");
        let went_on = format!("over TCP: {HELD}");
        let mut row = self.row("UDP dropped in the middle", lost, HELD, &went_on);
        let log = agent.log();
        let since = log.get(logged..).expect("it grows");
        let early = !since.contains("tunnel down");
        assert!(early, "before the other is given up: {since}");
        let anew = self.hold().await;
        over_quic.await_end().await;
        row.noticed = seconds(lost.elapsed());
        (row, anew)
    }
}

/// All of it in turn, straight or by an HTTP proxy.
pub(super) async fn lost_and_found(by_proxy: bool) -> Vec<Row> {
    let crossing = Crossing::lay(by_proxy).await;
    let (agent, relay) = (&crossing.site.exit, &crossing.relay);
    await_state(agent, "up (tcp)");
    relay.await_carriers(&["tcp"; 4]);
    let mut rows = vec![crossing.row("UDP dropped from the start", crossing.begun, "nothing", "–")];
    let mut over_tcp = crossing.hold().await;

    let passes = Instant::now();
    crossing.strait.let_udp_pass(true);
    await_state(agent, "up (quic)");
    rows.push(crossing.row("UDP passes again", passes, "nothing", HELD));
    relay.await_carriers(&["quic"]);
    // What was on board over TCP is still there, and beside it what came over QUIC.
    over_tcp.assert_alive().await;
    let mut over_quic = crossing.hold().await;
    over_tcp.assert_alive().await;
    over_quic.assert_alive().await;
    crossing.assert_dials("tcp", 4.0);
    crossing.assert_dials("quic", 1.0);

    let (row, mut anew) = crossing.drop_udp(&mut over_quic).await;
    rows.push(row);
    over_tcp.assert_alive().await;
    anew.assert_alive().await;
    let asked = crossing.proxy.asked();
    assert_eq!(asked.is_empty(), !by_proxy, "{asked:?}");
    rows
}
