//! Thousands of agents at one relay: what their idle tunnels cost it, and how soon they are back after its death.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::measure::Turn;
use super::pace::Pace;
use super::sample::Sample;
use super::{PROBE_PAUSE, PROBES, answers};
use crate::clock::nanoseconds;
use crate::flotilla::{Flotilla, Order, Standing};
use crate::process::{Process, cpu_seconds};
use crate::site::Site;
use crate::stack::Running;
use crate::way::Door;

/// After the last tunnel has come, for searches of the path's MTU and for what handshakes left behind.
const SETTLING: Duration = Duration::from_secs(5);

/// What the relay holds for each idle tunnel, and what all of them cost it in a window.
pub(super) fn idle(turn: Turn<'_>) -> anyhow::Result<Sample> {
    let relay = entrance(&turn.running.processes)?;
    let agents = Flotilla::fitting(turn.pace.tunnels);
    let before = relay.resident_kib();
    let mut flotilla = Flotilla::launch(turn.site, door(turn.running)?, agents)?;
    sleep(SETTLING);
    flotilla.ask(Order::Stand)?;
    let (cpu, own, begun) = (
        cpu_seconds(&[relay.pid()]),
        cpu_seconds(&[flotilla.pid()]),
        nanoseconds(),
    );
    sleep(Duration::from_millis(turn.pace.tunnels_ms));
    let seconds = Duration::from_nanos(nanoseconds() - begun).as_secs_f64();
    let (cpu, own) = (
        cpu_seconds(&[relay.pid()]) - cpu,
        cpu_seconds(&[flotilla.pid()]) - own,
    );
    let after = relay.resident_kib();
    let standing = flotilla.ask(Order::Stand)?;
    ensure!(
        standing.up == agents && standing.dials == 0,
        "tunnels do not stay: {standing:?}"
    );
    Ok(Sample {
        rss_kib: Some(after),
        entrance_each_kib: Some((after - before) / f64::from(agents)),
        idle_core: Some(cpu / seconds),
        generator_cores: Some(own / seconds),
        ..counted(standing)
    })
}

/// What was measured beside tunnels that nobody uses counts if all of those stayed.
pub(super) fn stay(running: &mut Running, sample: Sample) -> anyhow::Result<Sample> {
    let Some(company) = &mut running.company else {
        return Ok(sample);
    };
    let standing = company.ask(Order::Stand)?;
    ensure!(standing.dials == 0, "tunnels do not stay: {standing:?}");
    Ok(Sample {
        tunnels: Some(f64::from(standing.up)),
        over_tcp: Some(f64::from(standing.over_tcp)),
        ..sample
    })
}

/// Kills the relay and starts it again at once.
pub(super) fn storm(running: &mut Running, site: &Site, pace: &Pace) -> anyhow::Result<Sample> {
    let agents = Flotilla::fitting(pace.returning);
    let mut flotilla = Flotilla::launch(site, door(running)?, agents)?;
    sleep(SETTLING);
    flotilla.ask(Order::Stand)?;
    let since = nanoseconds();
    let relay = running.processes.first_mut().context("no entrance")?;
    relay.kill_and_restart()?;
    let pid = relay.pid();
    let standing = flotilla.ask(Order::Return { since })?;
    let cpu = cpu_seconds(&[pid]);
    ensure!(standing.up == agents, "not all stayed: {standing:?}");
    // The stack's own agent as well, with all behind it.
    let mut tries = (0..PROBES).map(|_| {
        sleep(PROBE_PAUSE);
        answers(&running.way)
    });
    ensure!(
        tries.any(|tried| tried.is_ok()),
        "no request goes through any more"
    );
    Ok(Sample {
        cpu_us: Some(cpu * 1e6 / f64::from(agents)),
        back_p50_s: standing.back_p50_s,
        back_p99_s: standing.back_p99_s,
        back_s: standing.back_s,
        ..counted(standing)
    })
}

fn counted(standing: Standing) -> Sample {
    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "attempts of some thousand agents"
    )]
    let (dials, most_dials) = (standing.dials as f64, standing.most_dials as f64);
    Sample {
        tunnels: Some(f64::from(standing.up)),
        over_tcp: Some(f64::from(standing.over_tcp)),
        dials: Some(dials),
        most_dials: Some(most_dials),
        ..Sample::default()
    }
}

fn entrance(processes: &[Process]) -> anyhow::Result<&Process> {
    processes.first().context("no entrance")
}

fn door(running: &Running) -> anyhow::Result<std::net::SocketAddr> {
    match running.way.door {
        Door::Tcp(address) => Ok(address),
        Door::Asked { .. } => anyhow::bail!("the entrance is no port"),
    }
}
