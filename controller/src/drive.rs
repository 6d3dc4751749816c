//! What all kinds have in common between a change and its status: the finalizer, the condition, the event, and when
//! to look again.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use gangplank_objects::condition::{READY, Verdict};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::Patch;
use kube::runtime::controller::{self, Action, Controller};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::finalizer::{self, finalizer};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Resource, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::insight::{Count, Insight};
use crate::kind::{Kind, Status};
use crate::made::apply;
use crate::pause::{Failures, Named, Random, pause};
use crate::trouble::{Trouble, with_causes};

/// What holds an object back until what was made for it is gone.
pub(crate) const FINALIZER: &str = "gangplank.dev/made";

/// Objects of one kind that are worked on at the same time: each is a handful of requests one after the other, and
/// the API server's own default is 600 in flight for everybody.
const WORKERS: u16 = 8;

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

/// What the work on every kind takes.
#[derive(Clone)]
pub(crate) struct Outfit {
    pub(crate) client: kube::Client,
    pub(crate) recorder: Recorder,
    pub(crate) insight: Insight,
    pub(crate) random: Random,
}

/// One kind at work.
pub(crate) struct Drive<K: Keeper> {
    outfit: Outfit,
    keeper: K,
    failures: Arc<Failures>,
}

/// Why an object is tried again.
type Failed = finalizer::Error<Trouble>;

impl<K: Keeper> Drive<K>
where
    ObjectRef<K::Kind>: Eq + Hash,
{
    pub(crate) fn new(outfit: &Outfit, keeper: K) -> Arc<Self> {
        Arc::new(Self {
            outfit: outfit.clone(),
            keeper,
            failures: Arc::default(),
        })
    }

    /// The kind's controller, to which may be added what else is to be watched.
    pub(crate) fn controller(&self) -> Controller<K::Kind> {
        let config = controller::Config::default().concurrency(WORKERS);
        let all = K::Kind::api(&self.outfit.client, None);
        let controller = Controller::new(all, watcher::Config::default()).with_config(config);
        let (store, failures) = (controller.store(), Arc::clone(&self.failures));
        let tally = move || {
            let objects = store.state();
            let ready = objects.iter().filter(|object| is_ready(&***object)).count();
            Count {
                ready,
                unready: objects.len().saturating_sub(ready),
                failing: failures.objects(),
            }
        };
        let kind = <K::Kind as Resource>::kind(&());
        self.outfit.insight.count(&kind, Arc::new(tally));
        controller
    }

    /// Works until `stop` is cancelled.
    pub(crate) async fn run(
        self: Arc<Self>,
        controller: Controller<K::Kind>,
        stop: CancellationToken,
    ) {
        let failures = Arc::clone(&self.failures);
        let running = controller.graceful_shutdown_on(stop.cancelled_owned()).run(
            |object, drive: Arc<Self>| async move { drive.reconcile(object).await },
            |object, failed, drive| drive.failed(&object, failed),
            self,
        );
        let kind = <K::Kind as Resource>::kind(&());
        running
            .for_each(|result| {
                match result {
                    // It was to be tried again, and is gone meanwhile.
                    Err(controller::Error::ObjectNotFound(object)) => {
                        failures.forget(&(object.namespace, object.name));
                    }
                    Err(controller::Error::QueueError(error)) => {
                        tracing::debug!(%kind, %error, "objects cannot be watched; the watch is tried again");
                    }
                    _ => {}
                }
                std::future::ready(())
            })
            .await;
    }

    async fn reconcile(&self, object: Arc<K::Kind>) -> Result<Action, Failed> {
        let namespace = object.namespace();
        let api = K::Kind::api(&self.outfit.client, namespace.as_deref());
        let named = named(&*object);
        if !K::MAKES {
            let action = self.make(&object).await.map_err(Failed::ApplyFailed)?;
            self.failures.forget(&named);
            return Ok(action);
        }
        let action = finalizer(&api, FINALIZER, object, |event| async {
            match event {
                finalizer::Event::Apply(object) => self.make(&object).await,
                finalizer::Event::Cleanup(object) => {
                    self.keeper.unmake(&object).await?;
                    self.count("Removed");
                    Ok(Action::await_change())
                }
            }
        })
        .await?;
        self.failures.forget(&named);
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
        let reason = outcome.verdict.reason;
        self.tell(object, outcome.verdict, outcome.status).await?;
        self.count(reason);
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
        let api = K::Kind::api(&self.outfit.client, namespace.as_deref());
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
        if let Err(error) = self.outfit.recorder.publish(&event, &reference).await {
            tracing::debug!(%error, "an event could not be written");
        }
    }

    fn count(&self, outcome: &'static str) {
        let kind = <K::Kind as Resource>::kind(&());
        self.outfit.insight.worked(&kind, outcome);
    }

    fn failed(&self, object: &K::Kind, failed: &Failed) -> Action {
        let times = self.failures.count(named(object));
        let (reason, told) = match failed {
            finalizer::Error::ApplyFailed(trouble) | finalizer::Error::CleanupFailed(trouble) => {
                (trouble.reason(), trouble.told())
            }
            other => ("FinalizerNotWritten", with_causes(other)),
        };
        self.count(reason);
        let object = ObjectRef::from_obj(object);
        tracing::debug!(%object, %told, times, "an object is tried again");
        Action::requeue(pause(times, (self.outfit.random)()))
    }
}

/// Longest note of an event (events.k8s.io/v1: 1 kB).
const LONGEST_NOTE: usize = 1000;

fn named<K: Kind>(object: &K) -> Named {
    (object.namespace(), object.name_any())
}

fn is_ready<K: Kind>(object: &K) -> bool {
    let conditions = object.status().map(Status::conditions).unwrap_or_default();
    let ready = |condition: &Condition| condition.type_ == READY && condition.status == "True";
    conditions.iter().any(ready)
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
