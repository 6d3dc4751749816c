//! A cluster whose custom resources are kept by a running controller, one for all tests.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;

use super::cluster::{self, Cluster};
use super::gangplank::Gangplank;
use super::kubectl::Kubectl;
use super::wait;

/// The namespace that Gangplank is installed in.
pub(crate) const INSTALLATION: &str = "installation";

/// A cluster with the custom resource definitions, and its controller.
#[derive(Debug)]
pub(crate) struct Kept {
    cluster: &'static Cluster,
    /// The controller.
    _controller: Gangplank,
    _folder: tempfile::TempDir,
}

static SHARED: LazyLock<Kept> = LazyLock::new(|| Kept::start(cluster::second()));

/// The one that most tests share: each works in its own namespace.
pub(crate) fn shared() -> &'static Kept {
    &SHARED
}

impl Kept {
    fn start(cluster: &'static Cluster) -> Self {
        let admin = Kubectl::new(&cluster.facts.kubectl, &cluster.facts.admin_kubeconfig);
        let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/crds");
        let definitions = definitions.to_str().expect("a path in UTF-8");
        admin.ok(&["apply", "--server-side", "-f", definitions]);
        admin.ok(&[
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            "-f",
            definitions,
        ]);
        admin.ok(&["create", "namespace", INSTALLATION]);
        for role in ["gangplank-source", "gangplank-cluster-summary-viewer"] {
            admin.ok(&[
                "create",
                "clusterrole",
                role,
                "--verb=get",
                "--resource=pods",
            ]);
        }
        let resources =
            "trustedidentityproviders.multicluster.admiralty.io,knownclusters.gangplank.dev";
        let role = "gangplank-exit-reads-trust";
        let resources = format!("--resource={resources}");
        admin.ok(&[
            "create",
            "clusterrole",
            role,
            "--verb=list,watch",
            &resources,
        ]);
        let bound = format!("--clusterrole={role}");
        admin.ok(&[
            "create",
            "clusterrolebinding",
            role,
            &bound,
            "--user=gangplank-exit",
        ]);
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("controller.yaml");
        let written = format!(
            "namespace: {INSTALLATION}\naccount: acme\ncluster: source-cluster\nupstream:\n  kubeconfig: {}\n\
             sources:\n  role: gangplank-source\n  summaryViewerRole: gangplank-cluster-summary-viewer\n\
             admin:\n  listen: 127.0.0.1:0\n",
            cluster.facts.admin_kubeconfig.display()
        );
        fs::write(&config, written).expect("the controller's file");
        Self {
            cluster,
            _controller: Gangplank::start("controller", &config),
            _folder: folder,
        }
    }

    /// The cluster itself.
    pub(crate) fn cluster(&self) -> &'static Cluster {
        self.cluster
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
