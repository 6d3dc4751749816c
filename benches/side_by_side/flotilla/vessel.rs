//! One agent of many.

use std::future::pending;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use anyhow::Context as _;
use gangplank_agent::{Agent, AgentView, Boarding, Handoff, Settings, TunnelState};
use gangplank_pki::clock::SystemClock;
use gangplank_tunnel::BoxFuture;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::lanes::Lanes;

/// The agent's counter of attempts to reach its relay.
const DIALS: &str = "agent_dials_total{";

/// One agent, and what was seen of it at the last look.
pub(super) struct Vessel {
    view: AgentView,
    metrics: Registry,
    epoch: Option<u64>,
    dials: u64,
}

/// Nobody is behind the tunnel: who comes is dropped.
struct Nobody;

impl Handoff for Nobody {
    fn board(&self, boarding: Boarding) -> BoxFuture<'static, ()> {
        Box::pin(async move { drop(boarding) })
    }
}

impl Vessel {
    /// Starts it; it runs until the process ends.
    pub(super) fn launch(settings: Settings, lanes: &Lanes) -> anyhow::Result<Self> {
        let (made, waits) = sync_channel(1);
        lanes.spawn(async move {
            let mut metrics = Registry::default();
            let agent = Agent::new(
                &settings,
                Arc::new(Nobody),
                Arc::new(SystemClock),
                &mut metrics,
            );
            match agent {
                Ok(agent) => {
                    if made.send(Ok((agent.view(), metrics))).is_ok() {
                        agent.run(CancellationToken::new(), pending()).await;
                    }
                }
                Err(error) => drop(made.send(Err(error))),
            }
        });
        let (view, metrics) = waits.recv().context("a lane has ended")??;
        Ok(Self {
            view,
            metrics,
            epoch: None,
            dials: 0,
        })
    }

    /// Whether it has a tunnel.
    pub(super) fn stands(&self) -> bool {
        self.view.connected()
    }

    /// Whether it has another tunnel than at the last look.
    pub(super) fn has_returned(&self) -> bool {
        let epoch = self.tunnel().map(|(epoch, _)| epoch);
        epoch.is_some() && epoch != self.epoch
    }

    /// What carries its tunnel, if it has one, and the attempts since the last look.
    pub(super) fn look(&mut self) -> anyhow::Result<(Option<&'static str>, u64)> {
        let dials = self.counted()?;
        let since = dials - self.dials;
        self.dials = dials;
        let tunnel = self.tunnel();
        self.epoch = tunnel.map(|(epoch, _)| epoch);
        Ok((tunnel.map(|(_, transport)| transport), since))
    }

    fn tunnel(&self) -> Option<(u64, &'static str)> {
        let mut tunnels = self.view.tunnels().into_iter();
        tunnels.find_map(|tunnel| match tunnel.state {
            TunnelState::Up {
                epoch, transport, ..
            } => Some((epoch, transport)),
            _ => None,
        })
    }

    /// Attempts until now, by its own metrics.
    fn counted(&self) -> anyhow::Result<u64> {
        let mut text = String::new();
        encode(&mut text, &self.metrics)?;
        let counts = text.lines().filter(|line| line.starts_with(DIALS));
        let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(counts.sum())
    }
}
