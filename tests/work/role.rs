//! A part: a role composed of the libraries as the program composes it, in a process that counts.

use std::future::pending;
use std::io::{BufRead as _, stdin};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gangplank_agent::{Agent, AgentView, Boarding, Handoff, Settings, TunnelState};
use gangplank_config::role;
use gangplank_config::upstream::InCluster;
use gangplank_config::{Fault, Material, TrustDirectory, TrustSource};
use gangplank_pki::TrustBundle;
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_proxy::audit::{Stream, Trail};
use gangplank_proxy::authenticate::Trust;
use gangplank_proxy::upstream::{Client, Metrics};
use gangplank_proxy::{Caller, Exit, Parts, TcpProxy, Witness};
use gangplank_relay::Relay;
use gangplank_tcp::Listener;
use gangplank_tunnel::BoxFuture;
use prometheus_client::registry::Registry;
use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::count::Counting;
use crate::part::Question;
use crate::site::TUNNEL;

/// Between two looks whether an agent's tunnel stands, and how long that may take.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a role and answers questions about it until standard input ends, as it does with the gate.
///
/// # Errors
///
/// When the role cannot start.
pub(crate) fn run(role: &str, config: &Path) -> anyhow::Result<()> {
    let counting = Counting::begin();
    log_to_nowhere()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let started = Started::start(role, config).await?;
        if let Some(view) = &started.tunnel {
            let connected = timeout(PATIENCE, connected(view)).await;
            connected.context("no tunnel to the relay")?;
        }
        println!("{}", json!({ "listen": started.listen }));
        let over = CancellationToken::new();
        let asked = over.clone().drop_guard();
        let tunnel = started.tunnel.clone();
        let answering = std::thread::spawn(move || {
            let _asked = asked;
            answer_questions(counting, tunnel.as_ref())
        });
        over.cancelled().await;
        answering
            .join()
            .map_err(|_panic| anyhow::anyhow!("the answering thread panicked"))?
    })
}

async fn connected(view: &AgentView) {
    while !view.connected() {
        sleep(LOOK_INTERVAL).await;
    }
}

/// The default log of the program, but for its last step.
fn log_to_nowhere() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter("info")
        .with_writer(std::io::sink)
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .try_init()
        .map_err(anyhow::Error::from_boxed)
}

fn answer_questions(mut counting: Counting, tunnel: Option<&AgentView>) -> anyhow::Result<()> {
    for line in stdin().lock().lines() {
        match serde_json::from_str(&line?)? {
            Question::Count => {
                let count = counting.now(datagrams(tunnel));
                println!("{}", serde_json::to_string(&count)?);
            }
            Question::Profile(file) => {
                counting.begin_profile(PathBuf::from(file));
                println!("{{}}");
            }
            Question::EndProfile => {
                counting.end_profile();
                println!("{{}}");
            }
        }
    }
    Ok(())
}

fn datagrams(tunnel: Option<&AgentView>) -> u64 {
    let tunnels = tunnel.map(AgentView::tunnels).unwrap_or_default();
    let of_tunnel = tunnels.into_iter().map(|tunnel| match tunnel.state {
        TunnelState::Up { traffic, .. } => traffic.datagrams_sent + traffic.datagrams_received,
        _ => 0,
    });
    of_tunnel.sum()
}

/// What a started role can be asked.
struct Started {
    listen: Option<SocketAddr>,
    tunnel: Option<AgentView>,
}

impl Started {
    async fn start(role: &str, config: &Path) -> anyhow::Result<Self> {
        match role {
            "relay" => relay(config).await,
            "agent" => agent(config),
            "proxy" => proxy(config),
            other => bail!("no role {other}"),
        }
    }
}

/// What the files hold now and for ever: looking at them again every two seconds costs blocks, which on a slow
/// machine would count as a request's.
fn unchanging<T: Clone + Send + Sync + 'static>(
    material: &Material<T>,
) -> Result<Material<T>, Fault> {
    material.read().map(Material::fixed)
}

