//! The way to etcd: its members are tried in turn, over HTTP/2 in mutual TLS.
//!
//! Calls share one connection, which is opened by the first of them and again by the one that finds it broken. A
//! watch has its own, so that its end is noticed and takes nobody along.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gangplank_config::Fault;
use gangplank_config::role::relay::Etcd;
use gangplank_config::upstream::Server;
use gangplank_tunnel::BoxFuture;
use gangplank_tunnel::wire::Message as Sentence;
use hyper::body::Incoming;
use parking_lot::Mutex;
use prost::Message;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use super::call::{Answers, CallFault, Said};
use super::heard::Heard;
use super::wire::{
    Compare, KeyValue, RANGE, RangeResponse, RequestOp, TXN, TxnRequest, TxnResponse, WATCH,
    WatchCreateRequest, WatchRequest, WatchResponse, end_of,
};

/// For one member, from dialling to the answer. An etcd that is well answers in milliseconds; one that chooses a
/// leader takes a second or two, and then the next member knows no more. Three members that are all silent are
/// given up after six seconds, before the fifteen that an agent is received for.
const ATTEMPT: Duration = Duration::from_secs(2);

/// How often a silent etcd is asked whether it is there, while something is awaited from it: not oftener than
/// every five seconds, which etcd takes for a flood (`--grpc-keepalive-min-time`). With the time for an answer a
/// member that vanished is noticed after nine seconds.
const PING: Duration = Duration::from_secs(6);
const PONG: Duration = Duration::from_secs(3);

/// The `grpc-status` of what may pass: DEADLINE_EXCEEDED and UNAVAILABLE, as one answers that knows no leader.
const MAY_PASS: [&str; 2] = ["4", "14"];

/// What is sent as `user-agent`.
const AGENT: &str = concat!("gangplank/", env!("CARGO_PKG_VERSION"));

pub(super) use listing::Listing;

use connection::Connection;
use listing::{LISTING, MOST_BYTES, MOST_KEYS};

mod connection;
mod listing;

