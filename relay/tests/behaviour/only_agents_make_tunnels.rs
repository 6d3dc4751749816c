use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::issue::{Issued, Kind, Request};
use gangplank_tunnel::wire::CloseCode;
use gangplank_tunnel::{Closed, GreetError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{Harness, authority, closed, issue, soon, until};

async fn refused(relay: &Harness, identity: &Issued) -> GreetError {
    let refused = soon("an answer", relay.dial(identity, 1, 1))
        .await
        .err()
        .unwrap();
    assert!(relay.view.tunnels().is_empty());
    refused
}

#[tokio::test]
async fn agent_of_another_authority_is_refused_in_the_handshake() {
    let relay = Harness::start("").await;
    let tunnel = TunnelName::parse("c.acme").unwrap();
    let stranger = issue(&authority("agents"), Kind::Agent { tunnel });
    let error = refused(&relay, &stranger).await;
    assert!(
        matches!(
            error,
            GreetError::Closed(Closed::RefusedByPeer { alert: 48, .. })
        ),
        "{error:?}"
    );
    until("it is counted", || {
        relay.scrape().contains("relay_tunnel_handshakes_total{")
    })
    .await;
}

#[tokio::test]
async fn other_kinds_of_the_right_authority_make_no_tunnel() {
    let relay = Harness::start("").await;
    let caller = Kind::Caller {
        common_name: "c.acme".to_owned(),
        uri: None,
    };
    let exit = Kind::Exit {
        dns_names: vec!["c.acme".to_owned()],
    };
    for kind in [caller, exit] {
        let identity = issue(&relay.agents_authority, kind);
        let error = refused(&relay, &identity).await;
        assert!(
            matches!(error, GreetError::Closed(Closed::RefusedByPeer { .. })),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn tunnel_is_named_by_the_certificate() {
    let relay = Harness::start("").await;
    let _agent = relay.agent("c.acme", 1, 1).await;
    let tunnels = relay.view.tunnels();
    assert_eq!(tunnels[0].name, TunnelName::parse("c.acme").unwrap());
    assert_eq!((tunnels[0].slot, tunnels[0].transport), (0, "quic"));
    assert!(tunnels[0].remote.ip().is_loopback());
}

#[tokio::test]
async fn removing_an_authority_ends_the_tunnels_of_its_agents_and_no_others() {
    let relay = Harness::start("").await;
    let other = authority("other agents");
    let both = format!(
        "{}{}",
        relay.agents_authority.certificate_pem(),
        other.certificate_pem()
    );
    relay.rewrite("agents-ca.crt", &both);
    let tunnel = TunnelName::parse("d.acme").unwrap();
    let identity = issue(&other, Kind::Agent { tunnel });
    let staying = async {
        loop {
            if let Ok(agent) = relay.dial(&identity, 2, 1).await {
                return agent;
            }
        }
    };
    let staying = soon("the new authority is believed", staying).await;
    let leaving = relay.agent("c.acme", 1, 1).await;
    relay.rewrite("agents-ca.crt", other.certificate_pem());
    assert_eq!(closed(&leaving.session).await, CloseCode::CertificateEnded);
    until("the tunnel is gone", || relay.tunnel(1).is_none()).await;
    assert!(relay.tunnel(2).is_some());
    drop(staying);
}

/// A tunnel that only carries who is on board has no longer a right than one that takes new callers.
#[tokio::test]
async fn removing_an_authority_ends_superseded_tunnels_too() {
    let relay = Harness::start("").await;
    let older = relay.agent("c.acme", 1, 1).await;
    let _on_board = relay.call("c.acme.tunnels.example.com").await;
    let _its_stream = older.take().await;
    let newer = relay.agent("c.acme", 1, 2).await;
    relay.rewrite("agents-ca.crt", authority("other agents").certificate_pem());
    for agent in [&newer, &older] {
        assert_eq!(closed(&agent.session).await, CloseCode::CertificateEnded);
    }
}

#[tokio::test]
async fn an_account_s_authority_makes_tunnels_of_that_account_alone() {
    let relay =
        Harness::start("  authorities:\n  - { caFile: relay-ca.crt, accounts: [acme] }\n").await;
    let agent = |tunnel: &str| {
        let tunnel = TunnelName::parse(tunnel).unwrap();
        issue(&relay.relays_authority, Kind::Agent { tunnel })
    };
    let error = refused(&relay, &agent("c.zenith")).await;
    assert!(
        matches!(error, GreetError::Closed(Closed::RefusedByPeer { .. })),
        "{error:?}"
    );
    let own = soon("a welcome", relay.dial(&agent("c.acme"), 1, 1)).await;
    assert!(own.is_ok(), "{:?}", own.err());
    until("the tunnel is registered", || relay.tunnel(1).is_some()).await;
}

/// Who has renewed keeps what runs on the tunnel of its old certificate; who has not, keeps nothing.
#[tokio::test]
async fn a_certificate_that_ends_ends_its_tunnels_unless_the_agent_has_renewed() {
    let relay = Harness::start("").await;
    let short = |tunnel: &str| {
        let tunnel = TunnelName::parse(tunnel).unwrap();
        let request = Request {
            kind: Kind::Agent { tunnel },
            lifetime: std::time::Duration::from_secs(2),
            now: SystemClock.now(),
        };
        relay.agents_authority.issue(&request).unwrap()
    };
    let renewed = soon("a welcome", relay.dial(&short("c.acme"), 1, 1)).await;
    let forgetful = soon("a welcome", relay.dial(&short("d.acme"), 2, 1)).await;
    let (renewed, forgetful) = (renewed.unwrap(), forgetful.unwrap());
    let mut on_board = relay.call("c.acme.tunnels.example.com").await;
    let (_, mut its_stream) = renewed.take().await;
    let _newer = relay.agent("c.acme", 1, 2).await;
    let until_over = SystemClock.now().as_secs() + 3;
    until("both certificates are over", || {
        SystemClock.now().as_secs() > until_over
    })
    .await;
    // Any change of the files has the tunnels looked at again.
    let both = format!(
        "{}{}",
        relay.agents_authority.certificate_pem(),
        authority("more agents").certificate_pem()
    );
    relay.rewrite("agents-ca.crt", &both);
    assert_eq!(
        closed(&forgetful.session).await,
        CloseCode::CertificateEnded
    );
    its_stream.write_all(b"still").await.unwrap();
    let mut heard = [0; 5];
    soon("a word", on_board.read_exact(&mut heard))
        .await
        .unwrap();
    assert_eq!(&heard, b"still");
}
