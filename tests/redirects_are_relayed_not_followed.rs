//! A redirect is the caller's to follow: the exit's credential goes to no address that an answer names.

use http::Response;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{FakeApiServer, whole};
use crate::support::path::{Site, WAYS};

/// Case C18: 301, 302, 307 and 308 arrive as they were sent, and nobody calls at the address.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_their_code() {
    let elsewhere = FakeApiServer::echo().await;
    let location = format!("https://{}/stolen", elsewhere.address);
    let organisation = Organisation::new("acme");
    for upstream in ["h2", "http/1.1"] {
        let to = location.clone();
        let fake = FakeApiServer::start(&[upstream], move |request| {
            let code = request.uri().path().trim_start_matches('/').to_owned();
            let redirect = Response::builder()
                .status(code.as_str())
                .header("location", &to);
            let redirect = redirect.body(whole("elsewhere")).expect("a response");
            Box::pin(async { redirect })
        })
        .await;
        for way in WAYS {
            let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
            for protocol in PROTOCOLS {
                let mut connection =
                    Connection::open(&site, Some(&organisation.caller("a")), protocol).await;
                for code in [301, 302, 307, 308] {
                    let answer = connection
                        .get(&format!("/{code}"))
                        .await
                        .expect("an answer");
                    assert_eq!(answer.status(), code, "{upstream} {way:?} {protocol:?}");
                    assert_eq!(answer.headers()["location"], location.as_str());
                    assert_eq!(crate::support::caller::read(answer).await, b"elsewhere");
                }
            }
        }
        assert_eq!(fake.arrived().len(), 4 * 4, "each was asked once");
    }
    assert_eq!(elsewhere.connections(), 0, "nobody called there");
}
