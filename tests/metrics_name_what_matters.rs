//! The metrics are those of `docs/operate.md`, no more and no fewer, with help; they count; and nothing that a caller
//! writes becomes a label.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use gangplank_tunnel::wire::CloseCode;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tokio::sync::Notify;

use crate::support::agent_by_hand::AgentByHand;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::entrance::{self, INTERNAL_ERROR, UNRECOGNIZED_NAME, alert};
use crate::support::fake_api_server::{AnswerBody, FakeApiServer, ok};
use crate::support::gangplank::Gangplank;
use crate::support::manual::{Page, words};
use crate::support::path::{DOMAIN, Relay, Site};
use crate::support::{caller, hello, kept, wait};

/// A word that callers write wherever they can; it must not be found in any metric.
const EVIL: &str = "evil";

/// Counted only when the API server takes back a connection at the very moment of a request.
const RARE: &str = "gangplank_upstream_requests_sent_again_total";

/// A scraped page, family by family.
#[derive(Debug, Default)]
struct Scrape {
    /// Type and help by the name in the manual's form.
    families: BTreeMap<String, (String, String)>,
    /// Label names by family.
    labels: BTreeMap<String, BTreeSet<String>>,
    series: BTreeMap<String, f64>,
}

impl Scrape {
    fn of(role: &Gangplank) -> Self {
        let mut scrape = Self::default();
        let mut helps = BTreeMap::new();
        let page = role.metrics();
        for line in page.lines() {
            if let Some((name, help)) = line
                .strip_prefix("# HELP ")
                .and_then(|rest| rest.split_once(' '))
            {
                helps.insert(name, help);
            } else if let Some((name, kind)) = line
                .strip_prefix("# TYPE ")
                .and_then(|rest| rest.split_once(' '))
            {
                let total = if kind == "counter" { "_total" } else { "" };
                let help = (*helps.get(name).expect("help before the type")).to_owned();
                scrape
                    .families
                    .insert(format!("{name}{total}"), (kind.to_owned(), help));
            } else if !line.starts_with('#') {
                scrape.note_series(line);
            }
        }
        assert!(page.ends_with("# EOF\n"), "OpenMetrics ends like this");
        scrape
    }

