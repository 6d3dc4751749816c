//! The API server's side of the exit.
//!
//! [`Client`] takes a request whose headers are final but for the credential and the host, checks that it
//! speaks for exactly the caller that it is said to, adds the proxy's own credential and sends it to the
//! one configured server. Ordinary requests share HTTP/2 connections or, plain reads, take turns on
//! HTTP/1.1 connections (`pool`); upgrades have an HTTP/1.1 connection each (`upgrade`). The exit's own questions go
//! with the ordinary ones (`review`). Redirects are answers like any other: they are never followed, so that
//! no credential goes where the configuration does not say (CVE-2020-8559, CVE-2022-3172).
//!
//! Not here: who the caller is, what of its request is passed on, and how answers and errors are told.

mod error;
mod exchange;
mod h1_connection;
mod h2_connection;
mod limits;
mod metrics;
mod outgoing;
mod pool;
mod review;
mod upgrade;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use gangplank_apiserver::{Connector, Credential};
use gangplank_config::upstream::Upstream;
use http::request::Parts;
use http::uri::Authority;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::error::UpstreamError;
use self::exchange::Failure;
pub(crate) use self::limits::READING_CONNECTIONS_OF_ONE;
use self::limits::{ATTEMPTS, Pace, UPGRADE_DIALS};
pub use self::metrics::Metrics;
use self::metrics::OutcomeLabels;
pub use self::outgoing::OnBehalf;
use self::outgoing::{Head, Outgoing};
use self::pool::Pool;
pub use self::upgrade::UpgradeAnswer;
use crate::body::{RequestBody, UpstreamBody};
pub use gangplank_apiserver::{CredentialError, DialError};

/// When the whole answer is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// As soon as the API server has it: a plain read may have a connection of its own until then.
    Soon,
    /// Bit by bit until someone ends it: a watch, a log that is followed; or nobody knows how, because the
    /// API server hands the request on; or others are to have those connections.
    Long,
}

/// Sends requests to one API server with one credential; a clone shares its connections.
#[derive(Clone, Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connector: Arc<Connector>,
    /// What `:authority` and `Host` say; `None` when the configured server is not a name.
    authority: Option<Authority>,
    pace: Pace,
    credential: Credential,
    pool: Pool,
    upgrade_turns: Semaphore,
    tasks: TaskTracker,
    stop: CancellationToken,
    metrics: Metrics,
}

impl Client {
    /// A client of `upstream` without a connection yet.
    ///
    /// Its tasks run on `tasks`. Once `stop` is cancelled it takes no request any more; requests that
    /// run end by themselves, so cancel it when callers have been drained.
    pub fn new(
        upstream: &Upstream,
        tasks: TaskTracker,
        stop: CancellationToken,
        metrics: Metrics,
    ) -> Self {
        Self::with_pace(upstream, tasks, stop, metrics, Pace::default())
    }

    fn with_pace(
        upstream: &Upstream,
        tasks: TaskTracker,
        stop: CancellationToken,
        metrics: Metrics,
        pace: Pace,
    ) -> Self {
        let credential = Credential::of(upstream, pace.dial.token_age);
        let connector = Arc::new(Connector::new(upstream, pace.dial));
        let pool = Pool::new(
            Arc::clone(&connector),
            pace,
            tasks.clone(),
            stop.clone(),
            metrics.clone(),
        );
        Self(Arc::new(Shared {
            authority: Authority::try_from(connector.authority()).ok(),
            connector,
            pace,
            credential,
            pool,
            upgrade_turns: Semaphore::new(UPGRADE_DIALS),
            tasks,
            stop,
            metrics,
        }))
    }

