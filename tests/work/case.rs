//! The work of each case, on fixed input.

use bytes::Bytes;
use hyper::body::Incoming;

use crate::api_server::{ApiServer, Feed};
use crate::caller::{Callers, Connection, Http, read_exactly};
use crate::site::Way;

/// Before anything is counted: pools, caches and metric families are filled by then.
const WARM_UP: u32 = 200;

/// An event of a watch, as long as a small Pod's.
const EVENT: &[u8] = &[b'{'; 300];

/// What is done and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// So many small GETs, one after the other on one connection; counted a request.
    Gets(u32),
    /// So many connections with a small GET each, one after the other; counted a connection.
    Connections(u32),
    /// So many events of one watch, each after the one before was read; counted an event.
    Events(u32),
    /// A body of so many MiB; counted a MiB.
    Body(u32),
    /// So many connections, with so many watches each on which nothing happens after their first
    /// event; counted a watch.
    Watches(u32, u32),
}

/// A case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Its name, in the table of limits too.
    pub(crate) name: &'static str,
    /// The path.
    pub(crate) way: Way,
    /// The callers' HTTP.
    pub(crate) http: Http,
    /// The work.
    pub(crate) work: Work,
}

const fn case(name: &'static str, way: Way, http: Http, work: Work) -> Case {
    Case {
        name,
        way,
        http,
        work,
    }
}

/// All of them.
pub(crate) const CASES: &[Case] = &[
    case("hop-get1", Way::Hop, Http::One, Work::Gets(4_000)),
    case("hop-get2", Way::Hop, Http::Two, Work::Gets(4_000)),
    case("hop-new1", Way::Hop, Http::One, Work::Connections(400)),
    case("hop-event1", Way::Hop, Http::One, Work::Events(1_000)),
    case("hop-event2", Way::Hop, Http::Two, Work::Events(1_000)),
    case("hop-idle1", Way::Hop, Http::One, Work::Watches(128, 1)),
    case("hop-idle2", Way::Hop, Http::Two, Work::Watches(4, 64)),
    case("get1", Way::Tunnel, Http::One, Work::Gets(4_000)),
    case("get2", Way::Tunnel, Http::Two, Work::Gets(4_000)),
    case("new1", Way::Tunnel, Http::One, Work::Connections(400)),
    case("event1", Way::Tunnel, Http::One, Work::Events(1_000)),
    case("event2", Way::Tunnel, Http::Two, Work::Events(1_000)),
    case("body1", Way::Tunnel, Http::One, Work::Body(64)),
    case("body2", Way::Tunnel, Http::Two, Work::Body(64)),
    case("idle1", Way::Tunnel, Http::One, Work::Watches(128, 1)),
    case("idle2", Way::Tunnel, Http::Two, Work::Watches(4, 64)),
];

/// What is kept open while it is counted.
#[derive(Default)]
pub(crate) struct Open {
    connections: Vec<Connection>,
    watches: Vec<(Feed, Incoming)>,
}

impl Work {
    /// What numbers are divided by.
    pub(crate) const fn times(self) -> u32 {
        match self {
            Self::Gets(times) | Self::Connections(times) | Self::Events(times) => times,
            Self::Body(mebibytes) => mebibytes,
            Self::Watches(connections, each) => connections * each,
        }
    }

    /// What they are then for.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Gets(_) => "a request",
            Self::Connections(_) => "a connection",
            Self::Events(_) => "an event",
            Self::Body(_) => "a MiB",
            Self::Watches(..) => "a watch",
        }
    }

    /// What comes before the count.
    ///
    /// # Errors
    ///
    /// When the path does not carry it.
    pub(crate) async fn prepare(
        self,
        callers: &Callers,
        api_server: &mut ApiServer,
    ) -> anyhow::Result<Open> {
        let mut open = Open::default();
        let mut connection = callers.connect().await?;
        for _ in 0..WARM_UP {
            connection.read(POD).await?;
        }
        match self {
            Self::Gets(_) | Self::Body(_) => open.connections.push(connection),
            Self::Connections(_) => {}
            Self::Events(_) => {
                let (feed, mut events) = watch(&mut connection, api_server).await?;
                for _ in 0..WARM_UP {
                    event(&feed, &mut events).await?;
                }
                open.connections.push(connection);
                open.watches.push((feed, events));
            }
            // One watch comes and goes first, as the GETs do elsewhere.
            Self::Watches(..) => drop(watch(&mut connection, api_server).await?),
        }
        Ok(open)
    }

    /// What is counted.
    ///
    /// # Errors
    ///
    /// When the path does not carry it.
    pub(crate) async fn run(
        self,
        callers: &Callers,
        api_server: &mut ApiServer,
        open: &mut Open,
    ) -> anyhow::Result<()> {
        match self {
            Self::Gets(times) => {
                for connection in &mut open.connections {
                    for _ in 0..times {
                        connection.read(POD).await?;
                    }
                }
            }
            Self::Connections(times) => {
                for _ in 0..times {
                    callers.connect().await?.read(POD).await?;
                }
            }
            Self::Events(times) => {
                for (feed, events) in &mut open.watches {
                    for _ in 0..times {
                        event(feed, events).await?;
                    }
                }
            }
            Self::Body(mebibytes) => {
                let bytes = u64::from(mebibytes) << 20;
                for connection in &mut open.connections {
                    connection
                        .read(&format!("/api/v1/pods?bytes={bytes}"))
                        .await?;
                }
            }
            Self::Watches(connections, each) => {
                for _ in 0..connections {
                    let mut connection = callers.connect().await?;
                    for _ in 0..each {
                        open.watches.push(watch(&mut connection, api_server).await?);
                    }
                    open.connections.push(connection);
                }
            }
        }
        Ok(())
    }
}

const POD: &str = "/api/v1/namespaces/shop/pods/shop-0";

/// A watch after its first event.
async fn watch(
    connection: &mut Connection,
    api_server: &mut ApiServer,
) -> anyhow::Result<(Feed, Incoming)> {
    let mut events = connection
        .ask("/api/v1/namespaces/shop/pods?watch=true")
        .await?;
    let feed = api_server.watch().await?;
    event(&feed, &mut events).await?;
    Ok((feed, events))
}

async fn event(feed: &Feed, events: &mut Incoming) -> anyhow::Result<()> {
    feed.send(Bytes::from_static(EVENT)).await?;
    read_exactly(events, EVENT.len()).await
}