/// Why etcd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{member} failed, asked about {about}")]
pub(super) struct MemberFault {
    member: String,
    /// The keys concerned, or what they begin with.
    about: String,
    #[source]
    cause: Box<AttemptFault>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptFault {
    #[error("nobody answers there; is it running, and is its port open from here?")]
    Unreachable(#[source] io::Error),
    #[error(
        "TLS failed; `caFile` has to hold the authority of its certificate, and it has to trust that of `certificateFile`"
    )]
    Tls(#[source] io::Error),
    #[error("the certificate for it cannot be read")]
    Material(#[source] Fault),
    #[error("the certificate for it cannot be used")]
    Unusable(#[source] rustls::Error),
    #[error("the files for it could not be read")]
    Unread,
    #[error("it does not speak HTTP/2; is this the port of an etcd's clients?")]
    Protocol(#[source] hyper::Error),
    #[error("there was no answer within {} s; see `etcdctl endpoint health`", ATTEMPT.as_secs())]
    Late,
    #[error("the call failed")]
    Call(#[from] CallFault),
    #[error("the request cannot be made")]
    Request(#[source] http::Error),
    #[error("its answer says nothing")]
    Empty,
    #[error("it lists what was not asked for; is it an etcd?")]
    Astray,
    #[error(
        "it has listed {MOST_KEYS} keys or {} MiB and there are more; is the prefix the relays' own, and does nobody else write there?",
        MOST_BYTES / 1024 / 1024
    )]
    Endless,
    #[error("it has listed for {} s and there are more keys; see `etcdctl endpoint health`", LISTING.as_secs())]
    Slow,
}

impl MemberFault {
    /// Whether to wait can help, and nobody need do anything.
    pub(super) fn may_pass(&self) -> bool {
        self.cause.may_pass()
    }
}

impl AttemptFault {
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late | Self::Call(CallFault::Broken(_)) => true,
            // What TLS itself refuses is invalid data; anything else is a connection that broke.
            Self::Tls(fault) => fault.kind() != io::ErrorKind::InvalidData,
            Self::Call(CallFault::Refused { code, .. }) => MAY_PASS.contains(&code.as_str()),
            _ => false,
        }
    }
}

/// An etcd.
#[derive(Debug)]
pub(super) struct Client {
    etcd: Etcd,
    /// Which member answered last.
    member: AtomicUsize,
    open: Mutex<Option<Arc<Connection>>>,
    tasks: TaskTracker,
}

/// A watch that stands.
#[derive(Debug)]
pub(super) struct Watch {
    answers: Answers<Incoming>,
    member: String,
    about: String,
    connection: Arc<Connection>,
}

impl Client {
    pub(super) fn new(etcd: Etcd) -> Self {
        Self {
            etcd,
            member: AtomicUsize::new(0),
            open: Mutex::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Its members, for people.
    pub(super) fn place(&self) -> String {
        let members: Vec<_> = self
            .etcd
            .endpoints
            .iter()
            .map(|at| &*at.authority)
            .collect();
        format!("{} at etcd {}", self.etcd.prefix, members.join(", "))
    }

    /// Reads some keys, all as of the same moment.
    pub(super) async fn read<const N: usize>(
        &self,
        keys: [&str; N],
    ) -> Result<[Option<KeyValue>; N], MemberFault> {
        let question = TxnRequest {
            compare: Vec::new(),
            success: keys.iter().map(|key| RequestOp::range(key)).collect(),
        };
        let answer: TxnResponse = self.ask(TXN, &question, &keys.join(", ")).await?;
        let mut found = answer
            .responses
            .into_iter()
            .map(|answer| answer.range.and_then(|range| range.kvs.into_iter().next()));
        Ok(keys.map(|_key| found.next().flatten()))
    }

    /// Does all of `then` if all that is said of keys is true; says whether it was. May be sent twice, to two
    /// members, so that `provided` must not be true a second time.
    pub(super) async fn change(
        &self,
        provided: Vec<Compare>,
        then: Vec<RequestOp>,
    ) -> Result<bool, MemberFault> {
        let about = then.first().map(RequestOp::key).unwrap_or_default();
        let about = String::from_utf8_lossy(about).into_owned();
        let question = TxnRequest {
            compare: provided,
            success: then,
        };
        let answer: TxnResponse = self.ask(TXN, &question, &about).await?;
        Ok(answer.succeeded)
    }

    /// The next page; none after the last.
    pub(super) async fn page(
        &self,
        listing: &mut Listing,
    ) -> Result<Option<Vec<KeyValue>>, MemberFault> {
        let Some(question) = listing.next.take() else {
            return Ok(None);
        };
        let answer: RangeResponse = self.ask(RANGE, &question, &listing.below).await?;
        let taken = listing.take(question, answer);
        let page = taken.map_err(|cause| {
            self.fault(self.member.load(Ordering::Relaxed), &listing.below, cause)
        })?;
        Ok(Some(page))
    }

    /// Hears of every change of keys that begin with `prefix`, from revision `start` on.
    pub(super) async fn watch(&self, prefix: &str, start: i64) -> Result<Watch, MemberFault> {
        let question = WatchRequest {
            create: Some(WatchCreateRequest {
                key: prefix.into(),
                range_end: end_of(prefix),
                start_revision: start,
            }),
        };
        let question = &question;
        self.in_turn(prefix, |member| Box::pin(self.watch_at(member, question)))
            .await
    }

    fn fault(&self, member: usize, about: &str, cause: AttemptFault) -> MemberFault {
        let member = self.server(member).map(|at| at.authority.clone());
        MemberFault {
            member: member.unwrap_or_default(),
            about: about.to_owned(),
            cause: Box::new(cause),
        }
    }

    /// With a connection of its own; the calls' one is none of its affair.
    async fn watch_at(
        &self,
        member: usize,
        question: &WatchRequest,
    ) -> Result<Watch, AttemptFault> {
        let by = Instant::now() + ATTEMPT;
        let standing = async {
            let (connection, server) = (self.dial(member).await?, self.server(member)?);
            let said = Said::and_stay(question);
            let mut answers = connection.call(server, WATCH, said).await?;
            let first: WatchResponse = answers.next().await?.ok_or(AttemptFault::Empty)?;
            if !first.created || first.canceled {
                return Err(canceled(&first).into());
            }
            Ok(Watch {
                answers,
                member: server.authority.clone(),
                about: String::from_utf8_lossy(watched(question)).into_owned(),
                connection,
            })
        };
        limited(by, standing).await
    }

    /// One question, one answer.
    async fn ask<A: Message + Default>(
        &self,
        path: &str,
        question: &impl Message,
        about: &str,
    ) -> Result<A, MemberFault> {
        self.in_turn(about, |member| {
            Box::pin(self.ask_at(member, path, question))
        })
        .await
    }

    async fn ask_at<A: Message + Default>(
        &self,
        member: usize,
        path: &str,
        question: &impl Message,
    ) -> Result<A, AttemptFault> {
        if let Some(open) = self.open_to(member) {
            let by = Instant::now() + ATTEMPT;
            match self.ask_over(&open, path, question, by).await {
                // What broke while nobody looked says nothing about the member; its silence does.
                Err(cause) if !matches!(cause, AttemptFault::Late) => {}
                answered => return answered,
            }
        }
        let by = Instant::now() + ATTEMPT;
        let dialled = self.keep(limited(by, self.dial(member)).await?);
        self.ask_over(&dialled, path, question, by).await
    }

    async fn ask_over<A: Message + Default>(
        &self,
        connection: &Arc<Connection>,
        path: &str,
        question: &impl Message,
        by: Instant,
    ) -> Result<A, AttemptFault> {
        let server = self.server(connection.member)?;
        let asked = async {
            let said = Said::once(question);
            let mut answers = connection.call(server, path, said).await?;
            answers.next().await?.ok_or(AttemptFault::Empty)
        };
        let outcome = limited(by, asked).await;
        if outcome.is_err() {
            self.forget(connection);
        }
        outcome
    }

    /// Tries the members in turn, beginning with the one that answered last.
    async fn in_turn<'a, T>(
        &'a self,
        about: &str,
        attempt: impl Fn(usize) -> BoxFuture<'a, Result<T, AttemptFault>>,
    ) -> Result<T, MemberFault> {
        let (count, first) = (
            self.etcd.endpoints.len(),
            self.member.load(Ordering::Relaxed),
        );
        let mut tried = 0;
        loop {
            let member = (first + tried) % count.max(1);
            tried += 1;
            match attempt(member).await {
                Ok(done) => {
                    self.member.store(member, Ordering::Relaxed);
                    return Ok(done);
                }
                Err(cause) if tried >= count => {
                    return Err(self.fault(member, about, cause));
                }
                Err(_next) => {}
            }
        }
    }

    fn server(&self, member: usize) -> Result<&Server, AttemptFault> {
        self.etcd.endpoints.get(member).ok_or(AttemptFault::Empty)
    }

    fn open_to(&self, member: usize) -> Option<Arc<Connection>> {
        let held = self.open.lock().as_ref().map(Arc::clone);
        held.filter(|open| open.member == member && !open.sender.is_closed())
    }

    fn keep(&self, connection: Arc<Connection>) -> Arc<Connection> {
        *self.open.lock() = Some(Arc::clone(&connection));
        connection
    }

    /// Not the one that somebody else has opened meanwhile.
    fn forget(&self, used: &Arc<Connection>) {
        self.open.lock().take_if(|open| Arc::ptr_eq(open, used));
    }

    /// Waits until its connections have ended; those of calls that still run end with these.
    pub(super) async fn end(&self) {
        self.open.lock().take();
        self.tasks.close();
        drop(timeout(ATTEMPT, self.tasks.wait()).await);
    }
}

async fn limited<T>(
    by: Instant,
    attempt: impl Future<Output = Result<T, AttemptFault>>,
) -> Result<T, AttemptFault> {
    timeout_at(by, attempt)
        .await
        .unwrap_or(Err(AttemptFault::Late))
}

/// What the keys begin with that a watch is of.
fn watched(question: &WatchRequest) -> &[u8] {
    let create = question.create.as_ref();
    create.map(|create| &*create.key).unwrap_or_default()
}

fn canceled(answer: &WatchResponse) -> CallFault {
    CallFault::Refused {
        code: Sentence::fitting("canceled"),
        message: Sentence::fitting(&answer.cancel_reason),
    }
}

impl Watch {
    /// When its member was last heard of.
    pub(super) fn heard(&self) -> Heard {
        self.connection.heard.clone()
    }

    /// What changed next. Never ends well.
    pub(super) async fn next(&mut self) -> Result<WatchResponse, MemberFault> {
        let fault = |cause| MemberFault {
            member: self.member.clone(),
            about: self.about.clone(),
            cause: Box::new(cause),
        };
        match self.answers.next::<WatchResponse>().await {
            Ok(Some(answer)) if answer.canceled => Err(fault(canceled(&answer).into())),
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(fault(AttemptFault::Empty)),
            Err(cause) => Err(fault(cause.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_waited_for() {
        let refused = |code: &str| {
            AttemptFault::Call(CallFault::Refused {
                code: Sentence::fitting(code),
                message: Sentence::default(),
            })
        };
        let io = |kind| io::Error::from(kind);
        for passes in [
            AttemptFault::Unreachable(io(io::ErrorKind::ConnectionRefused)),
            AttemptFault::Tls(io(io::ErrorKind::UnexpectedEof)),
            AttemptFault::Late,
            refused("14"),
        ] {
            assert!(passes.may_pass(), "{passes}");
        }
        for stays in [
            AttemptFault::Tls(io(io::ErrorKind::InvalidData)),
            AttemptFault::Unread,
            refused("7"),
            refused("3"),
        ] {
            assert!(!stays.may_pass(), "{stays}");
        }
    }
}
