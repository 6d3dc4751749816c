//! A small load: callers of two organisations who ask, post, read large answers and watch, on connections that they keep, and
//! others who come anew. Each answer says who asked for what, so that another's, or half of one, is known.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::ledger::{How, Kind, Ledger};
use crate::support::afar::Afar;
use crate::support::caller;
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::{Answer, whole};
use crate::support::hosts;

/// How long anything may take: longer than a dead tunnel stays unnoticed, and what has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two requests of a line.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two callers who come anew.
const ARRIVALS: Duration = Duration::from_millis(400);

/// Between two events of a watch.
const EVENTS: Duration = Duration::from_millis(100);

/// Bytes of a large answer, and the pieces that it comes in.
const LARGE: usize = 256 << 10;
const PIECES: usize = 16;
const BETWEEN_PIECES: Duration = Duration::from_millis(20);

/// Bytes of a small one.
const SMALL: usize = 200;

/// One POST among so many requests of a line.
const POSTS: usize = 4;

/// Lines: each of two callers asks, posts, reads, comes anew and watches over each protocol.
pub(super) const LINES: usize = 2 * 2 * 5;

/// A caller.
#[derive(Debug)]
struct Caller {
    tag: String,
    username: String,
    /// One a protocol.
    configs: [Arc<ClientConfig>; 2],
}

/// What all lines share.
#[derive(Debug)]
struct Shared {
    address: SocketAddr,
    entrance: String,
    ledger: Arc<Ledger>,
    numbers: AtomicUsize,
}

/// A line of the load: one caller, one protocol.
#[derive(Debug, Clone)]
struct Line {
    shared: Arc<Shared>,
    caller: Arc<Caller>,
    protocol: Protocol,
}

/// A load that runs until it is ended.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) ledger: Arc<Ledger>,
    /// Who each tag is.
    pub(super) users: BTreeMap<String, String>,
    over: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What the API server says to a user about a target.
fn said(user: &str, target: &str, bytes: usize) -> Vec<u8> {
    let line = format!("{user} {target}\n");
    line.bytes().cycle().take(bytes).collect()
}

/// The API server's answer to any request of the load.
pub(super) fn answer(request: Request<Incoming>) -> Answer {
    let (head, _body) = request.into_parts();
    let users = head.headers.get_all("impersonate-user").iter();
    let users: Vec<_> = users
        .map(|user| String::from_utf8_lossy(user.as_bytes()))
        .collect();
    let (user, target) = (users.join(","), head.uri.path().to_owned());
    let kind = target.split('/').nth(2).unwrap_or_default().to_owned();
    Box::pin(async move {
        match kind.as_str() {
            "watch" => Response::new(StreamBody::new(events(user, target)).boxed()),
            "body" => Response::new(StreamBody::new(pieces(&user, &target)).boxed()),
            _ => Response::new(whole(said(&user, &target, SMALL))),
        }
    })
}

type Pieces = Result<Frame<Bytes>, std::io::Error>;

fn events(user: String, target: String) -> impl futures_util::Stream<Item = Pieces> {
    let begun = (interval(EVENTS), 0_u64);
    stream::unfold(begun, move |(mut beat, number)| {
        let event = event(&user, &target, number);
        async move {
            beat.tick().await;
            Some((Ok(Frame::data(Bytes::from(event))), (beat, number + 1)))
        }
    })
}

fn event(user: &str, target: &str, number: u64) -> String {
    format!("{number} {user} {target}\n")
}

fn pieces(user: &str, target: &str) -> impl futures_util::Stream<Item = Pieces> + use<> {
    let body = Bytes::from(said(user, target, LARGE));
    stream::unfold(
        (body, interval(BETWEEN_PIECES)),
        |(mut body, mut beat)| async {
            if body.is_empty() {
                return None;
            }
            beat.tick().await;
            let piece = body.split_to(body.len().min(LARGE / PIECES));
            Some((Ok(Frame::data(piece)), (body, beat)))
        },
    )
}

