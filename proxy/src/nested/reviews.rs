//! Asks the API server whether callers may be taken for whom they wish to be.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use bytes::Bytes;
use gangplank_pki::{Identity, ProviderId};
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout};

use super::answer::{AnswerFault, question, verdict};
use super::claim::Claim;
use super::grant::Grant;
use super::limits::{ANSWER, DEADLINE, LINES, TURNS, TURNS_OF_CALLER, TURNS_OF_PROVIDER};
use super::verdicts::{Key, Verdict, Verdicts};
use super::wish::Wish;
use crate::metrics::{Metrics, OutcomeLabels};
use crate::upstream::{Client, UpstreamError};

/// Why there is no grant. The request must not go upstream then, under any name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReviewFault {
    /// The caller lacks a right, or nobody can have it; in kube-apiserver's words.
    #[error("{0}")]
    Denied(String),
    /// No answer in time.
    #[error("the API server did not say in {} s whether it is allowed", DEADLINE.as_secs())]
    Late,
    /// No answer.
    #[error("the API server cannot be asked whether it is allowed")]
    Unanswered(#[source] UpstreamError),
    /// It is too busy, or out of order, to answer.
    #[error("the API server could not say now whether it is allowed")]
    Busy(#[source] AnswerFault),
    /// The answer broke off, or was longer than any.
    #[error("the API server's answer whether it is allowed could not be read")]
    Unread,
    /// The API server does not take reviews from the exit's account.
    #[error("the API server does not let the exit ask whether it is allowed")]
    NotAsked,
    /// It answered something else than yes or no.
    #[error("the API server did not say whether it is allowed")]
    Odd(#[source] AnswerFault),
}

/// The reviews of an exit.
#[derive(Debug)]
pub(crate) struct Reviews {
    verdicts: Mutex<Verdicts>,
    turns: Semaphore,
    callers: Lines<str>,
    providers: Lines<ProviderId>,
    metrics: Arc<Metrics>,
}

impl Reviews {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            verdicts: Mutex::default(),
            turns: Semaphore::new(TURNS),
            callers: Lines::new(TURNS_OF_CALLER),
            providers: Lines::new(TURNS_OF_PROVIDER),
            metrics,
        }
    }

    /// Has every value of the wish reviewed, one after another as kube-apiserver does it itself, until one is
    /// not allowed.
    ///
    /// # Errors
    /// When one is not allowed, or it is not certain that all are.
    pub(crate) async fn grant(
        &self,
        upstream: &Client,
        identity: &Identity,
        wish: Wish,
    ) -> Result<Grant, ReviewFault> {
        let claims = wish.claims();
        let never = claims.iter().find_map(|claim| {
            let why = claim.never()?;
            Some(claim.forbidden(identity.username(), why))
        });
        if let Some(sentence) = never {
            return Err(ReviewFault::Denied(sentence));
        }
        let reviewing = async {
            for claim in claims {
                self.allow(upstream, identity, claim).await?;
            }
            Ok(())
        };
        let reviewed = timeout(DEADLINE, reviewing).await;
        reviewed.unwrap_or(Err(ReviewFault::Late))?;
        Ok(Grant::new(identity, wish))
    }

    async fn allow(
        &self,
        upstream: &Client,
        identity: &Identity,
        claim: Claim<'_>,
    ) -> Result<(), ReviewFault> {
        let key = Key::of(identity, &claim);
        let verdict = match self.known(&key) {
            Some(verdict) => verdict,
            None => self.asked(upstream, identity, claim, key).await?,
        };
        match verdict {
            Verdict::Allowed => Ok(()),
            Verdict::Denied(why) => Err(ReviewFault::Denied(
                claim.forbidden(identity.username(), &why),
            )),
        }
    }

    /// Waits for a turn and asks, unless someone has asked the same meanwhile.
    async fn asked(
        &self,
        upstream: &Client,
        identity: &Identity,
        claim: Claim<'_>,
        key: Key,
    ) -> Result<Verdict, ReviewFault> {
        let line = self.callers.of(identity.username());
        let _own = turn(&line).await?;
        if let Some(verdict) = self.known(&key) {
            return Ok(verdict);
        }
        let line = self.providers.of(identity.provider());
        let _providers = turn(&line).await?;
        let _shared = turn(&self.turns).await?;
        let asked = Instant::now();
        let answer = ask(upstream, question(identity, claim)).await;
        self.count(&answer);
        let verdict = answer?;
        self.verdicts.lock().keep(key, verdict.clone(), asked);
        Ok(verdict)
    }

    fn known(&self, key: &Key) -> Option<Verdict> {
        self.verdicts.lock().find(key, Instant::now())
    }

    fn count(&self, answer: &Result<Verdict, ReviewFault>) {
        let outcome = match answer {
            Ok(Verdict::Allowed) => "Allowed",
            Ok(Verdict::Denied(_)) => "Denied",
            Err(_) => "Failed",
        };
        let labels = OutcomeLabels { outcome };
        self.metrics.reviews.get_or_create(&labels).inc();
    }
}

