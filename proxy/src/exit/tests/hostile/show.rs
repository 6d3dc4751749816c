//! An exit between callers of every kind and an API server that remembers.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use gangplank_config::role::exit::{ClientAuth, NestedImpersonation};
use gangplank_config::role::limits::Limits;
use gangplank_config::{Credential, Material, Token};
use gangplank_pki::clock::{Clock, ManualClock, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind};
use gangplank_pki::{Prefix, Provider, ProviderId, UsernameFrom};
use http::Version;
use proptest::prelude::*;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::case::{Case, chance, one_in};
use super::law::{Rightful, judge};
use super::recorder::{Record, Recorder};
use super::{http1, http2};
use crate::exit::tests::stage::{
    BOUND, FRIENDS, FakeApi, PARTNERS, Stage, TOKEN, caller, issue, key_pair,
};

/// Cases on one connection, if none ends it: a client library's keep-alive, in small.
const CASES_OF_A_CONNECTION: u64 = 24;

/// Streams at once on a connection of HTTP/2: what ends it ends them all.
const CASES_AT_ONCE: u64 = 6;

/// How much of what was sent a failure shows.
pub(super) const SHOWN: usize = 2_000;

/// Common names that are odd and allowed.
const NAMES: [&str; 4] = [
    "ns/shop/id/deployer",
    "a b,c=\"x\"; %2f\\ : <y>@z",
    "system:masters",
    "EV1L, Impersonate-User: x",
];

/// What the API server speaks, and how the proxy proves itself to it.
#[derive(Clone, Copy)]
pub(super) struct Scene {
    pub(super) versions: &'static [&'static [u8]],
    pub(super) by_certificate: bool,
}

impl Scene {
    pub(super) fn credential(self) -> Credential {
        if !self.by_certificate {
            return Credential::Token(Token::parse(TOKEN).unwrap());
        }
        let ca = CertificateAuthority::create("proxies", 1, SystemClock.now()).unwrap();
        let issued = issue(&ca, caller("proxy"), &SystemClock);
        Credential::ClientCertificate(Material::fixed(key_pair(&issued)))
    }
}

/// An exit with its callers, and what they have said.
pub(super) struct Show {
    stage: Stage,
    recorder: Recorder,
    callers: Vec<(Issued, Rightful)>,
    stranger: Issued,
    cases: HashMap<u64, Case>,
    ids: HashSet<Uuid>,
    /// Requests that the API server received, and how many of them asked to go on in another protocol.
    pub(super) received: u64,
    pub(super) switched: u64,
    seed: u64,
    /// The first case on the connection of the moment.
    first: u64,
}

