//! kubectl as it is now, 1.33, and Debian's 1.20, which speaks SPDY only: each does its work through the exit, is told
//! the same where it is refused, and is the same user in both audit logs.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::acting::{ACTING, NAMESPACE};
use crate::support::certificates::Organisation;
use crate::support::kubectl::Kubectl;
use crate::support::kubectls::{AGES, Age};
use crate::support::path::{Site, WAYS, Way};
use crate::support::{audit, cluster, held, pod, wait};

/// Each age of kubectl on each way, as the administrator of a namespace with a pod `box`.
struct Stage {
    namespace: &'static str,
    username: String,
    organisation: Organisation,
}

impl Stage {
    fn set(namespace: &'static str) -> Self {
        let cluster = cluster::shared();
        let organisation = Organisation::new(namespace);
        let username = organisation.username("a");
        cluster.namespace(namespace);
        cluster.make_namespace_admin(&username, namespace);
        pod::run(cluster, namespace, "box");
        Self {
            namespace,
            username,
            organisation,
        }
    }

    fn site(&self, way: Way) -> Site {
        Site::before(cluster::shared(), way, &[&self.organisation])
    }

    fn kubectl(&self, site: &Site, age: &Age) -> Kubectl {
        let kubectl = site.kubectl(&self.organisation.caller("a"));
        kubectl.by(&age.program)
    }
}

/// They are what they are called; otherwise the rest shows nothing.
#[test]
fn they_are_of_these_ages() {
    for age in &*AGES {
        let kubectl = Kubectl::new(&age.program, std::path::Path::new("/dev/null"));
        let said = kubectl.ok(&["version", "--client", "-o", "json"]);
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let minor = said["clientVersion"]["minor"].as_str().expect("a version");
        let expected = match age.version.as_str() {
            "current" => "36",
            version => version.trim_start_matches("1."),
        };
        assert_eq!(minor, expected, "{age:?}");
    }
}

#[test]
fn objects_and_questions() {
    let stage = Stage::set("ages-objects");
    for way in WAYS {
        let site = stage.site(way);
        for age in &*AGES {
            let kubectl = stage.kubectl(&site, age);
            let how = format!("{way:?} {}", age.version);
            // JSON: 1.20 takes whatever begins with a brace for it.
            let manifest = json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": { "name": "prices", "namespace": stage.namespace },
                "data": { "tea": "3" },
            });
            let apply = ["apply", "--server-side", "-f", "-"];
            let applied = kubectl.with_input(&apply, manifest.to_string().as_bytes());
            assert!(applied.succeeded(), "{how}: {}", applied.err);
            let in_namespace = |line: &str| {
                let line = format!("-n {} {line}", stage.namespace);
                kubectl.run(&line.split(' ').collect::<Vec<_>>())
            };
            let tea = in_namespace("get configmap prices -o jsonpath={.data.tea}");
            assert_eq!(tea.text(), "3", "{how}: {}", tea.err);
            let managers =
                "get configmap prices -o jsonpath={.metadata.managedFields[*].operation}";
            let managers = format!(
                "{managers}{}",
                if age.version == "1.20" {
                    ""
                } else {
                    " --show-managed-fields"
                }
            );
            assert_eq!(
                in_namespace(&managers).text(),
                "Apply",
                "{how}: it was server-side"
            );
            let table = in_namespace("get configmaps");
            assert!(table.text().contains("prices"), "{how}: {}", table.err);
            let may = |what: &str| {
                kubectl
                    .run(&["auth", "can-i", "delete", "pods", "-n", what])
                    .text()
            };
            assert_eq!(may(stage.namespace).trim(), "yes", "{how}");
            assert!(may("default").starts_with("no"), "{how}");
            let deleted = in_namespace("delete configmap prices");
            assert!(deleted.succeeded(), "{how}: {}", deleted.err);
            assert_eq!(who(&kubectl, age), stage.username, "{how}");
        }
    }
}

