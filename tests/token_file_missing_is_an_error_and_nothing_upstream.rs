//! Without its own credential the exit asks the API server nothing.

use std::fs;

use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::own_answer::{self, OwnAnswer};
use crate::support::path::{Site, Way};
use crate::support::{caller, wait};

/// What the exit calls all of them.
const CLASS: &str = "CredentialUnusable";

/// Case A63: the file vanishes, or is empty, cannot be read, or is no token; requests and upgrades alike; and it recovers.
#[tokio::test(flavor = "multi_thread")]
async fn until_it_is_back() {
    let fake = FakeApiServer::echo().await;
    let token = fake.kubeconfig_with_token_file("first");
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    let site = Site::start(Way::Direct, &token.kubeconfig, &[&organisation]);
    let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(connection.fetch("/").await.expect("an answer").0, 200);
    let faults: [(&str, &dyn Fn()); 4] = [
        ("missing", &|| {
            fs::remove_file(&token.path).expect("removed");
        }),
        ("empty", &|| token.write("\n")),
        // What not even an administrator can read as a file.
        ("unreadable", &|| {
            fs::remove_file(&token.path).expect("removed");
            fs::create_dir(&token.path).expect("made");
        }),
        ("no token", &|| token.write("two words")),
    ];
    for (what, spoil) in faults {
        spoil();
        await_fault(&site, &papers).await;
        let before = fake.arrived().len();
        for protocol in PROTOCOLS {
            let mut connection = Connection::open(&site, Some(&papers), protocol).await;
            let answer = own_answer::read(connection.get("/").await.expect("an answer")).await;
            assert_eq!(
                (answer.code, answer.class.as_str()),
                (503, CLASS),
                "{answer:?}"
            );
        }
        let answer = upgrade(&site, &papers).await;
        assert_eq!(
            (answer.code, answer.class.as_str()),
            (503, CLASS),
            "{answer:?}"
        );
        assert_eq!(fake.arrived().len(), before, "{what}: nothing arrived");
        if token.path.is_dir() {
            fs::remove_dir(&token.path).expect("removed");
        }
        token.write("second");
        wait::until_async("the token that is back to be used", || async {
            let mut connection = Connection::open(&site, Some(&papers), Protocol::One).await;
            connection
                .fetch("/")
                .await
                .ok()
                .filter(|(status, _)| *status == 200)
        })
        .await;
    }
    for request in fake.arrived() {
        let sent = request.values("authorization");
        assert!(
            sent == ["Bearer first"] || sent == ["Bearer second"],
            "{sent:?}"
        );
    }
}

/// A token that was read is good for a moment more: waits until the exit has noticed.
async fn await_fault(site: &Site, papers: &Papers) {
    wait::until_async("the fault to be noticed", || async {
        let mut connection = Connection::open(site, Some(papers), Protocol::Two).await;
        let response = connection.get("/").await.expect("an answer");
        let warning = response.headers().get("warning")?.to_str().ok()?.to_owned();
        warning.contains(CLASS).then_some(())
    })
    .await;
}

async fn upgrade(site: &Site, papers: &Papers) -> OwnAnswer {
    let mut connection = Connection::open(site, Some(papers), Protocol::One).await;
    let request = http::Request::post("/api/v1/namespaces/a/pods/b/exec")
        .header("connection", "Upgrade")
        .header("upgrade", "SPDY/3.1")
        .body(caller::body(""));
    own_answer::read(
        connection
            .send(request.expect("a request"))
            .await
            .expect("an answer"),
    )
    .await
}
