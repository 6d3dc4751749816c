//! Real Helm, and the chart that is in the tree.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::kubectl::{Said, finish};

/// Helm, built when missing.
static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/helm.sh");
    let built = Command::new(script)
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/cluster/helm.sh starts");
    assert!(
        built.status.success(),
        "tests/cluster/helm.sh failed; its messages are above"
    );
    let printed = String::from_utf8(built.stdout).expect("a path");
    PathBuf::from(printed.trim().lines().last().expect("a path"))
});

/// The folder that Helm is in, for commands of the manual.
pub(crate) fn folder() -> &'static Path {
    PROGRAM.parent().expect("a program is in a folder")
}

/// The chart's folder.
pub(crate) fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/chart/gangplank")
}

/// The values files that the manual names, in the order of their names.
pub(crate) fn examples() -> Vec<PathBuf> {
    let files = std::fs::read_dir(chart().join("examples")).expect("a folder");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    files.sort();
    files
}

/// Runs Helm to its end, with nothing of the user's own configuration.
pub(crate) fn run(arguments: &[&str]) -> Said {
    let own = tempfile::tempdir().expect("a folder");
    let child = Command::new(&*PROGRAM)
        .env_remove("KUBECONFIG")
        .env("HELM_CACHE_HOME", own.path())
        .env("HELM_CONFIG_HOME", own.path())
        .env("HELM_DATA_HOME", own.path())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("helm starts");
    finish(child, &format!("helm {arguments:?}"))
}

/// What the chart makes in `namespace` with these further arguments.
pub(crate) fn template(namespace: &str, further: &[&str]) -> Said {
    let chart = chart();
    let chart = chart.to_str().expect("a path in UTF-8");
    let mut arguments = vec!["template", "gangplank", chart, "--namespace", namespace];
    arguments.extend(further);
    run(&arguments)
}