    /// Sends a request in the name of `who` and waits for the answer's headers.
    ///
    /// The request's headers must hold exactly one `Impersonate-User`, that one's. `Authorization` and `Host` are set here. Of the URI only path and query count; they are sent byte by byte.
    /// Dropping the returned future, or the answer's body, cancels the request. `again` makes the same
    /// request once more, should a connection certainly not have carried it; hardly ever, so that no
    /// request is copied beforehand.
    ///
    /// # Errors
    /// See [`UpstreamError`]; [`UpstreamError::certainly_not_sent`] tells whether the server may have
    /// acted.
    pub async fn send(
        &self,
        who: OnBehalf<'_>,
        request: Request<RequestBody>,
        answer: Expected,
        again: &(dyn Fn() -> Option<Request<()>> + Sync),
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let authority = self.authority()?;
        let (parts, body) = request.into_parts();
        let mut outgoing = Outgoing::new(self.head(who, parts).await?, body)?;
        let mut read = answer == Expected::Soon && outgoing.is_read();
        for attempt in 1..=ATTEMPTS {
            let own = if read {
                self.0.pool.place_for_read()
            } else {
                None
            };
            let silence = own.as_ref().map(|_| self.0.pace.reading_silence);
            let place = match own {
                Some(place) => place,
                None => self.0.pool.place().await?,
            };
            let sent = pin!(place.send(outgoing, authority));
            let answered = match silence {
                Some(silence) => soon(silence, sent).await,
                None => sent.await,
            };
            match answered {
                Ok(response) => return Ok(response),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Unprocessed(unsent, why)) => {
                    let labels = OutcomeLabels { outcome: why };
                    self.0.metrics.sent_again.get_or_create(&labels).inc();
                    outgoing = if let Some(unsent) = unsent {
                        *unsent
                    } else if let Some(request) = again() {
                        let head = self.head(who, request.into_parts().0).await?;
                        Outgoing::new(head, RequestBody::empty())?
                    } else {
                        return Err(UpstreamError::RefusedUnprocessed { attempts: attempt });
                    };
                    // Whatever ended that connection may end its like: the second attempt goes where
                    // the server says what it has not processed.
                    read = false;
                }
            }
        }
        Err(UpstreamError::RefusedUnprocessed { attempts: ATTEMPTS })
    }

    /// Asks for the upgrade that the request's `Upgrade` names, on a connection of its own.
    ///
    /// # Errors
    /// As [`send`](Self::send); a 101 with another protocol is an error and its connection is closed.
    pub async fn upgrade(
        &self,
        who: OnBehalf<'_>,
        request: Request<()>,
    ) -> Result<UpgradeAnswer, UpstreamError> {
        let shared = &*self.0;
        if shared.stop.is_cancelled() {
            return Err(UpstreamError::Stopping);
        }
        let mut head = self.head(who, request.into_parts().0).await?;
        let protocol = head.upgrade_protocol()?;
        let parts = head.into_http1(self.authority()?)?;
        let path = upgrade::Path {
            connector: &shared.connector,
            deadline: shared.pace.upgrade_answer,
            turns: &shared.upgrade_turns,
            tasks: &shared.tasks,
        };
        let answer = path.ask(parts, &protocol).await;
        let outcome = match &answer {
            Ok(answer) => answer.outcome(),
            Err(error) => error.reason(),
        };
        shared
            .metrics
            .upgrades
            .get_or_create(&OutcomeLabels { outcome })
            .inc();
        answer
    }

    /// Whether the API server can be reached and proves to be the one that is configured.
    ///
    /// Sends no request and needs no permission there: a connection that the next request uses will do.
    ///
    /// # Errors
    /// Why there is no connection.
    pub async fn reachable(&self) -> Result<(), UpstreamError> {
        self.0.pool.ensure_connected().await
    }

    /// The last step before the wire: the credential, and the look at who the request is for.
    async fn head(&self, who: OnBehalf<'_>, parts: Parts) -> Result<Head, UpstreamError> {
        let authorization = self.0.credential.authorization().await?;
        Head::new(who, parts, authorization)
    }

    fn authority(&self) -> Result<&Authority, UpstreamError> {
        let unusable = UpstreamError::Target("the configured server is not a name");
        self.0.authority.as_ref().ok_or(unusable)
    }
}

/// Waits for the answer to a plain read for as long as nothing else would notice that none will come: HTTP/1.1 has no
/// PING. A read may be asked twice.
async fn soon<T>(
    silence: Duration,
    sent: Pin<&mut impl Future<Output = Result<T, Failure>>>,
) -> Result<T, Failure> {
    let answered = timeout(silence, sent).await;
    answered.unwrap_or(Err(Failure::Unprocessed(None, "silent")))
}

#[cfg(test)]
mod tests;
