//! Where it happens: an API server, the path to it, and two organisations that are both trusted.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;

use crate::support::certificates::Organisation;
use crate::support::fake_api_server::{AnswerBody, FakeApiServer, ok, silent, whole};
use crate::support::gangplank::Gangplank;
use crate::support::path::{Site, Way};

/// What a victim asks for: half a kilobyte.
pub(super) const BESIDE: &str = "/api/v1/namespaces/a/configmaps/b";

/// What the API server never answers.
pub(super) const SLOW: &str = "/slow";

/// What it answers with a mebibyte.
pub(super) const LARGE: &str = "/large";

/// What it answers without an end.
pub(super) const ENDLESS: &str = "/api/v1/secrets";

/// What it answers with a head and nothing more.
pub(super) const WATCH: &str = "/api/v1/pods?watch=1";

/// What is answered to a victim.
const OBJECT: &str = concat!(
    "{\"kind\":\"ConfigMap\",\"data\":{\"a\":\"",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "0123456789abcdef0123456789abcdef",
    "\"}}"
);

/// The ground.
pub(super) struct Ground {
    _fake: FakeApiServer,
    arrived: Arc<AtomicUsize>,
    pub(super) site: Site,
    pub(super) hostile: Organisation,
    pub(super) honest: Organisation,
}

impl Ground {
    /// One that nothing has happened on yet.
    pub(super) async fn new(way: Way) -> Self {
        let arrived = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&arrived);
        let fake = FakeApiServer::start(&["h2", "http/1.1"], move |request| {
            let target = request.uri().path_and_query().map(ToString::to_string);
            let target = target.unwrap_or_default();
            if target != BESIDE {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            Box::pin(async move {
                match target.as_str() {
                    SLOW => pending().await,
                    LARGE => Response::new(whole(vec![b'x'; 1 << 20])),
                    ENDLESS => Response::new(endless()),
                    WATCH => Response::new(silent()),
                    BESIDE => ok(OBJECT),
                    _ => ok("{}"),
                }
            })
        })
        .await;
        let (hostile, honest) = (Organisation::new("hostile"), Organisation::new("honest"));
        Self {
            site: Site::start(way, &fake.kubeconfig(), &[&hostile, &honest]),
            _fake: fake,
            arrived,
            hostile,
            honest,
        }
    }

    /// How many requests have reached the API server besides the victim's.
    pub(super) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// The processes of the path, the relay first where there is one.
    pub(super) fn processes(&self) -> Vec<&Gangplank> {
        let relay = self.site.relay.iter().map(|relay| &relay.process);
        relay.chain([&self.site.exit]).collect()
    }
}

fn endless() -> AnswerBody {
    let pieces = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(&[7; 16 << 10]))));
    StreamBody::new(pieces).boxed()
}
