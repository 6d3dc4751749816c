//! The audit trail has exactly the fields of `docs/operate.md`, and they say what the page says.

use std::collections::BTreeSet;

use http::Request;
use serde_json::Value;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::events;
use crate::support::manual::{Page, words};
use crate::support::path::{Site, WAYS, Way};
use crate::support::{caller, wait};

/// Case H1.
#[tokio::test(flavor = "multi_thread")]
async fn field_by_field() {
    let fake = FakeApiServer::echo().await;
    let (known, stranger) = (Organisation::new("known"), Organisation::new("b"));
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&known]);
        make_requests(&site, &known, &stranger).await;

        let short = event(&site, "/short/%1b%5bm", "ended");
        let fields: BTreeSet<String> = short
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        assert_eq!(fields, documented(), "{way:?}");
        assert_short(&short, way, &known);
        let sent = fake.arrived_at("/short/%1b%5bm?command=secret");
        let sent = sent.last().expect("it arrived").values("audit-id");
        assert_eq!(
            sent,
            [short["request.id"].as_str().expect("an id")],
            "both audit logs join"
        );

        for (path, stage, field, value) in [
            ("/api/v1/pods", "started", "ended", ""),
            ("/api/v1/pods", "ended", "ended", "whole"),
            ("/api/v1/pods", "ended", "kind", "watch"),
            ("/as", "ended", "class", "Impersonation"),
            ("/refused", "ended", "class", "UnknownIssuer"),
            ("/refused", "ended", "user", ""),
            ("/refused", "ended", "provider", ""),
        ] {
            assert_eq!(
                event(&site, path, stage)[field],
                value,
                "{way:?} {path} {stage} {field}"
            );
        }
        assert_eq!(event(&site, "/refused", "ended")["status"], 401);
        assert_eq!(trail(&site).len(), 5, "one a request, two for the watch");
        assert!(
            !site.exit.log().contains("secret"),
            "{way:?}: no query and no token"
        );
    }
}

/// The fields of the page.
fn documented() -> BTreeSet<String> {
    let rows = Page::open("operate.md").rows("The audit trail");
    let fields = rows.iter().flat_map(|cells| words(&cells[0]));
    fields.map(str::to_owned).collect()
}

async fn make_requests(site: &Site, known: &Organisation, stranger: &Organisation) {
    let mut connection = Connection::open(site, Some(&known.caller("a")), Protocol::Two).await;
    let asked = Request::get("/short/%1b%5bm?command=secret")
        .header("user-agent", &b"test/1 \t\\\xc3\xa9"[..])
        .header("audit-id", "callers-own")
        .header("authorization", "Bearer secret")
        .body(caller::body(""));
    connection
        .send(asked.expect("a request"))
        .await
        .expect("an answer");
    connection
        .fetch("/api/v1/pods?watch=1")
        .await
        .expect("an answer");
    let impersonating = Request::get("/as")
        .header("impersonate-user", "root")
        .body(caller::body(""));
    connection
        .send(impersonating.expect("a request"))
        .await
        .expect("an answer");
    let mut refused = Connection::open(site, Some(&stranger.caller("a")), Protocol::One).await;
    assert_eq!(refused.fetch("/refused").await.expect("an answer").0, 401);
}

fn assert_short(event: &Value, way: Way, known: &Organisation) {
    let username = known.username("a");
    for (field, value) in [
        ("level", "INFO"),
        ("user", username.as_str()),
        ("provider", "default/known"),
        ("method", "GET"),
        ("kind", "short"),
        ("user_agent", "test/1 \\x09\\x5c\\xc3\\xa9"),
        ("caller.audit_id", "callers-own"),
        ("class", ""),
        ("ended", "whole"),
        (
            "tunnel",
            if way == Way::Tunnel {
                "harbour.acme"
            } else {
                ""
            },
        ),
    ] {
        assert_eq!(event[field], value, "{way:?} {field}");
    }
    assert_eq!(
        (event["status"].as_u64(), event["bytes"].as_u64()),
        (Some(200), Some(2))
    );
    let certificate = event["certificate"].as_str().expect("a fingerprint");
    assert!(
        certificate.starts_with("sha256:") && certificate.len() == 71,
        "{certificate}"
    );
}

/// The event of a request, once it is there.
fn event(site: &Site, path: &str, stage: &str) -> Value {
    wait::until(&format!("the event of {path}"), || {
        let about = |event: &Value| event["path"] == path && event["stage"] == stage;
        trail(site).into_iter().find(about)
    })
}

fn trail(site: &Site) -> Vec<Value> {
    let events = events(&site.exit.log()).into_iter();
    events
        .filter(|event| event["target"] == "gangplank::audit")
        .collect()
}
