//! The workloads.

use crate::load::Load;
use crate::stack::{Kind, Stack};
use crate::target::{self, Target};

/// A workload, measured on each stack that it is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// Its name in the table.
    pub(crate) id: &'static str,
    /// What it is.
    pub(crate) what: &'static str,
    /// What is done, and what is looked at.
    pub(crate) work: Work,
    /// Against whom.
    pub(crate) field: Field,
    /// What Gangplank is to reach.
    pub(crate) targets: &'static [Target],
}

/// What is done, and what is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Answers, or events, in the window.
    Rate(Load),
    /// Answers, before and while so many callers have stopped reading so many bytes.
    BesideStalled {
        /// What is measured.
        load: Load,
        /// Who has stopped.
        stalled: Load,
    },
    /// Memory of the path for each watch that nothing happens on.
    Idle {
        /// HTTP/2, or HTTP/1.1.
        http2: bool,
    },
    /// Small GETs, before and while a crowd of watches and a LIST are partly left unread.
    BesideCrowd {
        /// The crowd.
        crowd: Load,
    },
    /// One giant body each way.
    Giant,
    /// Idle tunnels of thousands of agents: what the relay holds for each, and what they cost it.
    Tunnels,
    /// The relay is killed and started again: how soon all agents are back.
    Storm,
}

/// The stacks that a row compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// Tunnels.
    Tunnels,
    /// Single hops.
    Hops,
    /// Gangplank with more and more trust anchors.
    Anchors,
    /// Gangplank with more and more tunnels on its relay.
    Company,
    /// Gangplank's relay by itself: others have no such thing to measure.
    Relay,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

const fn row(id: &'static str, what: &'static str, work: Work, field: Field) -> Row {
    Row {
        id,
        what,
        work,
        field,
        targets: &[],
    }
}

impl Row {
    const fn with(mut self, targets: &'static [Target]) -> Self {
        self.targets = targets;
        self
    }
}

const fn small(connections: u32) -> Load {
    Load::Http1 {
        connections,
        bytes: None,
    }
}

const fn bodies(connections: u32, bytes: u64) -> Load {
    Load::Http1 {
        connections,
        bytes: Some(bytes),
    }
}

/// So many that CPU time is the limit, and not a delay on the way (Nagle's, in some peers).
const FRESH: Load = Load::Fresh { connections: 32 };

