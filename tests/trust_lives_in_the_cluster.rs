//! An exit that reads whom it trusts from the API server: objects take effect as they come and go, and their status
//! says what became of them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::support::certificates::{Authority, Papers};
use crate::support::kept::{self, Kept};
use crate::support::kubectl::Kubectl;
use crate::support::path::Site;
use crate::support::running::Running;
use crate::support::wait;

/// As Admiralty's page has it.
const PAGE: &str = r#"
apiVersion: multicluster.admiralty.io/v1alpha1
kind: TrustedIdentityProvider
metadata:
  name: source-cluster
  namespace: namespace-a
spec:
  prefix: "spiffe://source-cluster/"
  admiraltyReference:
    accountName: user-abcdef # defaults to the cluster's account name
    clusterName: source-cluster
"#;

fn literal(namespace: &str, name: &str, prefix: &str, authority: &Authority) -> String {
    format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: TrustedIdentityProvider\nmetadata:\n  name: {name}\n  \
         namespace: {namespace}\nspec:\n  prefix: \"{prefix}\"\n  certificateAuthorityData: {}\n",
        BASE64_STANDARD.encode(authority.pem())
    )
}

fn pin(name: &str, cluster: &str, fingerprint: &str, authority: &Authority) -> String {
    format!(
        "apiVersion: gangplank.dev/v1alpha1\nkind: KnownCluster\nmetadata:\n  name: {name}\nspec:\n  \
         accountName: user-abcdef\n  clusterName: {cluster}\n  identity:\n    fingerprints: [\"{fingerprint}\"]\n    \
         certificateAuthorityData: {}\n",
        BASE64_STANDARD.encode(authority.pem())
    )
}

/// An exit before the kept cluster, ready.
fn site(kept: &Kept) -> Site {
    let facts = &kept.cluster().facts;
    let site = Site::trusting_cluster(&facts.proxy_kubeconfig, "user-abcdef");
    let site = site.with_kubectl(kept.cluster());
    site.exit.await_ready();
    site
}

fn username(caller: &Kubectl) -> Result<String, String> {
    let said = caller.run(&[
        "auth",
        "whoami",
        "-o",
        "jsonpath={.status.userInfo.username}",
    ]);
    if said.succeeded() {
        return Ok(said.text());
    }
    Err(said.err)
}

fn await_username(caller: &Kubectl, expected: &str) {
    let what = format!("the caller to be {expected}");
    wait::until(&what, || (username(caller).ok()? == expected).then_some(()));
}

fn await_refusal(caller: &Kubectl, class: &str) {
    wait::until(&format!("a refusal as {class}"), || {
        username(caller).err()?.contains(class).then_some(())
    });
}

/// A watch that the user may have, seen to run.
fn watch(kept: &Kept, namespace: &str, user: &str, caller: &Kubectl) -> Running {
    kept.cluster().make_namespace_admin(user, namespace);
    let path = format!("/api/v1/namespaces/{namespace}/configmaps?watch=1");
    let mut watch = caller.start(&["get", "--raw", &path]);
    let seen = format!("seen-{}", watch.pid());
    kept.admin()
        .ok(&["-n", namespace, "create", "configmap", &seen]);
    watch.await_out(&seen);
    watch
}

fn caller(site: &Site, papers: &Papers) -> Kubectl {
    site.kubectl(papers)
}

/// Case A4, O1: the page's manifest, and the pin that it refers to.
#[test]
fn as_the_page_has_it_once_somebody_accepted_the_cluster() {
    let kept = kept::shared();
    kept.namespace("namespace-a");
    let (source, other) = (Authority::new("source"), Authority::new("other"));
    let site = site(kept);
    let default = caller(&site, &source.caller("ns/namespace-a/id/default"));
    kept.apply(PAGE);
    let other_caller = caller(&site, &other.caller("ns/x/id/y"));
    kept.apply(&literal(
        "namespace-a",
        "other",
        "spiffe://other-of-page/",
        &other,
    ));
    await_username(&other_caller, "spiffe://other-of-page/ns/x/id/y");
    await_refusal(&default, "UnknownIssuer");

    // What is pinned is another key: nobody of this one is believed.
    kept.apply(&pin(
        "page",
        "source-cluster",
        &other.fingerprint(),
        &source,
    ));
    await_refusal(&default, "UnknownIssuer");
    kept.apply(&pin(
        "page",
        "source-cluster",
        &source.fingerprint(),
        &source,
    ));
    let expected = "spiffe://source-cluster/ns/namespace-a/id/default";
    await_username(&default, expected);

    let mut lost = watch(kept, "namespace-a", expected, &default);
    let other_user = "spiffe://other-of-page/ns/x/id/y";
    let mut stays = watch(kept, "namespace-a", other_user, &other_caller);
    kept.admin()
        .ok(&["-n", "namespace-a", "delete", "tip", "source-cluster"]);
    lost.await_end();
    await_refusal(&default, "UnknownIssuer");
    assert_eq!(stays.ended(), None, "nothing else is disturbed");
    kept.apply(PAGE);
    await_username(&default, expected);
    kept.admin().ok(&["delete", "knowncluster", "page"]);
    await_refusal(&default, "UnknownIssuer");
    assert_eq!(stays.ended(), None, "nothing else is disturbed");
}

fn reason(kept: &Kept, namespace: &str, name: &str, reason: &str) -> serde_json::Value {
    kept.await_reason(namespace, "trustedidentityprovider", name, reason)
}

