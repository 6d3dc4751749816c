//! The ways from the near host to the upstream on the far one.

use std::collections::BTreeMap;

use super::shores::Shores;
use crate::Wanted;
use crate::stack::gangplank::Tunnel;
use crate::stack::{RATHOLE, Running, gangplank, program, rathole};
use crate::suite::await_ready;
use crate::way::Way;

/// Which runs have a way besides those that name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Runs {
    All,
    Whole,
    Named,
}

/// A way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Across {
    pub(super) name: &'static str,
    /// Whether there is a tunnel.
    pub(super) tunnel: bool,
    runs: Runs,
    start: fn(&Shores<'_>) -> anyhow::Result<Running>,
}

/// All of them.
pub(super) const ACROSS: &[Across] = &[
    Across {
        tunnel: false,
        ..across("direct", direct)
    },
    Across {
        tunnel: false,
        ..across("direct-cubic", direct_cubic)
    },
    across("gangplank", |shores| {
        tunnel(shores, "gangplank", (None, None))
    }),
    Across {
        runs: Runs::Named,
        ..across("gangplank-cubic", |shores| {
            tunnel(shores, "gangplank-cubic", (None, Some("Cubic")))
        })
    },
    Across {
        runs: Runs::Named,
        ..across("gangplank-bbr", |shores| {
            tunnel(shores, "gangplank-bbr", (None, Some("Bbr")))
        })
    },
    Across {
        runs: Runs::Whole,
        ..across("gangplank-tcp", |shores| {
            tunnel(shores, "gangplank-tcp", (Some("Tcp"), None))
        })
    },
    Across {
        runs: Runs::Whole,
        ..across("rathole-tcp", |shores| {
            rathole::across(shores.site, (shores.near_address(), shores.far))
        })
    },
];

const fn across(name: &'static str, start: fn(&Shores<'_>) -> anyhow::Result<Running>) -> Across {
    Across {
        name,
        tunnel: true,
        runs: Runs::All,
        start,
    }
}

/// Those that this run wants and this machine has; says which it has not.
pub(super) fn chosen(wanted: &Wanted, quick: bool) -> Vec<&'static Across> {
    let named = |name: &str| wanted.stacks.iter().any(|stack| stack == name);
    let all = ACROSS.iter().filter(|across| {
        if wanted.stacks.is_empty() {
            across.runs == Runs::All || (across.runs == Runs::Whole && !quick)
        } else {
            named(across.name)
        }
    });
    let there = |across: &&Across| {
        let needed = if across.name == "rathole-tcp" {
            RATHOLE
        } else {
            &[]
        };
        let missing = needed.iter().find(|(name, _)| program(name).is_none());
        if let Some((missing, _)) = missing {
            println!(
                "  left out: {} (no `{missing}` on this machine)",
                across.name
            );
        }
        missing.is_none()
    };
    all.filter(there).collect()
}

fn direct(shores: &Shores<'_>) -> anyhow::Result<Running> {
    Ok(Running {
        way: shores.site.way_to_upstream_at(shores.link.second().into()),
        processes: Vec::new(),
        company: None,
    })
}

fn direct_cubic(shores: &Shores<'_>) -> anyhow::Result<Running> {
    Ok(Running {
        way: shores.cubic.way_to_upstream_at(shores.link.second().into()),
        processes: Vec::new(),
        company: None,
    })
}

fn tunnel(
    shores: &Shores<'_>,
    name: &str,
    (transport, congestion): (Option<&'static str>, Option<&'static str>),
) -> anyhow::Result<Running> {
    let ends = (shores.near_address(), shores.far);
    let tunnel = Tunnel {
        transport,
        congestion,
    };
    gangplank::across(shores.site, name, ends, tunnel)
}

/// The ways that stand.
pub(super) struct Fleet<'s> {
    shores: &'s Shores<'s>,
    running: BTreeMap<&'static str, Running>,
}

impl<'s> Fleet<'s> {
    pub(super) const fn new(shores: &'s Shores<'s>) -> Self {
        Self {
            shores,
            running: BTreeMap::new(),
        }
    }

    /// The way into a stack that carries requests.
    pub(super) fn ready(&mut self, across: &Across) -> anyhow::Result<Way> {
        if !self.running.contains_key(across.name) {
            let mut running = (across.start)(self.shores)?;
            await_ready(&mut running)?;
            self.running.insert(across.name, running);
        }
        let running = self.running.get(across.name);
        let way = running.map(|running| running.way.clone());
        way.ok_or_else(|| anyhow::anyhow!("{} does not run", across.name))
    }
}