async fn relay(config: &Path) -> anyhow::Result<Started> {
    let mut config = role::relay::load(config)?;
    config.tunnel.key_pair = unchanging(&config.tunnel.key_pair)?;
    config.tunnel.agent_authorities = unchanging(&config.tunnel.agent_authorities)?;
    let relay = Relay::bind(config, Arc::new(SystemClock), &mut Registry::default()).await?;
    let listen = Some(relay.local_address());
    TaskTracker::new().spawn(relay.run(CancellationToken::new(), pending()));
    Ok(Started {
        listen,
        tunnel: None,
    })
}

fn agent(config: &Path) -> anyhow::Result<Started> {
    let config = role::agent::load(config, &InCluster::from_environment())?;
    let mut metrics = Registry::default();
    let handoff = Arc::new(ToExit(exit(&config.exit, &mut metrics)?));
    let mut settings = Settings::from(&config);
    settings.identity = unchanging(&settings.identity)?;
    for relay in &mut settings.relays {
        relay.authorities = unchanging(&relay.authorities)?;
    }
    let agent = Agent::new(&settings, handoff, Arc::new(SystemClock), &mut metrics)?;
    let tunnel = Some(agent.view());
    TaskTracker::new().spawn(agent.run(CancellationToken::new(), pending()));
    Ok(Started {
        listen: None,
        tunnel,
    })
}

fn proxy(config: &Path) -> anyhow::Result<Started> {
    let config = role::proxy::load(config, &InCluster::from_environment())?;
    let exit = exit(&config.exit, &mut Registry::default())?;
    let listener = Listener::bind(config.listen)?;
    let proxy = TcpProxy::new(listener, exit, config.drain.limit);
    let listen = Some(proxy.local_address()?);
    TaskTracker::new().spawn(proxy.run(CancellationToken::new(), pending()));
    Ok(Started {
        listen,
        tunnel: None,
    })
}

fn exit(config: &role::exit::Exit, metrics: &mut Registry) -> anyhow::Result<Exit> {
    let (tasks, over) = (TaskTracker::new(), CancellationToken::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let role::exit::Trust::Directory(directory, _rules) = &config.trust else {
        anyhow::bail!("work is counted with files");
    };
    let (trust, _watcher) = TrustDirectory::open(directory, Arc::clone(&clock))?;
    let trust = TrustSource::fixed(TrustBundle::clone(&trust.current()));
    let (serving, _reloader) = unchanging(&config.serving)?.watch()?;
    let mut upstream = config.upstream.clone();
    upstream.authorities = unchanging(&upstream.authorities)?;
    let counters = Metrics::register(metrics);
    let nowhere = Box::new(Stream(std::io::sink()));
    let (audit, _) = Trail::start(nowhere, config.audit.when_full, Arc::clone(&clock), metrics)?;
    let parts = Parts {
        trust: Trust::from(&trust),
        serving: Arc::new(serving),
        client_auth: config.client_auth,
        nested_impersonation: config.nested_impersonation,
        upstream: Client::new(&upstream, tasks.clone(), over, counters),
        clock,
        tasks,
        audit,
        limits: config.limits,
    };
    Exit::new(parts, metrics).context("the exit")
}

/// Hands callers from the tunnel to the exit.
struct ToExit(Exit);

impl Handoff for ToExit {
    fn board(&self, boarding: Boarding) -> BoxFuture<'static, ()> {
        let exit = self.0.clone();
        let caller = Caller {
            address: boarding.caller,
            said_by: Witness::Relay,
            connection: boarding.connection,
            tunnel: Some(Arc::from(TUNNEL)),
            relay: Some(Arc::clone(&boarding.relay)),
        };
        Box::pin(async move { exit.serve(boarding.stream, caller, boarding.drain).await })
    }
}
