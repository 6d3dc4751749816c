//! An API server whose every answer is written down.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gangplank_config::trust::TrustReport;
use gangplank_config::{TrustObjects, TrustRules, TrustSource};
use gangplank_pki::clock::Clock as _;
use gangplank_pki::clock::SystemClock;
use gangplank_pki::issue::CertificateAuthority;
use http::{Request, Response};
use kube::client::Body;
use serde_json::json;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::*;

/// What is asked for, and the answer to it.
struct Answer {
    watch: bool,
    code: u16,
    body: String,
}

/// Answers what is asked about providers as the test says, one after the other; there are no known clusters.
#[derive(Clone)]
struct Scripted(Arc<Mutex<mpsc::Receiver<Answer>>>);

impl Service<Request<Body>> for Scripted {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        let asked = request.uri().to_string();
        Box::pin(async move {
            let watch = asked.contains("watch=true");
            let answer = if asked.contains("knownclusters") {
                if watch {
                    return pending().await;
                }
                list(&[])
            } else {
                let Some(answer) = this.0.lock().await.recv().await else {
                    return pending().await;
                };
                answer
            };
            assert_eq!(answer.watch, watch, "{asked}");
            let mut response = Response::new(Body::from(answer.body.into_bytes()));
            *response.status_mut() = answer.code.try_into().unwrap();
            Ok(response)
        })
    }
}

fn object(name: &str) -> Value {
    let now = SystemClock.now();
    let authority = CertificateAuthority::create(name, 1, now).unwrap();
    json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1",
        "kind": "TrustedIdentityProvider",
        "metadata": { "name": name, "namespace": "namespace-a", "resourceVersion": "7", "generation": 1 },
        "spec": {
            "prefix": format!("spiffe://{name}/"),
            "certificateAuthorityData": STANDARD.encode(authority.certificate_pem()),
        },
    })
}

fn list(objects: &[&Value]) -> Answer {
    let body = json!({
        "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "5" }, "items": objects,
    });
    Answer {
        watch: false,
        code: 200,
        body: body.to_string(),
    }
}

fn refused(watch: bool, code: u16) -> Answer {
    let body = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "message": "not now",
    });
    Answer {
        watch,
        code,
        body: body.to_string(),
    }
}

/// A watch that tells this and ends.
fn told_by_watch(events: &[Value]) -> Answer {
    let lines = events.iter().map(|event| format!("{event}\n"));
    Answer {
        watch: true,
        code: 200,
        body: lines.collect(),
    }
}

async fn until(trust: &TrustSource, what: &str, fits: impl Fn(&TrustReport) -> bool + Send + Sync) {
    let mut reports = trust.reports();
    let bound = Duration::from_secs(600);
    let fitting = timeout(bound, reports.wait_for(|report| fits(report)))
        .await
        .is_ok();
    assert!(fitting, "{what}: {:#?}", trust.report());
}

fn is_interrupted(report: &TrustReport) -> bool {
    report
        .faults
        .iter()
        .any(|fault| fault.reason() == "NotFollowed")
}

/// No CRD, away, slow, 410, 500, back again: the last good stays, it is said, and it recovers.
#[tokio::test(start_paused = true)]
async fn whatever_an_api_server_does_the_last_good_stays_until_more_is_heard() {
    let (script, answers) = mpsc::channel(1);
    let client = Client::new(Scripted(Arc::new(Mutex::new(answers))), "default");
    let (trust, watcher, feed) = TrustObjects::open(TrustRules::default(), Arc::new(SystemClock));
    let (a, b, c) = (object("a"), object("b"), object("c"));
    let added = json!({ "type": "ADDED", "object": b });
    let gone = json!({ "type": "ERROR", "object": {
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 410, "message": "too old",
    } });
    let say = async |answer| script.send(answer).await.ok().unwrap();
    let story = async {
        say(refused(false, 404)).await;
        until(&trust, "no such kind", is_interrupted).await;
        assert!(trust.report().awaited);
        say(list(&[&a])).await;
        until(&trust, "the first list", |report| report.providers == 1).await;
        assert!(!trust.report().awaited);
        // A watch that ends by itself is asked for again, without a word.
        say(told_by_watch(&[])).await;
        say(told_by_watch(&[added, gone])).await;
        until(&trust, "an event", |report| report.providers == 2).await;
        assert_eq!(trust.report().faults, []);
        // What the API server does not remember is read as a whole: `a` went meanwhile.
        say(list(&[&b])).await;
        until(&trust, "the second list", |report| report.providers == 1).await;
        assert_eq!(trust.report().faults, []);
        say(refused(true, 500)).await;
        until(&trust, "an interruption", is_interrupted).await;
        say(refused(false, 503)).await;
        assert!(trust.report().vanished_since.is_some());
        assert_eq!(trust.report().providers, 1);
        say(list(&[&b, &c])).await;
        until(&trust, "the end of it", |report| report.providers == 2).await;
        until(&trust, "the end of it", |report| {
            report.vanished_since.is_none()
        })
        .await;
        // From here on no answer comes.
        until(&trust, "a watch that does not begin", is_interrupted).await;
        assert_eq!(trust.report().providers, 2);
    };
    tokio::select! {
        () = follow(client, feed) => panic!("it follows for ever"),
        () = watcher.run(CancellationToken::new()) => panic!("nobody stopped it"),
        () = story => {}
    }
}

#[test]
fn pauses_grow_to_a_bound() {
    for failures in [0, 1, 5, 31, 32, u32::MAX] {
        assert!(pause(failures) <= PAUSES.1, "{failures}");
    }
    assert!(pause(0) <= PAUSES.0);
    let longest = (0..200).map(|_| pause(40)).max();
    assert!(longest > Some(PAUSES.1 / 2), "they are drawn anew");
}
