//! Where UDP is blocked a tunnel goes over TCP, with the same rules; where TCP has to take an HTTP proxy, it takes it. What happens
//! when UDP is blocked or opened in the middle is in `every_fault_is_survived/udp.rs`.

use std::fs;
use std::sync::Arc;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank;
use crate::support::http_proxy::{HttpProxy, Manner};
use crate::support::path::{Course, Relay, Site};
use crate::support::{kubectl, wait};

const NAME: &str = "harbour.acme";

#[tokio::test(flavor = "multi_thread")]
async fn through_an_http_proxy_with_a_name_and_a_password() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start_enrolling(3600));
    let proxy = HttpProxy::start(Manner::For("bWU6c2VjcmV0")); // me:secret
    let course = Course::by(relay.address)
        .with("transport: Tcp")
        .with(&format!("httpProxy: http://me:secret@{}", proxy.address));
    let upstream = fake.kubeconfig();
    let site = Site::tunnel_on(&relay, NAME, (&upstream, &[&organisation]), &course);
    relay.await_carriers(&["tcp"; 4]);
    assert_eq!(proxy.asked(), vec![relay.address.to_string(); 4]);
    let papers = organisation.caller("a");
    let mut caller = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(caller.fetch("/by/proxy").await.expect("an answer").0, 200);
    assert!(
        !site.exit.log().contains("secret"),
        "no password in the log"
    );
    let seen = relay.process.log();
    assert!(
        !seen.contains("/by/proxy"),
        "the relay is as blind over TCP"
    );

    // Joining goes the same way, by the environment.
    let token = relay.token("edge-1.acme");
    let joined = tempfile::tempdir().expect("a folder");
    let folder = joined.path().join("agent").display().to_string();
    let address = relay.address.to_string();
    let upstream = upstream.display().to_string();
    let join = |name: &str, url: &str| {
        let arguments = [
            "join",
            &address,
            "--token",
            &token,
            "--directory",
            &folder,
            "--kubeconfig",
            &upstream,
        ];
        let mut command = gangplank::command(&arguments);
        command.env(name, url);
        kubectl::finish(command.spawn().expect("it starts"), "join")
    };
    let refused = join("HTTPS_PROXY", &format!("http://{}", proxy.address));
    assert!(refused.err.contains("(407)"), "{}", refused.err);
    fs::remove_dir_all(&folder).expect("nothing is in it that counts");
    let before = proxy.asked().len();
    join(
        "https_proxy",
        &format!("http://me:secret@{}", proxy.address),
    )
    .expect_success();
    assert_eq!(proxy.asked().len(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_told_with_what_to_do() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start());
    for (manner, told) in [
        (Manner::For("bWU6c2VjcmV0"), "write them into `httpProxy`"),
        (Manner::Closed, "let it allow CONNECT"),
    ] {
        let proxy = HttpProxy::start(manner);
        let course = Course::by(relay.address)
            .with("transport: Tcp")
            .with(&format!("httpProxy: http://{}", proxy.address));
        let upstream = fake.kubeconfig();
        let agent = Site::agent_alone(&relay, NAME, (&upstream, &[&organisation]), &course);
        wait::until("the agent to say what is wrong", || {
            let status = agent.exit.status();
            let fault = status["agent"]["relays"][0]["lastError"].as_str()?;
            fault.contains(told).then_some(())
        });
        assert!(agent.exit.log().contains(told), "{}", agent.exit.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_cluster_loses_its_tunnels_over_tcp_too() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start_enrolling(3600));
    let course = Course::by(relay.address).with("transport: Tcp");
    let upstream = fake.kubeconfig();
    let site = Site::joined_on(&relay, NAME, (&upstream, &[&organisation]), &course);
    relay.await_carriers(&["tcp"; 4]);
    let papers = organisation.caller("a");
    let mut caller = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(caller.fetch("/before").await.expect("an answer").0, 200);
    relay.revoke(NAME);
    caller.await_close("the caller of a revoked cluster").await;
    relay.await_carriers(&[]);
    wait::until("the agent to be told why", || {
        site.exit.log().contains("revoked").then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_ends_in_order_tells_its_tunnels_over_tcp() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start());
    let course = Course::by(relay.address).with("transport: Tcp");
    let upstream = fake.kubeconfig();
    let site = Site::tunnel_on(&relay, NAME, (&upstream, &[&organisation]), &course);
    let papers = organisation.caller("a");
    let mut kept = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(kept.fetch("/before").await.expect("an answer").0, 200);
    assert_eq!(relay.process.terminate().code(), Some(0));
    kept.await_close("the caller of a relay that ends").await;
    assert!(
        site.exit.log().contains("the relay is going away"),
        "{}",
        site.exit.log()
    );
}
