//! The recorded prices: what one unit of a case's work costs a part, and from where on the gate fails.
//!
//! Who makes something cheaper records the new price, so that it stays; who makes something dearer on purpose
//! records that, and says in the commit what it buys. Prices are those of `cargo test`, without optimisation:
//! tokio boxes futures of more than 2 KiB apart there, so that a task costs one block more than in a release.

use crate::measure::Measure::{self, Blocks, Bytes, Datagrams, Held};
use crate::part::Role::{self, Agent, Proxy, Relay};

/// How far above the recorded price the limit is.
#[derive(Debug, Clone, Copy)]
enum Slack {
    /// Half a block: one request after another costs the same each time, so that a single block more is
    /// noticed.
    Half,
    /// A tenth: how bytes are cut into reads and when an acknowledgement is due differ a little from run to
    /// run, and a size changes with every field of a struct.
    Tenth,
    /// A quarter: a body, or the flights of a handshake, are cut into reads as sender and reader happen to
    /// take turns, which a busy machine changes.
    Quarter,
    /// A few bytes where nothing should remain: tables that have grown by one of their sizes.
    Rest,
}

/// A recorded price.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Price {
    case: &'static str,
    part: Role,
    measure: Measure,
    recorded: f64,
    slack: Slack,
}

impl Price {
    /// From where on the gate fails.
    pub(crate) fn limit(&self) -> f64 {
        match self.slack {
            Slack::Half => self.recorded + 0.5,
            Slack::Tenth => self.recorded * 1.1,
            Slack::Quarter => self.recorded * 1.25,
            Slack::Rest => REST,
        }
    }

    /// Whether so much less was measured that the price should be recorded anew.
    pub(crate) fn is_outdated_by(&self, measured: f64) -> bool {
        match self.slack {
            Slack::Half => measured < self.recorded - 0.5,
            Slack::Tenth => measured < self.recorded * 0.9,
            Slack::Quarter => measured < self.recorded * 0.75,
            Slack::Rest => false,
        }
    }
}

/// What may remain of a request or a connection that is over, in bytes: less than a task, a stream or a table
/// of headers, which are what could leak, and more than the room that the audit trail keeps after a burst.
const REST: f64 = 64.0;

const fn exact(case: &'static str, part: Role, measure: Measure, recorded: f64) -> Price {
    price(case, part, measure, recorded, Slack::Half)
}

const fn about(case: &'static str, part: Role, measure: Measure, recorded: f64) -> Price {
    price(case, part, measure, recorded, Slack::Tenth)
}

const fn roughly(case: &'static str, part: Role, measure: Measure, recorded: f64) -> Price {
    price(case, part, measure, recorded, Slack::Quarter)
}

const fn price(
    case: &'static str,
    part: Role,
    measure: Measure,
    recorded: f64,
    slack: Slack,
) -> Price {
    Price {
        case,
        part,
        measure,
        recorded,
        slack,
    }
}

const fn nothing_held(case: &'static str, part: Role) -> Price {
    price(case, part, Held, 0.0, Slack::Rest)
}

#[rustfmt::skip] // a row a line
pub(crate) const PRICES: &[Price] = &[
    exact("hop-get1", Proxy, Blocks, 30.0),
    about("hop-get1", Proxy, Bytes, 69_055.0),
    nothing_held("hop-get1", Proxy),
    exact("hop-get2", Proxy, Blocks, 26.0),
    about("hop-get2", Proxy, Bytes, 53_690.0),
    nothing_held("hop-get2", Proxy),
    about("hop-new1", Proxy, Blocks, 227.0),
    about("hop-new1", Proxy, Bytes, 152_309.0),
    nothing_held("hop-new1", Proxy),
    exact("hop-event1", Proxy, Blocks, 3.0),
    about("hop-event1", Proxy, Bytes, 686.0),
    nothing_held("hop-event1", Proxy),
    exact("hop-event2", Proxy, Blocks, 3.0),
    about("hop-event2", Proxy, Bytes, 672.0),
    nothing_held("hop-event2", Proxy),
    about("hop-idle1", Proxy, Held, 39_611.0),
    about("hop-idle2", Proxy, Held, 4293.0),
    exact("get1", Relay, Blocks, 4.0),
    about("get1", Relay, Bytes, 1265.0),
    nothing_held("get1", Relay),
    exact("get1", Agent, Blocks, 34.0),
    about("get1", Agent, Bytes, 67_745.0),
    nothing_held("get1", Agent),
    about("get1", Agent, Datagrams, 2.0),
    exact("get2", Relay, Blocks, 4.0),
    about("get2", Relay, Bytes, 672.0),
    nothing_held("get2", Relay),
    exact("get2", Agent, Blocks, 30.0),
    about("get2", Agent, Bytes, 51_922.0),
    nothing_held("get2", Agent),
    about("get2", Agent, Datagrams, 2.0),
    roughly("new1", Relay, Blocks, 46.0),
    roughly("new1", Relay, Bytes, 15_421.0),
    nothing_held("new1", Relay),
    about("new1", Agent, Blocks, 260.0),
    about("new1", Agent, Bytes, 149_032.0),
    nothing_held("new1", Agent),
    roughly("new1", Agent, Datagrams, 11.5),
    exact("event1", Relay, Blocks, 2.0),
    about("event1", Relay, Bytes, 405.0),
    nothing_held("event1", Relay),
    exact("event1", Agent, Blocks, 5.5),
    about("event1", Agent, Bytes, 1119.0),
    nothing_held("event1", Agent),
    about("event1", Agent, Datagrams, 1.5),
    exact("event2", Relay, Blocks, 2.0),
    about("event2", Relay, Bytes, 406.0),
    nothing_held("event2", Relay),
    exact("event2", Agent, Blocks, 5.5),
    about("event2", Agent, Bytes, 1106.0),
    nothing_held("event2", Agent),
    about("event2", Agent, Datagrams, 1.5),
    // A block a datagram, because each is kept for itself (tunnel/src/quic/apart.rs).
    roughly("body1", Relay, Blocks, 340.0),
    roughly("body1", Relay, Bytes, 1_061_196.0),
    roughly("body1", Agent, Blocks, 299.0),
    roughly("body1", Agent, Bytes, 4_291_990.0),
    about("body1", Agent, Datagrams, 172.0),
    roughly("body2", Relay, Blocks, 341.0),
    roughly("body2", Relay, Bytes, 1_060_634.0),
    roughly("body2", Agent, Blocks, 461.0),
    roughly("body2", Agent, Bytes, 4_550_599.0),
    about("body2", Agent, Datagrams, 182.0),
    about("idle1", Relay, Held, 3876.0),
    about("idle1", Agent, Held, 38_915.0),
    about("idle2", Relay, Held, 57.7),
    about("idle2", Agent, Held, 4328.0),
];

/// The price of a finding, if one is recorded.
pub(crate) fn price_of(case: &str, part: Role, measure: Measure) -> Option<&'static Price> {
    PRICES
        .iter()
        .find(|price| price.case == case && price.part == part && price.measure == measure)
}
