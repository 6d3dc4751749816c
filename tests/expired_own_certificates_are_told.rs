//! A role whose own certificate is over starts, says so in the log, and shows it in its status, whatever lies in its files.

use std::fs;

use rcgen::{ExtendedKeyUsagePurpose, SanType};

use crate::support::certificates::{Authority, leaf_params};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::Gangplank;
use crate::support::path::{DOMAIN, Prepared, Site, Way};
use crate::support::wait;

#[tokio::test(flavor = "multi_thread")]
async fn at_the_start() {
    let fake = FakeApiServer::echo().await;
    let place = Prepared::proxy("127.0.0.1:0", &fake.kubeconfig(), &[]);
    let good = Gangplank::start("proxy", &place.folder().join("proxy.yaml"));
    assert!(!good.log().contains("expired"), "{}", good.log());
    drop(good);
    let name = format!("harbour.acme.{DOMAIN}");
    let mut params = leaf_params(&name, ExtendedKeyUsagePurpose::ServerAuth);
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("a name"))];
    params.not_after = rcgen::date_time_ymd(2021, 2, 3);
    let expired = Authority::new("exit CA").sign(&params);
    expired.write(place.folder(), "exit");
    let exit = Gangplank::start("proxy", &place.folder().join("proxy.yaml"));
    let told = "the exit certificate expired at 2021-02-03T00:00:00Z";
    wait::until("the log to say so", || {
        (exit.log().matches(told).count() == 1).then_some(())
    });
    assert_eq!(exit.status()["certificates"][0]["expired"], true);
}

/// Of a certificate that ends soon, too: what callers see is renewed by whoever has its authority.
#[tokio::test(flavor = "multi_thread")]
async fn and_those_whose_successor_is_due() {
    let fake = FakeApiServer::echo().await;
    let place = Prepared::proxy("127.0.0.1:0", &fake.kubeconfig(), &[]);
    let name = format!("harbour.acme.{DOMAIN}");
    let mut params = leaf_params(&name, ExtendedKeyUsagePurpose::ServerAuth);
    params.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("a name"))];
    params.not_after = time::OffsetDateTime::now_utc() + time::Duration::days(30);
    let ending = Authority::new("exit CA").sign(&params);
    ending.write(place.folder(), "exit");
    let exit = Gangplank::start("proxy", &place.folder().join("proxy.yaml"));
    wait::until("the log to say so", || {
        exit.log()
            .contains("the exit certificate ends at")
            .then_some(())
    });
    let status = exit.status();
    let certificate = &status["certificates"][0];
    assert_eq!(certificate["due"], true, "{certificate}");
    assert_eq!(certificate.get("expired"), None, "{certificate}");
}

/// Somebody writes something else into the files: what is in force stays, and so it is shown, with its end.
#[tokio::test(flavor = "multi_thread")]
async fn and_files_that_are_broken_hide_nothing() {
    let fake = FakeApiServer::echo().await;
    let site = Site::start(Way::Tunnel, &fake.kubeconfig(), &[]);
    let relay = site.relay.as_ref().expect("there is one");
    let shown = || {
        let roles = [&relay.process, &site.exit];
        let certificates = roles.map(|role| role.status()["certificates"].clone());
        let ends = roles.map(|role| {
            let metrics = role.metrics();
            let ends = metrics
                .lines()
                .filter(|line| line.contains("{certificate="));
            ends.map(str::to_owned).collect::<Vec<_>>()
        });
        (certificates, ends)
    };
    let before = shown();
    let counts = before.1.each_ref().map(Vec::len);
    assert_eq!(counts, [2, 3], "{before:?}");
    for (folder, files) in [
        (relay.folder(), ["relay.crt", "agents-ca.crt"]),
        (site.folder(), ["agent.crt", "relay-ca.crt"]),
    ] {
        for file in files {
            fs::write(folder.join(file), "not a certificate").expect("written");
        }
    }
    assert_eq!(shown(), before);
}
