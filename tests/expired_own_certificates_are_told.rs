//! A role whose own certificate is over starts, says so in the log, and shows it in its status.

use rcgen::{ExtendedKeyUsagePurpose, SanType};

use crate::support::certificates::{Authority, leaf_params};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::Gangplank;
use crate::support::path::{DOMAIN, Prepared};

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
    let log = exit.log();
    let told = "the exit certificate expired at 2021-02-03T00:00:00Z";
    assert_eq!(log.matches(told).count(), 1, "{log}");
    assert_eq!(exit.status()["certificates"][0]["expired"], true);
}
