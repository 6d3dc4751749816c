//! What the API server says in other encodings and media types passes byte for byte, and so does what it is asked.

use http::{Request, Response};

use crate::support::caller;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, PROTOCOLS};
use crate::support::fake_api_server::{FakeApiServer, whole};
use crate::support::path::{Site, WAYS};

/// Stands for a gzip stream: bytes that nobody on the way may understand.
const COMPRESSED: &[u8] =
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x00\x01\x02\xfe\xff\r\n\r\n0\r\n\r\n";

/// Case C14: a compressed body keeps its bytes, its length and its encoding.
#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body() {
    let organisation = Organisation::new("acme");
    for upstream in ["h2", "http/1.1"] {
        let fake = FakeApiServer::start(&[upstream], |_| {
            Box::pin(async {
                let answer = Response::builder()
                    .header("content-encoding", "gzip")
                    .header("vary", "Accept-Encoding");
                answer.body(whole(COMPRESSED)).expect("a response")
            })
        })
        .await;
        for way in WAYS {
            let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
            for protocol in PROTOCOLS {
                let mut connection =
                    Connection::open(&site, Some(&organisation.caller("a")), protocol).await;
                let request = Request::get("/")
                    .header("accept-encoding", "gzip")
                    .body(caller::body(""));
                let answer = connection
                    .send(request.expect("a request"))
                    .await
                    .expect("an answer");
                let length = COMPRESSED.len().to_string();
                for (name, value) in [
                    ("content-encoding", "gzip"),
                    ("vary", "Accept-Encoding"),
                    ("content-length", length.as_str()),
                ] {
                    assert_eq!(
                        answer.headers().get_all(name).iter().collect::<Vec<_>>(),
                        [value],
                        "{name}"
                    );
                }
                assert_eq!(
                    caller::read(answer).await,
                    COMPRESSED,
                    "{upstream} {way:?} {protocol:?}"
                );
            }
        }
        for request in fake.arrived() {
            assert_eq!(request.values("accept-encoding"), ["gzip"]);
        }
    }
}

/// Case C15: `Accept` and `Content-Type` with their parameters in both directions, 406 and 415 too.
#[tokio::test(flavor = "multi_thread")]
async fn media_types() {
    let types = [
        "application/vnd.kubernetes.protobuf;stream=watch",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
        "application/cbor",
        "application/cbor-seq",
        "application/apply-patch+yaml",
    ];
    let fake = FakeApiServer::start(&["h2", "http/1.1"], |request| {
        let asked = request.headers().get("accept").cloned().expect("Accept");
        let code: u16 = request
            .uri()
            .path()
            .trim_start_matches('/')
            .parse()
            .expect("a code");
        Box::pin(async move {
            let answer = Response::builder()
                .status(code)
                .header("content-type", asked);
            answer.body(whole("...")).expect("a response")
        })
    })
    .await;
    let organisation = Organisation::new("acme");
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        for protocol in PROTOCOLS {
            let mut connection =
                Connection::open(&site, Some(&organisation.caller("a")), protocol).await;
            for (media, code) in types
                .into_iter()
                .flat_map(|media| [(media, 200), (media, 406), (media, 415)])
            {
                let request = Request::patch(format!("/{code}"))
                    .header("accept", media)
                    .header("content-type", media);
                let request = request.body(caller::body("...")).expect("a request");
                let answer = connection.send(request).await.expect("an answer");
                assert_eq!(answer.status(), code);
                assert_eq!(answer.headers()["content-type"], media);
            }
        }
    }
    let arrived = fake.arrived();
    assert_eq!(arrived.len(), 4 * 3 * types.len());
    for (number, request) in arrived.iter().enumerate() {
        let media = types[number / 3 % types.len()];
        assert_eq!(request.values("accept"), [media]);
        assert_eq!(request.values("content-type"), [media]);
        assert_eq!(request.method, "PATCH");
    }
}
