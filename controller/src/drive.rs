//! What all kinds have in common between a change and its status: the finalizer, the condition, the event, and when
//! to look again.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use gangplank_objects::condition::Verdict;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::Patch;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::kind::{Kind, Status};
use crate::made::apply;
use crate::trouble::Trouble;

/// What holds an object back until what was made for it is gone.
pub(crate) const FINALIZER: &str = "gangplank.dev/made";

/// Objects of one kind that are worked on at the same time: each is a handful of requests one after the other, and
/// the API server's own default is 600 in flight for everybody.
const WORKERS: u16 = 8;

/// The first and the longest pause before a failed object is tried again: an API server that is away is not asked by
/// two thousand objects a second, and one that is back is noticed within a minute.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(60));

/// What came of an object.
pub(crate) struct Outcome<S> {
    /// What is said in its condition.
    pub(crate) verdict: Verdict,
    /// The rest of its status.
    pub(crate) status: S,
    /// When it is to be looked at again although nothing changed.
    pub(crate) again: Option<Duration>,
}

/// Knows what is made for objects of one kind.
pub(crate) trait Keeper: Send + Sync + 'static {
    /// The kind.
    type Kind: Kind;

    /// Whether anything is made, which has to be gone before the object may go.
    const MAKES: bool = true;

    /// Makes, or mends, all that the object asks for.
    fn make(
        &self,
        object: &Self::Kind,
    ) -> impl Future<Output = Result<Outcome<<Self::Kind as Kind>::Status>, Trouble>> + Send;

    /// Removes all that was made for it.
    fn unmake(&self, _object: &Self::Kind) -> impl Future<Output = Result<(), Trouble>> + Send {
        std::future::ready(Ok(()))
    }
}

/// One kind at work.
pub(crate) struct Drive<K: Keeper> {
    client: kube::Client,
    keeper: K,
    recorder: Recorder,
    /// How often each object failed in a row.
    failures: Mutex<HashMap<ObjectRef<K::Kind>, u32>>,
}

/// Why an object is tried again.
type Failed = finalizer::Error<Trouble>;