impl Load {
    /// Begins on the callers' host.
    pub(super) fn begin(afar: &Afar) -> Self {
        let (ledger, over) = (Arc::new(Ledger::default()), CancellationToken::new());
        let shared = Arc::new(Shared {
            address: afar.site.address,
            entrance: afar.site.entrance.clone(),
            ledger: Arc::clone(&ledger),
            numbers: AtomicUsize::new(0),
        });
        let callers = afar.organisations.each_ref().map(|organisation| {
            let papers = organisation.caller("a");
            let config = |protocol: Protocol| {
                caller::config(afar.site.authority(), Some(&papers), &[protocol.name()])
            };
            Arc::new(Caller {
                tag: organisation.name.clone(),
                username: organisation.username("a"),
                configs: PROTOCOLS.map(|protocol| Arc::new(config(protocol))),
            })
        });
        let users = callers.iter();
        let users = users.map(|caller| (caller.tag.clone(), caller.username.clone()));
        let users = users.collect();
        let (host, end) = (afar.hosts.callers.clone(), over.clone());
        let thread = std::thread::spawn(move || {
            hosts::at(Some(&host), || {
                let runtime = Builder::new_current_thread().enable_all().build();
                runtime
                    .expect("a runtime")
                    .block_on(run(&shared, callers, end));
            });
        });
        Self {
            ledger,
            users,
            over,
            thread: Some(thread),
        }
    }

