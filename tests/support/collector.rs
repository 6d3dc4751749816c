//! A collector of audit events over plain HTTP that can be away, slow, or unwilling.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How it treats a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes it.
    Willing,
    /// Answers 503.
    Unwilling,
    /// Does not answer until it is in another mood.
    Silent,
}

/// A running collector.
#[derive(Debug)]
pub(crate) struct Collector {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    mood: watch::Sender<Mood>,
    taken: Arc<Mutex<Vec<Value>>>,
    seen: Arc<Mutex<usize>>,
    accepting: JoinHandle<()>,
}

impl Collector {
    /// A collector on a port of the kernel's choice.
    pub(crate) async fn start(mood: Mood) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), mood).await
    }

    /// One at the address of another that is gone.
    pub(crate) async fn start_at(address: SocketAddr, mood: Mood) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port");
        let address = listener.local_addr().expect("an address");
        let (mood, moods) = watch::channel(mood);
        let taken = Arc::<Mutex<Vec<Value>>>::default();
        let seen = Arc::<Mutex<usize>>::default();
        let (keep, count) = (Arc::clone(&taken), Arc::clone(&seen));
        let accepting = tokio::spawn(async move {
            // Connections end with it, as they do with a process.
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (keep, count, moods) = (Arc::clone(&keep), Arc::clone(&count), moods.clone());
                let service = service_fn(move |request| {
                    let (keep, count, moods) =
                        (Arc::clone(&keep), Arc::clone(&count), moods.clone());
                    async move {
                        *count.lock() += 1;
                        Ok::<_, Infallible>(answer(request, moods, &keep).await)
                    }
                });
                let serving = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
                connections.spawn(async move { drop(serving.await) });
            }
        });
        Self {
            address,
            mood,
            taken,
            seen,
            accepting,
        }
    }

    /// Changes how it treats batches.
    pub(crate) fn set(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    /// How many batches have arrived, taken or not.
    pub(crate) fn seen(&self) -> usize {
        *self.seen.lock()
    }

    /// The ids of the requests whose end it has taken.
    pub(crate) fn ended(&self) -> BTreeSet<String> {
        let taken = self.taken();
        let ended = taken.iter().filter(|event| event["stage"] == "ended");
        ended.map(|event| event["request.id"].to_string()).collect()
    }

    /// All events it has taken.
    pub(crate) fn taken(&self) -> Vec<Value> {
        self.taken.lock().clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn answer(
    request: Request<Incoming>,
    mut moods: watch::Receiver<Mood>,
    taken: &Mutex<Vec<Value>>,
) -> Response<Empty<Bytes>> {
    assert_eq!(request.method(), "POST");
    assert_eq!(request.headers()["content-type"], "application/json");
    let Ok(body) = request.into_body().collect().await else {
        return Response::default();
    };
    let batch: Vec<Value> = serde_json::from_slice(&body.to_bytes()).expect("an array of events");
    let is_willing = moods
        .wait_for(|mood| *mood != Mood::Silent)
        .await
        .is_ok_and(|mood| *mood == Mood::Willing);
    let mut response = Response::default();
    if is_willing {
        taken.lock().extend(batch);
    } else {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}
