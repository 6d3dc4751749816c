//! What the audit trail says of a request.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::stage::{BOUND, ENTRANCE, Http, Stage, get, read, text};

type Line = BTreeMap<String, String>;

/// Keeps audit events, field by field.
#[derive(Clone, Default)]
struct Trail(Arc<Mutex<Vec<Line>>>);

struct Fields<'a>(&'a mut Line);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl Subscriber for Trail {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == crate::audit::TARGET
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::new();
        event.record(&mut Fields(&mut line));
        self.0.lock().unwrap().push(line);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl Trail {
    async fn lines(&self, count: usize) -> Vec<Line> {
        let all = async {
            loop {
                let lines = self.0.lock().unwrap().clone();
                if lines.len() >= count {
                    return lines;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(BOUND, all)
            .await
            .expect("the events come")
    }
}

#[tokio::test]
async fn one_line_a_request_and_two_for_what_runs_long() {
    let trail = Trail::default();
    // The whole exit runs on this thread, and so under this subscriber.
    // With a single dispatcher in the process, tracing asks the thread that first comes by an event's
    // place whether it is wanted, and another test's thread says no; hence two.
    let _second = tracing::Dispatch::new(Trail::default());
    let _heard = tracing::subscriber::set_default(trail.clone());
    let stage = Stage::new(|_| async { Response::new(text("four")) }).await;
    let papers = stage.partner("ns/a/id/b");
    let mut http = Http::One(stage.http1(Some(&papers)).await);
    let request = Request::get("/api/v1/namespaces/a/pods/p/exec?command=secret&x=\u{e9}")
        .header("host", ENTRANCE)
        .header("user-agent", "kubectl \\x1b[31m")
        .header("audit-id", "theirs")
        .header("authorization", "Bearer secret")
        .body(text(""))
        .unwrap();
    drop(read(http.send(request).await.unwrap()).await);
    drop(read(http.send(get("/api/v1/pods?watch=1")).await.unwrap()).await);
    let mut refused = Http::One(stage.http1(None).await);
    drop(read(refused.send(get("/api")).await.unwrap()).await);

    let lines = trail.lines(4).await;
    let short = &lines[0];
    for (field, value) in [
        ("stage", "ended"),
        ("user", "spiffe://source-cluster/ns/a/id/b"),
        ("provider", "default/partners"),
        ("client.addr", "192.0.2.7:4711"),
        ("client.addr_from", "relay"),
        ("tunnel", "east.acme"),
        ("method", "GET"),
        ("path", "/api/v1/namespaces/a/pods/p/exec"),
        ("status", "200"),
        ("bytes", "4"),
        ("ended", "whole"),
        ("caller.audit_id", "theirs"),
        ("user_agent", "kubectl \\x5cx1b[31m"),
    ] {
        assert_eq!(short.get(field).map(String::as_str), Some(value), "{field}");
    }
    assert!(short["certificate"].starts_with("sha256:"));
    assert_eq!(short["request.id"], stage.api.seen()[0].headers["audit-id"]);
    assert!(!format!("{lines:?}").contains("secret"));
    assert_eq!(
        (lines[1]["stage"].as_str(), lines[1]["kind"].as_str()),
        ("started", "watch")
    );
    assert_eq!(
        (lines[2]["stage"].as_str(), lines[2]["ended"].as_str()),
        ("ended", "whole")
    );
    assert_eq!(
        (lines[3]["status"].as_str(), lines[3]["class"].as_str()),
        ("401", "NoCertificate")
    );
    assert_eq!(lines[3]["user"], "");
}
