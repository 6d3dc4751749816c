//! The client, looked after: what comes of each request is told to the [`Insight`], and nothing is changed without a
//! [`Mandate`].

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Method, Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use tower::Service;

use crate::insight::{Insight, Refused};
use crate::leader::Mandate;
use crate::trouble::with_causes;

/// What goes wrong below Kubernetes' own answers.
type Fault = Box<dyn std::error::Error + Send + Sync>;

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Fault>> + Send>>;

/// The same client, whose answers are told.
pub(crate) fn observed(client: &Client, insight: Insight) -> Client {
    let namespace = client.default_namespace().to_owned();
    let client = client.clone();
    Client::new(Observed { client, insight }, namespace)
}

/// The same client for as long as the mandate holds.
pub(crate) fn with_mandate(client: &Client, mandate: Mandate) -> Client {
    let namespace = client.default_namespace().to_owned();
    let client = client.clone();
    Client::new(Mandated { client, mandate }, namespace)
}

struct Observed {
    client: Client,
    insight: Insight,
}

impl Service<Request<Body>> for Observed {
    type Response = Response<Body>;
    type Error = Fault;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let (client, insight) = (self.client.clone(), self.insight.clone());
        let list = list(&request).map(ToOwned::to_owned);
        Box::pin(async move {
            match client.send(request).await {
                Ok(answer) => {
                    insight.api_server_answered();
                    if let Some(list) = list {
                        tell(&insight, &list, answer.status());
                    }
                    Ok(answer)
                }
                Err(error) => {
                    insight.api_server_is_away(&with_causes(&error));
                    Err(error.into())
                }
            }
        })
    }
}

/// The path, if the request reads all objects of one kind in the whole cluster.
fn list(request: &Request<Body>) -> Option<&str> {
    let path = request.uri().path();
    let segments = path.split('/').count();
    let is_list = (path.starts_with("/apis/") && segments == 5)
        || (path.starts_with("/api/") && segments == 4);
    (request.method() == Method::GET && is_list).then_some(path)
}

fn tell(insight: &Insight, list: &str, status: StatusCode) {
    match status {
        StatusCode::NOT_FOUND => insight.listed(list, Some(Refused::Unknown)),
        StatusCode::FORBIDDEN => insight.listed(list, Some(Refused::Forbidden)),
        status if status.is_success() => insight.listed(list, None),
        _ => {}
    }
}

struct Mandated {
    client: Client,
    mandate: Mandate,
}

/// This replica does not lead any more.
#[derive(Debug, thiserror::Error)]
#[error("this replica does not hold the lease and changes nothing")]
struct NoMandate;

impl Service<Request<Body>> for Mandated {
    type Response = Response<Body>;
    type Error = Fault;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        if !request.method().is_safe() && !self.mandate.holds() {
            return Box::pin(std::future::ready(Err(NoMandate.into())));
        }
        let client = self.client.clone();
        Box::pin(async move { Ok(client.send(request).await?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An API server that agrees to everything.
    struct Agreeing;

    impl Service<Request<Body>> for Agreeing {
        type Response = Response<Body>;
        type Error = Fault;
        type Future = std::future::Ready<Result<Response<Body>, Fault>>;

        fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _request: Request<Body>) -> Self::Future {
            std::future::ready(Ok(Response::new(Body::empty())))
        }
    }

    #[tokio::test]
    async fn nothing_is_changed_without_a_mandate() {
        let mandate = Mandate::none();
        let client = with_mandate(&Client::new(Agreeing, "default"), mandate.clone());
        let ask = async |method: &str| {
            let request = Request::builder().method(method).uri("/api/v1/secrets");
            let request = request.body(Body::empty()).expect("a request");
            client.send(request).await.map(|answer| answer.status())
        };
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let refused = ask(method).await.expect_err(method);
            assert!(
                with_causes(&refused).contains("does not hold the lease"),
                "{refused}"
            );
        }
        assert!(ask("GET").await.is_ok(), "looking changes nothing");
        mandate.extend(tokio::time::Instant::now() + std::time::Duration::from_secs(60));
        assert!(ask("PATCH").await.is_ok());
    }

    #[test]
    fn lists_of_the_whole_cluster_are_told_from_the_rest() {
        for (method, path, whole) in [
            (
                "GET",
                "/apis/gangplank.dev/v1alpha1/knownclusters?limit=500",
                true,
            ),
            ("GET", "/api/v1/secrets?watch=true", true),
            ("GET", "/api/v1/namespaces/shop/secrets", false),
            (
                "GET",
                "/apis/gangplank.dev/v1alpha1/namespaces/shop/things",
                false,
            ),
            ("POST", "/api/v1/secrets", false),
        ] {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .body(Body::empty())
                .expect("a request");
            assert_eq!(list(&request).is_some(), whole, "{method} {path}");
        }
    }
}
