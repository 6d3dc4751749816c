//! Real Kubernetes clusters: `tests/cluster/` builds and starts them; they end when this process does,
//! however it ends, because each launcher ends with its standard input.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use parking_lot::Mutex;
use serde::Deserialize;

/// What the launcher prints when its cluster is up.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Facts {
    /// A kubeconfig of `system:masters`.
    pub(crate) admin_kubeconfig: PathBuf,
    /// The exit's own account with a client certificate; may impersonate users and nothing else.
    pub(crate) proxy_kubeconfig: PathBuf,
    /// The same rights with a service account's token file.
    pub(crate) proxy_token_kubeconfig: PathBuf,
    /// The API server's audit log, one JSON event a line.
    pub(crate) audit_log: PathBuf,
    /// The one node's name.
    pub(crate) node_name: String,
    /// Files that hold the process ids of the parts.
    pub(crate) pid_files: PidFiles,
    /// The kubectl that was built with the cluster.
    pub(crate) kubectl: PathBuf,
}

/// Files that always hold the current process ids, also after a restart.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PidFiles {
    /// Of the API server.
    #[serde(rename = "kube-apiserver")]
    pub(crate) api_server: PathBuf,
}

/// A running cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// Where its parts are.
    pub(crate) facts: Facts,
    /// Its standard input is the cluster's life line.
    _launcher: Mutex<Child>,
    /// Its folder goes with it.
    _folder: tempfile::TempDir,
}

static BIN: LazyLock<PathBuf> = LazyLock::new(build);
static FIRST: LazyLock<Cluster> = LazyLock::new(|| start("first"));
static SECOND: LazyLock<Cluster> = LazyLock::new(|| start("second"));

/// The cluster that most tests share: each works in its own namespace and with its own names.
pub(crate) fn shared() -> &'static Cluster {
    &FIRST
}

/// A second one, for tests about two clusters.
pub(crate) fn second() -> &'static Cluster {
    &SECOND
}

/// One of a test's own, for tests that hurt it.
pub(crate) fn own(name: &str) -> Cluster {
    start(name)
}

/// The kubectl that was built with the clusters, for those who need none of them.
pub(crate) fn kubectl() -> PathBuf {
    BIN.join("kubectl")
}

/// The etcd that was built with the clusters.
pub(crate) fn etcd() -> PathBuf {
    BIN.join("etcd")
}

/// The folder of the cluster's programs, built when missing.
fn build() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/build.sh");
    let built = Command::new(script)
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/cluster/build.sh starts");
    assert!(
        built.status.success(),
        "tests/cluster/build.sh failed; its messages are above"
    );
    let printed = String::from_utf8(built.stdout).expect("a path");
    PathBuf::from(
        printed
            .trim()
            .lines()
            .last()
            .expect("build.sh prints its folder last"),
    )
}

fn start(name: &str) -> Cluster {
    let folder = tempfile::Builder::new()
        .prefix("gangplank-cluster-")
        .tempdir()
        .expect("a temporary folder");
    let mut launcher = Command::new(BIN.join("testcluster"))
        .args(["up", "--name", name, "--bin"])
        .arg(&*BIN)
        .arg("--dir")
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the cluster's launcher starts");
    let mut line = String::new();
    BufReader::new(launcher.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("the launcher speaks");
    let facts = serde_json::from_str(&line).unwrap_or_else(|error| {
        panic!("the cluster {name} did not come up ({error}): {line}; logs are in {folder:?}")
    });
    Cluster {
        facts,
        _launcher: Mutex::new(launcher),
        _folder: folder,
    }
}

impl Cluster {
    /// The process id of the API server now.
    pub(crate) fn api_server_pid(&self) -> Option<u32> {
        std::fs::read_to_string(&self.facts.pid_files.api_server)
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// Runs kubectl as the administrator, straight at the API server, and expects it to work.
    pub(crate) fn admin(&self, arguments: &[&str]) -> String {
        super::kubectl::Kubectl::new(&self.facts.kubectl, &self.facts.admin_kubeconfig)
            .ok(arguments)
    }

    /// Applies a manifest as the administrator.
    pub(crate) fn apply(&self, manifest: &str) {
        super::kubectl::Kubectl::new(&self.facts.kubectl, &self.facts.admin_kubeconfig)
            .with_input(&["apply", "-f", "-"], manifest.as_bytes())
            .expect_success();
    }

    /// A namespace of a test's own, with its default service account in place.
    pub(crate) fn namespace(&self, name: &str) {
        self.apply(&format!(
            "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}"
        ));
        super::wait::until("the namespace's default service account", || {
            let account =
                super::kubectl::Kubectl::new(&self.facts.kubectl, &self.facts.admin_kubeconfig)
                    .run(&["-n", name, "get", "serviceaccount", "default"]);
            account.succeeded().then_some(())
        });
    }

    /// Lets a user do everything in a namespace.
    pub(crate) fn make_namespace_admin(&self, user: &str, namespace: &str) {
        let name = user
            .replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
            .to_lowercase();
        self.apply(&format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, \
             metadata: {{name: \"admin-{name}\", namespace: {namespace}}}, \
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}, \
             subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: \"{user}\"}}]}}"
        ));
    }
}