/// A turn of this line; who waits too long is late as a whole.
async fn turn(line: &Semaphore) -> Result<SemaphorePermit<'_>, ReviewFault> {
    // Nobody closes these; if somebody did, nothing would be certain.
    line.acquire().await.ok().ok_or(ReviewFault::Late)
}

async fn ask(upstream: &Client, question: Bytes) -> Result<Verdict, ReviewFault> {
    let asked = upstream.review(question).await;
    let (parts, body) = asked.map_err(ReviewFault::Unanswered)?.into_parts();
    let whole = Limited::new(body, ANSWER).collect().await;
    let text = whole.ok().ok_or(ReviewFault::Unread)?.to_bytes();
    match verdict(parts.status, &text) {
        Err(AnswerFault::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)) => {
            Err(ReviewFault::NotAsked)
        }
        Err(fault @ AnswerFault::Status(status))
            if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() =>
        {
            Err(ReviewFault::Busy(fault))
        }
        verdict => verdict.map_err(ReviewFault::Odd),
    }
}

/// Where the requests of one username, or of one provider, wait for each other, so that nobody's many wishes
/// stop another's one.
#[derive(Debug)]
struct Lines<Whose: ?Sized> {
    turns: usize,
    lines: Mutex<HashMap<Box<Whose>, Arc<Semaphore>>>,
}

impl<Whose: ?Sized + Eq + Hash + ToOwned> Lines<Whose>
where
    Box<Whose>: From<Whose::Owned>,
{
    fn new(turns: usize) -> Self {
        Self {
            turns,
            lines: Mutex::default(),
        }
    }

    fn of(&self, whose: &Whose) -> Arc<Semaphore> {
        let mut lines = self.lines.lock();
        if let Some(line) = lines.get(whose) {
            return Arc::clone(line);
        }
        if lines.len() >= LINES {
            lines.retain(|_, line| Arc::strong_count(line) > 1);
        }
        let line = Arc::new(Semaphore::new(self.turns));
        lines.insert(whose.to_owned().into(), Arc::clone(&line));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(number: usize) -> ProviderId {
        ProviderId::new("default", format!("provider-{number}"))
    }

    #[test]
    fn nobodys_turns_are_anybody_elses() {
        let lines = Lines::new(TURNS_OF_PROVIDER);
        let (one, same, other) = (
            lines.of(&provider(1)),
            lines.of(&provider(1)),
            lines.of(&provider(2)),
        );
        let taken: Vec<_> = std::iter::from_fn(|| one.try_acquire().ok()).collect();
        assert_eq!(taken.len(), TURNS_OF_PROVIDER);
        assert!(taken.len() < TURNS, "some are left for everybody else");
        assert!(same.try_acquire().is_err());
        assert!(other.try_acquire().is_ok());
        for number in 0..3 * LINES {
            drop(lines.of(&provider(number)));
        }
        assert!(lines.lines.lock().len() <= LINES + 1);
        assert!(lines.of(&provider(1)).try_acquire().is_err());
        drop(taken);
    }
}
