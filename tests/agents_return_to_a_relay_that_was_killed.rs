//! A relay that is killed and started again has its hundred agents back by itself. They come spread out, and none of them
//! dials without a pause.

use std::sync::Arc;
use std::{fs, path::Path};

use gangplank_agent::{Agent, AgentView, Boarding, Handoff, Settings, TunnelState};
use gangplank_config::role;
use gangplank_config::upstream::InCluster;
use gangplank_pki::clock::SystemClock;
use gangplank_tunnel::BoxFuture;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::certificates::Authority;
use crate::support::path::{DOMAIN, RELAY_NAME, Relay};
use crate::support::{measured, wait};

const AGENTS: usize = 100;

/// Dials of one agent from the kill until it is back: with pauses of half a second, one, two, four … seconds at most, each
/// drawn from nothing on, there are hardly six in ten seconds, and thirty would be a loop.
const DIALS: u64 = 30;

/// Who is behind these agents: nobody.
struct Nobody;

impl Handoff for Nobody {
    fn board(&self, _boarding: Boarding) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

struct Member {
    view: AgentView,
    metrics: Registry,
}

impl Member {
    /// Which of its dials the tunnel came of, if there is one.
    fn epoch(&self) -> Option<u64> {
        match self.view.tunnels().first()?.state {
            TunnelState::Up { epoch, .. } => Some(epoch),
            _ => None,
        }
    }

    /// Dials until now, whatever came of them.
    fn dials(&self) -> u64 {
        let mut text = String::new();
        encode(&mut text, &self.metrics).expect("metrics");
        let counted = text
            .lines()
            .filter(|line| line.starts_with("agent_dials_total{"));
        let numbers = counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok());
        numbers.sum()
    }
}

/// A hundred agents in this process, each with a name of its own.
struct Fleet {
    members: Vec<Member>,
    shutdown: CancellationToken,
    _folder: TempDir,
}

impl Fleet {
    fn of(relay: &Relay) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let exits = Authority::new("exits");
        exits.exit("any.acme", DOMAIN).write(folder.path(), "exit");
        fs::write(at("relay-ca.crt"), relay.authority().pem()).expect("written");
        fs::write(at("ca.crt"), exits.pem()).expect("written");
        fs::write(at("token"), "a-token").expect("written");
        fs::create_dir(at("trust")).expect("a folder");
        let shutdown = CancellationToken::new();
        let members = (0..AGENTS)
            .map(|number| {
                let name = format!("edge-{number}");
                let papers = relay.agents().agent(&format!("{name}.acme"));
                papers.write(folder.path(), &name);
                let text = format!(
                    "relays: [{{ address: \"{}\", serverName: {RELAY_NAME}, caFile: relay-ca.crt }}]\n\
                     tunnel: {{ certificateFile: {name}.crt, keyFile: {name}.key }}\n\
                     exit:\n  servingCertificate: {{ certificateFile: exit.crt, keyFile: exit.key }}\n  \
                     trust: {{ directory: trust }}\n  upstream: {{ inCluster: true }}\n",
                    relay.address
                );
                let file = at(&format!("{name}.yaml"));
                fs::write(&file, text).expect("written");
                start(&file, folder.path(), &shutdown)
            })
            .collect();
        Self {
            members,
            shutdown,
            _folder: folder,
        }
    }

    /// How many have a tunnel of a later dial than these.
    fn up_since(&self, epochs: &[u64]) -> usize {
        let later = |(member, epoch): &(&Member, &u64)| member.epoch() > Some(**epoch);
        self.members.iter().zip(epochs).filter(later).count()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn start(file: &Path, service_account: &Path, shutdown: &CancellationToken) -> Member {
    let in_cluster = InCluster {
        host: Some("192.0.2.1".to_owned()),
        port: Some("443".to_owned()),
        service_account: service_account.to_owned(),
    };
    let role = role::agent::load(file, &in_cluster).expect("a good file");
    let mut metrics = Registry::default();
    let settings = Settings::from(&role);
    let agent = Agent::new(
        &settings,
        Arc::new(Nobody),
        Arc::new(SystemClock),
        &mut metrics,
    );
    let agent = agent.expect("an agent");
    let view = agent.view();
    tokio::spawn(agent.run(shutdown.clone(), shutdown.clone().cancelled_owned()));
    Member { view, metrics }
}

async fn all_are_back() {
    let mut relay = Relay::start();
    let fleet = Fleet::of(&relay);
    let none = vec![0; AGENTS];
    wait::until_async("a hundred tunnels", || async {
        (fleet.up_since(&none) == AGENTS).then_some(())
    })
    .await;
    let members = || fleet.members.iter();
    let epochs: Vec<u64> = members().filter_map(Member::epoch).collect();
    let dials: Vec<u64> = members().map(Member::dials).collect();
    relay.process.kill();
    tokio::task::block_in_place(|| relay.restart());
    let restarted = Instant::now();
    wait::until_async("all of them to be back", || async {
        (fleet.up_since(&epochs) == AGENTS).then_some(())
    })
    .await;
    let took = restarted.elapsed();
    let tried = members()
        .zip(&dials)
        .map(|(it, before)| it.dials() - before);
    let most = tried.max().unwrap_or_default();
    assert!(most <= DIALS, "one of them dialled {most} times");
    let there = relay.process.tunnels().len();
    assert!(there >= AGENTS, "{there}");
    measured::tell(&format!(
        "{AGENTS} agents are back {took:?} after the relay's restart, with {most} dials at most"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_hundred() {
    all_are_back().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it measures: make soak"]
async fn soak_all_of_a_hundred_five_times() {
    for _ in 0..5 {
        all_are_back().await;
    }
}