/// What was accepted is written down, and nothing holds the object back when it is to go.
#[test]
fn status_says_what_was_accepted() {
    let kept = kept::shared();
    kept.namespace("tip-status");
    let authority = Authority::new("accepted");
    let manifest = literal("tip-status", "accepted", "spiffe://tip-status/", &authority);
    kept.apply(&manifest);
    let object = reason(kept, "tip-status", "accepted", "Accepted");
    let status = &object["status"];
    assert_eq!(status["conditions"][0]["status"], "True");
    assert_eq!(status["conditions"][0]["observedGeneration"], 1);
    let authorities = &status["certificateAuthorities"][0];
    assert_eq!(authorities["fingerprint"], authority.fingerprint().as_str());
    assert_eq!(authorities["notAfter"], "2099-01-01T00:00:00Z");
    let accepted = status["accepted"].clone();
    assert_eq!(accepted["prefix"], "spiffe://tip-status/");
    assert_eq!(
        accepted["fingerprints"][0],
        authority.fingerprint().as_str()
    );
    assert!(
        accepted["digest"]
            .as_str()
            .expect("a digest")
            .starts_with("sha256:")
    );
    assert!(object["metadata"]["finalizers"].is_null());

    let site = site(kept);
    let caller = caller(&site, &authority.caller("a"));
    await_username(&caller, "spiffe://tip-status/a");
    // Case A4 (f): an edit that is no good takes nothing away.
    let patch = "{\"spec\":{\"certificateAuthorityData\":\"bm90aGluZw==\"}}";
    let object = [
        "-n",
        "tip-status",
        "patch",
        "tip",
        "accepted",
        "--type=merge",
        "-p",
        patch,
    ];
    kept.admin().ok(&object);
    let object = reason(kept, "tip-status", "accepted", "NoCertificate");
    assert_eq!(object["status"]["accepted"], accepted);
    assert_eq!(object["status"]["conditions"][0]["observedGeneration"], 2);
    await_username(&caller, "spiffe://tip-status/a");
    kept.apply(&manifest);
    reason(kept, "tip-status", "accepted", "Accepted");
}

#[test]
fn status_awaits_a_pin() {
    let kept = kept::shared();
    kept.namespace("tip-pin");
    let source = Authority::new("source");
    let manifest = PAGE
        .replace("namespace-a", "tip-pin")
        .replace("source-cluster", "unknown-cluster");
    kept.apply(&manifest);
    let object = reason(kept, "tip-pin", "unknown-cluster", "AwaitingPin");
    let message = object["status"]["conditions"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(
        message.contains("unknown-cluster.user-abcdef") && message.contains("gangplank accept")
    );
    let other = Authority::new("other").fingerprint();
    kept.apply(&pin("tip-pin", "unknown-cluster", &other, &source));
    wait::until("the fingerprint that was seen to be told", || {
        let object = kept.get("tip-pin", "tip", "unknown-cluster")?;
        let message = object["status"]["conditions"][0]["message"].as_str()?;
        message.contains(&source.fingerprint()).then_some(())
    });
    kept.apply(&pin(
        "tip-pin",
        "unknown-cluster",
        &source.fingerprint(),
        &source,
    ));
    let object = reason(kept, "tip-pin", "unknown-cluster", "Accepted");
    let data = object["status"]["certificateAuthorityData"]
        .as_str()
        .expect("a CA");
    let pem = BASE64_STANDARD.decode(data).expect("base64");
    assert!(String::from_utf8_lossy(&pem).contains("BEGIN CERTIFICATE"));
    kept.admin().ok(&["delete", "knowncluster", "tip-pin"]);
    reason(kept, "tip-pin", "unknown-cluster", "AwaitingPin");
}

/// Cases A4 (b) and (c): the older keeps, and both say so.
#[test]
fn conflicts_are_told_by_both() {
    let kept = kept::shared();
    kept.namespace("tip-conflict");
    let (old, young) = (Authority::new("old"), Authority::new("young"));
    kept.apply(&literal(
        "tip-conflict",
        "z-old",
        "spiffe://tip-conflict/",
        &old,
    ));
    reason(kept, "tip-conflict", "z-old", "Accepted");
    kept.apply(&literal(
        "tip-conflict",
        "a-young",
        "spiffe://tip-conflict/eu/",
        &young,
    ));
    kept.apply(&literal(
        "tip-conflict",
        "b-same-key",
        "spiffe://elsewhere-conflict/",
        &old,
    ));
    let refused = reason(kept, "tip-conflict", "a-young", "PrefixConflict");
    let message = refused["status"]["conditions"][0]["message"]
        .as_str()
        .expect("a message");
    assert!(message.contains("tip-conflict/z-old"), "{message}");
    assert!(refused["status"]["accepted"].is_null());
    reason(kept, "tip-conflict", "b-same-key", "KeyConflict");
    wait::until("the older one to say who contests it", || {
        let object = kept.get("tip-conflict", "tip", "z-old")?;
        let condition = &object["status"]["conditions"][0];
        let message = condition["message"].as_str()?;
        let is_told = message.contains("Contested: tip-conflict/a-young");
        (is_told && condition["status"] == "True").then_some(())
    });

    // An exit that starts now takes the same one, by what is written down.
    let site = site(kept);
    let (of_old, of_young) = (
        caller(&site, &old.caller("a")),
        caller(&site, &young.caller("a")),
    );
    await_username(&of_old, "spiffe://tip-conflict/a");
    await_refusal(&of_young, "UnknownIssuer");
    kept.admin()
        .ok(&["-n", "tip-conflict", "delete", "tip", "z-old"]);
    reason(kept, "tip-conflict", "a-young", "Accepted");
    reason(kept, "tip-conflict", "b-same-key", "Accepted");
    await_username(&of_young, "spiffe://tip-conflict/eu/a");
    await_username(&of_old, "spiffe://elsewhere-conflict/a");
}
