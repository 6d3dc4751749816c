use std::fs;

use super::*;

/// Reads a file that says this beside what it must say.
fn read(further: &str) -> Result<Controller, Faults> {
    let folder = tempfile::tempdir().unwrap();
    let authority = rcgen_authority();
    let encoded = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, authority);
    let kubeconfig = format!(
        "clusters: [{{name: a, cluster: {{server: 'https://10.0.0.1', certificate-authority-data: {encoded}}}}}]\n\
         users: [{{name: a, user: {{token: secret}}}}]\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}]\ncurrent-context: a\n"
    );
    fs::write(folder.path().join("kubeconfig"), kubeconfig).unwrap();
    let file = folder.path().join("controller.yaml");
    let written = format!(
        "namespace: gangplank\naccount: acme\ncluster: one\nupstream:\n  kubeconfig: kubeconfig\n{further}"
    );
    fs::write(&file, written).unwrap();
    load(&file, &InCluster::absent())
}

fn rcgen_authority() -> String {
    let now = gangplank_pki::clock::at(1_700_000_000);
    let made = gangplank_pki::issue::CertificateAuthority::create("ca", 30, now).unwrap();
    made.certificate_pem().to_owned()
}

fn reasons(further: &str) -> Vec<&'static str> {
    let faults = read(further).expect_err("it must be refused");
    faults.into_iter().map(|fault| fault.reason()).collect()
}

#[test]
fn what_is_not_written_has_a_default() {
    let controller = read("").unwrap();
    assert_eq!(controller.lease, None, "one replica outside a cluster");
    assert_eq!(controller.domain, None);
    assert_eq!(controller.authorities.overlap, OVERLAP);
    assert_eq!(
        controller.serving.certificate_secret,
        "gangplank-exit-certificate"
    );
}

#[test]
fn an_election_is_held_where_it_is_asked_for() {
    let lease = |further| read(further).unwrap().lease;
    assert_eq!(lease("leaderElection: true\n"), Some(LEASE));
    let short = "leaderElection: true\nleaseDuration: 4s\n";
    assert_eq!(lease(short), Some(Duration::from_secs(4)));
    assert_eq!(reasons("leaseDuration: 1s\n"), ["BadDuration"]);
    assert_eq!(reasons("leaseDuration: 4500ms\n"), ["BadDuration"]);
}

#[test]
fn an_authority_lives_long_enough_to_be_followed() {
    let good = "identities:\n  lifetime: 60s\nserving:\n  lifetime: 60s\n\
                authorities:\n  lifetime: 6m\n  overlap: 60s\n";
    assert_eq!(
        read(good).unwrap().authorities,
        Authorities {
            lifetime: Duration::from_secs(360),
            overlap: Duration::from_secs(60)
        }
    );
    let short = good.replace("6m", "5m");
    assert_eq!(reasons(&short), ["OverlapTooLong"]);
}

#[test]
fn an_entrance_domain_is_one() {
    let domain = read("domain: gangplank.example\n").unwrap().domain;
    assert_eq!(domain.unwrap().as_str(), "gangplank.example");
    assert_eq!(reasons("domain: not a name\n").len(), 1);
}
