//! A Kubeconfig has a Secret that kubectl and others can use, made of a cluster and an identity.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::support::certificates::Authority;
use crate::support::kept::{self, Kept};
use crate::support::wait;

fn literal(namespace: &str, secret: &str, authority: &Authority, further: &str) -> String {
    format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Kubeconfig\nmetadata:\n  name: target-cluster\n  \
         namespace: {namespace}\nspec:\n  secretName: {secret}\n  cluster:\n    server: https://target.example\n    \
         certificateAuthorityData: {}\n{further}",
        BASE64_STANDARD.encode(authority.pem())
    )
}

fn config(kept: &Kept, namespace: &str, secret: &str) -> Option<Value> {
    let secret = kept.get(namespace, "secret", secret)?;
    let text = secret["data"]["config"].as_str()?;
    serde_json::from_slice(&BASE64_STANDARD.decode(text).ok()?).ok()
}

/// Cases A1 and A2: literals, and an Identity that comes into being because somebody needs one.
#[test]
fn with_the_default_identity_of_the_namespace() {
    let kept = kept::shared();
    kept.namespace("kc-literal");
    assert_eq!(kept.get("kc-literal", "identity", "default"), None);
    kept.apply(&literal(
        "kc-literal",
        "target-kubeconfig",
        &Authority::new("target"),
        "",
    ));
    kept.await_reason("kc-literal", "kubeconfig", "target-cluster", "Written");
    let identity = kept
        .get("kc-literal", "identity", "default")
        .expect("an Identity");
    assert_eq!(
        identity["spec"]["secretName"],
        "default-identity-certificate"
    );
    let config = config(kept, "kc-literal", "target-kubeconfig").expect("a kubeconfig");
    let certificate = &config["users"][0]["user"]["client-certificate-data"];
    let secret = kept
        .get("kc-literal", "secret", "default-identity-certificate")
        .expect("the certificate");
    assert_eq!(*certificate, secret["data"]["tls.crt"]);
    assert_eq!(
        config["clusters"][0]["cluster"]["server"],
        "https://target.example"
    );
}

#[test]
fn with_the_default_identity_that_somebody_made_before() {
    let kept = kept::shared();
    kept.namespace("kc-own-default");
    kept.apply(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Identity\nmetadata:\n  name: default\n  \
         namespace: kc-own-default\nspec:\n  secretName: mine\n",
    );
    kept.apply(&literal(
        "kc-own-default",
        "k",
        &Authority::new("target"),
        "",
    ));
    kept.await_reason("kc-own-default", "kubeconfig", "target-cluster", "Written");
    assert_eq!(
        kept.get("kc-own-default", "secret", "default-identity-certificate"),
        None
    );
    let config = config(kept, "kc-own-default", "k").expect("a kubeconfig");
    let mine = kept
        .get("kc-own-default", "secret", "mine")
        .expect("the certificate");
    assert_eq!(
        config["users"][0]["user"]["client-certificate-data"],
        mine["data"]["tls.crt"]
    );
}

#[test]
fn anew_when_the_certificate_is_another_one() {
    let kept = kept::shared();
    kept.namespace("kc-renewed");
    kept.apply(&literal("kc-renewed", "k", &Authority::new("target"), ""));
    kept.await_reason("kc-renewed", "kubeconfig", "target-cluster", "Written");
    let before = config(kept, "kc-renewed", "k").expect("a kubeconfig");
    kept.admin().ok(&[
        "-n",
        "kc-renewed",
        "delete",
        "secret",
        "default-identity-certificate",
    ]);
    wait::until("the kubeconfig to have the new certificate", || {
        config(kept, "kc-renewed", "k").filter(|config| config["users"] != before["users"])
    });
}

#[test]
fn from_a_certificate_that_comes_later() {
    let kept = kept::shared();
    kept.namespace("kc-late");
    let user = "  user:\n    certificateSecretName: theirs\n";
    kept.apply(&literal("kc-late", "k", &Authority::new("target"), user));
    kept.await_reason(
        "kc-late",
        "kubeconfig",
        "target-cluster",
        "CertificateNotReady",
    );
    assert_eq!(
        kept.get("kc-late", "secret", "k"),
        None,
        "no half kubeconfig"
    );
    let folder = tempfile::tempdir().expect("a folder");
    Authority::new("anybody")
        .caller("somebody")
        .write(folder.path(), "caller");
    let file = |end: &str| {
        folder
            .path()
            .join(format!("caller.{end}"))
            .display()
            .to_string()
    };
    kept.admin().ok(&[
        "-n",
        "kc-late",
        "create",
        "secret",
        "tls",
        "theirs",
        "--cert",
        &file("crt"),
        "--key",
        &file("key"),
    ]);
    kept.await_reason("kc-late", "kubeconfig", "target-cluster", "Written");
}

/// Design: a reference leads to a pin, and nowhere without one.
#[test]
fn by_reference_only_to_clusters_that_somebody_accepted() {
    let kept = kept::shared();
    kept.namespace("kc-reference");
    let authority = Authority::new("exit of target-cluster");
    kept.apply(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Kubeconfig\nmetadata:\n  name: target-cluster\n  \
         namespace: kc-reference\nspec:\n  secretName: target-cluster-kubeconfig\n  cluster:\n    admiraltyReference:\n      \
         accountName: user-abcdef\n      clusterName: target-cluster\n",
    );
    let waiting = kept.await_reason(
        "kc-reference",
        "kubeconfig",
        "target-cluster",
        "AwaitingPin",
    );
    let message = waiting["status"]["conditions"][0]["message"]
        .as_str()
        .expect("text");
    assert!(message.contains("gangplank accept"), "{message}");
    assert_eq!(
        kept.get("kc-reference", "secret", "target-cluster-kubeconfig"),
        None
    );
    let fingerprint = authority.fingerprint();
    let pin = |server: &str| {
        format!(
            "apiVersion: gangplank.dev/v1alpha1\nkind: KnownCluster\nmetadata:\n  name: target-cluster\nspec:\n  \
             accountName: user-abcdef\n  clusterName: target-cluster\n  server: {server}\n  serving:\n    \
             fingerprints: [\"{fingerprint}\"]\n    certificateAuthorityData: {}\n",
            BASE64_STANDARD.encode(authority.pem())
        )
    };
    kept.apply(&pin("https://target-cluster.user-abcdef.gangplank.example"));
    let written = kept.await_reason("kc-reference", "kubeconfig", "target-cluster", "Written");
    assert_eq!(
        written["status"]["certificateAuthorities"][0]["fingerprint"],
        fingerprint.as_str()
    );
    assert!(
        written["spec"]["cluster"].get("server").is_none(),
        "what was found is in the status"
    );
    kept.apply(&pin("https://elsewhere.example"));
    wait::until("the kubeconfig to follow the pin", || {
        let config = config(kept, "kc-reference", "target-cluster-kubeconfig")?;
        (config["clusters"][0]["cluster"]["server"] == "https://elsewhere.example").then_some(())
    });
}

#[test]
fn never_by_reference_and_literally_at_once() {
    let kept = kept::shared();
    kept.namespace("kc-both");
    let both = "    admiraltyReference:\n      clusterName: target-cluster\n";
    let manifest = literal("kc-both", "k", &Authority::new("target"), both);
    let said = kept
        .admin()
        .with_input(&["apply", "-f", "-"], manifest.as_bytes());
    assert!(!said.succeeded());
    assert!(said.err.contains("admiraltyReference"), "{}", said.err);
}
