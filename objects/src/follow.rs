//! Follows the trust objects of an API server for an exit, or for whoever judges them as an exit does.
//!
//! Objects are taken as they are, not as the types of this crate: one that this version cannot read must cost only
//! itself. They are read as a whole after every interruption, so that an exit that hears again knows that it knows
//! everything; a watcher that only goes on where it was says nothing while nothing changes.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use gangplank_config::TrustFeed;
use gangplank_config::object::Kind;
use kube::api::{ListParams, WatchParams};
use kube::core::{ApiResource, DynamicObject, ObjectList, WatchEvent};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{KnownCluster, TrustedIdentityProvider};

/// How many objects one answer holds, as client-go asks for them.
const PAGE: u32 = 500;

/// How many objects of a kind are read, as many as files: ten times the number this program is tested with.
const MOST: usize = 50_000;

/// How long one answer may take to begin, or a page of a list to be there: what client-go gives a whole request by
/// default, and a server that is slower cannot be told from one that is away.
const ANSWER: Duration = Duration::from_secs(32);

/// How long one watch lasts until it is asked for anew, in seconds: less than the 300 after which middleboxes and
/// servers end what seems idle.
const WATCH: u32 = 290;

/// How much longer than that is waited for a server that does not end it.
const GRACE: Duration = Duration::from_secs(5);

/// The first and the longest pause after a failure: a connection that was cut is opened again at once, and an API server
/// that is back is heard within ten seconds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// Says everything that the API server says, for as long as it is polled.
pub async fn follow(client: Client, feed: TrustFeed) {
    let providers = ApiResource::erase::<TrustedIdentityProvider>(&());
    let clusters = ApiResource::erase::<KnownCluster>(&());
    let all = |resource: &ApiResource| Api::all_with(client.clone(), resource);
    let (providers, clusters) = (all(&providers), all(&clusters));
    tokio::join!(
        follow_kind(&providers, Kind::TrustedIdentityProvider, &feed),
        follow_kind(&clusters, Kind::KnownCluster, &feed),
    );
}

/// Why a kind is not followed any more.
#[derive(Debug, thiserror::Error)]
enum Interruption {
    #[error(transparent)]
    Client(#[from] kube::Error),
    /// The API server has forgotten what was before; what is now has to be read as a whole.
    #[error("the API server does not remember version {version}")]
    Expired { version: String },
    #[error("the API server said: {0}")]
    Told(String),
    #[error("the API server has more than {MOST} of them")]
    TooMany,
    #[error("it has not answered within {ANSWER:?}")]
    Slow,
    #[error("the watch has not ended {GRACE:?} after its time")]
    Silent,
}

async fn follow_kind(api: &Api<DynamicObject>, kind: Kind, feed: &TrustFeed) {
    let mut failures: u32 = 0;
    loop {
        let mut heard = false;
        let interruption = match listed(api).await {
            Ok((objects, version)) => {
                feed.replace(kind, objects);
                watched(api, kind, feed, version, &mut heard).await
            }
            Err(interruption) => interruption,
        };
        failures = if heard { 0 } else { failures.saturating_add(1) };
        if heard && matches!(interruption, Interruption::Expired { .. }) {
            continue;
        }
        let why = told(&interruption);
        tracing::debug!(kind = kind.as_str(), %why, "the API server's objects are read again");
        feed.interrupt(kind, &why);
        sleep(pause(failures)).await;
    }
}

/// All objects, and the version of the whole.
async fn listed(api: &Api<DynamicObject>) -> Result<(Vec<Value>, String), Interruption> {
    let mut page = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let ObjectList {
            items, metadata, ..
        } = in_time(api.list(&page)).await?;
        objects.extend(items.iter().filter_map(json));
        if objects.len() > MOST {
            return Err(Interruption::TooMany);
        }
        match metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page.continue_token = Some(token),
            None => return Ok((objects, metadata.resource_version.unwrap_or_default())),
        }
    }
}

/// Says every change since `version`, until that cannot go on. `heard` when the API server had agreed to tell.
async fn watched(
    api: &Api<DynamicObject>,
    kind: Kind,
    feed: &TrustFeed,
    mut version: String,
    heard: &mut bool,
) -> Interruption {
    let asked = WatchParams::default().timeout(WATCH);
    let patience = Duration::from_secs(WATCH.into()) + GRACE;
    loop {
        let events = match in_time(api.watch(&asked, &version)).await {
            Ok(events) => events,
            Err(interruption) => return interruption.of(version),
        };
        *heard = true;
        pin_mut!(events);
        loop {
            let Ok(event) = timeout(patience, events.next()).await else {
                return Interruption::Silent;
            };
            // At its end the watch is asked for anew.
            let Some(event) = event else {
                break;
            };
            match event {
                Ok(event) => match say(kind, feed, event, &version) {
                    Ok(newer) => version = newer.unwrap_or(version),
                    Err(interruption) => return interruption,
                },
                Err(error) => return Interruption::from(error).of(version),
            }
        }
    }
}

/// Says one change; answers the version after it.
fn say(
    kind: Kind,
    feed: &TrustFeed,
    event: WatchEvent<DynamicObject>,
    version: &str,
) -> Result<Option<String>, Interruption> {
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => {
            if let Some(object) = json(&object) {
                feed.set(kind, &object);
            }
            Ok(object.metadata.resource_version)
        }
        WatchEvent::Deleted(object) => {
            if let Some(object) = json(&object) {
                feed.remove(kind, &object);
            }
            Ok(object.metadata.resource_version)
        }
        WatchEvent::Bookmark(bookmark) => Ok(Some(bookmark.metadata.resource_version)),
        WatchEvent::Error(status) if status.code == 410 => Err(Interruption::Expired {
            version: version.to_owned(),
        }),
        WatchEvent::Error(status) => Err(Interruption::Told(status.message.clone())),
    }
}

impl Interruption {
    /// The same of a watch since that version.
    fn of(self, version: String) -> Self {
        match self {
            Self::Client(kube::Error::Api(status)) if status.code == 410 => {
                Self::Expired { version }
            }
            other => other,
        }
    }
}

async fn in_time<T: Send>(
    asked: impl Future<Output = Result<T, kube::Error>> + Send,
) -> Result<T, Interruption> {
    match timeout(ANSWER, asked).await {
        Ok(answer) => Ok(answer?),
        Err(_late) => Err(Interruption::Slow),
    }
}

/// What was read as JSON can be written as JSON.
fn json(object: &DynamicObject) -> Option<Value> {
    serde_json::to_value(object).ok()
}

/// The interruption with its causes, each once.
fn told(interruption: &Interruption) -> String {
    let mut told = interruption.to_string();
    let mut cause = std::error::Error::source(interruption);
    while let Some(error) = cause {
        let said = error.to_string();
        if !told.contains(&said) {
            told.push_str(": ");
            told.push_str(&said);
        }
        cause = error.source();
    }
    told
}

/// Twice as long each time, and anything below that: exits that were cut off together do not come back together.
fn pause(failures: u32) -> Duration {
    let (first, longest) = PAUSES;
    let doubled = 2_u32.checked_pow(failures).unwrap_or(u32::MAX);
    let most = first.saturating_mul(doubled).min(longest);
    let chance = RandomState::new().hash_one(failures) % 1000;
    let share = u32::try_from(chance).unwrap_or_default();
    most.saturating_mul(share) / 1000
}

#[cfg(test)]
mod tests;