impl Show {
    pub(super) async fn new(scene: Scene, seed: u64, credential: Credential) -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now()));
        let tasks = TaskTracker::new();
        let (api, recorder) = record(scene, &*clock, &tasks).await;
        let authority = api.address().to_string();
        // They come faster than one provider's callers may ask.
        let limits = Limits {
            requests_per_second: u64::MAX,
            request_burst: u64::MAX,
            ..Limits::default()
        };
        let rules = (ClientAuth::Request, NestedImpersonation::Refuse, limits);
        let stage = Stage::with_credential(credential, api, rules, clock, tasks);
        let groups = vec!["team a".to_owned(), "team-b".to_owned()];
        stage.trust(vec![
            stage.provider_partners(PARTNERS),
            grouped(&stage.friends, &groups),
        ]);
        let mut callers = Vec::new();
        for (at, name) in NAMES.into_iter().enumerate() {
            let (issued, prefix, groups) = if at % 2 == 0 {
                (stage.partner(name), PARTNERS, Vec::new())
            } else {
                (stage.friend(name), FRIENDS, groups.clone())
            };
            let rightful = Rightful {
                username: format!("{prefix}{name}"),
                groups,
                authority: authority.clone(),
                by_certificate: scene.by_certificate,
            };
            callers.push((issued, rightful));
        }
        let strange = CertificateAuthority::create("partners", 1, stage.clock.now()).unwrap();
        Self {
            stranger: issue(&strange, caller("ns/shop/id/deployer"), &*stage.clock),
            stage,
            recorder,
            callers,
            cases: HashMap::new(),
            ids: HashSet::new(),
            received: 0,
            switched: 0,
            seed,
            first: 0,
        }
    }

    /// Draws the cases of these numbers and has them said.
    pub(super) async fn run(&mut self, numbers: Range<u64>) {
        let mut next = numbers.start;
        while next < numbers.end {
            let mut rng = chance(self.seed, next);
            let stranger = one_in(&mut rng, 12);
            let who = if stranger {
                self.callers.len()
            } else {
                rng.random_range(0..self.callers.len())
            };
            // A connection of HTTP/2 carries six times as many cases before one of them ends it.
            let two = one_in(&mut rng, 7);
            let sitting = next..numbers.end.min(next + CASES_OF_A_CONNECTION);
            let (seed, from) = (self.seed, next);
            self.first = next;
            let said = tokio::time::timeout(BOUND, async {
                if two {
                    self.speak_http2(who, sitting.clone()).await
                } else {
                    self.speak_http1(who, sitting.clone()).await
                }
            });
            next = said
                .await
                .unwrap_or_else(|_| panic!("seed {seed}: the cases from {from} on do not end"));
            self.judge();
        }
    }

    fn papers(&self, who: usize) -> &Issued {
        self.callers
            .get(who)
            .map_or(&self.stranger, |(issued, _)| issued)
    }

    /// Says cases in turn until the connection or the range ends; the number of the next.
    async fn speak_http1(&mut self, who: usize, numbers: Range<u64>) -> u64 {
        let config = self
            .stage
            .client_config(Some(self.papers(who)), &[b"http/1.1"]);
        let tls = self.stage.tls(config, CancellationToken::new()).await;
        let mut line = http1::Line::new(tls.unwrap());
        for number in numbers.clone() {
            let mut rng = chance(self.seed, number);
            let mut case = Case::draw(&mut rng, number, who);
            if one_in(&mut rng, 16) {
                case.ask_to_switch(&mut rng);
            }
            let (wire, then) = http1::write(&mut case, &mut rng);
            case.wire = wire[..wire.len().min(SHOWN)].to_vec();
            let head = case.method == b"HEAD";
            let switches = case.upgrade.is_some();
            self.cases.insert(number, case);
            let more = if switches {
                line.switch(&wire).await.map(|()| false)
            } else {
                line.say(&wire, then, head).await
            };
            if !more.unwrap_or(false) {
                return number + 1;
            }
        }
        numbers.end
    }

    /// Says cases, some at once, until the connection or the range ends; the number of the next.
    async fn speak_http2(&mut self, who: usize, numbers: Range<u64>) -> u64 {
        let config = self.stage.client_config(Some(self.papers(who)), &[b"h2"]);
        let tls = self.stage.tls(config, CancellationToken::new()).await;
        let mut line = http2::Line::open(tls.unwrap()).await.unwrap();
        let seed = self.seed;
        let draw = |number| {
            let mut rng = chance(seed, number);
            let case = Case::draw(&mut rng, number, who);
            (case, rng)
        };
        let mut next = numbers.start;
        while next < numbers.end {
            let end = numbers.end.min(next + CASES_AT_ONCE);
            let mut cases: Vec<_> = (next..end).map(draw).collect();
            let said = line.say(&mut cases).await;
            let cases = cases.into_iter().map(|(case, _)| (case.number, case));
            self.cases.extend(cases);
            next = end;
            if !matches!(said, Ok(true)) {
                break;
            }
        }
        next
    }

    /// Judges what has arrived.
    fn judge(&mut self) {
        for record in self.recorder.take() {
            self.received += 1;
            self.switched += u64::from(record.fields.iter().any(|(name, _)| name == b"upgrade"));
            if let Err(why) = self.verdict(&record) {
                let (seed, first, record) = (self.seed, self.first, shown(&record));
                panic!("seed {seed}, connection from case {first} on: {why}\n{record}");
            }
        }
    }

    fn verdict(&mut self, record: &Record) -> Result<(), String> {
        let target = String::from_utf8_lossy(&record.target).into_owned();
        let mut parts = target.trim_start_matches('/').split(['/', '?']);
        let (kind, number) = (parts.next(), parts.next().unwrap_or_default());
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        let case = digits.parse().ok().and_then(|it: u64| self.cases.get(&it));
        let case = case.ok_or("a request that nobody sent")?;
        let Some((_, whose)) = self.callers.get(case.who) else {
            return Err(format!("case {}: a stranger's request", case.number));
        };
        let judged = if kind == Some("case") {
            judge(record, case, whose, &mut self.ids)
        } else {
            judge(record, &behind(case, &target), whose, &mut self.ids)
        };
        judged.map_err(|why| format!("case {}: {why}\n{}", case.number, told(case)))
    }
}

/// The harmless request that was sent behind a case.
fn behind(case: &Case, target: &str) -> Case {
    let known = ["after", "last"].map(|kind| format!("/{kind}/{}", case.number));
    let is_known = known.iter().any(|it| it == target);
    Case {
        method: b"GET".to_vec(),
        target: target.into(),
        fields: Vec::new(),
        body: Vec::new(),
        trailers: Vec::new(),
        upgrade: None,
        bodies: is_known.then(Vec::new).into_iter().collect(),
        ..case.clone()
    }
}

fn told(case: &Case) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let fields = case.fields.iter();
    let fields: String = fields
        .map(|(name, value)| format!("  {}: {}\n", text(name), text(value)))
        .collect();
    let (method, target) = (text(&case.method), text(&case.target));
    let (body, wire) = (text(&case.body), text(&case.wire));
    format!("sent {method} {target}\n{fields}  body {body}\n  wire {wire}")
}

fn shown(record: &Record) -> String {
    let sent = Case {
        number: 0,
        who: 0,
        http2: record.version == Version::HTTP_2,
        method: record.method.clone(),
        target: record.target.clone(),
        fields: record.fields.clone(),
        body: record.body.clone(),
        trailers: Vec::new(),
        upgrade: None,
        odd: false,
        second: None,
        wire: Vec::new(),
        bodies: Vec::new(),
    };
    told(&sent).replacen("sent", "received", 1)
}

/// An API server that remembers, at a port of its own.
async fn record(scene: Scene, now: &dyn Clock, tasks: &TaskTracker) -> (FakeApi, Recorder) {
    let ca = CertificateAuthority::create("api", 1, now.now()).unwrap();
    let hosts = vec!["127.0.0.1".to_owned()];
    let serving = key_pair(&issue(&ca, Kind::Relay { hosts }, now));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let recorder = Recorder::default();
    recorder.serve(listener, &serving, scene.versions, tasks);
    (FakeApi::elsewhere(address, ca), recorder)
}

fn grouped(ca: &CertificateAuthority, groups: &[String]) -> Provider {
    Provider::new(
        ProviderId::new("default", "friends"),
        Prefix::parse(FRIENDS).unwrap(),
        vec![ca.anchor().clone()],
        UsernameFrom::CommonName,
        groups.to_vec(),
    )
    .unwrap()
}
