//! Whatever callers send, in both versions of HTTP, plain or as an upgrade: what reaches the API server
//! obeys the contract on who someone is (its point 7), or nothing reaches it.
//!
//! Requests are drawn from a seed and written byte by byte, so that they can be what no library would
//! send. The API server writes down what it receives; [`law`] judges each request there, and the case it
//! came from says what it may be. A failure names the seed, and the case that its connection began
//! with:
//!
//! ```text
//! GANGPLANK_SEED=7 GANGPLANK_FIRST=4711 GANGPLANK_CASES=72 cargo test -p gangplank-proxy --lib hostile -- --nocapture
//! ```

mod any_client;
mod case;
mod http1;
mod http2;
mod law;
mod recorder;
mod show;

use std::fs;
use std::path::Path;

use gangplank_config::upstream::InCluster;
use gangplank_config::{Credential, role};
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Kind};

use self::show::{Scene, Show};
use super::stage::{ENTRANCE, TOKEN, issue};

/// What `make test` draws for all scenes together.
const CASES: u64 = 10_500;

/// The tests that share them.
const SCENES: u64 = 3;

/// Each of these waits for a while until its token is given up.
const CASES_WITHOUT_TOKEN: u64 = 60;

/// The seed of `make test`, where the same cases shall be drawn each time.
const SEED: u64 = 1;

/// Cases of one exit; then a new one, because the tests' API server and audit trail forget nothing.
const CASES_OF_AN_EXIT: u64 = 5_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Draws as many cases as were asked for, a new exit every few thousand.
fn hold(scene: Scene) {
    let (seed, all) = (
        number("GANGPLANK_SEED", SEED),
        number("GANGPLANK_CASES", CASES),
    );
    let first = number("GANGPLANK_FIRST", 0);
    let end = first + all.div_ceil(SCENES);
    let (mut received, mut switched, mut from) = (0, 0, first);
    while from < end {
        let to = end.min(from + CASES_OF_AN_EXIT);
        let show = within_a_runtime(async {
            let mut show = Show::new(scene, seed, scene.credential()).await;
            show.run(from..to).await;
            show
        });
        received += show.received;
        switched += show.switched;
        from = to;
    }
    let count = end - first;
    let versions: Vec<_> = scene
        .versions
        .iter()
        .map(|it| it.escape_ascii().to_string())
        .collect();
    let by = if scene.by_certificate {
        "certificate"
    } else {
        "token"
    };
    println!(
        "before {versions:?} by {by}, seed {seed}: {count} cases, {received} arrived, {switched} of them upgrades"
    );
    let enough = received > count / 3 && switched > count / 200;
    assert!(enough || all < CASES, "hardly anything passes");
}

/// A runtime of its own for each exit: with it ends everything that was begun.
fn within_a_runtime<T>(what: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap().block_on(what)
}

#[test]
fn hostile_requests_before_a_server_of_both_versions() {
    hold(Scene {
        versions: &[b"h2", b"http/1.1"],
        by_certificate: false,
    });
}

#[test]
fn hostile_requests_before_a_server_of_http1_only() {
    hold(Scene {
        versions: &[b"http/1.1"],
        by_certificate: false,
    });
}

#[test]
fn hostile_requests_where_the_connection_carries_the_credential() {
    hold(Scene {
        versions: &[b"h2", b"http/1.1"],
        by_certificate: true,
    });
}

/// A token in a file, as a kubeconfig names it.
fn token_file(folder: &Path) -> Credential {
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
    let ca = CertificateAuthority::create("exit", 1, SystemClock.now()).unwrap();
    let dns_names = vec![ENTRANCE.to_owned()];
    let exit = issue(&ca, Kind::Exit { dns_names }, &SystemClock);
    write("exit.crt", &exit.cert_pem);
    write("exit.key", &exit.key_pem);
    write("ca.crt", &exit.ca_pem);
    write("token", TOKEN);
    fs::create_dir(folder.join("trust")).unwrap();
    write(
        "kubeconfig",
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{name: c, context: {cluster: c, user: u}}]\n\
         clusters: [{name: c, cluster: {server: 'https://127.0.0.1:1', certificate-authority: ca.crt}}]\n\
         users: [{name: u, user: {tokenFile: token}}]\n",
    );
    write(
        "proxy.yaml",
        "listen: 127.0.0.1:0\nexit:\n  servingCertificate: {certificateFile: exit.crt, keyFile: exit.key}\n  \
         trust: {directory: trust}\n  upstream: {kubeconfig: kubeconfig}\n",
    );
    let loaded = role::proxy::load(&folder.join("proxy.yaml"), &InCluster::absent());
    loaded.unwrap().exit.upstream.credential
}

#[test]
fn hostile_requests_while_the_token_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let credential = token_file(folder.path());
    fs::remove_file(folder.path().join("token")).unwrap();
    within_a_runtime(async {
        let scene = Scene {
            versions: &[b"h2", b"http/1.1"],
            by_certificate: false,
        };
        let mut show = Show::new(scene, SEED, credential).await;
        show.run(0..CASES_WITHOUT_TOKEN).await;
        assert_eq!(show.received, 0, "without its own credential");
        fs::write(folder.path().join("token"), TOKEN).unwrap();
        show.run(CASES_WITHOUT_TOKEN..3 * CASES_WITHOUT_TOKEN).await;
        assert!(show.received > 0);
    });
}
