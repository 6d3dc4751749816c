//! The accounts that the chart makes may what their parts need, which every test over `kept` shows, and no more.

use crate::support::kept::{self, INSTALLATION};
use crate::support::kubectl::Kubectl;

/// What an account is asked, as arguments of `kubectl auth can-i`, and the API server's answer.
type Row = (&'static str, bool);

/// Holds an account against the API server's own answers.
fn assert_rights(account: &Kubectl, rows: &[Row]) {
    for (question, may) in rows {
        let arguments: Vec<&str> = ["auth", "can-i"]
            .into_iter()
            .chain(question.split(' '))
            .collect();
        let said = account.run(&arguments);
        assert_eq!(
            said.text().trim(),
            if *may { "yes" } else { "no" },
            "{question}: {}",
            said.err
        );
    }
}

/// The controller writes Secrets and binds the two roles of sources. It cannot name a role of its own choice, make anybody trusted,
/// or act as somebody else.
#[test]
fn and_the_controller_gives_nothing_but_the_roles_of_sources() {
    let kept = kept::shared();
    let controller = kept.account("gangplank-controller");
    let rows = [
        ("create secrets -n default", true),
        ("create rolebindings -n default", true),
        ("bind clusterroles/gangplank-source", true),
        ("bind clusterroles/cluster-admin", false),
        ("escalate clusterroles", false),
        ("create clusterroles", false),
        ("get nodes", false),
        ("get pods -n default", false),
        ("impersonate users", false),
        ("create serviceaccounts -n default", true),
        (
            "create serviceaccounts --subresource=token -n default",
            false,
        ),
        ("delete serviceaccounts -n default", false),
        (
            "create trustedidentityproviders.multicluster.admiralty.io -n default",
            false,
        ),
        (
            "patch trustedidentityproviders.multicluster.admiralty.io -n default",
            false,
        ),
        ("create knownclusters.gangplank.dev", false),
        ("patch knownclusters.gangplank.dev", false),
        ("create sources.multicluster.admiralty.io -n default", false),
        ("update leases/another -n installation", false),
        ("create leases -n default", false),
        ("create deployments.apps -n default", false),
        ("* *", false),
    ];
    assert_rights(&controller, &rows);
    let binding = ["-n", "default", "create", "rolebinding", "bounded"];
    for (role, granted) in [("gangplank-source", true), ("cluster-admin", false)] {
        let role = format!("--clusterrole={role}");
        let mut arguments = binding.to_vec();
        arguments.extend([role.as_str(), "--user=somebody", "--dry-run=server"]);
        let said = controller.run(&arguments);
        assert_eq!(said.succeeded(), granted, "{role}: {}", said.err);
        assert!(
            granted || said.err.contains("not currently held"),
            "{}",
            said.err
        );
    }
}

/// The exit impersonates users. It reads whom to trust and its own two Secrets, and writes nothing at all.
#[test]
fn and_the_exit_writes_nothing() {
    let kept = kept::shared();
    let exit = kept.account("gangplank-exit");
    let rows = [
        ("impersonate users", true),
        ("impersonate groups", false),
        ("impersonate groups/system:masters", false),
        ("impersonate serviceaccounts -n default", false),
        ("impersonate uids.authentication.k8s.io", false),
        (
            "list trustedidentityproviders.multicluster.admiralty.io -A",
            true,
        ),
        (
            "create trustedidentityproviders.multicluster.admiralty.io -n default",
            false,
        ),
        ("watch knownclusters.gangplank.dev", true),
        ("create knownclusters.gangplank.dev", false),
        ("get secrets/gangplank-serving -n installation", true),
        ("get secrets/gangplank-tunnel -n installation", true),
        (
            "get secrets/gangplank-identity-authority -n installation",
            false,
        ),
        ("get secrets/gangplank-serving -n default", false),
        ("list secrets -n installation", false),
        ("update secrets/gangplank-serving -n installation", false),
        ("create subjectaccessreviews.authorization.k8s.io", false),
        ("get nodes", false),
        ("* *", false),
    ];
    assert_rights(&exit, &rows);
}

/// Making a provider is as powerful as granting users: the role for it is nobody's until an administrator binds it.
#[test]
fn and_nobody_may_say_whom_to_trust() {
    let kept = kept::shared();
    assert!(
        kept.get(INSTALLATION, "clusterrole", "gangplank-trust-admin")
            .is_some()
    );
    let bindings = kept.admin().ok(&[
        "get",
        "clusterrolebindings,rolebindings",
        "-A",
        "-o",
        "jsonpath={.items[*].roleRef.name}",
    ]);
    assert!(bindings.contains("gangplank-controller"), "{bindings}");
    assert!(!bindings.contains("trust-admin"), "{bindings}");
    for role in ["admin", "edit", "view"] {
        let rules = kept
            .get(INSTALLATION, "clusterrole", role)
            .expect("a role of Kubernetes' own");
        let rules = rules["rules"].to_string();
        assert!(
            !rules.contains("trustedidentityproviders") && !rules.contains("knownclusters"),
            "{role}: {rules}"
        );
    }
}
