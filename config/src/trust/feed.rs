//! The way in for objects that come one by one, as an API server tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::object::{Kind, ObjectId};

/// Where whoever follows an API server says what it hears. Cheap to clone.
///
/// Nothing counts before every kind of [`TrustFeed::KINDS`] was given as a whole once. What is said in quick
/// succession counts together, a fifth of a second later at most.
#[derive(Clone, Debug)]
pub struct TrustFeed {
    inbox: Arc<Mutex<Inbox>>,
    /// One place: a change that waits already says everything.
    wake: mpsc::Sender<()>,
}

/// What was said since it was last looked at: of each object the last word alone, so that it is never larger than
/// what the API server holds.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Kinds of which all objects were given: what of them is not in `said` is gone.
    pub(super) whole: BTreeSet<Kind>,
    /// The object, or `None` when it was deleted.
    pub(super) said: BTreeMap<ObjectId, Option<Told>>,
    /// Kinds that cannot be followed for the moment, and why.
    pub(super) broken: BTreeMap<Kind, String>,
}

/// What of an object matters here.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// Which kind, which name, and what it says.
    pub(super) manifest: Value,
    /// When it was made.
    pub(super) created: Option<String>,
    /// Which version of it this is.
    pub(super) generation: Option<i64>,
    /// The digest of the version that was last accepted.
    pub(super) accepted: Option<String>,
}

impl TrustFeed {
    /// The kinds that are to be followed.
    pub const KINDS: [Kind; 2] = [Kind::TrustedIdentityProvider, Kind::KnownCluster];

    pub(super) fn new() -> (Self, mpsc::Receiver<()>) {
        let (wake, woken) = mpsc::channel(1);
        let feed = Self {
            inbox: Arc::default(),
            wake,
        };
        (feed, woken)
    }

    /// These are all objects of the kind; others are there no longer.
    pub fn replace(&self, kind: Kind, objects: Vec<Value>) {
        self.change(|inbox| {
            inbox.said.retain(|id, _| id.kind != kind);
            inbox.whole.insert(kind);
            inbox.broken.remove(&kind);
            for object in objects {
                inbox.say(kind, &object, true);
            }
        });
    }

    /// The object is there now, or is another one than before.
    pub fn set(&self, kind: Kind, object: &Value) {
        self.change(|inbox| inbox.say(kind, object, true));
    }

    /// The object is there no longer.
    pub fn remove(&self, kind: Kind, object: &Value) {
        self.change(|inbox| inbox.say(kind, object, false));
    }

    /// The kind cannot be followed for the moment, until it is given as a whole again. What is known of it stays.
    pub fn interrupt(&self, kind: Kind, why: &str) {
        self.change(|inbox| {
            inbox.broken.insert(kind, why.to_owned());
        });
    }

    fn change(&self, change: impl FnOnce(&mut Inbox)) {
        change(&mut self.inbox.lock());
        match self.wake.try_send(()) {
            Ok(()) => {}
            // Full: a look is due already. Closed: nobody looks any more.
            Err(TrySendError::Full(()) | TrySendError::Closed(())) => {}
        }
    }

    /// What was said since the last time.
    pub(super) fn take(&self) -> Inbox {
        let mut inbox = self.inbox.lock();
        Inbox {
            whole: std::mem::take(&mut inbox.whole),
            said: std::mem::take(&mut inbox.said),
            // Stays broken until it is mended.
            broken: inbox.broken.clone(),
        }
    }
}

impl Inbox {
    fn say(&mut self, kind: Kind, object: &Value, is_there: bool) {
        let metadata = object.get("metadata");
        let text = |key: &str| {
            let value = metadata?.get(key)?.as_str()?;
            Some(value.to_owned())
        };
        // An API server has no object without a name.
        let Some(name) = text("name") else {
            return;
        };
        let namespace = text("namespace").unwrap_or_default();
        let told = is_there.then(|| Told {
            manifest: json!({
                "apiVersion": kind.api_version(),
                "kind": kind.as_str(),
                "metadata": { "name": name, "namespace": namespace },
                "spec": object.get("spec"),
            }),
            created: text("creationTimestamp"),
            generation: metadata.and_then(|metadata| metadata.get("generation")?.as_i64()),
            accepted: object
                .pointer("/status/accepted/digest")
                .and_then(Value::as_str)
                .map(str::to_owned),
        });
        let id = ObjectId {
            kind,
            namespace,
            name,
        };
        self.said.insert(id, told);
    }
}
