//! What the API server answers is relayed as it is: status, body and headers, errors above all.

use http::{HeaderValue, Response};

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{FakeApiServer, whole};
use crate::support::path::{Site, WAYS};

/// Headers of the API server that clients live by (the last three as kube-apiserver writes them).
const HEADERS: [(&str, &str); 9] = [
    ("content-type", "application/json"),
    ("retry-after", "7"),
    ("audit-id", "6f2a3c1e-0000-4000-8000-000000000000"),
    ("warning", "299 - \"v1 is deprecated\""),
    ("etag", "\"abc\""),
    ("cache-control", "no-cache, private"),
    ("www-authenticate", "Bearer realm=\"kubernetes\""),
    ("x-kubernetes-pf-flowschema-uid", "one"),
    ("x-kubernetes-pf-prioritylevel-uid", "two"),
];

/// Case C19, and the headers of case B30.
#[tokio::test(flavor = "multi_thread")]
async fn with_body_and_headers() {
    let organisation = Organisation::new("acme");
    for upstream in ["h2", "http/1.1"] {
        let fake = FakeApiServer::start(&[upstream], |request| {
            let code = request.uri().path().trim_start_matches('/').to_owned();
            let mut answer = Response::builder().status(code.as_str());
            for (name, value) in HEADERS {
                answer = answer.header(name, value);
            }
            let answer = answer.body(whole(body(&code))).expect("a response");
            Box::pin(async { answer })
        })
        .await;
        for way in WAYS {
            let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
            for protocol in PROTOCOLS {
                let mut connection =
                    Connection::open(&site, Some(&organisation.caller("a")), protocol).await;
                for code in [401, 403, 404, 409, 410, 422, 429, 500, 502, 503, 504] {
                    let answer = connection
                        .get(&format!("/{code}"))
                        .await
                        .expect("an answer");
                    assert_eq!(answer.status(), code, "{upstream} {way:?} {protocol:?}");
                    for (name, value) in HEADERS {
                        let ours = |value: &&HeaderValue| {
                            // A 401 is about the exit's account: the answer passes, and a warning of ours says so.
                            code == 401 && value.as_bytes().starts_with(b"299 gangplank ")
                        };
                        let values: Vec<_> = answer
                            .headers()
                            .get_all(name)
                            .iter()
                            .filter(|value| !ours(value))
                            .collect();
                        assert_eq!(
                            values,
                            [value],
                            "{code} {name}: {upstream} {way:?} {protocol:?}"
                        );
                    }
                    let text = caller::read(answer).await;
                    assert_eq!(String::from_utf8_lossy(&text), body(&code.to_string()));
                }
            }
        }
    }
}

fn body(code: &str) -> String {
    format!(
        "{{\"kind\":\"Status\",  \"code\":{code}, \"message\":\"User \\\"spiffe://ä\\\" cannot\"}}\n"
    )
}
