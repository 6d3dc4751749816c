//! The wide area: callers, and the relay, on one host, the cluster on another, and between them a link of 100 Mbit/s and 40 ms that
//! loses packets. Bulk alone, small requests alone, and both at once, beside TCP itself.
//!
//! The hosts are network namespaces (`tests/link`). All that runs here is started from a thread within the near one.

use std::time::Duration;

use gangplank_link::{Conditions, Host, Link, Share, lack};

use crate::Wanted;
use crate::site::Site;

mod figures;
mod part;
mod shores;
mod stacks;
mod stall;

pub(crate) use figures::Wan;
use part::measure_part;
use shores::Shores;
use stacks::{ACROSS, Fleet};

/// What it is called on the command line, where a row's name may stand.
pub(crate) const ID: &str = "wan";

/// What it is.
pub(crate) const WHAT: &str =
    "100 Mbit/s, 40 ms, 0 to 1 % loss: bulk alone, 200 small GETs a second alone, both at once";

/// The link's number, which decides which packets are lost.
const LINK: u8 = 1;

/// Packets lost of a thousand, each way.
const LOSSES: [u32; 3] = [0, 1, 10];

/// How long and how often.
#[derive(Debug, Clone, Copy)]
struct Pace {
    rounds: usize,
    warm_ms: u64,
    window_ms: u64,
    quick: bool,
}

impl Pace {
    fn of(wanted: &Wanted) -> Self {
        let usual = if wanted.quick { 2.0 } else { 4.0 };
        let seconds = wanted.seconds.filter(|seconds| *seconds > 0.0);
        let window = Duration::try_from_secs_f64(seconds.unwrap_or(usual)).unwrap_or_default();
        Self {
            rounds: wanted.rounds.unwrap_or(if wanted.quick { 1 } else { 3 }),
            warm_ms: 1_500,
            window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
            quick: wanted.quick,
        }
    }
}

/// Whether it has a stack of that name.
pub(crate) fn knows(stack: &str) -> bool {
    ACROSS.iter().any(|across| across.name == stack)
}

/// Measures it; nothing where this machine cannot have hosts, which is said.
pub(crate) fn measure(site: &Site, wanted: &Wanted) -> anyhow::Result<Option<Wan>> {
    if let Some(lack) = lack() {
        println!("  skipped: {:#}", anyhow::Error::new(lack));
        return Ok(None);
    }
    let (near, far) = (Host::new()?, Host::new()?);
    let link = Link::lay(&near, &far, LINK)?;
    let afar = site.with_upstream_on(&far, None)?;
    let afar_cubic = site.with_upstream_on(&far, Some("cubic"))?;
    let shores = Shores {
        near: &near,
        far: &far,
        link: &link,
        site: &afar,
        cubic: &afar_cubic,
    };
    let wan = near.within(|| all_parts(&shores, wanted))??;
    Ok(Some(wan))
}

/// Round by round, loss by loss, and within each the stacks in turns.
fn all_parts(shores: &Shores<'_>, wanted: &Wanted) -> anyhow::Result<Wan> {
    let pace = Pace::of(wanted);
    let usual = shores.congestion_control()?;
    let queue = Conditions::wide_area(Share::NONE).queue;
    let mut wan = Wan::new(usual, queue);
    let mut fleet = Fleet::new(shores);
    let chosen = stacks::chosen(wanted, pace.quick);
    for round in 0..pace.rounds {
        for per_mille in LOSSES {
            let conditions = Conditions::wide_area(Share::per_mille(per_mille));
            shores.link.change(|now| *now = conditions.clone());
            for stack in &chosen {
                let measured = fleet
                    .ready(stack)
                    .and_then(|way| measure_part(shores, &way, pace));
                let said = wan.take((stack.name, per_mille), measured);
                println!("  round {}: {said}", round + 1);
            }
        }
        for stack in chosen.iter().filter(|stack| stack.tunnel) {
            let conditions = Conditions::wide_area(Share::NONE);
            shores.link.change(|now| *now = conditions.clone());
            let kept = fleet
                .ready(stack)
                .and_then(|way| stall::measure(&way, pace));
            println!(
                "  round {}: {}",
                round + 1,
                wan.take_stall(stack.name, kept)
            );
        }
    }
    wan.unasked_losses = shores.link.unasked_losses()?;
    Ok(wan)
}
