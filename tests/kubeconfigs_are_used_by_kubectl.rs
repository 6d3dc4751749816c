//! What a Kubeconfig's Secret holds, mounted somewhere, is what real kubectl can use: with certificates in files beside
//! it, and with `gangplank credential` as an exec plugin.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::gangplank;
use crate::support::kept::{self, Kept};
use crate::support::kubectl::{Kubectl, Said};

/// The administrator of the cluster: its address, and papers that it accepts.
fn administrator(kept: &Kept) -> Value {
    let config = ["config", "view", "--raw", "--minify", "-o", "json"];
    serde_json::from_str(&kept.admin().ok(&config)).expect("JSON")
}

/// Makes a Kubeconfig that leads the administrator to his own cluster, and mounts its Secret.
fn mounted(kept: &Kept, namespace: &str, credential: &str) -> TempDir {
    kept.namespace(namespace);
    let folder = tempfile::tempdir().expect("a folder");
    let config = administrator(kept);
    let (cluster, user) = (
        &config["clusters"][0]["cluster"],
        &config["users"][0]["user"],
    );
    let secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "papers", "namespace": namespace },
        "type": "kubernetes.io/tls",
        "data": { "tls.crt": user["client-certificate-data"], "tls.key": user["client-key-data"] },
    });
    let kubeconfig = json!({
        "apiVersion": "multicluster.admiralty.io/v1alpha1",
        "kind": "Kubeconfig",
        "metadata": { "name": "target", "namespace": namespace },
        "spec": {
            "secretName": "target",
            "cluster": {
                "server": cluster["server"],
                "certificateAuthorityData": cluster["certificate-authority-data"],
            },
            "user": { "certificateSecretName": "papers" },
            "credential": credential,
            "mountPath": folder.path(),
        },
    });
    kept.apply(&secret.to_string());
    kept.apply(&kubeconfig.to_string());
    kept.await_reason(namespace, "kubeconfig", "target", "Written");
    let secret = kept.get(namespace, "secret", "target").expect("the Secret");
    for (key, value) in secret["data"].as_object().expect("entries") {
        let content = BASE64_STANDARD.decode(value.as_str().expect("text"));
        fs::write(folder.path().join(key), content.expect("base64")).expect("written");
    }
    folder
}

/// kubectl with the program on its path, in another folder than the kubeconfig's.
fn whoami(kept: &Kept, config: &Path) -> Said {
    let folder = gangplank::program().parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", folder.display());
    Kubectl::new(&kept.cluster.facts.kubectl, config)
        .with_variable("PATH", &path)
        .run(&["auth", "whoami", "-o", "json"])
}

fn assert_is_administrator(said: Said) {
    let who: Value = serde_json::from_slice(&said.expect_success().out).expect("JSON");
    let groups = who["status"]["userInfo"]["groups"]
        .as_array()
        .expect("groups");
    assert!(groups.contains(&json!("system:masters")), "{who}");
}

#[test]
fn with_certificates_beside_it() {
    let kept = kept::shared();
    let folder = mounted(kept, "use-files", "Files");
    let config = fs::read_to_string(folder.path().join("config")).expect("a kubeconfig");
    assert!(!config.contains("client-key-data"), "{config}");
    assert_is_administrator(whoami(kept, &folder.path().join("config")));
}

#[test]
fn with_the_exec_plugin_in_both_versions() {
    let kept = kept::shared();
    let folder = mounted(kept, "use-exec", "Exec");
    let config = folder.path().join("config");
    let written = fs::read_to_string(&config).expect("a kubeconfig");
    assert!(
        written.contains("client.authentication.k8s.io/v1\""),
        "{written}"
    );
    assert_is_administrator(whoami(kept, &config));
    let older = written.replace(
        "authentication.k8s.io/v1\"",
        "authentication.k8s.io/v1beta1\"",
    );
    fs::write(&config, older).expect("written");
    assert_is_administrator(whoami(kept, &config));
    // What is not there is told in the plugin's one line.
    fs::remove_file(folder.path().join("tls.key")).expect("it was there");
    let said = whoami(kept, &config);
    assert!(!said.succeeded());
    let told: Vec<_> = said
        .err
        .lines()
        .filter(|line| line.contains("tls.key"))
        .collect();
    assert!(
        told.len() == 1 && told[0].contains("give `--key` the mounted file"),
        "{}",
        said.err
    );
}

#[test]
fn an_exec_plugin_needs_to_know_where_its_files_are() {
    let kept = kept::shared();
    kept.namespace("use-nowhere");
    let manifest = format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Kubeconfig\nmetadata:\n  name: target\n  namespace: \
         use-nowhere\nspec:\n  secretName: target\n  credential: Exec\n  cluster:\n    server: https://target.example\n    \
         certificateAuthorityData: {}\n",
        BASE64_STANDARD.encode(Authority::new("target").pem())
    );
    let said = kept
        .admin()
        .with_input(&["apply", "-f", "-"], manifest.as_bytes());
    assert!(!said.succeeded());
    assert!(said.err.contains("needs mountPath"), "{}", said.err);
}

#[test]
fn the_plugin_says_what_is_wrong_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let organisation = Authority::new("somebody");
    organisation
        .caller("ns/shop/id/one")
        .write(folder.path(), "one");
    organisation
        .caller("ns/shop/id/two")
        .write(folder.path(), "two");
    organisation
        .exit("harbour.acme", "tunnels.test")
        .write(folder.path(), "exit");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let ask = |certificate: &str, key: &str| {
        gangplank::run(&[
            "credential",
            "--certificate",
            &file(certificate),
            "--key",
            &file(key),
        ])
    };
    let said = ask("one.crt", "one.key").expect_success();
    let answer: Value = serde_json::from_slice(&said.out).expect("JSON");
    assert_eq!(answer["kind"], "ExecCredential");
    assert!(
        answer["status"]["expirationTimestamp"]
            .as_str()
            .is_some_and(|end| end.ends_with('Z'))
    );
    for (certificate, key, told) in [
        ("one.crt", "two.key", "two.key"),
        ("exit.crt", "exit.key", "not a caller's certificate"),
        (
            "none.crt",
            "one.key",
            "give `--certificate` the mounted file",
        ),
        ("one.key", "one.key", "one.key:1:"),
    ] {
        let said = ask(certificate, key);
        assert_eq!(said.code, 2, "{}", said.err);
        assert_eq!(said.err.trim_end().lines().count(), 1, "{}", said.err);
        assert!(said.err.contains(told), "{told}: {}", said.err);
        assert!(said.out.is_empty());
    }
}
