//! An agent whose exit certificate is for another cluster is not ready and says why: no caller could accept it.

use std::sync::Arc;

use crate::support::certificates::Authority;
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{DOMAIN, Relay, Site};
use crate::support::wait;

#[tokio::test(flavor = "multi_thread")]
async fn at_the_start_and_when_it_is_mended() {
    let server = FakeApiServer::echo().await;
    let site = Site::tunnel(
        &Arc::new(Relay::start()),
        "harbour.acme",
        &server.kubeconfig(),
        &[],
    );
    site.exit.await_ready();
    let authority = Authority::new("exit CA");
    authority
        .exit("lighthouse.acme", DOMAIN)
        .write(site.folder(), "exit");
    let said = wait::until("the wrong certificate to be noticed", || {
        let (ready, said) = site.exit.readiness();
        (!ready).then_some(said)
    });
    assert!(
        said.contains("callers ask for harbour.acme.<domain>, which the exit certificate"),
        "{said}"
    );
    authority
        .exit("harbour.acme", DOMAIN)
        .write(site.folder(), "exit");
    site.exit.await_ready();
}
