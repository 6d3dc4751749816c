//! The audit trail has exactly the fields of `docs/operate.md`, and they say what the page says.

use std::collections::BTreeSet;

use http::Request;
use http_body_util::BodyExt as _;
use serde_json::Value;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok};
use crate::support::manual::{Page, words};
use crate::support::path::{Site, WAYS, Way};
use crate::support::{audit, caller, wait};

/// A resource in a group, as the API server and the trail read it from the request line.
const SCALE: &str = "/apis/apps/v1/namespaces/a/deployments/web/scale";

/// Case H1.
#[tokio::test(flavor = "multi_thread")]
async fn field_by_field() {
    // Who answers before it has heard all is right to, and the trail counts what came until then.
    let fake = FakeApiServer::start(&["h2", "http/1.1"], |request| {
        Box::pin(async {
            drop(request.into_body().collect().await);
            ok("{}")
        })
    })
    .await;
    let (known, stranger) = (Organisation::new("known"), Organisation::new("b"));
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&known]);
        make_requests(&site, &known, &stranger).await;
        assert_short(&site, way, &known, &fake);
        for (path, stage, field, value) in [
            ("/api/v1/pods", "started", "verb", "watch"),
            ("/api/v1/pods", "ended", "ended", "whole"),
            ("/api/v1/pods", "ended", "kind", "watch"),
            ("/as", "ended", "class", "Impersonation"),
            ("/refused", "ended", "class", "UnknownIssuer"),
            (SCALE, "ended", "verb", "patch"),
            (SCALE, "ended", "api.group", "apps"),
            (SCALE, "ended", "api.version", "v1"),
            (SCALE, "ended", "resource", "deployments"),
            (SCALE, "ended", "subresource", "scale"),
            (SCALE, "ended", "namespace", "a"),
            (SCALE, "ended", "name", "web"),
        ] {
            let found = event(&site, path, stage);
            assert_eq!(found[field], value, "{way:?} {path} {stage} {field}");
        }
        let wish = event(&site, "/as", "ended");
        assert_eq!(wish["user"], known.username("a"), "{way:?}");
        assert_eq!(wish["impersonate.user"], "root\"", "{way:?}");
        assert_eq!(wish["impersonate.uid"], "0", "{way:?}");
        let list = |texts: &[&str]| serde_json::json!(texts);
        assert_eq!(wish["impersonate.groups"], list(&["a", "b"]), "{way:?}");
        assert_eq!(wish["impersonate.extra"], list(&["k=v"]), "{way:?}");
        assert_eq!(event(&site, SCALE, "ended")["bytes.received"], 3);
        let refused = event(&site, "/refused", "ended");
        assert_eq!(refused["status"], 401);
        assert_eq!((refused.get("user"), refused.get("provider")), (None, None));

        let lines = trail(&site);
        assert_eq!(lines.len(), 6, "one a request, two for the watch");
        let fields = lines.iter().filter_map(Value::as_object);
        let fields: BTreeSet<String> = fields.flat_map(|it| it.keys().cloned()).collect();
        let mut documented = documented();
        if way == Way::Direct {
            documented.remove("tunnel");
        }
        assert_eq!(fields, documented, "{way:?}");
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
    let requests = [
        Request::get("/short/%1b%5bm?command=secret")
            .header("user-agent", &b"test/1 \t\\\xc3\xa9"[..])
            .header("audit-id", "callers-own")
            .header("authorization", "Bearer secret")
            .body(caller::body("")),
        Request::get("/api/v1/pods?watch=1").body(caller::body("")),
        Request::get("/as")
            .header("impersonate-user", "root\"")
            .header("impersonate-uid", "0")
            .header("impersonate-group", "a")
            .header("impersonate-group", "b")
            .header("impersonate-extra-k", "v")
            .body(caller::body("")),
        Request::patch(SCALE).body(caller::body("yes")),
    ];
    for request in requests {
        let answer = connection.send(request.expect("a request")).await;
        answer.expect("an answer");
    }
    let mut refused = Connection::open(site, Some(&stranger.caller("a")), Protocol::One).await;
    assert_eq!(refused.fetch("/refused").await.expect("an answer").0, 401);
}

fn assert_short(site: &Site, way: Way, known: &Organisation, fake: &FakeApiServer) {
    let event = event(site, "/short/%1b%5bm", "ended");
    let username = known.username("a");
    for (field, value) in [
        ("level", "INFO"),
        ("user", username.as_str()),
        ("provider", "default/known"),
        ("method", "GET"),
        ("verb", "get"),
        ("kind", "short"),
        ("user_agent", "test/1 \\x09\\x5c\\xc3\\xa9"),
        ("caller.audit_id", "callers-own"),
        ("ended", "whole"),
    ] {
        assert_eq!(event[field], value, "{way:?} {field}");
    }
    let tunnel = event.get("tunnel").and_then(Value::as_str);
    let through = (way == Way::Tunnel).then_some("harbour.acme");
    assert_eq!((tunnel, event.get("class")), (through, None), "{way:?}");
    assert_eq!(
        [
            &event["status"],
            &event["bytes.received"],
            &event["bytes.sent"]
        ],
        [200, 0, 2]
    );
    let certificate = event["certificate"].as_str().expect("a fingerprint");
    assert!(
        certificate.starts_with("sha256:") && certificate.len() == 71,
        "{certificate}"
    );
    let sent = fake.arrived_at("/short/%1b%5bm?command=secret");
    let sent = sent.last().expect("it arrived").values("audit-id");
    let id = event["request.id"].as_str().expect("an id");
    assert_eq!(sent, [id], "both audit logs join");
}

/// The event of a request, once it is there.
fn event(site: &Site, path: &str, stage: &str) -> Value {
    wait::until(&format!("the event of {path}"), || {
        let about = |event: &Value| event["path"] == path && event["stage"] == stage;
        trail(site).into_iter().find(about)
    })
}

fn trail(site: &Site) -> Vec<Value> {
    audit::trail(&site.exit.log())
}
