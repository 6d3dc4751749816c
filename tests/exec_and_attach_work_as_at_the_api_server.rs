//! exec and attach through the exit: standard input, standard error apart, exit codes, a terminal; over
//! WebSocket and over SPDY, through the tunnel and without.

use std::process::Command;

use crate::support::certificates::Organisation;
use crate::support::cluster;
use crate::support::kubectl::Kubectl;
use crate::support::path::{Site, WAYS, Way};
use crate::support::pod;
use crate::support::running::Running;

/// Each way and each protocol once.
fn each(namespace: &str, check: impl Fn(&str, &Kubectl)) {
    let cluster = cluster::shared();
    let organisation = Organisation::new(namespace);
    cluster.namespace(namespace);
    cluster.make_namespace_admin(&organisation.username("a"), namespace);
    for way in WAYS {
        let site = Site::before(cluster, way, &[&organisation]);
        let kubectl = site.kubectl(&organisation.caller("a"));
        check(&format!("{way:?}, WebSocket"), &kubectl);
        check(&format!("{way:?}, SPDY"), &kubectl.over_spdy());
        if way == Way::Tunnel {
            let relay = site.relay.as_ref().expect("a tunnel has a relay");
            assert!(
                relay.process.log().contains("tunnel registered"),
                "it went through the relay"
            );
        }
    }
}

#[test]
fn exec_has_input_errors_and_exit_codes() {
    pod_in("exec-streams");
    each("exec-streams", |how, kubectl| {
        let script = "cat; echo complaint >&2; exit 42";
        let said = kubectl.with_input(
            &[
                "-n",
                "exec-streams",
                "exec",
                "-i",
                "box",
                "--",
                "sh",
                "-c",
                script,
            ],
            b"from outside",
        );
        assert_eq!(said.code, 42, "{how}: {}", said.err);
        assert_eq!(said.text(), "from outside", "{how}");
        assert!(said.err.starts_with("complaint\n"), "{how}: {}", said.err);
        let fine = kubectl.run(&["-n", "exec-streams", "exec", "box", "--", "true"]);
        assert_eq!(fine.code, 0, "{how}: {}", fine.err);
    });
}

#[test]
fn exec_has_a_terminal() {
    pod_in("exec-terminal");
    each("exec-terminal", |how, kubectl| {
        let exec = kubectl.command(&[
            "-n",
            "exec-terminal",
            "exec",
            "-it",
            "box",
            "--",
            "sh",
            "-c",
            "test -t 0 && stty size && echo on $(tty)",
        ]);
        // A terminal is needed on our side too: `script` makes one.
        let words: Vec<String> = std::iter::once(exec.get_program())
            .chain(exec.get_args())
            .map(|word| format!("'{}'", word.to_string_lossy()))
            .collect();
        let mut terminal = Command::new("script");
        terminal
            .args([
                "-qec",
                &format!("stty rows 33 cols 77; {}", words.join(" ")),
                "/dev/null",
            ])
            .env_remove("KUBECONFIG");
        for (name, value) in exec.get_envs() {
            if let Some(value) = value {
                terminal.env(name, value);
            }
        }
        let mut session = Running::start(terminal, "kubectl exec -it");
        session.await_out("on /dev/");
        assert_eq!(session.await_end(), 0, "{how}: {}", session.out());
    });
}

#[test]
fn attach_speaks_with_a_running_process() {
    let cluster = cluster::shared();
    cluster.namespace("attach");
    let names = ["one", "two", "three", "four"];
    for name in names {
        pod::run_attachable(
            cluster,
            "attach",
            name,
            &[
                "sh",
                "-c",
                "while read line; do echo \"heard $line\"; done; echo bye",
            ],
        );
    }
    let left = parking_lot::Mutex::new(names.to_vec());
    each("attach", |how, kubectl| {
        let name = left.lock().pop().expect("one pod a turn");
        let mut attached = kubectl.start(&["-n", "attach", "attach", "-i", name]);
        attached.say("hello");
        attached.await_out("heard hello\n");
        attached.say("again");
        attached.await_out("heard again\n");
        // Our end of standard input closes; the process sees it and says goodbye: half-close travels.
        attached.close_input();
        attached.await_out("bye\n");
        assert_eq!(attached.await_end(), 0, "{how}: {}", attached.err());
    });
}

fn pod_in(namespace: &str) {
    cluster::shared().namespace(namespace);
    pod::run(cluster::shared(), namespace, "box");
}
