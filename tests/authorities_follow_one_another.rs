//! The installation has its two authorities and the exit's certificate, and each is followed by the next before its end,
//! so that nobody who trusted what was published has to refuse anybody.

#![expect(
    clippy::significant_drop_tightening,
    reason = "a test has the cluster to its end"
)]

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gangplank_pki::issue::{Held, Kind, Request};
use gangplank_pki::{TrustAnchor, advances, pem};
use rustls_pki_types::{CertificateDer, UnixTime};
use serde_json::Value;

use crate::support::clock::Clock;
use crate::support::gangplank::{Gangplank, Surroundings};
use crate::support::kept::{self, Kept};
use crate::support::wait;

/// Short lives, whose proportions are those of the defaults.
const SHORT: &str = "domain: tunnels.test\nidentities:\n  lifetime: 10m\nserving:\n  lifetime: 10m\n\
                     authorities:\n  lifetime: 1h\n  overlap: 5m\n";

const AUTHORITY: &str = "gangplank-identity-authority";
const SERVING: &str = "gangplank-serving-authority";
const EXIT: &str = "gangplank-exit-certificate";

fn entry(secret: &Value, key: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(secret["data"][key].as_str()?).ok()
}

fn certificates(secret: &Value, key: &str) -> Vec<CertificateDer<'static>> {
    entry(secret, key)
        .and_then(|pem| pem::certificates(&pem).ok())
        .unwrap_or_default()
}

fn anchors(secret: &Value, key: &str) -> Vec<TrustAnchor> {
    let certificates = certificates(secret, key).into_iter();
    certificates
        .map(|certificate| TrustAnchor::parse(certificate).expect("an authority"))
        .collect()
}

fn held(secret: &Value) -> Option<Held> {
    Held::parse(&entry(secret, "tls.crt")?, &entry(secret, "tls.key")?).ok()
}

/// What of the Secret everybody has who looks at it from outside.
fn secret(kept: &Kept, namespace: &str, name: &str) -> Value {
    wait::until(&format!("Secret {namespace}/{name}"), || {
        kept.get(namespace, "secret", name)
    })
}

/// A controller whose clocks the test sets.
fn timed(kept: &Kept, namespace: &str) -> (Gangplank, Clock) {
    kept.namespace(namespace);
    let clock = Clock::new();
    let surroundings = Surroundings {
        variables: clock.variables(),
        ..Surroundings::default()
    };
    let controller = kept.controller_in(&surroundings, "controller", namespace, SHORT);
    (controller, clock)
}

fn now_and(seconds: i64) -> UnixTime {
    let now = i64::try_from(UnixTime::now().as_secs()).expect("this century");
    let then = u64::try_from(now + seconds).expect("after 1970");
    UnixTime::since_unix_epoch(Duration::from_secs(then))
}

/// Does what is published verify the exit's certificate at that moment, for its names?
fn serves(exit: &Value, published: &[TrustAnchor], now: UnixTime) -> bool {
    let kind = Kind::Exit {
        dns_names: vec![
            "source-cluster.acme.tunnels.test".to_owned(),
            "kube-mtls-proxy.source-cluster.acme.tunnels.test".to_owned(),
        ],
    };
    let lifetime = Duration::from_secs(600);
    let request = Request {
        kind,
        lifetime,
        now,
    };
    held(exit).is_some_and(|held| held.satisfies(&request, published))
}

#[test]
fn the_exit_has_a_certificate_of_an_authority_of_its_own() {
    let kept = kept::apart();
    let (controller, clock) = timed(&kept, "own-exit");
    let exit = secret(&kept, "own-exit", EXIT);
    let authority = secret(&kept, "own-exit", SERVING);
    assert_eq!(exit["type"], "kubernetes.io/tls");
    let published = anchors(&authority, "ca.crt");
    assert!(serves(&exit, &published, now_and(0)));
    let identities = anchors(&secret(&kept, "own-exit", AUTHORITY), "ca.crt");
    assert!(!serves(&exit, &identities, now_and(0)), "another authority");
    assert_eq!(entry(&exit, "ca.crt"), entry(&authority, "ca.crt"));
    // Renewed with two thirds of its life behind it, with another key.
    clock.set(450, 450);
    let next = wait::until("the exit to have its next certificate", || {
        let next = kept.get("own-exit", "secret", EXIT)?;
        (next["data"]["tls.key"] != exit["data"]["tls.key"]).then_some(next)
    });
    assert!(serves(&next, &published, now_and(450)));
    // Deleted, it is back.
    kept.admin()
        .ok(&["-n", "own-exit", "delete", "secret", EXIT]);
    wait::until("the exit's certificate to be back", || {
        kept.get("own-exit", "secret", EXIT)
    });
    let metric =
        "gangplank_certificate_not_after_timestamp_seconds{certificate=\"exit certificate\"} ";
    wait::until("its end to be told", || controller.metric(metric));
}