impl<K: Keeper> Drive<K>
where
    ObjectRef<K::Kind>: Eq + Hash,
{
    pub(crate) fn new(client: kube::Client, recorder: Recorder, keeper: K) -> Arc<Self> {
        Arc::new(Self {
            client,
            keeper,
            recorder,
            failures: Mutex::new(HashMap::new()),
        })
    }

    /// The kind's controller, to which may be added what else is to be watched.
    pub(crate) fn controller(&self) -> Controller<K::Kind> {
        let config = kube::runtime::controller::Config::default().concurrency(WORKERS);
        Controller::new(K::Kind::api(&self.client, None), watcher::Config::default())
            .with_config(config)
    }

    /// Works until `stop` is cancelled.
    pub(crate) async fn run(
        self: Arc<Self>,
        controller: Controller<K::Kind>,
        stop: CancellationToken,
    ) {
        let running = controller.graceful_shutdown_on(stop.cancelled_owned()).run(
            |object, drive: Arc<Self>| async move { drive.reconcile(object).await },
            |object, failed, drive| drive.failed(&object, failed),
            self,
        );
        running
            .for_each(|result| async move {
                if let Err(kube::runtime::controller::Error::QueueError(error)) = result {
                    let kind = <K::Kind as Resource>::kind(&());
                    tracing::warn!(%kind, %error, "objects cannot be watched; the watch is tried again");
                }
            })
            .await;
    }

    async fn reconcile(&self, object: Arc<K::Kind>) -> Result<Action, Failed> {
        let namespace = object.namespace();
        let api = K::Kind::api(&self.client, namespace.as_deref());
        let reference = ObjectRef::from_obj(&*object);
        if !K::MAKES {
            let action = self.make(&object).await.map_err(Failed::ApplyFailed)?;
            self.failures.lock().remove(&reference);
            return Ok(action);
        }
        let action = finalizer(&api, FINALIZER, object, |event| async {
            match event {
                finalizer::Event::Apply(object) => self.make(&object).await,
                finalizer::Event::Cleanup(object) => {
                    self.keeper.unmake(&object).await?;
                    Ok(Action::await_change())
                }
            }
        })
        .await?;
        self.failures.lock().remove(&reference);
        Ok(action)
    }

    async fn make(&self, object: &K::Kind) -> Result<Action, Trouble> {
        let made = self.keeper.make(object).await;
        let outcome = match made {
            // Whoever comes second sees what the first has done at the next look.
            Err(trouble @ Trouble::Overtaken { .. }) => return Err(trouble),
            Err(trouble) => {
                let status = object.status().cloned().unwrap_or_default();
                let verdict = Verdict::unready(trouble.reason(), trouble.told());
                self.tell(object, verdict, status).await?;
                return Err(trouble);
            }
            Ok(outcome) => outcome,
        };
        self.tell(object, outcome.verdict, outcome.status).await?;
        Ok(outcome
            .again
            .map_or_else(Action::await_change, Action::requeue))
    }

    /// Writes the status, if it says anything new, and an event, if the condition does.
    async fn tell(
        &self,
        object: &K::Kind,
        verdict: Verdict,
        status: <K::Kind as Kind>::Status,
    ) -> Result<(), Trouble> {
        let before = object.status().cloned().unwrap_or_default();
        let now = Time(Timestamp::now());
        let conditions = verdict.conditions(before.conditions(), object.meta().generation, &now);
        let turned = before
            .conditions()
            .iter()
            .zip(&conditions)
            .all(|(before, now)| (&before.status, &before.reason) != (&now.status, &now.reason));
        let status = status.with_conditions(conditions);
        if status == before {
            return Ok(());
        }
        let namespace = object.namespace();
        let api = K::Kind::api(&self.client, namespace.as_deref());
        let patch = json!({
            "apiVersion": <K::Kind as Resource>::api_version(&()),
            "kind": <K::Kind as Resource>::kind(&()),
            "status": status,
        });
        let name = object.name_any();
        match api
            .patch_status(&name, &apply(), &Patch::Apply(&patch))
            .await
        {
            Ok(_patched) => {}
            // It was deleted meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        if turned {
            self.announce(object, &verdict).await;
        }
        Ok(())
    }

    /// An event is for people: that it could not be written is no reason to do the work again.
    async fn announce(&self, object: &K::Kind, verdict: &Verdict) {
        let event = Event {
            type_: if verdict.ready {
                EventType::Normal
            } else {
                EventType::Warning
            },
            reason: verdict.reason.to_owned(),
            note: Some(verdict.message.chars().take(LONGEST_NOTE).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let reference = object.object_ref(&());
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            tracing::debug!(%error, "an event could not be written");
        }
    }

    /// How often it has failed in a row, this time included.
    fn count_failure(&self, object: &ObjectRef<K::Kind>) -> u32 {
        let mut failures = self.failures.lock();
        let times = failures
            .get(object)
            .map_or(1, |times| times.saturating_add(1));
        failures.insert(object.clone(), times);
        drop(failures);
        times
    }

    fn failed(&self, object: &K::Kind, failed: &Failed) -> Action {
        let reference = ObjectRef::from_obj(object);
        let times = self.count_failure(&reference);
        let told = match failed {
            finalizer::Error::ApplyFailed(trouble) | finalizer::Error::CleanupFailed(trouble) => {
                trouble.told()
            }
            other => other.to_string(),
        };
        tracing::debug!(object = %reference, %told, times, "an object is tried again");
        Action::requeue(pause(times))
    }
}

/// Longest note of an event (events.k8s.io/v1: 1 kB).
const LONGEST_NOTE: usize = 1000;

/// Twice as long each time, and up to a quarter more, so that what failed together is not tried together.
fn pause(times: u32) -> Duration {
    let (first, longest) = PAUSES;
    let doubled = first.saturating_mul(
        1_u32
            .checked_shl(times.saturating_sub(1))
            .unwrap_or(u32::MAX),
    );
    let pause = doubled.min(longest);
    pause + pause.mul_f64(chance() / 4.0)
}

/// Between 0 and 1, and another one in each process and at each moment.
fn chance() -> f64 {
    f64::from(Timestamp::now().subsec_nanosecond().unsigned_abs() % 1000) / 1000.0
}

impl<K: Keeper> std::fmt::Debug for Drive<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drive").finish_non_exhaustive()
    }
}

/// The objects that `other` was made for, if they are of this kind.
pub(crate) fn makers<K: Kind, O: Resource>(other: &O) -> Option<ObjectRef<K>> {
    let told = other.annotations().get(crate::made::MADE_FOR)?;
    let (kind, named) = told.split_once(' ')?;
    if kind != K::kind(&()) {
        return None;
    }
    Some(match named.split_once('/') {
        Some((namespace, name)) => ObjectRef::new(name).within(namespace),
        None => ObjectRef::new(named),
    })
}
