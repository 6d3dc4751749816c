use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::issue::{Issued, Kind, Request};
use gangplank_pki::peer::RelayVerifier;
use gangplank_pki::pem;
use gangplank_tunnel::http2::{AgentEndpoint, Http2Session};
use gangplank_tunnel::tls::{ALPN, AgentTls};
use gangplank_tunnel::wire::{CloseCode, Hello, SoftwareName};
use gangplank_tunnel::{ControlReader, ControlWriter, GreetError, greet};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::forwarded_callers_keep_their_address::{FORWARDED, FROM_LOOPBACK};
use crate::support::{Harness, PATIENCE, RELAY_NAME, authority, closed, issue, soon, until};

/// A tunnel that is held open.
struct OverTcp {
    session: Http2Session,
    _control: (ControlReader, ControlWriter),
}

async fn dial(relay: &Harness, identity: &Issued, instance: u128) -> Result<OverTcp, Refused> {
    dial_over(relay.connect().await, relay, identity, instance).await
}

async fn dial_over(
    socket: TcpStream,
    relay: &Harness,
    identity: &Issued,
    instance: u128,
) -> Result<OverTcp, Refused> {
    let anchors = pem::certificates(relay.relays_authority.certificate_pem().as_bytes());
    let verifier = RelayVerifier::new(&anchors.unwrap(), Arc::new(SystemClock)).unwrap();
    let tls = AgentTls {
        chain: pem::certificates(identity.cert_pem.as_bytes()).unwrap(),
        key: pem::private_key(identity.key_pem.as_bytes()).unwrap(),
        relay: Arc::new(verifier),
    };
    let deadline = Instant::now() + PATIENCE;
    let session = AgentEndpoint::default()
        .begin(socket, RELAY_NAME, tls, deadline)
        .await
        .map_err(|error| Refused::InTheHandshake(error.to_string()))?;
    let hello = Hello {
        instance,
        slot: 0,
        epoch: 1,
        software: SoftwareName::fitting("test agent"),
    };
    let (_welcome, reader, writer) = greet(&session, hello, deadline)
        .await
        .map_err(Refused::Unwelcome)?;
    Ok(OverTcp {
        session,
        _control: (reader, writer),
    })
}

#[derive(Debug)]
enum Refused {
    InTheHandshake(#[expect(dead_code, reason = "printed")] String),
    Unwelcome(#[expect(dead_code, reason = "printed")] GreetError),
}

/// Else all agents behind a load balancer would seem to be at one address, which is none of theirs.
#[tokio::test]
async fn an_agent_behind_a_load_balancer_is_where_that_says() {
    let relay = Harness::start(FROM_LOOPBACK).await;
    let identity = relay.agent_certificate("c.acme");
    let mut socket = relay.connect().await;
    socket.write_all(FORWARDED).await.unwrap();
    let _tunnel = dial_over(socket, &relay, &identity, 1).await.unwrap();
    until("the tunnel is registered", || relay.tunnel(1).is_some()).await;
    let remote = relay.tunnel(1).unwrap().remote.to_string();
    assert_eq!(remote, "203.0.113.7:12345");
}

#[tokio::test]
async fn strangers_are_refused_in_the_handshake() {
    let relay = Harness::start("").await;
    let tunnel = TunnelName::parse("c.acme").unwrap();
    let stranger = issue(&authority("strangers"), Kind::Agent { tunnel });
    let of_another_kind = issue(
        &relay.agents_authority,
        Kind::Relay {
            hosts: vec!["c.acme".to_owned()],
        },
    );
    for identity in [stranger, of_another_kind] {
        let refused = soon("a refusal", dial(&relay, &identity, 1)).await;
        assert!(matches!(refused, Err(Refused::InTheHandshake(_))));
    }
    assert!(relay.view.tunnels().is_empty());
}

#[tokio::test]
async fn certificates_that_are_over_end_their_tunnels() {
    let relay = Harness::start("").await;
    let request = Request {
        kind: Kind::Agent {
            tunnel: TunnelName::parse("c.acme").unwrap(),
        },
        lifetime: Duration::from_secs(2),
        now: SystemClock.now(),
    };
    let short = relay.agents_authority.issue(&request).unwrap();
    let tunnel = soon("a welcome", dial(&relay, &short, 1)).await.unwrap();
    until("the tunnel is registered", || relay.tunnel(1).is_some()).await;
    let until_over = SystemClock.now().as_secs() + 3;
    until("the certificate is over", || {
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
    assert_eq!(closed(&tunnel.session).await, CloseCode::CertificateEnded);
    until("the tunnel is gone", || relay.tunnel(1).is_none()).await;
}

#[tokio::test]
async fn removing_the_authority_ends_them() {
    let relay = Harness::start("").await;
    let identity = relay.agent_certificate("c.acme");
    let tunnel = soon("a welcome", dial(&relay, &identity, 1)).await.unwrap();
    until("the tunnel is registered", || relay.tunnel(1).is_some()).await;
    relay.rewrite("agents-ca.crt", authority("others").certificate_pem());
    assert_eq!(closed(&tunnel.session).await, CloseCode::CertificateEnded);
}

/// As many as may shake hands at once, and one more.
#[tokio::test]
async fn handshakes_that_are_not_gone_on_with_cost_their_places_alone() {
    const PLACES: usize = 256;
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let mut silent = Vec::new();
    for _ in 0..PLACES {
        let mut socket = relay.connect().await;
        socket.write_all(&hello_for_a_tunnel()).await.unwrap();
        silent.push(socket);
    }
    for socket in &mut silent {
        let mut first = [0];
        soon("the relay's hello", socket.read_exact(&mut first))
            .await
            .unwrap();
    }
    let mut one_more = relay.connect().await;
    one_more.write_all(&hello_for_a_tunnel()).await.unwrap();
    let said = soon("a reset", one_more.read_u8()).await;
    assert_eq!(said.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(
        relay.scrape().contains("outcome=\"Crowded\"} 1"),
        "{}",
        relay.scrape()
    );

    let _caller = relay.call("c.acme.tunnels.example.com").await;
    soon("callers come through", agent.take()).await;
    let _other = relay.agent("d.acme", 2, 1).await;

    drop(silent.pop());
    let identity = relay.agent_certificate("e.acme");
    let trying = async {
        loop {
            if let Ok(tunnel) = dial(&relay, &identity, 3).await {
                return tunnel;
            }
        }
    };
    let _tunnel = soon("a place is free again", trying).await;
}

/// What an agent's TLS sends first, without the rest ever coming.
fn hello_for_a_tunnel() -> Vec<u8> {
    let mut config = rustls::ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let name = ServerName::try_from(RELAY_NAME).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}