#[test]
fn a_successor_is_published_then_used_and_the_old_one_retired() {
    let kept = kept::apart();
    let (_controller, clock) = timed(&kept, "own-rotated");
    let first = anchors(&secret(&kept, "own-rotated", SERVING), "ca.crt");
    assert_eq!(first.len(), 1);
    let await_step = |what: &str, seen: &dyn Fn(&Value) -> bool| {
        wait::until(what, || {
            let authority = kept.get("own-rotated", "secret", SERVING)?;
            seen(&authority).then_some(authority)
        })
    };
    // Somebody asks for it.
    kept.admin().ok(&[
        "-n",
        "own-rotated",
        "annotate",
        "secret",
        SERVING,
        "gangplank.dev/rotate=today",
    ]);
    let published = await_step("the successor to be published", &|authority| {
        anchors(authority, "ca.crt").len() == 2
    });
    assert_eq!(
        certificates(&published, "tls.crt"),
        [first[0].der().clone()]
    );
    let told = &published["metadata"]["annotations"]["gangplank.dev/succession"];
    assert!(
        told.as_str()
            .is_some_and(|told| told.contains("signs from")),
        "{told}"
    );
    let next = anchors(&published, "next.crt").remove(0);
    let proof = certificates(&published, "successor.crt").remove(0);
    assert!(advances(&first[0], &next, &proof, now_and(0)));
    // Whoever reads the exit's Secret learns of it as well.
    wait::until("the exit to show both", || {
        let exit = kept.get("own-rotated", "secret", EXIT)?;
        (anchors(&exit, "ca.crt").len() == 2).then_some(())
    });
    clock.set(301, 301);
    let used = await_step("the successor to sign", &|authority| {
        certificates(authority, "tls.crt") == [next.der().clone()]
    });
    let both = anchors(&used, "ca.crt");
    assert_eq!(both.len(), 2, "the old one is still published");
    let exit = secret(&kept, "own-rotated", EXIT);
    assert!(serves(&exit, &both, now_and(301)));
    // The last certificate of the old one has ended, and the overlap has passed once more.
    let over = 301 + 600 + 300 + 60;
    clock.set(over, over);
    let alone = await_step("the old one to retire", &|authority| {
        anchors(authority, "ca.crt").len() == 1
    });
    assert_eq!(
        anchors(&alone, "ca.crt")[0].fingerprint(),
        next.fingerprint()
    );
    let proofs = certificates(&alone, "successor.crt");
    assert_eq!(proofs, [proof], "who was away can still follow");
}

/// The wish was fulfilled; another value would be another wish.
#[test]
fn and_only_once_for_each_wish() {
    let kept = kept::apart();
    let (controller, _clock) = timed(&kept, "own-wish");
    let before = secret(&kept, "own-wish", AUTHORITY);
    kept.apply(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Identity\nmetadata:\n  name: default\n  namespace: \
         own-wish\nspec:\n  secretName: cert\n",
    );
    kept.await_reason("own-wish", "identity", "default", "Issued");
    let issued = secret(&kept, "own-wish", "cert");
    let ask = |value: &str| {
        let wish = format!("gangplank.dev/rotate={value}");
        kept.admin().ok(&[
            "-n",
            "own-wish",
            "annotate",
            "--overwrite",
            "secret",
            AUTHORITY,
            &wish,
        ]);
    };
    ask("today");
    let first = wait::until("a successor", || {
        let there = kept.get("own-wish", "secret", AUTHORITY)?;
        there["data"]["next.crt"].is_string().then_some(there)
    });
    assert_eq!(first["data"]["tls.crt"], before["data"]["tls.crt"]);
    // Who has a certificate keeps it, and learns of the successor.
    let told = wait::until("the identity's Secret to show both", || {
        let there = kept.get("own-wish", "secret", "cert")?;
        (anchors(&there, "ca.crt").len() == 2).then_some(there)
    });
    assert_eq!(told["data"]["tls.crt"], issued["data"]["tls.crt"]);
    drop(controller);
    let again = kept.controller("again", "own-wish", SHORT);
    wait::until("the next controller to have looked", || {
        let metric = "gangplank_certificate_not_after_timestamp_seconds{certificate=\"authority of identities\"} ";
        again.metric(metric)
    });
    let second = secret(&kept, "own-wish", AUTHORITY);
    assert_eq!(second["data"]["next.crt"], first["data"]["next.crt"]);
}

/// With another key each time, the kubeconfig follows, and whoever looks at any moment finds a good one.
#[test]
fn identities_are_renewed_and_their_kubeconfigs_follow() {
    let kept = kept::apart();
    let (_controller, clock) = timed(&kept, "own-renewed");
    let authority = crate::support::certificates::Authority::new("target");
    kept.apply(&format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Kubeconfig\nmetadata:\n  name: target\n  namespace: \
         own-renewed\nspec:\n  secretName: target\n  cluster:\n    server: https://target.example\n    \
         certificateAuthorityData: {}\n",
        BASE64_STANDARD.encode(authority.pem())
    ));
    kept.await_reason("own-renewed", "kubeconfig", "target", "Written");
    let published = anchors(&secret(&kept, "own-renewed", AUTHORITY), "ca.crt");
    let mut former = Value::Null;
    // After two thirds of its life, and before its end.
    for elapsed in [0, 450, 900, 1350] {
        clock.set(elapsed, elapsed);
        let request = Request {
            kind: Kind::Caller {
                common_name: "ns/own-renewed/id/default".to_owned(),
                uri: None,
            },
            lifetime: Duration::from_secs(600),
            now: now_and(elapsed),
        };
        let renewed = wait::until("another key", || {
            let there = kept.get("own-renewed", "secret", "default-identity-certificate");
            let there = there.expect("there is always one");
            let good = held(&there).is_some_and(|held| held.satisfies(&request, &published));
            assert!(good, "at {elapsed} s: {there}");
            (there["data"]["tls.key"] != former["data"]["tls.key"]).then_some(there)
        });
        wait::until("the kubeconfig to have the same certificate", || {
            let secret = kept.get("own-renewed", "secret", "target")?;
            let config: Value = serde_json::from_slice(&entry(&secret, "config")?).ok()?;
            let user = &config["users"][0]["user"];
            let same = user["client-certificate-data"] == renewed["data"]["tls.crt"]
                && user["client-key-data"] == renewed["data"]["tls.key"];
            same.then_some(())
        });
        former = renewed;
    }
}
