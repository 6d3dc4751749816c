//! `/readyz` names what keeps a role from serving, and is 200 again when it is over.

use std::fs;

use crate::support::certificates::Organisation;
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::{Gangplank, http_get};
use crate::support::path::{Relay, Site, Way};
use crate::support::wait;

fn await_reason(role: &Gangplank, reason: &str) {
    wait::until(&format!("`{reason}`"), || {
        let (ready, said) = role.readiness();
        (!ready && said.starts_with("not ready:\n- ") && said.contains(reason)).then_some(())
    });
    assert_eq!(
        http_get(role.admin, "/livez").expect("an answer").0,
        200,
        "it lives"
    );
}

/// Case H2.
#[tokio::test(flavor = "multi_thread")]
async fn reason_by_reason() {
    let known = Organisation::new("known");
    let fake = FakeApiServer::echo().await;
    let mut site = Site::start(Way::Tunnel, &fake.kubeconfig(), &[&known]);
    site.exit.await_ready();

    // What follows is said only after half a minute, so it begins first.
    let unmounted = Site::direct(&fake.kubeconfig(), &[&known]);
    unmounted.exit.await_ready();
    let (trust, away) = (
        unmounted.folder().join("trust"),
        unmounted.folder().join("away"),
    );
    fs::rename(&trust, &away).expect("renamed");

    // A file that is faulty takes nothing away, and so no readiness.
    fs::write(site.folder().join("trust/broken.yaml"), "kind: [").expect("written");
    wait::until("the fault to be seen", || {
        (site
            .exit
            .metric("gangplank_trust_faults{reason=\"NotYaml\"} ")
            == Some(1.0))
        .then_some(())
    });
    assert!(site.exit.readiness().0);

    let relay = site.relay.take().expect("a relay");
    relay.process.kill();
    await_reason(&site.exit, &format!("no tunnel to {}: ", relay.address));

    let gone = FakeApiServer::echo().await;
    gone.stop_listening();
    let direct = Site::direct(&gone.kubeconfig(), &[]);
    let unreachable = format!("the API server {} cannot be reached: ", gone.address);
    await_reason(&direct.exit, &unreachable);
    let (_, said) = direct.exit.readiness();
    assert!(
        !said.contains("trust"),
        "an exit that trusts nobody is as it should be: {said}"
    );

    await_reason(
        &unmounted.exit,
        "the trust directory cannot be read since 20",
    );
    fs::rename(&away, &trust).expect("renamed");
    unmounted.exit.await_ready();
}

/// Who restarts one agent after another must not leave a relay without any: a new agent is ready once each relay has
/// answered, or has not.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_waits_for_each_of_its_relays_once() {
    let (known, fake) = (Organisation::new("known"), FakeApiServer::echo().await);
    let relay = Relay::start();
    let mute = relay.start_sibling();
    mute.process.kill();
    // TCP is refused there, and QUIC never answered.
    let _mute = std::net::UdpSocket::bind(mute.address).expect("its port is free");
    let exit = (&*fake.kubeconfig(), &[&known][..]);
    let site = Site::at_both([&relay, &mute], "harbour.acme", exit, "");
    wait::until("the one tunnel", || {
        relay.has_tunnel("harbour.acme").then_some(())
    });
    await_reason(
        &site.exit,
        &format!("no tunnel to {}: dialling", mute.address),
    );
    site.exit.await_ready();
}

/// An admin endpoint tells and does nothing else.
#[test]
fn and_nothing_can_be_done_there() {
    use std::io::{Read as _, Write as _};
    let relay = Relay::start();
    for (request, code) in [
        ("POST /readyz", 405),
        ("DELETE /status", 405),
        ("GET /", 404),
        ("GET /debug", 404),
        ("HEAD /livez", 200),
    ] {
        let mut socket = std::net::TcpStream::connect(relay.process.admin).expect("it listens");
        write!(
            socket,
            "{request} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        .expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("an answer");
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code} ")),
            "{request}: {answer}"
        );
    }
}
