//! The admin endpoint of a running role: metrics, liveness, readiness with reasons, status.
//!
//! It has its own listener, on loopback unless the operator says otherwise, and never shares a port with
//! callers or agents. It changes nothing, so it asks nobody who they are.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gangplank_tcp::Listener;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::status::{CertificateStatus, Status};

/// Connections at once: a scraper, two probes, a person with `gangplank status`, and room for each to retry.
const CONNECTIONS: usize = 32;

/// A probe that has not sent its request line by then is not one.
const HEADER_DEADLINE: Duration = Duration::from_secs(5);

/// OpenMetrics' media type, which prometheus asks for.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a role lets the admin endpoint see.
pub(crate) trait Observed: Send + Sync {
    /// Why the role is not ready to take callers; empty when it is.
    fn unready(&self) -> Vec<String>;
    /// How it goes, in a line.
    fn summary(&self) -> String;
    /// What it shows others, and the authorities by which it knows who is at the other end of a tunnel.
    fn certificates(&self) -> Vec<CertificateStatus>;
    /// Until when the authority of callers that ends first is good, in seconds since 1970.
    fn callers_authorities_end(&self) -> Option<u64> {
        None
    }
    /// Everything `gangplank status` shows.
    fn status(&self) -> Status;
}

/// The endpoint's parts, shared by its connections.
pub(crate) struct Admin {
    /// The role that is looked at.
    pub(crate) role: Arc<dyn Observed>,
    /// The process's metrics.
    pub(crate) metrics: Arc<Registry>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Serves the endpoint until `shutdown`.
pub(crate) async fn serve(
    admin: Arc<Admin>,
    mut listener: Listener,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Some((socket, _)) = shutdown.run_until_cancelled(listener.accept(|| ())).await else {
            return;
        };
        let (admin, shutdown) = (Arc::clone(&admin), shutdown.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = answer_connection(admin, socket) => {}
            }
            drop(place);
        });
    }
}

/// Serves one connection to its end.
async fn answer_connection(admin: Arc<Admin>, socket: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = admin.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

impl Admin {
    /// The answer to one request; only reads.
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return text(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET and HEAD\n".to_owned(),
            );
        }
        match path {
            "/metrics" => self.metrics_page(),
            "/livez" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => self.readiness(),
            "/status" => self.status_page(),
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /metrics, /livez, /readyz and /status\n".to_owned(),
            ),
        }
    }

    fn metrics_page(&self) -> Response<Full<Bytes>> {
        let mut page = String::new();
        match prometheus_client::encoding::text::encode(&mut page, &self.metrics) {
            Ok(()) => typed(StatusCode::OK, METRICS_TYPE, page),
            Err(_) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the metrics cannot be written\n".to_owned(),
            ),
        }
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let reasons = self.role.unready();
        if reasons.is_empty() {
            return text(StatusCode::OK, "ok\n".to_owned());
        }
        text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready:\n- {}\n", reasons.join("\n- ")),
        )
    }

    fn status_page(&self) -> Response<Full<Bytes>> {
        match serde_json::to_string_pretty(&self.role.status()) {
            Ok(page) => typed(StatusCode::OK, "application/json", page),
            Err(_) => text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the status cannot be written\n".to_owned(),
            ),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    typed(status, "text/plain; charset=utf-8", body)
}

fn typed(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
