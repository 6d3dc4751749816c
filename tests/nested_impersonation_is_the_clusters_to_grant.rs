//! With `nestedImpersonation: Authorize` the cluster's RBAC says who may act as whom with `kubectl --as`, through a real
//! API server, whose audit log names both.

use serde_json::{Value, json};

use crate::support::acting::{ACCOUNT, ACTING, NAMESPACE};
use crate::support::certificates::Organisation;
use crate::support::kubectl::Kubectl;
use crate::support::path::{Site, WAYS, Way};
use crate::support::{audit, cluster, pod, wait};

fn who(kubectl: &Kubectl, wish: &[&str]) -> Value {
    let said = kubectl.ok(&[&["auth", "whoami", "-o", "json"], wish].concat());
    let review: Value = serde_json::from_str(&said).expect("JSON");
    review["status"]["userInfo"].clone()
}

#[test]
fn whom_rbac_allows_one_is() {
    for way in WAYS {
        let site = ACTING.site(way);
        let kubectl = ACTING.kubectl(&site);
        let original = ACTING.caller_username();
        let extra = json!({ "gangplank.dev/original-user": [original] });
        assert_eq!(
            who(&kubectl, &["--as=bob"]),
            json!({ "username": "bob", "groups": ["system:authenticated"], "extra": extra }),
            "{way:?}"
        );
        let wish = ["--as=bob", "--as-group=auditors", "--as-uid=7"];
        assert_eq!(
            who(&kubectl, &wish),
            json!({ "username": "bob", "uid": "7", "groups": ["auditors", "system:authenticated"], "extra": extra }),
            "{way:?}"
        );
        // bob's rights and not the caller's, who has none.
        let may = |wish: &[&str]| {
            let question = ["-n", "nested", "auth", "can-i", "delete", "pods"];
            kubectl.run(&[&question[..], wish].concat()).text()
        };
        assert_eq!([may(&["--as=bob"]).trim(), may(&[]).trim()], ["yes", "no"]);
        let itself = who(&kubectl, &[]);
        assert_eq!(itself["username"], original, "without --as one is oneself");
        assert_eq!(itself["extra"], Value::Null);
    }
}

#[test]
fn whom_rbac_does_not_allow_one_is_not() {
    let site = ACTING.site(Way::Direct);
    let kubectl = ACTING.kubectl(&site);
    let username = ACTING.caller_username();
    for (wish, kind, name, on, place) in [
        (
            &["--as=carol"][..],
            "users",
            "carol",
            "users",
            "at the cluster scope",
        ),
        (
            &["--as=bob", "--as-group=admins"],
            "groups",
            "admins",
            "groups",
            "at the cluster scope",
        ),
        (
            &["--as=system:serviceaccount:nested:default"],
            "serviceaccounts",
            "default",
            "serviceaccounts",
            "in the namespace \"nested\"",
        ),
    ] {
        let said = kubectl.run(&[&["get", "--raw", "/api/v1/pods"], wish].concat());
        let sentence = format!(
            "Error from server (Forbidden): {kind} \"{name}\" is forbidden: User \"{username}\" cannot impersonate \
             resource \"{on}\" in API group \"\" {place}"
        );
        assert!(said.err.contains(&sentence), "{wish:?}: {}", said.err);
        assert!(
            said.err.contains("Warning: ImpersonationDenied: "),
            "{wish:?}: {}",
            said.err
        );
    }
}

/// Not even who may do everything at the cluster becomes `system:masters` or a node by way of the exit.
#[test]
fn nobody_becomes_the_privileged_group_or_a_node() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("mighty");
    let username = organisation.username("root");
    cluster.apply(&format!(
        "{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {{name: nested-mighty}}, \
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}, \
         subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: \"{username}\"}}]}}"
    ));
    let site = Site::direct(&ACTING.account, &[&organisation])
        .with_exit_line("nestedImpersonation: Authorize")
        .with_kubectl(cluster);
    let kubectl = site.kubectl(&organisation.caller("root"));
    wait::until("the rights to take effect", || {
        let said = kubectl.run(&["auth", "whoami", "--as=carol"]);
        said.succeeded().then_some(())
    });
    let node = format!("--as=system:node:{}", cluster.facts.node_name);
    for wish in [
        &["--as=carol", "--as-group=system:masters"][..],
        &["--as=system:masters"],
        &["--as=carol", "--as-group=system:nodes"],
        &[&node],
    ] {
        let said = kubectl.run(&[&["get", "--raw", "/api/v1/pods"], wish].concat());
        let why = "no right makes it possible through this proxy";
        assert!(
            said.err.contains(why) && !said.succeeded(),
            "{wish:?}: {}",
            said.err
        );
    }
    // What the exit's account lacks is the API server's to say, and the caller is told whose right it is.
    let said = kubectl.run(&["get", "--raw", "/api", "--as=carol", "--as-group=admins"]);
    assert!(
        said.err.contains("Warning: ExitAccountRefused: "),
        "{}",
        said.err
    );
    let account = format!("User \"{ACCOUNT}\" cannot impersonate");
    assert!(said.err.contains(&account), "{}", said.err);
}

#[test]
fn both_audit_logs_name_both() {
    let cluster = cluster::shared();
    let original = ACTING.caller_username();
    pod::run(cluster, NAMESPACE, "box");
    for way in WAYS {
        let site = ACTING.site(way);
        let kubectl = ACTING.kubectl(&site);
        for kubectl in [&kubectl, &kubectl.clone().over_spdy()] {
            let said = kubectl.ok(&[
                "-n", "nested", "exec", "box", "--as=bob", "--", "echo", "aye",
            ]);
            assert_eq!(said.trim(), "aye", "{way:?}");
        }
        let ours = wait::until("the events of the execs", || {
            let events = audit::trail(&site.exit.log());
            let execs = events.into_iter();
            let execs: Vec<Value> = execs
                .filter(|it| it["subresource"] == "exec" && it["stage"] == "ended")
                .collect();
            (execs.len() == 2).then_some(execs)
        });
        for event in ours {
            assert_eq!(event["user"], original, "{way:?}");
            assert_eq!(event["impersonate.user"], "bob", "{way:?}");
            assert_eq!(event["kind"], "upgrade", "{way:?}");
            let theirs = wait::until("the API server's event", || {
                let mut events = audit::events(cluster).into_iter();
                events.find(|it| event["request.id"] == it.audit_id.as_str())
            });
            assert_eq!(theirs.user.username, ACCOUNT);
            let seen = theirs.impersonated_user.expect("someone");
            assert_eq!(seen.username, "bob", "{way:?}");
            assert_eq!(seen.groups, ["system:authenticated"], "{way:?}");
            let asked = seen.extra.get("gangplank.dev/original-user");
            assert_eq!(asked, Some(&vec![original.clone()]), "{way:?}");
        }
    }
}
