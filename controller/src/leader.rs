//! One replica acts, the others stand by: a `Lease` (coordination.k8s.io/v1) says which.
//!
//! What acts does so through a client that asks the [`Mandate`] before each request that changes anything, and is dropped
//! the moment the mandate ends: also a process that was stopped for an hour and goes on writes nothing more.

mod election;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::insight::{Insight, Standing};
use crate::reach;
use election::{Candidate, Step};

/// The lease of all controllers of an installation.
const LEASE: &str = "gangplank-controller";

/// How a replica stands for election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// What it calls itself; no two replicas, and no two lives of one, call themselves the same.
    pub identity: String,
    /// How long a lease holds: so long nobody acts after a replica was killed.
    pub lease: Duration,
}

impl Leadership {
    /// A replica on this host (of a pod its name), which calls itself as no other one does.
    pub fn on(host: &str, lease: Duration) -> Self {
        let identity = format!("{host}_{:016x}", crate::pause::random());
        Self { identity, lease }
    }
}

/// Until when this replica may act.
#[derive(Clone)]
pub(crate) struct Mandate(Arc<Mutex<Instant>>);

impl Mandate {
    /// One that has ended.
    pub(crate) fn none() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// May it act now?
    pub(crate) fn holds(&self) -> bool {
        Instant::now() < self.until()
    }

    fn until(&self) -> Instant {
        *self.0.lock()
    }

    pub(crate) fn extend(&self, until: Instant) {
        *self.0.lock() = until;
    }
}

impl fmt::Debug for Mandate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mandate").field(&self.until()).finish()
    }
}

/// Why a look at the lease had no result.
enum Missed {
    /// Somebody else wrote at the same time.
    Overtaken,
    /// The API server did not answer, or refused.
    Failed(kube::Error),
}

impl From<kube::Error> for Missed {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 409 => Self::Overtaken,
            error => Self::Failed(error),
        }
    }
}

/// A replica.
pub(crate) struct Replica {
    client: Client,
    leases: Api<Lease>,
    candidate: Candidate,
    mandate: Mandate,
    insight: Insight,
}

impl Replica {
    pub(crate) fn new(
        client: Client,
        namespace: &str,
        leadership: &Leadership,
        insight: Insight,
    ) -> Self {
        Self {
            leases: Api::namespaced(client.clone(), namespace),
            client,
            candidate: Candidate::new(leadership.identity.clone(), leadership.lease),
            mandate: Mandate::none(),
            insight,
        }
    }

    /// Has `work` done while this replica leads, anew whenever it does, until `stop` is cancelled. Work that was begun is
    /// dropped when the lease is lost, and finished when `stop` is cancelled, while the lease is kept.
    pub(crate) async fn lead<W, F>(mut self, work: W, stop: &CancellationToken)
    where
        W: Fn(Client) -> F,
        F: Future<Output = ()>,
    {
        while stop.run_until_cancelled(self.acquire()).await.is_some() {
            tracing::info!("this replica leads");
            self.insight.stands(Standing::Leading);
            let client = reach::with_mandate(&self.client, self.mandate.clone());
            tokio::select! {
                () = work(client) => {}
                () = self.keep() => {
                    tracing::warn!("the lease was lost: this replica stops acting and stands for election again");
                }
            }
            let left = self.mandate.holds();
            self.mandate.extend(Instant::now());
            self.insight.stands(Standing::Candidate);
            if stop.is_cancelled() {
                if left {
                    self.release().await;
                }
                return;
            }
        }
    }

    /// Waits until this replica holds the lease.
    async fn acquire(&mut self) {
        loop {
            let deadline = Instant::now() + self.candidate.validity();
            match self.attempt(deadline).await {
                Ok(None) => return,
                Ok(Some(holder)) => self.insight.stands(Standing::Following(holder)),
                Err(Missed::Overtaken) => {}
                Err(Missed::Failed(error)) => {
                    tracing::debug!(%error, "the lease cannot be looked at");
                }
            }
            sleep(self.candidate.pause()).await;
        }
    }

    /// Renews the lease until it is lost.
    async fn keep(&mut self) {
        loop {
            let until = self.mandate.until();
            tokio::time::sleep_until(until.min(Instant::now() + self.candidate.pause())).await;
            match self.attempt(until).await {
                Ok(Some(holder)) => {
                    tracing::warn!(holder, "somebody else took the lease");
                    return;
                }
                Err(Missed::Failed(error)) => {
                    tracing::debug!(%error, "the lease could not be renewed");
                }
                Ok(None) | Err(Missed::Overtaken) => {}
            }
            if !self.mandate.holds() {
                return;
            }
        }
    }

    /// Looks at the lease once and takes or renews it, if that is allowed; otherwise says who holds it.
    async fn attempt(&mut self, deadline: Instant) -> Result<Option<String>, Missed> {
        let looked = timeout_at(deadline, self.look()).await;
        looked.unwrap_or_else(|_elapsed| {
            self.insight.api_server_is_silent();
            Err(Missed::Overtaken)
        })
    }

    async fn look(&mut self) -> Result<Option<String>, Missed> {
        let there = self.leases.get_opt(LEASE).await?;
        let record = there.as_ref().and_then(|lease| lease.spec.as_ref());
        let sent = Instant::now();
        let spec = match self.candidate.step(record, sent, Timestamp::now()) {
            Step::Follow { holder } => return Ok(Some(holder)),
            Step::Take(spec) => *spec,
        };
        self.write(there, spec).await?;
        self.mandate.extend(sent + self.candidate.validity());
        Ok(None)
    }

    /// Writes the record in place of exactly what was read.
    async fn write(&self, there: Option<Lease>, spec: LeaseSpec) -> Result<(), kube::Error> {
        let post = PostParams::default();
        if let Some(mut lease) = there {
            lease.spec = Some(spec);
            let replaced = self.leases.replace(LEASE, &post, &lease);
            return replaced.await.map(drop);
        }
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(LEASE.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(spec),
        };
        self.leases.create(&post, &lease).await.map(drop)
    }

    /// Gives the lease back, so that the next one need not wait. If that fails, the next one waits.
    async fn release(&self) {
        let deadline = Instant::now() + self.candidate.pause();
        let given_back = timeout_at(deadline, async {
            let Some(lease) = self.leases.get_opt(LEASE).await? else {
                return Ok(());
            };
            let record = lease.spec.as_ref();
            match record.and_then(|record| self.candidate.released(record, Timestamp::now())) {
                Some(spec) => self.write(Some(lease), spec).await,
                None => Ok(()),
            }
        });
        if let Ok(Err(error)) = given_back.await {
            tracing::debug!(%error, "the lease could not be given back");
        }
    }
}
