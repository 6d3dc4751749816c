//! What Gangplank is to reach: for each row, how its figure must stand to others' of the same run.
//!
//! The factors come from what a throw-away version of the same design reached on two cores, less a margin; a
//! row whose best peer was frp there has a second target against rathole, for machines without frp.

/// A figure that a row measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Answers a second.
    Rate,
    /// CPU time of the path for each.
    Cpu,
    /// Half of the answers took less.
    P50,
    /// Memory for each idle watch.
    Each,
    /// The entrance's share of that.
    EntranceEach,
    /// The rate beside stalled readers as a part of the rate without.
    Keeps,
    /// The p99 beside others as a part of the p99 without.
    P99Ratio,
    /// By how much the process that grew most did, in KiB.
    Growth,
    /// What the relay uses of a core while its tunnels are idle.
    IdleCore,
    /// Until all agents are back, in seconds.
    Back,
    /// Attempts of the agent that needed most.
    MostDials,
}

/// What the figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Against {
    /// So many times that of the best peer that was measured.
    BestPeer(f64),
    /// So many times rathole's, the best of its transports.
    Rathole(f64),
    /// So many times that without a hop.
    Direct(f64),
    /// Nothing: a bound of its own.
    Itself(f64),
    /// That with one (trust anchor, tunnel), from which it may differ by such a part.
    One(f64),
}

/// One target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub(crate) figure: Figure,
    pub(crate) against: Against,
}

impl Figure {
    /// Whether more of it is better.
    pub(crate) const fn more_is_better(self) -> bool {
        matches!(self, Self::Rate | Self::Keeps)
    }

    /// In the table's words.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Cpu => "CPU",
            Self::P50 => "p50",
            Self::Each => "memory each",
            Self::EntranceEach => "entrance's memory each",
            Self::Keeps => "rate kept",
            Self::P99Ratio => "p99 beside / before",
            Self::Growth => "growth of any process",
            Self::IdleCore => "relay's CPU time",
            Self::Back => "all back",
            Self::MostDials => "attempts of any agent",
        }
    }

    /// A value of it in words.
    pub(crate) fn told(self, value: f64) -> String {
        match self {
            Self::Rate => format!("{value:.0}/s"),
            Self::Cpu | Self::P50 => format!("{value:.0} µs"),
            Self::Each | Self::EntranceEach => format!("{value:.1} KiB"),
            Self::Keeps => format!("{:.0} %", value * 100.0),
            Self::P99Ratio => format!("{value:.2}"),
            Self::Growth => format!("{:.1} MB", value * 1024.0 / 1e6),
            Self::IdleCore => format!("{:.1} % of a core", value * 100.0),
            Self::Back => format!("{value:.1} s"),
            Self::MostDials => format!("{value:.0}"),
        }
    }
}

impl Target {
    /// In words.
    pub(crate) fn in_words(&self) -> String {
        let name = self.figure.name();
        let sign = if self.figure.more_is_better() {
            '≥'
        } else {
            '≤'
        };
        match self.against {
            Against::BestPeer(factor) => format!("{name} {sign} {factor} × the best peer"),
            Against::Rathole(factor) => format!("{name} {sign} {factor} × rathole"),
            Against::Direct(factor) => format!("{name} {sign} {factor} × direct"),
            Against::Itself(bound) => format!("{name} {sign} {}", self.figure.told(bound)),
            Against::One(part) => format!("{name} within {:.0} % of that with one", part * 100.0),
        }
    }
}

const fn of_best(figure: Figure, factor: f64) -> Target {
    Target {
        figure,
        against: Against::BestPeer(factor),
    }
}

const fn rate_of_rathole(factor: f64) -> Target {
    Target {
        figure: Figure::Rate,
        against: Against::Rathole(factor),
    }
}

const fn rate_of_direct(factor: f64) -> Target {
    Target {
        figure: Figure::Rate,
        against: Against::Direct(factor),
    }
}

const fn own(figure: Figure, bound: f64) -> Target {
    Target {
        figure,
        against: Against::Itself(bound),
    }
}

const fn flat(figure: Figure) -> Target {
    Target {
        figure,
        against: Against::One(0.1),
    }
}

pub(crate) const K1: &[Target] = &[of_best(Figure::Rate, 1.15), of_best(Figure::Cpu, 0.8)];
pub(crate) const ECHO: &[Target] = &[of_best(Figure::P50, 0.8)];
pub(crate) const K16: &[Target] = &[of_best(Figure::Rate, 1.7)];
pub(crate) const K64: &[Target] = &[of_best(Figure::Rate, 2.2), rate_of_direct(0.7)];
pub(crate) const H2X64: &[Target] = &[
    of_best(Figure::Rate, 2.0),
    rate_of_rathole(3.6),
    rate_of_direct(0.9),
];
pub(crate) const NEW: &[Target] = &[of_best(Figure::Rate, 3.5)];
pub(crate) const M1: &[Target] = &[of_best(Figure::Rate, 1.4), rate_of_rathole(3.0)];
pub(crate) const M5H2: &[Target] = &[of_best(Figure::Rate, 1.6), rate_of_rathole(1.8)];
pub(crate) const STALL: &[Target] = &[own(Figure::Keeps, 0.9)];
pub(crate) const TRICKLE: &[Target] = &[of_best(Figure::P50, 0.5)];
pub(crate) const IDLE1: &[Target] = &[own(Figure::Each, 40.0), own(Figure::EntranceEach, 10.0)];
pub(crate) const IDLE2: &[Target] = &[own(Figure::Each, 6.0)];
pub(crate) const BESIDE: &[Target] = &[own(Figure::P99Ratio, 1.25)];
/// 64 MB.
pub(crate) const GIANT: &[Target] = &[own(Figure::Growth, 62_500.0)];
pub(crate) const HOP_K16: &[Target] = &[of_best(Figure::Rate, 1.05)];
pub(crate) const HOP_M1: &[Target] = &[of_best(Figure::Rate, 1.5)];
pub(crate) const HOP_NEW: &[Target] = &[of_best(Figure::Rate, 3.0)];
/// The rate swings on a busy machine; CPU time does not.
pub(crate) const ANCHORS: &[Target] = &[flat(Figure::Rate), flat(Figure::Cpu)];
pub(crate) const COMPANY: &[Target] = ANCHORS;
pub(crate) const TUNNELS: &[Target] =
    &[own(Figure::EntranceEach, 40.0), own(Figure::IdleCore, 0.1)];
/// Who dials in a tight loop needs hundreds of attempts; back-off leaves some five in as many seconds.
pub(crate) const STORM: &[Target] = &[own(Figure::Back, 5.0), own(Figure::MostDials, 5.0)];