/// Who the API server says it is: a version without `whoami` finds it in a refusal.
fn who(kubectl: &Kubectl, age: &Age) -> String {
    if age.has_whoami() {
        return kubectl.ok(&[
            "auth",
            "whoami",
            "-o",
            "jsonpath={.status.userInfo.username}",
        ]);
    }
    let said = kubectl.run(&["get", "pods", "-n", "default"]).err;
    let name = said
        .split("User \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    name.unwrap_or_else(|| panic!("a refusal names the user: {said}"))
        .to_owned()
}

/// As an age opens streams by itself, and over SPDY where that is another way.
fn protocols(kubectl: &Kubectl, age: &Age) -> Vec<Kubectl> {
    let mut protocols = vec![kubectl.clone()];
    if age.has_websockets() {
        protocols.push(kubectl.clone().over_spdy());
    }
    protocols
}

#[tokio::test(flavor = "multi_thread")]
async fn exec_cp_and_port_forward() {
    let stage = Stage::set("ages-streams");
    let port = held::echo_server().await.port();
    for way in WAYS {
        let site = stage.site(way);
        for age in &*AGES {
            let how = format!("{way:?} {}", age.version);
            for kubectl in protocols(&stage.kubectl(&site, age), age) {
                exec(&kubectl, stage.namespace, &how);
                copy(&kubectl, stage.namespace, &how);
                forward(&kubectl, stage.namespace, port).await;
            }
        }
    }
    for subresource in ["exec", "portforward"] {
        let marker = format!("/namespaces/{}/pods/box/{subresource}", stage.namespace);
        audit::assert_only_user(cluster::shared(), &marker, &stage.username);
    }
}

fn exec(kubectl: &Kubectl, namespace: &str, how: &str) {
    let script = "cat; echo complaint >&2; exit 42";
    let exec = [
        "-n", namespace, "exec", "-i", "box", "--", "sh", "-c", script,
    ];
    let said = kubectl.with_input(&exec, b"from outside");
    assert_eq!(
        (said.code, said.text().as_str()),
        (42, "from outside"),
        "{how}: {}",
        said.err
    );
    assert!(said.err.starts_with("complaint\n"), "{how}: {}", said.err);
}

fn copy(kubectl: &Kubectl, namespace: &str, how: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let (sent, back) = (folder.path().join("parcel"), folder.path().join("back"));
    // More than a stream's window.
    let parcel: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
    fs::write(&sent, &parcel).expect("written");
    let where_to = [
        "-n",
        namespace,
        "exec",
        "box",
        "--",
        "sh",
        "-c",
        "echo $POD_DIR",
    ];
    let there = format!("box:{}/parcel", kubectl.ok(&where_to).trim());
    let [from, to] = [&sent, &back].map(|file| file.display().to_string());
    kubectl.ok(&["-n", namespace, "cp", &from, &there]);
    kubectl.ok(&["-n", namespace, "cp", &there, &to]);
    assert!(fs::read(&back).expect("it came back") == parcel, "{how}");
}

async fn forward(kubectl: &Kubectl, namespace: &str, port: u16) {
    let forward = held::forward(kubectl, namespace, port);
    let mut socket = TcpStream::connect(forward.local)
        .await
        .expect("kubectl listens");
    let mut echo = [0; 4];
    wait::within("the echo", async {
        socket.write_all(b"ahoy").await.expect("it takes it");
        socket
            .read_exact(&mut echo)
            .await
            .expect("it gives it back");
    })
    .await;
    assert_eq!(&echo, b"ahoy");
}

#[test]
fn both_audit_logs_say_the_same() {
    let stage = Stage::set("ages-audit");
    for age in &*AGES {
        let site = stage.site(Way::Tunnel);
        let kubectl = stage.kubectl(&site, age);
        let in_namespace = |line: &str| {
            let line = format!("-n {} {line}", stage.namespace);
            drop(kubectl.run(&line.split(' ').collect::<Vec<_>>()));
        };
        in_namespace("get pods");
        in_namespace("create configmap a");
        in_namespace("exec box -- true");
        in_namespace("delete configmap a");
        assert!(site.exit.terminate().success());
        let ours = audit::trail(&site.exit.log());
        let verbs: BTreeSet<&str> = ours
            .iter()
            .filter_map(|event| event["verb"].as_str())
            .collect();
        let expected = BTreeSet::from(["list", "create", "delete", "get"]);
        assert!(verbs.is_superset(&expected), "{age:?}: {verbs:?}");
        for event in ours {
            assert_eq!(event["user"], stage.username, "{age:?}");
            let theirs = wait::until("the API server's event", || {
                let mut events = audit::events(cluster::shared()).into_iter();
                events.find(|it| event["request.id"] == it.audit_id.as_str())
            });
            let seen = theirs
                .impersonated_user
                .as_ref()
                .map(|it| it.username.as_str());
            assert_eq!(seen, Some(stage.username.as_str()), "{age:?} {theirs:?}");
            assert_eq!(event["verb"], theirs.verb.as_str(), "{age:?} {theirs:?}");
        }
    }
}

#[test]
fn as_someone_else_is_told() {
    let stage = Stage::set("ages-as");
    let site = stage.site(Way::Tunnel);
    for age in &*AGES {
        let kubectl = stage.kubectl(&site, age);
        for wish in [
            &["--as=root"][..],
            &["--as=root", "--as-group=system:masters"],
        ] {
            let said = kubectl.run(&[&["get", "--raw", "/api/v1/pods"], wish].concat());
            let text = "Error from server (Forbidden): impersonation is not possible through this proxy; leave out --as";
            assert!(said.err.contains(text), "{age:?} {wish:?}: {}", said.err);
            // The same where kubectl drops the message of its first call: the warning has it.
            let said = kubectl.run(&[&["get", "pods"], wish].concat());
            let text =
                "Impersonation: impersonation is not possible through this proxy; leave out --as";
            assert!(said.err.contains(text), "{age:?} {wish:?}: {}", said.err);
            assert_ne!(said.code, 0, "{age:?} {wish:?}");
        }
    }
}

#[test]
fn as_someone_else_is_the_clusters_to_grant() {
    let cluster = cluster::shared();
    let site = ACTING.site(Way::Tunnel);
    pod::run(cluster, NAMESPACE, "ages");
    for age in &*AGES {
        let kubectl = ACTING.kubectl(&site).by(&age.program);
        let as_bob = ["--as=bob", "--as-group=auditors"];
        if age.has_whoami() {
            let who = [
                "auth",
                "whoami",
                "-o",
                "jsonpath={.status.userInfo.username}",
            ];
            assert_eq!(kubectl.ok(&[&who[..], &as_bob].concat()), "bob", "{age:?}");
        }
        let may = ["auth", "can-i", "delete", "pods", "-n", NAMESPACE];
        assert_eq!(
            kubectl.run(&[&may[..], &as_bob].concat()).text().trim(),
            "yes",
            "{age:?}"
        );
        assert!(kubectl.run(&may).text().starts_with("no"), "{age:?}");
        let exec = [
            "exec", "-n", NAMESPACE, "ages", "--as=bob", "--", "echo", "aye",
        ];
        assert_eq!(kubectl.ok(&exec).trim(), "aye", "{age:?}");
        let denied = kubectl.run(&["get", "--raw", "/api/v1/pods", "--as=carol"]);
        let sentence = format!(
            "Error from server (Forbidden): users \"carol\" is forbidden: User \"{}\" cannot impersonate",
            ACTING.caller_username()
        );
        assert!(denied.err.contains(&sentence), "{age:?}: {}", denied.err);
    }
}
