//! A cluster whose custom resources are kept by a running controller, one for all tests.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

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
cluster: source-cluster
exit:
  enabled: true
  relays: [{ address: 'relay.example.com:443' }]
  relayAuthority: { configMapName: gangplank-relay-authority }
";

/// A cluster with the chart in it, and its controller, which has the rights of the chart's account and no others.
#[derive(Debug)]
pub(crate) struct Kept {
    cluster: &'static Cluster,
    folder: tempfile::TempDir,
    /// The controller.
    _controller: Gangplank,
}

static SHARED: LazyLock<Kept> = LazyLock::new(|| {
    let cluster = cluster::second();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let controller = install(cluster, VALUES, folder.path());
    Kept {
        cluster,
        folder,
        _controller: controller,
    }
});

/// The one that most tests share: each works in its own namespace.
pub(crate) fn shared() -> &'static Kept {
    &SHARED
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

impl Kept {
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
