//! Clusters whose custom resources are kept by a running controller: one for all tests, and others for tests about two, or about controllers.

use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::sync::LazyLock;

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use super::cluster::{self, Cluster};
use super::gangplank::{Gangplank, Surroundings};
use super::kubectl::Kubectl;
use super::{exit_account, helm, wait};

/// The namespace that Gangplank is installed in.
pub(crate) const INSTALLATION: &str = "installation";

/// What is installed beside the chart's own choice.
const VALUES: &str = "\
account: acme
exit:
  enabled: true
  relays: [{ address: 'relay.example.com:443' }]
  relayAuthority: { configMapName: gangplank-relay-authority }
";

/// A cluster with the custom resource definitions, and its controller, if it has one that is always there.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) cluster: &'static Cluster,
    /// The controller.
    running: Option<Gangplank>,
    folder: tempfile::TempDir,
}

static SHARED: LazyLock<Kept> =
    LazyLock::new(|| Kept::install(cluster::second(), "source-cluster"));
static OTHER: LazyLock<Kept> = LazyLock::new(|| Kept::install(cluster::shared(), "target-cluster"));

/// The cluster of those who start controllers themselves, or do something to it.
static APART: LazyLock<Cluster> = LazyLock::new(|| cluster::own("apart"));
static ONE: LazyLock<Kept> = LazyLock::new(|| Kept::define(&APART));
static TURN: Mutex<()> = Mutex::new(());

/// The one that most tests share: each works in its own namespace.
pub(crate) fn shared() -> &'static Kept {
    &SHARED
}

/// Another one, which the first one calls.
pub(crate) fn other() -> &'static Kept {
    &OTHER
}

/// Installs the chart and starts what its Deployment of the controller would, with the same file and the same account.
pub(crate) fn install(cluster: &Cluster, values: &str, folder: &Path) -> Gangplank {
    let (chart, values_file) = (helm::chart(), folder.join("values.yaml"));
    fs::write(&values_file, values).expect("the values");
    let admin = &cluster.facts.admin_kubeconfig;
    let named = [chart.as_path(), values_file.as_path(), admin.as_path()]
        .map(|path| path.to_str().expect("a path in UTF-8"));
    let [chart, values_file, admin] = named;
    let arguments = [
        "upgrade",
        "--install",
        "gangplank",
        chart,
        "--namespace",
        INSTALLATION,
        "--create-namespace",
        "--values",
        values_file,
        "--kubeconfig",
        admin,
    ];
    helm::run(&arguments).expect_success();
    cluster.admin(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "-f",
        concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/crds"),
    ]);
    let account = exit_account::token_of(cluster, INSTALLATION, "gangplank-controller", folder);
    let config = folder.join("controller.yaml");
    fs::write(&config, outside_of_a_pod(cluster, &account)).expect("the controller's file");
    Gangplank::start_in(&as_long_as_us(), "controller", &config, &[])
}

/// It ends with this process, however that ends: what is static is never dropped.
fn as_long_as_us() -> Surroundings {
    let ours = std::process::id();
    let guard = format!(
        "(while kill -0 {ours} && kill -0 $$; do sleep 1; done; kill $$) 2>&- & exec \"$@\""
    );
    let through = ["sh", "-c", guard.as_str(), "sh"];
    Surroundings {
        through: through.map(str::to_owned).to_vec(),
        ..Surroundings::default()
    }
}

/// The controller's file as the chart writes it, but for where it runs.
fn outside_of_a_pod(cluster: &Cluster, account: &Path) -> String {
    let key = "jsonpath={.data.controller\\.yaml}";
    let name = "gangplank-controller";
    let mut file = cluster.admin(&["-n", INSTALLATION, "get", "configmap", name, "-o", key]);
    let upstream = format!("upstream: {{ kubeconfig: {} }}", account.display());
    for (inside, outside) in [
        ("upstream: { inCluster: true }", upstream.as_str()),
        ("[::]:9090", "127.0.0.1:0"),
    ] {
        assert!(file.contains(inside), "{inside} in {file}");
        file = file.replace(inside, outside);
    }
    file
}

/// A cluster without a controller, for one test at a time.
#[derive(Debug)]
pub(crate) struct Apart {
    kept: &'static Kept,
    _turn: MutexGuard<'static, ()>,
}

/// Waits until the test has it for itself.
pub(crate) fn apart() -> Apart {
    let turn = TURN.lock();
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
    /// With the chart, and a controller that has the rights of the chart's account and no others.
    fn install(cluster: &'static Cluster, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let values = format!("cluster: {name}\n{VALUES}");
        let controller = install(cluster, &values, folder.path());
        // What the launcher made exits run as, with what the chart's exit may read.
        cluster.admin(&[
            "create",
            "clusterrolebinding",
            "gangplank-exit-of-the-tests",
            "--clusterrole=gangplank-exit",
            "--user=gangplank-exit",
        ]);
        Self {
            cluster,
            running: Some(controller),
            folder,
        }
    }

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

    /// The cluster itself.
    pub(crate) fn cluster(&self) -> &'static Cluster {
        self.cluster
    }

    /// kubectl with a token of this service account of the installation, and nothing else.
    pub(crate) fn account(&self, name: &str) -> Kubectl {
        let kubeconfig =
            exit_account::token_of(self.cluster, INSTALLATION, name, self.folder.path());
        Kubectl::new(&self.cluster.facts.kubectl, &kubeconfig)
    }

    /// kubectl as an administrator.
    pub(crate) fn admin(&self) -> Kubectl {
        let facts = &self.cluster.facts;
        Kubectl::new(&facts.kubectl, &facts.admin_kubeconfig)
    }

    /// The administrator's kubeconfig.
    pub(crate) fn kubeconfig(&self) -> &str {
        let file = self.cluster.facts.admin_kubeconfig.to_str();
        file.expect("a path in UTF-8")
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
