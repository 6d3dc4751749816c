//! What one organisation, and one caller, may use of an exit, so that none takes it from all others.
//!
//! A provider has a [`Share`]: a bucket of requests, and a number of requests, of connections and of upgraded ones
//! at a time, for all its callers together; whoever has its CA has as many certificates as they like. A certificate
//! has a number of connections. Both are made when an accepted caller
//! connects, so strangers make none; what is no longer in use is forgotten. Nothing here has a timer.

mod bucket;
mod places;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gangplank_config::role::limits::Limits;
use gangplank_pki::{Fingerprint, Identity, ProviderId};
use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::time::Instant;

pub(crate) use bucket::Bucket;
pub(crate) use places::{Place, Places};

use crate::upstream::READING_CONNECTIONS_OF_ONE;

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
    /// A provider's requests at a time.
    RequestsAtOnce,
    /// A provider's upgraded connections.
    Upgrades,
    /// A certificate's connections.
    Connections,
    /// A provider's connections.
    ProviderConnections,
}

/// How the caller of a connection stands.
#[derive(Debug)]
pub(crate) enum Standing {
    /// Nobody knows them.
    Stranger {
        /// In which they are told so.
        _place: Place,
    },
    /// Let in, and counted.
    Member {
        /// That they are here, as one of their provider's callers.
        place: ConnectionPlace,
        /// The same, by their certificate.
        _presence: Presence,
    },
    /// Let in, but for having too many connections already.
    Surplus {
        /// Who has too many.
        limit: Limit,
        /// In which they are told so.
        _place: Place,
    },
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
        for limit in [
            Limit::Requests,
            Limit::RequestsAtOnce,
            Limit::Upgrades,
            Limit::Connections,
            Limit::ProviderConnections,
        ] {
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

    /// How a caller stands: nobody, where they are not let in and there is no place `to_be_told` why.
    pub(crate) fn standing_of(
        &self,
        identity: Option<&Identity>,
        to_be_told: impl FnOnce() -> Option<Place>,
    ) -> Option<Standing> {
        let Some(identity) = identity else {
            return to_be_told().map(|place| Standing::Stranger { _place: place });
        };
        let surplus = |limit| {
            to_be_told().map(|place| Standing::Surplus {
                limit,
                _place: place,
            })
        };
        let Some(presence) = self.connect(identity.certificate()) else {
            return surplus(Limit::Connections);
        };
        match self.of_provider(identity.provider()).connection() {
            Some(place) => Some(Standing::Member {
                place,
                _presence: presence,
            }),
            None => surplus(Limit::ProviderConnections),
        }
    }

    /// A provider's share.
    fn of_provider(&self, provider: &ProviderId) -> Arc<Share> {
        let mut providers = self.providers.lock();
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
            running: Places::of(self.limits.requests_at_once),
            reading: Places::of(READING_CONNECTIONS_OF_ONE),
            upgrades: Places::of(self.limits.upgrades),
            connections: Places::of(self.limits.provider_connections),
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
        let mut callers = self.callers.lock();
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
    /// Requests that are under way.
    running: Places,
    /// Of these, plain reads that may have a connection of their own to the API server.
    reading: Places,
    upgrades: Places,
    connections: Places,
    refused: Refused,
    /// The operator was told that it is used up; once is enough.
    told: AtomicBool,
}

impl Share {
    /// Counts one request, which keeps its place until its answer has ended.
    ///
    /// # Errors
    /// When there have been too many of late, or there are too many.
    pub(crate) fn request(self: &Arc<Self>) -> Result<RequestPlace, TooMany> {
        // First what others end, so that a request without a place costs no token.
        if !self.running.take() {
            self.refuse(Limit::RequestsAtOnce);
            return Err(TooMany::AtOnce);
        }
        let place = RequestPlace {
            share: Arc::clone(self),
            reads: false,
        };
        match self.requests.take(self.began.elapsed()) {
            Ok(()) => Ok(place),
            Err(wait) => {
                self.refuse(Limit::Requests);
                Err(TooMany::OfLate(wait))
            }
        }
    }

    /// A place for one more connection, if there are not too many.
    fn connection(self: &Arc<Self>) -> Option<ConnectionPlace> {
        if !self.connections.take() {
            self.refuse(Limit::ProviderConnections);
            return None;
        }
        Some(ConnectionPlace(Arc::clone(self)))
    }

    /// A place for one more upgraded connection, if there are not too many.
    fn upgrade(self: &Arc<Self>) -> Option<UpgradePlace> {
        if !self.upgrades.take() {
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

/// Why a provider's request is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TooMany {
    /// There is room for one after so long.
    OfLate(Duration),
    /// As many are under way as may be.
    AtOnce,
}

/// One request, counted until its answer has ended.
#[derive(Debug)]
pub(crate) struct RequestPlace {
    share: Arc<Share>,
    reads: bool,
}

impl RequestPlace {
    /// Whether a plain read may have a connection of its own to the API server.
    pub(crate) fn may_read_alone(&mut self) -> bool {
        self.reads = self.reads || self.share.reading.take();
        self.reads
    }

    /// A place for one more upgraded connection, if there are not too many.
    pub(crate) fn upgrade(&self) -> Option<UpgradePlace> {
        self.share.upgrade()
    }
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        self.share.running.give_back();
        if self.reads {
            self.share.reading.give_back();
        }
    }
}

/// One connection of a provider's caller, counted as long as it is there.
#[derive(Debug)]
pub(crate) struct ConnectionPlace(Arc<Share>);

impl ConnectionPlace {
    /// What all callers of the provider may use.
    pub(crate) const fn share(&self) -> &Arc<Share> {
        &self.0
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        self.0.connections.give_back();
    }
}

/// One upgraded connection, counted as long as it is there.
#[derive(Debug)]
pub(crate) struct UpgradePlace(Arc<Share>);

impl Drop for UpgradePlace {
    fn drop(&mut self) {
        self.0.upgrades.give_back();
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
        let mut callers = self.callers.lock();
        if let Some(count) = callers.get_mut(&self.certificate) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                callers.remove(&self.certificate);
            }
        }
    }
}

#[cfg(test)]
mod tests;
