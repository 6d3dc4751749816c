//! Path and query reach the API server as the caller wrote them; nobody on the way tidies them.

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS};
use crate::support::wire::{self, Wire};

/// What is often normalised, decoded or cut.
const TARGETS: [&str; 16] = [
    "/api/v1/../x",
    "/api/./v1/",
    "//api//v1",
    "/",
    "/api/v1/namespaces/a%2Fb/c%2fd",
    "/%2e%2e/%2E%2E/x",
    "/a;b=c;d",
    "/a+b%20c?d+e%20f",
    "/lone%",
    "/lone?%",
    "/empty?",
    "/two??a",
    "/query?a=/../b//c",
    "/query?x=1&x=2&&=&;",
    "/escaped?labelSelector=a%3Db%2Cc%20in%20%28d%2Ce%29",
    "/unreserved?~!$'()*,-._:@",
];

/// Case C16: from HTTP/1.1 and HTTP/2, to HTTP/1.1 and HTTP/2, also a selector of 60 KB.
#[tokio::test(flavor = "multi_thread")]
async fn from_and_to_every_version() {
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    let long = format!(
        "/long?labelSelector=x%20in%20%28{}%29",
        "value%2C".repeat(60 * 128)
    );
    let targets: Vec<&str> = TARGETS.into_iter().chain([long.as_str()]).collect();
    for upstream in ["h2", "http/1.1"] {
        for way in WAYS {
            let fake = FakeApiServer::echo_over(&[upstream]).await;
            let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
            let mut wire = Wire::open(&site, &papers).await;
            let mut two = Connection::open(&site, Some(&papers), Protocol::Two).await;
            for target in &targets {
                wire.say(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
                    .await;
                let (head, _) = wire.answer().await;
                assert_eq!(
                    wire::status(&head),
                    200,
                    "{upstream} {way:?} HTTP/1.1 {target}: {head}"
                );
                let (status, said) = two.fetch(target).await.expect("an answer");
                assert_eq!(status, 200, "{upstream} {way:?} HTTP/2 {target}: {said}");
            }
            let arrived: Vec<String> = fake
                .arrived()
                .into_iter()
                .map(|request| request.target)
                .collect();
            let expected: Vec<&str> = targets
                .iter()
                .flat_map(|target| [*target, *target])
                .collect();
            assert_eq!(arrived, expected, "{upstream} {way:?}");
        }
    }
}
