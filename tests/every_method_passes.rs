//! Methods are the API server's affair, whichever they are, and so are answers without a body.

use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt as _;

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{FakeApiServer, ok, whole};
use crate::support::path::{Site, WAYS};

/// Case C13: with a body that comes back.
#[tokio::test(flavor = "multi_thread")]
async fn with_its_body() {
    let organisation = Organisation::new("acme");
    for upstream in ["h2", "http/1.1"] {
        let fake = FakeApiServer::start(&[upstream], |request| {
            Box::pin(async {
                let answer = Response::builder().header("x-method", request.method().as_str());
                let body = request.into_body().collect().await.expect("a whole body");
                answer.body(whole(body.to_bytes())).expect("a response")
            })
        })
        .await;
        for way in WAYS {
            let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
            for protocol in PROTOCOLS {
                let papers = organisation.caller("a");
                let mut connection = Connection::open(&site, Some(&papers), protocol).await;
                for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
                    for sent in ["", "{\"propagationPolicy\":\"Background\"}"] {
                        let request = Request::builder().method(method).uri("/x");
                        let request = request.header("content-type", "application/json");
                        let request = request.body(caller::body(sent)).expect("a request");
                        let answer = connection.send(request).await.expect("an answer");
                        let case = format!("{upstream} {way:?} {protocol:?} {method} {sent}");
                        assert_eq!(answer.status(), 200, "{case}");
                        assert_eq!(answer.headers()["x-method"], method, "{case}");
                        assert_eq!(caller::read(answer).await, sent.as_bytes(), "{case}");
                    }
                }
            }
        }
    }
}

/// Case C13: HEAD, 204 and 304 end with their headers, and the connection serves the next request.
#[tokio::test(flavor = "multi_thread")]
async fn and_answers_without_a_body() {
    let organisation = Organisation::new("acme");
    for upstream in ["h2", "http/1.1"] {
        let fake = FakeApiServer::start(&[upstream], |request| {
            let code = request.uri().path().trim_start_matches('/').to_owned();
            let head = request.method() == Method::HEAD;
            Box::pin(async move {
                let mut answer = ok("{}");
                if head || code != "200" {
                    *answer.body_mut() = whole("");
                }
                if head {
                    let length = answer.headers_mut();
                    length.insert("content-length", HeaderValue::from_static("2"));
                }
                *answer.status_mut() = code.parse().expect("a code");
                answer
            })
        })
        .await;
        for way in WAYS {
            let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
            for protocol in PROTOCOLS {
                let papers = organisation.caller("a");
                let mut connection = Connection::open(&site, Some(&papers), protocol).await;
                for (method, code, body) in [
                    (Method::HEAD, 200, ""),
                    (Method::GET, 204, ""),
                    (Method::DELETE, 204, ""),
                    (Method::GET, 304, ""),
                    (Method::GET, 200, "{}"),
                ] {
                    let request = Request::builder().method(&method).uri(format!("/{code}"));
                    let request = request.body(caller::body("")).expect("a request");
                    let answer = connection.send(request).await.expect("an answer");
                    let case = format!("{upstream} {way:?} {protocol:?} {method} {code}");
                    assert_eq!(answer.status(), code, "{case}");
                    if method == Method::HEAD {
                        assert_eq!(answer.headers()["content-length"], "2", "{case}");
                    }
                    assert_eq!(caller::read(answer).await, body.as_bytes(), "{case}");
                }
            }
        }
    }
}
