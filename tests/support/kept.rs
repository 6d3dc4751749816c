//! A cluster whose custom resources are kept by a running controller, one for all tests.

use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::cluster::{self, Cluster};
use super::gangplank::{Gangplank, Surroundings};
use super::kubectl::Kubectl;
use super::wait;

/// The namespace that Gangplank is installed in.
pub(crate) const INSTALLATION: &str = "installation";

/// A cluster with the custom resource definitions, and its controller, if it has one that is always there.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) cluster: &'static Cluster,
    /// The controller.
    running: Option<Gangplank>,
    folder: tempfile::TempDir,
}

static SHARED: LazyLock<Kept> = LazyLock::new(|| {
    let mut kept = Kept::define(cluster::second());
    kept.admin().ok(&["create", "namespace", INSTALLATION]);
    kept.running = Some(kept.controller("controller", INSTALLATION, ""));
    kept
});

/// The cluster of those who start controllers themselves, or do something to it.
static APART: LazyLock<Cluster> = LazyLock::new(|| cluster::own("apart"));
static ONE: LazyLock<Kept> = LazyLock::new(|| Kept::define(&APART));
static TURN: Mutex<()> = Mutex::new(());

/// The one that most tests share: each works in its own namespace.
pub(crate) fn shared() -> &'static Kept {
    &SHARED
}

/// A cluster without a controller, for one test at a time.
#[derive(Debug)]
pub(crate) struct Apart {
    kept: &'static Kept,
    _turn: MutexGuard<'static, ()>,
}

/// Waits until the test has it for itself.
pub(crate) fn apart() -> Apart {
    // A test that failed has ended its controllers as well.
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Apart {
        kept: &ONE,
        _turn: turn,
    }
}

impl Deref for Apart {
    type Target = Kept;

    fn deref(&self) -> &Kept {
        self.kept
    }
}

/// The folder of the definitions.
pub(crate) fn definitions() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crds");
    folder.to_str().expect("a path in UTF-8").to_owned()
}

impl Kept {
    fn define(cluster: &'static Cluster) -> Self {
        let admin = Kubectl::new(&cluster.facts.kubectl, &cluster.facts.admin_kubeconfig);
        let definitions = definitions();
        admin.ok(&["apply", "--server-side", "-f", &definitions]);
        admin.ok(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            &definitions,
        ]);
        for role in ["gangplank-source", "gangplank-cluster-summary-viewer"] {
            admin.ok(&[
                "create",
                "clusterrole",
                role,
                "--verb=get",
                "--resource=pods",
            ]);
        }
        Self {
            cluster,
            running: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// The controller that is always there.
    pub(crate) fn running(&self) -> &Gangplank {
        self.running.as_ref().expect("it was started")
    }

    /// Starts a controller whose installation is in `namespace`, with further settings.
    pub(crate) fn controller(&self, name: &str, namespace: &str, further: &str) -> Gangplank {
        self.controller_in(&Surroundings::default(), name, namespace, further)
    }

    /// The same in surroundings of the test's own.
    pub(crate) fn controller_in(
        &self,
        surroundings: &Surroundings,
        name: &str,
        namespace: &str,
        further: &str,
    ) -> Gangplank {
        let config = self.folder.path().join(format!("{namespace}-{name}.yaml"));
        let written = format!(
            "namespace: {namespace}\naccount: acme\ncluster: source-cluster\nupstream:\n  kubeconfig: {}\n\
             sources:\n  role: gangplank-source\n  summaryViewerRole: gangplank-cluster-summary-viewer\n\
             admin:\n  listen: 127.0.0.1:0\n{further}",
            self.cluster.facts.admin_kubeconfig.display()
        );
        fs::write(&config, written).expect("the controller's file");
        Gangplank::start_in(surroundings, "controller", &config, &[])
    }

    /// kubectl as an administrator.
    pub(crate) fn admin(&self) -> Kubectl {
        let facts = &self.cluster.facts;
        Kubectl::new(&facts.kubectl, &facts.admin_kubeconfig)
    }

    /// A new namespace.
    pub(crate) fn namespace(&self, name: &str) {
        self.admin().ok(&["create", "namespace", name]);
    }

    /// Applies a manifest as it is written.
    pub(crate) fn apply(&self, manifest: &str) {
        let said = self
            .admin()
            .with_input(&["apply", "-f", "-"], manifest.as_bytes());
        assert_eq!(said.code, 0, "{}", said.err);
    }

    /// An object, if it is there.
    pub(crate) fn get(&self, namespace: &str, kind: &str, name: &str) -> Option<Value> {
        let said = self
            .admin()
            .run(&["-n", namespace, "get", kind, name, "-o", "json"]);
        (said.code == 0).then(|| serde_json::from_slice(&said.out).expect("JSON"))
    }

    /// Waits until the object's condition `Ready` has this reason, and gives the object.
    pub(crate) fn await_reason(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        reason: &str,
    ) -> Value {
        wait::until(&format!("{kind} {namespace}/{name} to be {reason}"), || {
            let object = self.get(namespace, kind, name)?;
            let condition = &object["status"]["conditions"][0];
            (condition["reason"] == reason).then_some(object)
        })
    }
}
