//! A controller says what stands in its way, and what to do; and goes on by itself when it is gone.

#![expect(
    clippy::significant_drop_tightening,
    reason = "a test has the cluster to its end"
)]

use std::process::Command;

use crate::support::gangplank::Gangplank;
use crate::support::kept;
use crate::support::wait;

fn await_reason(controller: &Gangplank, reason: &str) -> String {
    wait::until(&format!("the controller to say {reason}"), || {
        let (ready, said) = controller.readiness();
        (!ready && said.contains(reason)).then_some(said)
    })
}

#[test]
fn a_definition_is_missing() {
    let kept = kept::apart();
    kept.namespace("ready-missing");
    let definition = "knownclusters.gangplank.dev";
    kept.admin()
        .ok(&["delete", "crd", definition, "--wait=true"]);
    let controller = kept.controller("controller", "ready-missing", "");
    let said = await_reason(&controller, "DefinitionMissing");
    assert!(
        said.contains(definition) && said.contains("apply the custom resource definitions"),
        "{said}"
    );
    kept.admin()
        .ok(&["apply", "--server-side", "-f", &kept::definitions()]);
    controller.await_ready();
}

#[test]
fn the_api_server_does_not_answer() {
    let kept = kept::apart();
    kept.namespace("ready-away");
    let election = "leaderElection: true\nleaseDuration: 3s\n";
    let controller = kept.controller("controller", "ready-away", election);
    let leads = || controller.metric("gangplank_controller_leader ") == Some(1.0);
    wait::until("it to lead", || leads().then_some(()));
    let api_server = kept.cluster.api_server_pid().expect("it runs").to_string();
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &api_server]).status();
        assert!(sent.expect("kill runs").success());
    };
    signal("-STOP");
    let said = await_reason(&controller, "ApiServerAway");
    wait::until("it to act no more", || (!leads()).then_some(()));
    signal("-CONT");
    assert!(said.contains("what was made stays"), "{said}");
    controller.await_ready();
    wait::until("it to lead again", || leads().then_some(()));
}

/// What a person sees.
#[test]
fn and_its_status_shows_its_objects() {
    let kept = kept::shared();
    kept.namespace("ready-status");
    kept.apply(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: Identity\nmetadata:\n  name: default\n  \
         namespace: ready-status\nspec:\n  secretName: cert\n",
    );
    kept.await_reason("ready-status", "identity", "default", "Issued");
    let controller = kept.running();
    controller.await_ready();
    let admin = controller.admin.to_string();
    let said = wait::until("the status to show identities", || {
        let said = crate::support::gangplank::run(&["status", "--admin", &admin]);
        let text = String::from_utf8(said.expect_success().out).expect("text");
        text.contains("Identity").then_some(text)
    });
    assert!(said.contains("Controller: alone"), "{said}");
    assert!(said.contains("KIND") && said.contains("FAILING"), "{said}");
}
