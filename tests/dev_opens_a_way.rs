//! `gangplank dev` before a real cluster: the kubeconfig it prints works, SIGTERM ends it cleanly, and its throwaway
//! folder is gone with it.

use std::path::{Path, PathBuf};

use crate::support::kubectl::Kubectl;
use crate::support::running::Running;
use crate::support::{cluster, gangplank, signal, wait};

/// Starts it before the shared cluster and waits for the kubeconfig that it tells of.
fn start(further: &[&str]) -> (Running, PathBuf) {
    let facts = &cluster::shared().facts;
    let mut command = gangplank::command(&["dev", "--kubeconfig"]);
    command.arg(&facts.admin_kubeconfig).args(further);
    let mut dev = Running::start(command, "gangplank dev");
    dev.await_out("auth whoami");
    let told = dev.out();
    let line = told
        .lines()
        .find(|line| line.contains("kubectl --kubeconfig "))
        .expect("a command to try");
    let file = line.split_whitespace().nth(2).expect("a file");
    (dev, PathBuf::from(file))
}

fn await_whoami(kubeconfig: &Path, name: &str) {
    let kubectl = Kubectl::new(&cluster::shared().facts.kubectl, kubeconfig);
    // The agent is dialling when the kubeconfig is told.
    let told = wait::until("the way to be open", || {
        let said = kubectl.run(&[
            "auth",
            "whoami",
            "-o",
            "jsonpath={.status.userInfo.username}",
        ]);
        said.succeeded().then(|| said.text())
    });
    assert_eq!(told, name);
}

fn terminate(dev: &mut Running) {
    signal::send("-TERM", dev.pid());
    assert_eq!(dev.await_end(), 0, "{}", dev.err());
}

#[test]
fn and_leaves_nothing_behind() {
    let (mut dev, kubeconfig) = start(&[]);
    await_whoami(&kubeconfig, "spiffe://dev.example/ns/default/id/developer");
    let folder = kubeconfig.parent().expect("a folder").to_owned();
    assert!(
        folder.join("trust").is_dir(),
        "the trust directory that it tells of"
    );
    terminate(&mut dev);
    assert!(!folder.exists(), "{} is left", folder.display());
}

#[test]
fn as_whom_and_where_it_is_told() {
    let kept = tempfile::tempdir().expect("a folder");
    let directory = kept.path().join("dev").display().to_string();
    let arguments = [
        "--directory",
        &directory,
        "--caller",
        "ns/shop/id/deployer",
        "--prefix",
        "spiffe://team-a.example/",
    ];
    let (mut dev, kubeconfig) = start(&arguments);
    await_whoami(&kubeconfig, "spiffe://team-a.example/ns/shop/id/deployer");
    terminate(&mut dev);
    assert!(kubeconfig.is_file(), "a folder that was named is kept");

    let again = gangplank::run(&[&["dev", "--kubeconfig", "/nowhere"], &arguments[..]].concat());
    assert_eq!(again.code, 2, "{}", again.err);
    assert!(again.err.contains("--kubeconfig"), "{}", again.err);
}
