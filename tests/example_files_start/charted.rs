//! The files that the chart writes for its roles start as well.

use std::fs;

use super::{Examples, anywhere};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::Gangplank;
use crate::support::{helm, wait};

/// Where the chart mounts things, and what the examples call them.
const PLACES: &[(&str, &str)] = &[
    ("/etc/gangplank/relay-authority/ca.crt", "relay-ca.crt"),
    ("/etc/gangplank/agent-authority/ca.crt", "agents-ca.crt"),
    ("/etc/gangplank/tunnel/tls", "agent"),
    ("/etc/gangplank/trust", "trust"),
    ("inCluster: true", "kubeconfig: upstream.kubeconfig"),
];

/// A role's file of the ConfigMap that the chart makes with these values.
fn charted(values: &str, file: &str) -> String {
    let values = helm::chart().join("examples").join(values);
    let values = values.to_str().expect("a path in UTF-8");
    let rendered = helm::template("anywhere", &["--values", values])
        .expect_success()
        .text();
    let key = format!("  {file}: |");
    let lines = rendered.lines().skip_while(|line| *line != key).skip(1);
    let text: Vec<&str> = lines.map_while(|line| line.strip_prefix("    ")).collect();
    assert!(!text.is_empty(), "{file}");
    text.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn as_the_chart_writes_them() {
    let server = FakeApiServer::echo().await;
    let examples = Examples::furnished(&server);
    for (role, values, serving) in [
        ("agent", "private-cluster.yaml", "exit"),
        ("relay", "relay.yaml", "relay"),
    ] {
        let name = format!("{role}.yaml");
        let mut text = charted(values, &name).replace("/etc/gangplank/serving/tls", serving);
        for (mounted, here) in PLACES {
            text = text.replace(mounted, here);
        }
        let file = examples.path(&name);
        fs::write(&file, text).expect("written");
        let running = Gangplank::start_with(role, &file, anywhere(role));
        wait::until("the role to be what it can be alone", || {
            let (ready, said) = running.readiness();
            (ready || said.contains("no tunnel to relay.example.com:443")).then_some(())
        });
    }
}