/// All of them.
pub(crate) const ROWS: &[Row] = &[
    row(
        "k1",
        "small GET, 1 keep-alive connection",
        Work::Rate(small(1)),
        Field::Tunnels,
    )
    .with(target::K1),
    row(
        "echo",
        "round trips of a byte on an upgraded stream",
        Work::Rate(Load::Echo),
        Field::Tunnels,
    )
    .with(target::ECHO),
    row(
        "k16",
        "small GET, 16 connections",
        Work::Rate(small(16)),
        Field::Tunnels,
    )
    .with(target::K16),
    row(
        "k64",
        "small GET, 64 connections",
        Work::Rate(small(64)),
        Field::Tunnels,
    )
    .with(target::K64),
    row(
        "h2x64",
        "small GET, HTTP/2, 4 connections of 16 streams",
        Work::Rate(Load::Http2 {
            connections: 4,
            streams: 16,
            bytes: None,
        }),
        Field::Tunnels,
    )
    .with(target::H2X64),
    row(
        "new",
        "a new mTLS connection a request, 32 at a time",
        Work::Rate(FRESH),
        Field::Tunnels,
    )
    .with(target::NEW),
    row(
        "m1",
        "bodies of 1 MiB, 4 connections",
        Work::Rate(bodies(4, MIB)),
        Field::Tunnels,
    )
    .with(target::M1),
    row(
        "m5h2",
        "bodies of 5 MiB, HTTP/2, 2 streams",
        Work::Rate(Load::Http2 {
            connections: 1,
            streams: 2,
            bytes: Some(5 * MIB),
        }),
        Field::Tunnels,
    )
    .with(target::M5H2),
    row(
        "stall",
        "k16 while 32 others have stopped reading a body of 64 MiB",
        Work::BesideStalled {
            load: small(16),
            stalled: Load::Stalled {
                readers: 32,
                bytes: 64 * MIB,
            },
        },
        Field::Tunnels,
    )
    .with(target::STALL),
    row(
        "trickle",
        "1,000 watches with 1,000 events a second in all: their delay",
        Work::Rate(Load::Trickle {
            watches: 1_000,
            period_ms: 1_000,
        }),
        Field::Tunnels,
    )
    .with(target::TRICKLE),
    row(
        "idle1",
        "idle watches over HTTP/1.1: memory each",
        Work::Idle { http2: false },
        Field::Tunnels,
    )
    .with(target::IDLE1),
    row(
        "idle2",
        "idle watches over HTTP/2: memory each",
        Work::Idle { http2: true },
        Field::Tunnels,
    )
    .with(target::IDLE2),
    row(
        "beside",
        "200 small GETs while of 300 watches 100 are unread, and so is a LIST of 200 MB",
        Work::BesideCrowd {
            crowd: Load::Crowd {
                watches: 300,
                unread: 100,
                list: 200_000_000,
            },
        },
        Field::Tunnels,
    )
    .with(target::BESIDE),
    row(
        "giant",
        "one body of 1 GiB down, one up: memory of each process",
        Work::Giant,
        Field::Tunnels,
    )
    .with(target::GIANT),
    row(
        "hop-k16",
        "k16 through one hop",
        Work::Rate(small(16)),
        Field::Hops,
    )
    .with(target::HOP_K16),
    row(
        "hop-m1",
        "m1 through one hop",
        Work::Rate(bodies(4, MIB)),
        Field::Hops,
    )
    .with(target::HOP_M1),
    row(
        "hop-new",
        "new through one hop",
        Work::Rate(FRESH),
        Field::Hops,
    )
    .with(target::HOP_NEW),
    row(
        "anchors",
        "k16 with 1, 10, 100 and 1,000 trust anchors",
        Work::Rate(small(16)),
        Field::Anchors,
    )
    .with(target::ANCHORS),
    row(
        "company",
        "k16 with 1, 100 and 10,000 tunnels on the relay",
        Work::Rate(small(16)),
        Field::Company,
    )
    .with(target::COMPANY),
    row(
        "tunnels",
        "10,000 idle tunnels on one relay: its memory for each, its CPU time",
        Work::Tunnels,
        Field::Relay,
    )
    .with(target::TUNNELS),
    row(
        "storm",
        "a relay killed and started again before 1,000 agents: until all are back",
        Work::Storm,
        Field::Relay,
    )
    .with(target::STORM),
];

impl Row {
    /// Whether it looks at memory, which what ran before would have left its mark on.
    pub(crate) const fn wants_new_processes(&self) -> bool {
        matches!(
            self.work,
            Work::Idle { .. }
                | Work::BesideCrowd { .. }
                | Work::Giant
                | Work::Tunnels
                | Work::Storm
        )
    }

    /// Whether a stack is compared here.
    pub(crate) fn is_for(&self, stack: &Stack) -> bool {
        let idle = matches!(self.work, Work::Idle { .. });
        match stack.kind {
            // Without a hop there is no path whose memory could be measured.
            Kind::Direct => !idle && matches!(self.field, Field::Tunnels | Field::Hops),
            Kind::Tunnel => matches!(self.field, Field::Tunnels | Field::Relay),
            Kind::TunnelPeer => self.field == Field::Tunnels,
            Kind::Hop | Kind::HopPeer => self.field == Field::Hops,
            Kind::Anchors => self.field == Field::Anchors,
            Kind::Company => self.field == Field::Company,
        }
    }
}
