//! An answer's headers may be long: kube-apiserver sends up to 4,096 characters of warnings, and aggregated servers add theirs.

use http::{HeaderValue, Response};

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{FakeApiServer, whole};
use crate::support::path::{Site, WAYS};

/// A warning of as many characters as kube-apiserver cuts them to, each of four bytes.
fn warning() -> HeaderValue {
    let text = format!("299 - \"{}\"", "\u{1f6a2}".repeat(4096));
    HeaderValue::from_bytes(text.as_bytes()).expect("UTF-8 is let through")
}

/// Case C40: 16 KB, and 64 KB in several lines, from and to both versions of HTTP.
#[tokio::test(flavor = "multi_thread")]
async fn from_and_to_every_version() {
    let organisation = Organisation::new("acme");
    let papers = organisation.caller("a");
    for upstream in ["h2", "http/1.1"] {
        let fake = FakeApiServer::start(&[upstream], |request| {
            let count = request.uri().path().trim_start_matches('/').parse();
            let mut answer = Response::new(whole("below them"));
            for _ in 0..count.expect("a number") {
                answer.headers_mut().append("warning", warning());
            }
            Box::pin(async { answer })
        })
        .await;
        for way in WAYS {
            let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
            for protocol in PROTOCOLS {
                let mut connection = Connection::open(&site, Some(&papers), protocol).await;
                for count in [1, 4] {
                    let case = format!("{upstream} {way:?} {protocol:?} {count}");
                    let answer = connection.get(&format!("/{count}")).await;
                    let answer = answer.unwrap_or_else(|error| panic!("{case}: {error}"));
                    assert_eq!(answer.status(), 200, "{case}");
                    let warnings: Vec<_> = answer.headers().get_all("warning").iter().collect();
                    assert_eq!(warnings, vec![&warning(); count], "{case}");
                    assert_eq!(caller::read(answer).await, b"below them", "{case}");
                }
            }
        }
    }
}
