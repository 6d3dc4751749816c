//! Five minutes in which nobody says anything.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::certificates::Organisation;
use crate::support::held::{self, Forward};
use crate::support::kubectl::Kubectl;
use crate::support::measured::tell;
use crate::support::path::{Site, WAYS};
use crate::support::running::Running;
use crate::support::{cluster, pod, wait};

const NAMESPACE: &str = "silence";

/// As the cases say.
const SILENCE: Duration = Duration::from_secs(300);

/// Everything that kubectl can hold open, through one way.
struct Held {
    watch: Running,
    logs: Running,
    exec: Running,
    attach: Running,
    forwarded: TcpStream,
    _forward: Forward,
}

/// Cases C3 and D13, with real kubectl before a real API server.
pub(super) async fn five_minutes() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("silent");
    cluster.namespace(NAMESPACE);
    cluster.make_namespace_admin(&organisation.username("a"), NAMESPACE);
    pod::run(cluster, NAMESPACE, "box");
    let wait_for_go =
        "echo first; until [ -e \"$POD_DIR/go\" ]; do sleep 1; done; echo last; sleep 600";
    pod::run_command(cluster, NAMESPACE, "speaker", &["sh", "-c", wait_for_go]);
    let port = held::echo_server().await.port();
    let (mut sites, mut all) = (Vec::new(), Vec::new());
    for (way, listeners) in WAYS.into_iter().zip([["one", "two"], ["three", "four"]]) {
        let site = Site::before(cluster, way, &[&organisation]);
        let kubectl = site.kubectl(&organisation.caller("a"));
        let kubectls = [kubectl.clone(), kubectl.over_spdy()];
        for (kubectl, listener) in kubectls.iter().zip(listeners) {
            let answers = "while read line; do echo \"heard $line\"; done";
            pod::run_attachable(cluster, NAMESPACE, listener, &["sh", "-c", answers]);
            all.push(Held::open(kubectl, listener, port).await);
        }
        sites.push(site);
    }
    // This test is about silence, and there is no predicate for it.
    tokio::time::sleep(SILENCE).await;
    cluster.admin(&["-n", NAMESPACE, "create", "configmap", "after"]);
    let go = "touch \"$POD_DIR/go\"";
    cluster.admin(&["-n", NAMESPACE, "exec", "speaker", "--", "sh", "-c", go]);
    for held in &mut all {
        held.assert_alive().await;
    }
    tell(&format!(
        "silence: {} times watch, logs -f, exec, attach and port-forward went on after {SILENCE:?}",
        all.len()
    ));
}

impl Held {
    async fn open(kubectl: &Kubectl, listener: &str, port: u16) -> Self {
        let start = |words: &[&str]| kubectl.start(&[&["-n", NAMESPACE], words].concat());
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps?watch=1");
        let forward = held::forward(kubectl, NAMESPACE, port);
        let forwarded = TcpStream::connect(forward.local).await;
        let mut held = Self {
            watch: kubectl.start(&["get", "--raw", &path]),
            logs: start(&["logs", "-f", "speaker"]),
            exec: start(&["exec", "-i", "box", "--", "cat"]),
            attach: start(&["attach", "-i", listener]),
            forwarded: forwarded.expect("kubectl listens"),
            _forward: forward,
        };
        held.logs.await_out("first\n");
        // Each namespace has one, so that the watch has begun once it is there.
        held.watch.await_out("kube-root-ca.crt");
        held.speak("before").await;
        held
    }

    async fn speak(&mut self, word: &str) {
        self.exec.say(word);
        self.exec.await_out(word);
        self.attach.say(word);
        self.attach.await_out(&format!("heard {word}\n"));
        let mut back = vec![0; word.len()];
        let echoed = async {
            self.forwarded.write_all(word.as_bytes()).await?;
            self.forwarded.read_exact(&mut back).await
        };
        let echoed = wait::within("the echo through the port-forward", echoed).await;
        echoed.expect("the port-forward is there");
        assert_eq!(back, word.as_bytes());
    }

    async fn assert_alive(&mut self) {
        self.speak("after").await;
        self.watch.await_out("\"name\":\"after\"");
        self.logs.await_out("last\n");
    }
}