    fn note_series(&mut self, line: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series
            .trim_end_matches('}')
            .split_once('{')
            .unwrap_or((series, ""));
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| name.strip_suffix(part));
        let family = family
            .filter(|family| self.families.contains_key(*family))
            .unwrap_or(name);
        let names = labels
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(name, _)| name.to_owned());
        self.labels
            .entry(family.to_owned())
            .or_default()
            .extend(names.filter(|name| name != "le"));
        self.series
            .insert(series.to_owned(), value.parse().expect("a number"));
    }

    /// The value of a count; 0 where nothing was counted yet.
    fn value(&self, series: &str) -> i32 {
        self.series
            .get(series)
            .map_or(0, |value| format!("{value:.0}").parse().expect("a count"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_in_the_manual() {
    let known = Organisation::new("acme");
    let breaking = Arc::new(Notify::new());
    let fake = fallible_api_server(Arc::clone(&breaking)).await;
    let relay = Arc::new(Relay::start_enrolling(10));
    let mut site = Site::joined(&relay, "harbour.acme", &fake.kubeconfig(), &[&known]);
    drop(relay);
    let proxy = Site::direct(&fake.kubeconfig(), &[&known]);
    let lenient = Site::direct(&fake.kubeconfig(), &[&known])
        .with_exit_line("nestedImpersonation: Authorize");
    for exit in [&site, &proxy] {
        assert_counts(exit, &known, &breaking).await;
    }
    wish(&lenient, &known).await;
    bother(site.relay.as_ref().expect("a relay")).await;
    for exit in [&site, &proxy] {
        std::fs::write(exit.folder().join("trust/evil.yaml"), "kind: [").expect("written");
        wait::until("the fault to be counted", || {
            let faults = exit
                .exit
                .metric("gangplank_trust_faults{reason=\"NotYaml\"} ");
            (faults == Some(1.0)).then_some(())
        });
    }
    fake.stop_listening();
    for exit in [&site, &proxy] {
        let mut connection = Connection::open(exit, Some(&known.caller("a")), Protocol::One).await;
        assert_eq!(
            connection
                .send(upgrade())
                .await
                .expect("an answer")
                .status(),
            503
        );
    }

    wait::until("a renewal to be counted", || {
        let renewals = "gangplank_agent_renewals_total{outcome=\"Renewed\"}";
        site.exit.metric(renewals)
    });
    let relay = site.relay.take().expect("a relay");
    let mut pages = vec![
        ("proxy", Scrape::of(&proxy.exit)),
        ("proxy", Scrape::of(&lenient.exit)),
        ("relay", Scrape::of(&relay.process)),
    ];
    let mut relay = Arc::into_inner(relay).expect("this test alone has the relay");
    relay.process.kill();
    relay.restart();
    wait::until("the agent to come back", || {
        relay.has_tunnel("harbour.acme").then_some(())
    });
    pages.push(("agent", Scrape::of(&site.exit)));
    pages.push(("controller", of_a_controller_at_work()));
    assert_as_in_the_manual(&pages);
}

fn of_a_controller_at_work() -> Scrape {
    let kept = kept::shared();
    kept.namespace("metrics");
    kept.apply(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Identity\nmetadata:\n  name: counted\n  \
         namespace: metrics\nspec:\n  secretName: counted\n",
    );
    kept.await_reason("metrics", "identity", "counted", "Issued");
    Scrape::of(kept.running())
}

/// This API server answers reviews with something else.
async fn wish(lenient: &Site, known: &Organisation) {
    let mut connection = Connection::open(lenient, Some(&known.caller("a")), Protocol::One).await;
    let request = Request::get("/").header("impersonate-user", EVIL);
    let request = request.body(caller::body("")).expect("a request");
    let answer = connection.send(request).await.expect("an answer");
    assert_eq!(answer.status(), 502);
}

fn assert_as_in_the_manual(pages: &[(&str, Scrape)]) {
    let rows = Page::open("operate.md").rows("Metrics").into_iter();
    let manual: BTreeMap<String, Vec<String>> = rows
        .map(|cells| (words(&cells[0])[0].to_owned(), cells))
        .collect();
    assert!(manual.len() >= 20, "the ones that matter: {}", manual.len());
    let mut seen = BTreeSet::from([RARE.to_owned()]);
    for (role, page) in pages {
        for (name, (kind, help)) in &page.families {
            let row = manual.get(name);
            let row =
                row.unwrap_or_else(|| panic!("the manual does not know {name} of the {role}"));
            assert_eq!(&row[1], kind, "{name}");
            let roles: Vec<&str> = row[3].split(", ").collect();
            assert!(
                roles.contains(role),
                "{name} is on the {role}'s page: {row:?}"
            );
            assert!(
                help.len() > 10 && help.ends_with('.'),
                "{name} says what it is: {help}"
            );
            let labels: BTreeSet<String> = words(&row[2]).into_iter().map(str::to_owned).collect();
            assert_eq!(
                page.labels.get(name).cloned().unwrap_or_default(),
                labels,
                "{name}"
            );
            seen.insert(name.clone());
        }
        let evil: Vec<&String> = page
            .series
            .keys()
            .filter(|series| series.contains(EVIL))
            .collect();
        assert!(evil.is_empty(), "a caller wrote it: {evil:?}");
    }
    let missing: Vec<&String> = manual.keys().filter(|name| !seen.contains(*name)).collect();
    assert!(
        missing.is_empty(),
        "in the manual and nowhere else: {missing:?}"
    );
}

/// What an exit is made to count is counted, once each.
async fn assert_counts(exit: &Site, known: &Organisation, breaking: &Notify) {
    let before = Scrape::of(&exit.exit);
    exercise(exit, known, breaking).await;
    let after = Scrape::of(&exit.exit);
    for (series, count) in [
        (
            "gangplank_exit_requests_total{method=\"GET\",code=\"200\"}",
            4,
        ),
        (
            "gangplank_exit_requests_total{method=\"other\",code=\"200\"}",
            2,
        ),
        (
            "gangplank_exit_requests_total{method=\"GET\",code=\"403\"}",
            2,
        ),
        ("gangplank_exit_refusals_total{class=\"UnknownIssuer\"}", 1),
        (
            "gangplank_exit_answers_cut_short_total{reason=\"BrokeOff\"}",
            1,
        ),
        ("gangplank_exit_certificate_remaining_seconds_count", 2),
    ] {
        assert_eq!(
            after.value(series) - before.value(series),
            count,
            "{series}"
        );
    }
}

/// Brings about everything that an exit counts.
async fn exercise(exit: &Site, known: &Organisation, breaking: &Notify) {
    let papers = known.caller("a");
    let mut two = Connection::open(exit, Some(&papers), Protocol::Two).await;
    for number in 0..3 {
        let answer = two.fetch(&format!("/{EVIL}/{number}?{EVIL}")).await;
        assert_eq!(answer.expect("an answer").0, 200);
    }
    for method in ["EVIL", "BREW"] {
        let request = Request::builder()
            .method(method)
            .uri("/")
            .body(caller::body(""));
        assert_eq!(
            two.send(request.expect("a request"))
                .await
                .expect("an answer")
                .status(),
            200
        );
    }
    let impersonating = Request::get("/")
        .header("impersonate-user", EVIL)
        .body(caller::body(""));
    assert_eq!(
        two.send(impersonating.expect("a request"))
            .await
            .expect("an answer")
            .status(),
        403
    );
    let cut = two.get("/cut").await.expect("its head");
    breaking.notify_one();
    let rest = wait::within("its end", cut.into_body().collect()).await;
    rest.expect_err("half an answer");
    let mut one = Connection::open(exit, Some(&papers), Protocol::One).await;
    assert_eq!(one.send(upgrade()).await.expect("an answer").status(), 403);
    let mut bad = Connection::open(
        exit,
        Some(&Organisation::new("stranger").caller(EVIL)),
        Protocol::One,
    )
    .await;
    assert_eq!(bad.fetch("/").await.expect("an answer").0, 401);
}

/// Brings about what a relay counts besides callers that are served.
async fn bother(relay: &Arc<Relay>) {
    for number in 0..4 {
        let hello = hello::asking_for(format!("{EVIL}{number}.acme.{DOMAIN}").as_bytes());
        let told = entrance::say(relay.address, &hello)
            .await
            .expect("a clean end");
        assert_eq!(told, alert(UNRECOGNIZED_NAME));
    }
    let told = entrance::say(relay.address, b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n").await;
    assert!(told.expect("a clean end").starts_with(b"HTTP/1.1 400 "));
    let counted = Scrape::of(&relay.process);
    assert_eq!(
        counted.value("gangplank_relay_callers_total{outcome=\"UnknownTunnel\"}"),
        4
    );
    assert_eq!(
        counted.value("gangplank_relay_callers_total{outcome=\"PlainHttp\"}"),
        1
    );
    assert_eq!(
        counted.value("gangplank_relay_tunnels{tunnel=\"harbour.acme\",transport=\"quic\"}"),
        1
    );

    let leaving = AgentByHand::at(relay, "leaving.acme").await;
    leaving.session.close(CloseCode::Done, "");
    wait::until("the tunnel to be gone", || {
        (!relay.has_tunnel("leaving.acme")).then_some(())
    });

    // An agent that is there and answers nothing: stopped, as by a debugger.
    let (fake, nobody) = (FakeApiServer::echo().await, Organisation::new("nobody"));
    let stopped = Site::tunnel(relay, "stopped.acme", &fake.kubeconfig(), &[&nobody]);
    stopped.exit.signal("-STOP");
    let hello = hello::asking_for(stopped.entrance.as_bytes());
    let told = entrance::say(relay.address, &hello)
        .await
        .expect("a clean end");
    assert_eq!(told, alert(INTERNAL_ERROR));
}

/// A server that answers upgrades with 403, and `/cut` with half a body, which breaks off when it is told to.
async fn fallible_api_server(breaking: Arc<Notify>) -> FakeApiServer {
    let server = FakeApiServer::start(&["h2", "http/1.1"], move |request| {
        let answer = match request.uri().path() {
            "/cut" => Response::new(half(Arc::clone(&breaking))),
            "/exec" => {
                let mut refused = ok("{}");
                *refused.status_mut() = http::StatusCode::FORBIDDEN;
                refused
            }
            _ => ok("{}"),
        };
        Box::pin(async move { answer })
    });
    server.await
}

fn half(breaking: Arc<Notify>) -> AnswerBody {
    let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"half")))]);
    let then = stream::once(async move {
        breaking.notified().await;
        Err(std::io::Error::other("no more"))
    });
    BodyExt::boxed(StreamBody::new(first.chain(then)))
}

fn upgrade() -> Request<caller::AnyBody> {
    let request = Request::get("/exec")
        .header("connection", "upgrade")
        .header("upgrade", "SPDY/3.1");
    request.body(caller::body("")).expect("a request")
}