    /// Ends it; what was on its way nobody asks for any more.
    pub(super) fn end(&mut self) {
        self.over.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the load does not panic");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

async fn run(shared: &Arc<Shared>, callers: [Arc<Caller>; 2], over: CancellationToken) {
    let mut lines = JoinSet::new();
    for caller in callers {
        for protocol in PROTOCOLS {
            let line = Line {
                shared: Arc::clone(shared),
                caller: Arc::clone(&caller),
                protocol,
            };
            lines.spawn(until(over.clone(), line.clone().ask_in_turn()));
            lines.spawn(until(over.clone(), line.clone().read_in_turn()));
            lines.spawn(until(over.clone(), line.clone().come_anew()));
            lines.spawn(line.watch_until(over.clone()));
        }
    }
    lines.join_all().await;
}

async fn until(over: CancellationToken, line: impl Future<Output = ()>) {
    // What is on its way then is not asked for any more.
    let _all_or_not = over.run_until_cancelled(line).await;
}

impl Line {
    fn target(&self, kind: Kind) -> String {
        let number = self.shared.numbers.fetch_add(1, Ordering::Relaxed);
        format!("/load/{}/{}/{number}", kind.word(), self.caller.tag)
    }

    fn name(&self, kind: Kind) -> String {
        format!("{} {} {:?}", kind.word(), self.caller.tag, self.protocol)
    }

    async fn open(&self) -> Result<Connection, String> {
        let config = match self.protocol {
            Protocol::One => &self.caller.configs[0],
            Protocol::Two => &self.caller.configs[1],
        };
        let shared = &self.shared;
        let socket = TcpStream::connect(shared.address).await.map_err(told)?;
        let stream = caller::over(socket, &shared.entrance, Arc::clone(config));
        let stream = stream.await.map_err(told)?;
        let begun = Connection::try_over(stream, self.protocol, &shared.entrance);
        begun.await.map_err(told)
    }

    async fn ask_in_turn(self) {
        let mut kept = None;
        for number in 1_usize.. {
            let post = number.is_multiple_of(POSTS);
            self.ask(&mut kept, if post { Kind::Post } else { Kind::Get })
                .await;
            sleep(PAUSE).await;
        }
    }

    async fn read_in_turn(self) {
        let mut kept = None;
        loop {
            self.ask(&mut kept, Kind::Body).await;
            sleep(PAUSE).await;
        }
    }

    /// A caller after the other, without waiting for the one before: as many are under way as come in the time
    /// that one may take.
    async fn come_anew(self) {
        let (mut beat, mut under_way) = (interval(ARRIVALS), JoinSet::new());
        loop {
            beat.tick().await;
            let line = self.clone();
            under_way.spawn(async move { line.ask(&mut None, Kind::New).await });
            while under_way.try_join_next().is_some() {}
        }
    }

    /// Asks once, on the connection that is kept or on another.
    async fn ask(&self, kept: &mut Option<Connection>, kind: Kind) {
        let (target, begun, ledger) = (self.target(kind), Instant::now(), &self.shared.ledger);
        let length = if kind == Kind::Body { LARGE } else { SMALL };
        let asked = timeout(PATIENCE, self.exchange(kept, kind, &target)).await;
        let how = match asked {
            Ok(Ok((200, body))) => {
                let meant = said(&self.caller.username, &target, length);
                if body != meant {
                    let short = meant.starts_with(&body);
                    let what = if short { "half of it" } else { "another's" };
                    ledger.wrong(format!("{target}: the answer was {what}, and looked whole"));
                }
                ledger.served(&self.name(kind), begun);
                if kind == Kind::Post {
                    ledger.posted(&target);
                }
                How::Served
            }
            Ok(Ok((status, _))) => How::Refused(status),
            Ok(Err(error)) => How::Broken(error),
            Err(_elapsed) => {
                ledger.wrong(format!("{target} hung"));
                How::Broken("no end".to_owned())
            }
        };
        ledger.note(kind, begun, how);
    }

    async fn exchange(
        &self,
        kept: &mut Option<Connection>,
        kind: Kind,
        target: &str,
    ) -> Result<(u16, Vec<u8>), String> {
        let mut connection = match kept.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => self.open().await?,
        };
        let (method, body) = match kind {
            Kind::Post => (Method::POST, "{}"),
            _ => (Method::GET, ""),
        };
        let request = Request::builder().method(method).uri(target);
        let request = request.body(caller::body(body)).expect("a request");
        let answer = connection.send(request).await.map_err(told)?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(told)?;
        *kept = Some(connection);
        Ok((status, body.to_bytes().to_vec()))
    }

    async fn watch_until(self, over: CancellationToken) {
        while !over.is_cancelled() {
            let (begun, target) = (Instant::now(), self.target(Kind::Watch));
            let watched = over.run_until_cancelled(self.watch(&target)).await;
            let how = match watched {
                None | Some(Ok(None)) => How::Served,
                Some(Ok(Some(status))) => How::Refused(status),
                Some(Err(error)) => How::Broken(error),
            };
            self.shared.ledger.note(Kind::Watch, begun, how);
            over.run_until_cancelled(sleep(PAUSE)).await;
        }
    }

    /// Watches until it ends; answers the status that it did not begin with.
    async fn watch(&self, target: &str) -> Result<Option<u16>, String> {
        let ledger = &self.shared.ledger;
        let begun = async {
            let mut connection = self.open().await?;
            let answer = connection.get(target).await.map_err(told)?;
            Ok::<_, String>((connection, answer))
        };
        let begun = timeout(PATIENCE, begun).await;
        let (_connection, answer) = begun.map_err(|_elapsed| "no beginning".to_owned())??;
        if answer.status() != 200 {
            return Ok(Some(answer.status().as_u16()));
        }
        let (mut body, mut rest, mut number) = (answer.into_body(), String::new(), 0);
        loop {
            let frame = timeout(PATIENCE, body.frame()).await.map_err(|_elapsed| {
                ledger.wrong(format!("{target}: neither an event nor an end"));
                "no end".to_owned()
            })?;
            let Some(frame) = frame else {
                if !rest.is_empty() {
                    ledger.wrong(format!("{target} ended within an event, and looked whole"));
                }
                return Ok(None);
            };
            let data = frame.map_err(told)?.into_data().unwrap_or_default();
            rest.push_str(&String::from_utf8_lossy(&data));
            while let Some(event) = rest
                .find('\n')
                .map(|end| rest.drain(..=end).collect::<String>())
            {
                if event != self::event(&self.caller.username, target, number) {
                    ledger.wrong(format!("{target}: {event} came as number {number}"));
                }
                number += 1;
                ledger.served(&self.name(Kind::Watch), Instant::now());
            }
        }
    }
}

fn told(error: impl std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        told = format!("{told}: {deeper}");
        cause = deeper.source();
    }
    told
}
