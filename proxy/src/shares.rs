//! What one organisation, and one caller, may use of an exit, so that none takes it from all others.
//!
//! A provider has a [`Share`]: a bucket of requests and a number of upgraded connections, for all its
//! callers together. A certificate has a number of connections. Both are made when an accepted caller
//! connects, so strangers make none; what is no longer in use is forgotten. Nothing here has a timer.

mod bucket;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gangplank_config::role::limits::Limits;
use gangplank_pki::{Fingerprint, Identity, ProviderId};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::time::Instant;

pub(crate) use bucket::Bucket;

/// Below so many shares none is looked at whether it can be forgotten: they are a few KiB.
const NOT_WORTH_A_LOOK: usize = 64;

/// What was refused because someone had used up their share.
pub(crate) type Refused = Family<LimitLabels, Counter>;

/// Label of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct LimitLabels {
    pub(crate) limit: Limit,
}

/// What someone may have used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Limit {
    /// A provider's requests.
    Requests,
    /// A provider's upgraded connections.
    Upgrades,
    /// A certificate's connections.
    Connections,
}

/// How the caller of a connection stands.
#[derive(Debug)]
pub(crate) enum Standing {
    /// Nobody knows them.
    Stranger,
    /// Let in, and counted.
    Member {
        /// What all callers of their provider may use.
        share: Arc<Share>,
        /// That they are here.
        _presence: Presence,
    },
    /// Let in, but for having too many connections already.
    Surplus,
}

/// Everybody's shares.
#[derive(Debug)]
pub(crate) struct Shares {
    limits: Limits,
    refused: Refused,
    /// The buckets' zero.
    began: Instant,
    providers: Mutex<Providers>,
    callers: Arc<Callers>,
}

#[derive(Debug, Default)]
struct Providers {
    shares: HashMap<ProviderId, Arc<Share>>,
    /// At so many shares it is looked which can be forgotten.
    look_at: usize,
}

/// Connections by certificate. Who has none is not in it.
type Callers = Mutex<HashMap<Fingerprint, u64>>;

impl Shares {
    /// Nobody has used anything yet.
    pub(crate) fn new(limits: Limits, refused: Refused) -> Self {
        for limit in [Limit::Requests, Limit::Upgrades, Limit::Connections] {
            // So that the first refusal is seen as a rise.
            drop(refused.get_or_create(&LimitLabels { limit }));
        }
        Self {
            limits,
            refused,
            began: Instant::now(),
            providers: Mutex::default(),
            callers: Arc::default(),
        }
    }

    /// How a caller who was let in stands.
    pub(crate) fn standing_of(&self, identity: &Identity) -> Standing {
        match self.connect(identity.certificate()) {
            Some(presence) => Standing::Member {
                share: self.of_provider(identity.provider()),
                _presence: presence,
            },
            None => Standing::Surplus,
        }
    }

    /// A provider's share.
    fn of_provider(&self, provider: &ProviderId) -> Arc<Share> {
        let mut providers = lock(&self.providers);
        if let Some(share) = providers.shares.get(provider) {
            return Arc::clone(share);
        }
        if providers.shares.len() >= providers.look_at {
            let now = self.began.elapsed();
            providers.shares.retain(|_, share| share.is_in_use(now));
            // Twice what is left, so that all looks together cost no more than all insertions.
            providers.look_at = (providers.shares.len() * 2).max(NOT_WORTH_A_LOOK);
        }
        let share = Arc::new(Share {
            provider: provider.clone(),
            requests: Bucket::new(self.limits.requests_per_second, self.limits.request_burst),
            began: self.began,
            upgrades: AtomicU64::new(0),
            most_upgrades: self.limits.upgrades,
            refused: self.refused.clone(),
            told: AtomicBool::new(false),
        });
        providers
            .shares
            .insert(provider.clone(), Arc::clone(&share));
        share
    }

    /// A place for one more connection of a certificate, if it has not got too many.
    fn connect(&self, certificate: Fingerprint) -> Option<Presence> {
        let mut callers = lock(&self.callers);
        let count = callers.entry(certificate).or_default();
        // An entry is made with its first connection, and a limit is at least one.
        if *count >= self.limits.connections {
            count_refusal(&self.refused, Limit::Connections);
            return None;
        }
        *count += 1;
        drop(callers);
        Some(Presence {
            certificate,
            callers: Arc::clone(&self.callers),
        })
    }
}

/// What one provider's callers may use together.
#[derive(Debug)]
pub(crate) struct Share {
    provider: ProviderId,
    requests: Bucket,
    began: Instant,
    upgrades: AtomicU64,
    most_upgrades: u64,
    refused: Refused,
    /// The operator was told that it is used up; once is enough.
    told: AtomicBool,
}

impl Share {
    /// Counts one request, or says how long to wait until there is room for one.
    pub(crate) fn request(&self) -> Result<(), Duration> {
        self.requests
            .take(self.began.elapsed())
            .inspect_err(|_wait| self.refuse(Limit::Requests))
    }

    /// A place for one more upgraded connection, if there are not too many.
    pub(crate) fn upgrade(self: &Arc<Self>) -> Option<UpgradePlace> {
        let taken = self
            .upgrades
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| {
                (count < self.most_upgrades).then(|| count + 1)
            });
        if taken.is_err() {
            self.refuse(Limit::Upgrades);
            return None;
        }
        Some(UpgradePlace(Arc::clone(self)))
    }

    fn refuse(&self, limit: Limit) {
        count_refusal(&self.refused, limit);
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                provider = %self.provider,
                ?limit,
                "a provider's callers have used up their share; from now on this is only counted",
            );
        }
    }

    /// Whether forgetting it would give its callers more than their share.
    fn is_in_use(self: &Arc<Self>, now: Duration) -> bool {
        Arc::strong_count(self) > 1 || !self.requests.is_full(now)
    }
}

fn count_refusal(refused: &Refused, limit: Limit) {
    refused.get_or_create(&LimitLabels { limit }).inc();
}

/// One upgraded connection, counted as long as it is there.
#[derive(Debug)]
pub(crate) struct UpgradePlace(Arc<Share>);

impl Drop for UpgradePlace {
    fn drop(&mut self) {
        self.0.upgrades.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection of a certificate, counted as long as it is there.
#[derive(Debug)]
pub(crate) struct Presence {
    certificate: Fingerprint,
    callers: Arc<Callers>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut callers = lock(&self.callers);
        if let Some(count) = callers.get_mut(&self.certificate) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                callers.remove(&self.certificate);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
