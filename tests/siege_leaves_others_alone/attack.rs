//! An attack, how it befalls a path with a victim on it, and what must hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::sleep;

use super::attacker::{Attacker, Fought, Running, attack};
use super::control::{self, Share};
use super::ground::Ground;
use super::line::{Line, WORTH_A_CONTROL};
use super::stretch::Stretch;
use super::victim::{Victim, Window};
use crate::support::path::Way;

/// Until caches are warm and pools are filled.
const WARM_UP: Duration = Duration::from_millis(1500);

/// How long the victim is watched before an attack, and beside a control.
const BEFORE: Duration = Duration::from_secs(4);

/// How long after it.
const AFTER: Duration = Duration::from_secs(2);

/// An attack.
pub(super) struct Attack {
    /// By which it is called for alone.
    pub(super) case: &'static str,
    pub(super) name: &'static str,
    pub(super) size: &'static str,
    pub(super) way: Way,
    pub(super) with: fn(Attacker) -> Running,
    /// What relay and exit may grow by, in KiB.
    pub(super) growth_kib: (u64, u64),
}

impl Attack {
    /// The attack on a path of its own, beside a victim. What does not hold is added to the faults.
    pub(super) async fn befall(&self, faults: &mut Vec<String>) -> Line {
        let ground = Arc::new(Ground::new(self.way).await);
        let mut victim = Victim::start(&ground);
        sleep(WARM_UP).await;
        let quiet = Stretch::begin(&ground);
        sleep(BEFORE).await;
        let quiet = quiet.end(&ground);
        let stormy = Stretch::begin(&ground);
        let Fought { became, cpu } = block_in_place(|| attack(Arc::clone(&ground), self.with));
        let stormy = stormy.end(&ground);
        let calm = Stretch::begin(&ground);
        sleep(AFTER).await;
        let calm = calm.end(&ground);
        let cores = stormy.cores_beyond(&quiet);
        let longer =
            stormy.window(&victim).p99.as_secs_f64() / quiet.window(&victim).p99.as_secs_f64();
        let control = (longer > WORTH_A_CONTROL).then(|| {
            let attacker = cpu.as_secs_f64() / stormy.seconds();
            beside_a_control(&ground, &cores, attacker)
        });
        // What is still unanswered is answered now, or never.
        victim.stop();
        let both = stormy.memory().iter().zip(calm.memory());
        let memory: Vec<_> = both
            .map(|(during, calm)| during.followed_by(*calm))
            .collect();
        let (exit, relay) = memory.split_last().expect("there is an exit");
        let line = Line {
            case: self.case,
            attack: self.name,
            size: self.size,
            became: became.clone().unwrap_or_else(|_| "FAILED".to_owned()),
            before: quiet.window(&victim),
            during: stormy.window(&victim),
            after: calm.window(&victim),
            control: control.map(|stretch| stretch.window(&victim)),
            relay: relay.first().copied(),
            exit: *exit,
            cores: cores.iter().sum(),
        };
        let missed = became.err().into_iter().chain(self.missed_by(&line));
        faults.extend(missed.map(|fault| format!("{} {}: {fault}", self.case, self.name)));
        line
    }

    /// What must hold and does not.
    fn missed_by(&self, line: &Line) -> Vec<String> {
        let windows = [&line.before, &line.during, &line.after];
        let mut missed: Vec<_> = windows.into_iter().flat_map(unserved).collect();
        let (relay, exit) = self.growth_kib;
        for (role, memory, most) in [
            ("relay", line.relay, relay),
            ("exit", Some(line.exit), exit),
        ] {
            let grown = memory.map_or(0, |memory| memory.peak.saturating_sub(memory.before));
            if grown > most {
                missed.push(format!(
                    "the {role} has grown by {grown} KiB, {most} are allowed"
                ));
            }
        }
        missed
    }
}

fn unserved(window: &Window) -> impl Iterator<Item = String> {
    let faults = window.faults.iter();
    faults.map(|(fault, count)| format!("{count} of the victim's requests: {fault}"))
}

/// The victim beside threads that use as much as path and attacker used.
fn beside_a_control(ground: &Ground, path: &[f64], attacker: f64) -> Stretch {
    let taken = |of_a_core, yields| Share { of_a_core, yields };
    let mut shares: Vec<_> = path.iter().map(|cores| taken(*cores, false)).collect();
    shares.push(taken(attacker, true));
    let stretch = Stretch::begin(ground);
    block_in_place(|| control::burn(&shares, BEFORE));
    stretch.end(ground)
}
