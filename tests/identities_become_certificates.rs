//! An Identity has a client certificate in its Secret, of its own namespace and name, and keeps it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::support::kept::{self, Kept};
use crate::support::wait;

fn identity(namespace: &str, name: &str, secret: &str) -> String {
    format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Identity\nmetadata:\n  name: {name}\n  \
         namespace: {namespace}\nspec:\n  secretName: {secret}\n"
    )
}

fn entry(secret: &Value, key: &str) -> Vec<u8> {
    let text = secret["data"][key]
        .as_str()
        .unwrap_or_else(|| panic!("no {key} in {secret}"));
    BASE64_STANDARD.decode(text).expect("base64")
}

fn certificate(secret: &Value) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(&entry(secret, "tls.crt")).expect("a certificate")
}

fn issued(kept: &Kept, namespace: &str, name: &str, secret: &str) -> Value {
    kept.apply(&identity(namespace, name, secret));
    kept.await_reason(namespace, "identity", name, "Issued");
    kept.get(namespace, "secret", secret).expect("the Secret")
}

/// Case A3 of the source systems.
#[test]
fn of_their_namespace_and_name_for_clients_alone() {
    let kept = kept::shared();
    kept.namespace("id-names");
    let secret = issued(kept, "id-names", "my-app", "my-app-id-cert");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let der = certificate(&secret);
    let (_, read) = X509Certificate::from_der(&der).expect("X.509");
    let names: Vec<_> = read
        .subject()
        .iter_common_name()
        .map(|name| name.as_str().expect("text"))
        .collect();
    assert_eq!(names, ["ns/id-names/id/my-app"]);
    let usage = read.extended_key_usage().expect("readable").expect("there");
    assert!(usage.value.client_auth && !usage.value.server_auth);
    let ca = CertificateDer::from_pem_slice(&entry(&secret, "ca.crt")).expect("a certificate");
    let (_, ca) = X509Certificate::from_der(&ca).expect("X.509");
    read.verify_signature(Some(ca.public_key()))
        .expect("signed by ca.crt");
}

/// A namespace of 63 characters alone is more than X.520 allows for a common name.
#[test]
fn however_long_the_names_are() {
    let kept = kept::shared();
    let (namespace, name) = ("n".repeat(63), "i".repeat(40));
    kept.namespace(&namespace);
    let secret = issued(kept, &namespace, &name, "long");
    let der = certificate(&secret);
    let (_, read) = X509Certificate::from_der(&der).expect("X.509");
    let common_name = read.subject().iter_common_name().next().expect("a name");
    assert_eq!(
        common_name.as_str().expect("text"),
        format!("ns/{namespace}/id/{name}")
    );
}

#[test]
fn that_come_back_when_they_are_deleted_or_spoilt() {
    let kept = kept::shared();
    kept.namespace("id-drift");
    let first = issued(kept, "id-drift", "default", "cert");
    kept.admin()
        .ok(&["-n", "id-drift", "delete", "secret", "cert"]);
    let second = wait::until("the Secret to be back", || {
        kept.get("id-drift", "secret", "cert")
            .filter(|secret| secret["metadata"]["uid"] != first["metadata"]["uid"])
    });
    let spoil = r#"{"data":{"tls.crt":"eA=="}}"#;
    kept.admin()
        .ok(&["-n", "id-drift", "patch", "secret", "cert", "-p", spoil]);
    wait::until("the certificate to be whole again", || {
        let secret = kept.get("id-drift", "secret", "cert")?;
        CertificateDer::from_pem_slice(&entry(&secret, "tls.crt")).ok()
    });
    let add = r#"{"data":{"theirs":"eA=="}}"#;
    kept.admin()
        .ok(&["-n", "id-drift", "patch", "secret", "cert", "-p", add]);
    let secret = kept.get("id-drift", "secret", "cert").expect("the Secret");
    assert_eq!(entry(&secret, "theirs"), b"x", "what others add is theirs");
    assert_ne!(
        certificate(&second),
        certificate(&secret),
        "the spoilt one was not kept"
    );
}

#[test]
fn but_never_in_somebody_elses_secret() {
    let kept = kept::shared();
    kept.namespace("id-foreign");
    kept.admin().ok(&[
        "-n",
        "id-foreign",
        "create",
        "secret",
        "generic",
        "theirs",
        "--from-literal=a=b",
    ]);
    let before = kept
        .get("id-foreign", "secret", "theirs")
        .expect("the Secret");
    kept.apply(&identity("id-foreign", "default", "theirs"));
    let object = kept.await_reason("id-foreign", "identity", "default", "SecretTaken");
    let message = object["status"]["conditions"][0]["message"]
        .as_str()
        .expect("text");
    assert!(
        message.contains("name another one in secretName"),
        "{message}"
    );
    let after = kept
        .get("id-foreign", "secret", "theirs")
        .expect("the Secret");
    assert_eq!(before, after);
}

/// Without waiting for the garbage collector: the finalizer goes only when the Secret is gone.
#[test]
fn and_take_them_along_when_they_go() {
    let kept = kept::shared();
    kept.namespace("id-gone");
    issued(kept, "id-gone", "default", "cert");
    kept.admin().ok(&[
        "-n",
        "id-gone",
        "delete",
        "identity",
        "default",
        "--wait=true",
    ]);
    assert_eq!(kept.get("id-gone", "secret", "cert"), None);
}

#[test]
fn and_move_with_the_name_of_the_secret() {
    let kept = kept::shared();
    kept.namespace("id-moved");
    issued(kept, "id-moved", "default", "first");
    kept.apply(&identity("id-moved", "default", "second"));
    wait::until("the second to be there and the first gone", || {
        let first = kept.get("id-moved", "secret", "first");
        let second = kept.get("id-moved", "secret", "second");
        (first.is_none() && second.is_some()).then_some(())
    });
}
