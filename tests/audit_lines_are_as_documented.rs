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
    let page = Page::open("operate.md");
    let documented: BTreeSet<String> = page
        .rows("The audit trail")
        .iter()
        .flat_map(|cells| {
            words(&cells[0])
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let (fake, known, stranger) = (
        FakeApiServer::echo().await,
        Organisation::new("known"),
        Organisation::new("b"),
    );
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&known]);
        let mut connection = Connection::open(&site, Some(&known.caller("a")), Protocol::Two).await;
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
        let mut refused = Connection::open(&site, Some(&stranger.caller("a")), Protocol::One).await;
        assert_eq!(refused.fetch("/refused").await.expect("an answer").0, 401);

        let one = |path: &str, stage: &str| {
            wait::until(&format!("the event of {path}"), || {
                event(&site, path, stage)
            })
        };
        let short = one("/short/%1b%5bm", "ended");
        let fields: BTreeSet<String> = short
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        let own: BTreeSet<String> = ["timestamp", "level", "target"].map(str::to_owned).into();
        assert_eq!(
            fields.difference(&own).cloned().collect::<BTreeSet<_>>(),
            documented,
            "{way:?}"
        );
        assert_eq!(short["level"], "INFO");
        for (field, value) in [
            ("user", known.username("a")),
            ("provider", "default/known".to_owned()),
            ("method", "GET".to_owned()),
            ("kind", "short".to_owned()),
            ("user_agent", "test/1 \\x09\\x5c\\xc3\\xa9".to_owned()),
            ("caller.audit_id", "callers-own".to_owned()),
            ("class", String::new()),
            ("ended", "whole".to_owned()),
            (
                "tunnel",
                if way == Way::Tunnel {
                    "harbour.acme"
                } else {
                    ""
                }
                .to_owned(),
            ),
        ] {
            assert_eq!(short[field], value.as_str(), "{way:?} {field}");
        }
        assert_eq!(
            (short["status"].as_u64(), short["bytes"].as_u64()),
            (Some(200), Some(2))
        );
        let certificate = short["certificate"].as_str().expect("a fingerprint");
        assert!(
            certificate.starts_with("sha256:") && certificate.len() == 71,
            "{certificate}"
        );
        let sent = fake.arrived_at("/short/%1b%5bm?command=secret");
        let sent = sent.last().expect("it arrived").values("audit-id");
        assert_eq!(
            sent,
            [short["request.id"].as_str().expect("an id")],
            "both audit logs join"
        );

        assert_eq!(one("/api/v1/pods", "started")["ended"], "");
        let ended = one("/api/v1/pods", "ended");
        assert_eq!(
            (ended["kind"].as_str(), ended["ended"].as_str()),
            (Some("watch"), Some("whole"))
        );
        assert_eq!(one("/as", "ended")["class"], "Impersonation");
        let refused = one("/refused", "ended");
        assert_eq!(
            (refused["class"].as_str(), refused["status"].as_u64()),
            (Some("UnknownIssuer"), Some(401))
        );
        assert_eq!(
            (refused["user"].as_str(), refused["provider"].as_str()),
            (Some(""), Some(""))
        );

        let trail: Vec<Value> = events(&site.exit.log());
        let trail = trail
            .iter()
            .filter(|event| event["target"] == "gangplank::audit");
        assert_eq!(trail.count(), 5, "one a request, two for the watch");
        assert!(
            !site.exit.log().contains("secret"),
            "{way:?}: no query and no token"
        );
    }
}

fn event(site: &Site, path: &str, stage: &str) -> Option<Value> {
    events(&site.exit.log()).into_iter().find(|event| {
        event["target"] == "gangplank::audit" && event["path"] == path && event["stage"] == stage
    })
}
