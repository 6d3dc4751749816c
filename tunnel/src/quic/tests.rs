use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::task::TaskTracker;

use super::precedence::{Place, Recently};
use super::stream::QuicWriter;
use super::*;
use crate::fixture::{
    Authorities, agent_kind, authority, deadline, dial, identity, pair, relay_endpoint, relay_kind,
    request, soon,
};
use crate::session::{Closed, Session};
use crate::wire::CloseCode;

/// How an attempt that must fail does so: at the relay and at the agent. TLS 1.3 lets the agent
/// believe for a moment that it was let in.
async fn refusal(authorities: &Authorities, tls: AgentTls) -> (HandshakeError, Closed) {
    let relay = relay_endpoint(authorities.relay_tls());
    let agent = AgentEndpoint::bind().expect("an endpoint");
    let (at_relay, at_agent) = dial(&relay, &agent, tls).await;
    let at_agent = match at_agent {
        Ok(session) => soon(session.closed()).await,
        Err(HandshakeError::Failed(closed)) => closed,
        Err(error) => panic!("the agent saw {error}"),
    };
    (at_relay.expect_err("the relay must refuse"), at_agent)
}

fn refused_with(alert: u8, (at_relay, at_agent): &(HandshakeError, Closed)) {
    assert!(
        matches!(at_relay, HandshakeError::Failed(Closed::RefusedHere { alert: own, .. }) if *own == alert),
        "the relay said {at_relay:?}"
    );
    assert!(
        matches!(at_agent, Closed::RefusedByPeer { alert: told, .. } if *told == alert),
        "the agent was told {at_agent:?}"
    );
}

#[tokio::test]
async fn agent_of_another_ca_is_refused() {
    let authorities = Authorities::new();
    let stranger = authority().issue(&request(agent_kind())).expect("issued");
    let refused = refusal(&authorities, authorities.agent_tls_as(&stranger)).await;
    refused_with(48, &refused); // unknown_ca
    assert!(
        refused.1.to_string().contains("does not trust"),
        "{}",
        refused.1
    );
}

#[tokio::test]
async fn certificate_for_servers_is_no_agent() {
    let authorities = Authorities::new();
    let server = authorities
        .agents
        .issue(&request(relay_kind("one.acme")))
        .expect("issued");
    let (at_relay, _) = refusal(&authorities, authorities.agent_tls_as(&server)).await;
    assert_eq!(at_relay.reason(), "HandshakeRefusedHere");
}

/// A certificate by the agents' CA with what the program itself would never issue.
fn issued_with(
    authorities: &Authorities,
    change: impl FnOnce(&mut CertificateParams),
) -> gangplank_pki::issue::Issued {
    let ca_pem = authorities.agents.certificate_pem();
    let ca_key = rcgen::KeyPair::from_pem(&authorities.agents.key_pem()).expect("the CA's key");
    let issuer = rcgen::Issuer::from_ca_cert_pem(ca_pem, ca_key).expect("the CA");
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::DnsName("one.acme".try_into().expect("a name"))];
    params.use_authority_key_identifier_extension = true;
    change(&mut params);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = params.signed_by(&key, &issuer).expect("signed");
    gangplank_pki::issue::Issued {
        cert_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        ca_pem: ca_pem.to_owned(),
    }
}

#[tokio::test]
async fn agent_with_exactly_one_name_is_let_in() {
    // The control of the three tests below: what they change is what is refused.
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let agent = AgentEndpoint::bind().expect("an endpoint");
    let tls = authorities.agent_tls_as(&issued_with(&authorities, |_| {}));
    let (at_relay, at_agent) = dial(&relay, &agent, tls).await;
    assert!(at_agent.is_ok());
    let session = at_relay.expect("let in");
    let name = gangplank_pki::peer::tunnel_name(session.peer_certificates()).expect("a name");
    assert_eq!(name.as_str(), "one.acme");
}

#[tokio::test]
async fn agent_without_extended_key_usage_is_refused() {
    let authorities = Authorities::new();
    let issued = issued_with(&authorities, |params| params.extended_key_usages.clear());
    let (at_relay, _) = refusal(&authorities, authorities.agent_tls_as(&issued)).await;
    assert_eq!(at_relay.reason(), "HandshakeRefusedHere");
}

#[tokio::test]
async fn agent_with_two_names_is_refused() {
    let authorities = Authorities::new();
    let issued = issued_with(&authorities, |params| {
        let second = SanType::DnsName("two.acme".try_into().expect("a name"));
        params.subject_alt_names.push(second);
    });
    let (at_relay, _) = refusal(&authorities, authorities.agent_tls_as(&issued)).await;
    assert_eq!(at_relay.reason(), "HandshakeRefusedHere");
}

#[tokio::test]
async fn agent_without_a_name_is_refused() {
    let authorities = Authorities::new();
    let issued = issued_with(&authorities, |params| params.subject_alt_names.clear());
    let (at_relay, _) = refusal(&authorities, authorities.agent_tls_as(&issued)).await;
    assert_eq!(at_relay.reason(), "HandshakeRefusedHere");
}

/// A peer that does not keep to our rules: plain quinn with the given rustls configuration.
fn raw_client(config: rustls::ClientConfig) -> quinn::Endpoint {
    raw_client_with(config, quinn::TransportConfig::default())
}

fn raw_client_with(
    config: rustls::ClientConfig,
    transport: quinn::TransportConfig,
) -> quinn::Endpoint {
    let mut endpoint =
        quinn::Endpoint::client((std::net::Ipv4Addr::LOCALHOST, 0).into()).expect("an endpoint");
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(config).expect("a suite");
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(Arc::new(transport));
    endpoint.set_default_client_config(config);
    endpoint
}

fn raw_config(
    authorities: &Authorities,
) -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert> {
    rustls::ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(authorities.relay_verifier())
}

/// A raw agent with a good certificate.
fn raw_agent(authorities: &Authorities, alpn: &[u8]) -> quinn::Endpoint {
    raw_client(raw_agent_config(authorities, alpn))
}

fn raw_agent_config(authorities: &Authorities, alpn: &[u8]) -> rustls::ClientConfig {
    let (chain, key) = identity(
        &authorities
            .agents
            .issue(&request(agent_kind()))
            .expect("issued"),
    );
    let mut config = raw_config(authorities)
        .with_client_auth_cert(chain, key)
        .expect("an identity");
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

/// Both ends of what a raw client achieves.
async fn raw_dial(
    relay: &RelayEndpoint,
    client: &quinn::Endpoint,
) -> (
    Result<QuicSession, HandshakeError>,
    Result<quinn::Connection, quinn::ConnectionError>,
) {
    let address = relay.local_address().expect("an address");
    let connecting = client
        .connect(address, crate::fixture::RELAY_NAME)
        .expect("begun");
    let arrival = async {
        relay
            .accept()
            .await
            .expect("an arrival")
            .complete(deadline())
            .await
    };
    soon(async { tokio::join!(arrival, connecting) }).await
}

#[tokio::test]
async fn datagrams_grow_to_what_the_route_carries() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let address = relay.local_address().expect("an address");
    let client = raw_client_with(
        raw_agent_config(&authorities, ALPN),
        limits::agent_transport(route::mtu(address), CongestionControl::default()),
    );
    let (at_relay, at_client) = raw_dial(&relay, &client).await;
    let (_at_relay, at_client) = (at_relay.expect("let in"), at_client.expect("let in"));
    soon(async {
        while at_client.stats().path.current_mtu < limits::MAX_UDP_PAYLOAD {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn agent_without_certificate_is_refused() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let mut config = raw_config(&authorities).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let (at_relay, at_client) = raw_dial(&relay, &raw_client(config)).await;
    let refused = matches!(
        at_relay,
        Err(HandshakeError::Failed(Closed::RefusedHere {
            alert: 116,
            ..
        }))
    );
    assert!(refused, "certificate_required, not {at_relay:?}");
    if let Ok(connection) = at_client {
        let end = closing::closed(&soon(connection.closed()).await);
        assert!(
            matches!(end, Closed::RefusedByPeer { alert: 116, .. }),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn another_protocol_is_refused() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let (at_relay, at_client) = raw_dial(&relay, &raw_agent(&authorities, b"h3")).await;
    assert!(at_relay.is_err());
    let end = closing::closed(&at_client.expect_err("no protocol in common"));
    assert!(
        matches!(end, Closed::RefusedByPeer { alert: 120, .. }),
        "{end:?}"
    );
}

#[tokio::test]
async fn a_session_leaves_nothing_to_resume() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    // This client keeps every ticket it gets, and would use it.
    let client = raw_agent(&authorities, ALPN);
    for _ in 0..2 {
        let (at_relay, at_client) = raw_dial(&relay, &client).await;
        let (at_relay, at_client) = (at_relay.expect("let in"), at_client.expect("let in"));
        // One round trip later a ticket would have come.
        let mut stream = at_client.open_bi().await.expect("the control stream").0;
        stream.write_all(b"?").await.expect("written");
        soon(at_relay.accept()).await.expect("the control stream");
        at_client.close(0_u32.into(), b"");
        let address = relay.local_address().expect("an address");
        let again = client
            .connect(address, crate::fixture::RELAY_NAME)
            .expect("begun");
        assert!(again.into_0rtt().is_err(), "0-RTT must not be possible");
        // That attempt is on its way to the relay: let it go by.
        soon(relay.accept()).await.expect("an arrival").refuse();
    }
}

#[tokio::test]
async fn relay_of_another_ca_is_not_talked_to() {
    let authorities = Authorities::new();
    let impostor = authority().issue(&request(relay_kind(crate::fixture::RELAY_NAME)));
    let relay = relay_endpoint(authorities.relay_tls_as(&impostor.expect("issued")));
    let agent = AgentEndpoint::bind().expect("an endpoint");
    let (_, at_agent) = dial(&relay, &agent, authorities.agent_tls()).await;
    assert_eq!(
        at_agent.expect_err("refused").reason(),
        "HandshakeRefusedHere"
    );
}

#[tokio::test]
async fn relay_of_another_name_is_not_talked_to() {
    let authorities = Authorities::new();
    let other = authorities
        .relays
        .issue(&request(relay_kind("other.example.com")));
    let relay = relay_endpoint(authorities.relay_tls_as(&other.expect("issued")));
    let agent = AgentEndpoint::bind().expect("an endpoint");
    let (_, at_agent) = dial(&relay, &agent, authorities.agent_tls()).await;
    assert_eq!(
        at_agent.expect_err("refused").reason(),
        "HandshakeRefusedHere"
    );
}

#[tokio::test]
async fn certificate_for_clients_is_no_relay() {
    let authorities = Authorities::new();
    let client = authorities
        .relays
        .issue(&request(agent_kind()))
        .expect("issued");
    let relay = relay_endpoint(authorities.relay_tls_as(&client));
    let agent = AgentEndpoint::bind().expect("an endpoint");
    let (_, at_agent) = dial(&relay, &agent, authorities.agent_tls()).await;
    assert_eq!(
        at_agent.expect_err("refused").reason(),
        "HandshakeRefusedHere"
    );
}

#[tokio::test]
async fn replaced_identity_serves_new_sessions_and_spares_old_ones() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let agent = AgentEndpoint::bind().expect("an endpoint");
    let (_old_at_relay, old) = dial(&relay, &agent, authorities.agent_tls()).await;
    let old = old.expect("let in");
    let renewed = authorities
        .relays
        .issue(&request(relay_kind(crate::fixture::RELAY_NAME)));
    let renewed = renewed.expect("issued");
    relay
        .replace_tls(authorities.relay_tls_as(&renewed))
        .expect("replaced");
    let (_new_at_relay, new) = dial(&relay, &agent, authorities.agent_tls()).await;
    assert_eq!(
        new.expect("let in").peer_certificates(),
        identity(&renewed).0
    );
    assert_ne!(old.peer_certificates(), identity(&renewed).0);
    assert!(old.open().await.is_ok(), "the old session lives on");
}

#[tokio::test]
async fn stream_credit_starts_small_and_grows_with_use() {
    let pair = pair().await;
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(pair.stream().await);
    }
    assert_eq!(
        (pair.relay.open_streams(), pair.agent.open_streams()),
        (300, 300)
    );
    held.clear();
    assert_eq!(
        (pair.relay.open_streams(), pair.agent.open_streams()),
        (0, 0)
    );
}

#[tokio::test]
async fn stream_credit_is_not_there_before_it_is_used() {
    let pair = pair().await;
    let mut held = Vec::new();
    for _ in 0..limits::INITIAL_STREAM_CREDIT {
        held.push(soon(pair.relay.open()).await.expect("within the credit"));
    }
    let mut beyond = pair.relay.open();
    let polled = poll_fn(|cx| std::task::Poll::Ready(beyond.as_mut().poll(cx))).await;
    assert!(polled.is_pending(), "the agent has accepted none yet");
    pair.agent
        .grow_stream_credit(2 * limits::INITIAL_STREAM_CREDIT);
    soon(beyond).await.expect("one more");
}

#[tokio::test]
async fn an_agent_has_nothing_to_open_but_its_control_stream() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let client = raw_agent(&authorities, ALPN);
    let (at_relay, at_client) = raw_dial(&relay, &client).await;
    let (at_relay, at_client) = (at_relay.expect("let in"), at_client.expect("let in"));
    let (mut send, _receive) = soon(at_client.open_bi()).await.expect("the control stream");
    send.write_all(b"?").await.expect("written");
    let mut control = soon(at_relay.accept()).await.expect("the control stream");
    // The limits have long arrived: they came before this answer.
    control.write_all(b"!").await.expect("written");
    let mut second = Box::pin(at_client.open_bi());
    let mut one_way = Box::pin(at_client.open_uni());
    poll_fn(|cx| {
        assert!(second.as_mut().poll(cx).is_pending(), "a second stream");
        assert!(one_way.as_mut().poll(cx).is_pending(), "a one-way stream");
        std::task::Poll::Ready(())
    })
    .await;
    let datagram = at_client.send_datagram(Bytes::from_static(b"?"));
    assert!(datagram.is_err(), "a datagram");
}

#[tokio::test]
async fn a_relay_has_nothing_to_open_but_streams_of_callers() {
    let authorities = Authorities::new();
    let secret = RelaySecret::new([7; 32]);
    let mut config = relay::server_config(
        authorities.relay_tls(),
        &secret,
        CongestionControl::default(),
    )
    .expect("a configuration");
    // It would take anything itself, and so may say anything that the agent takes.
    config.transport_config(Arc::default());
    let address = (std::net::Ipv4Addr::LOCALHOST, 0).into();
    let raw = quinn::Endpoint::server(config, address).expect("an endpoint");
    let address = raw.local_addr().expect("an address");
    let agent = AgentEndpoint::bind().expect("an endpoint");
    let arrival = async { raw.accept().await.expect("an arrival").await };
    let dialled = agent.dial(
        address,
        crate::fixture::RELAY_NAME,
        authorities.agent_tls(),
        deadline(),
    );
    let (at_relay, at_agent) = soon(async { tokio::join!(arrival, dialled) }).await;
    let (at_relay, at_agent) = (at_relay.expect("let in"), at_agent.expect("let in"));
    let (mut send, _receive) = soon(at_relay.open_bi()).await.expect("a caller's stream");
    send.write_all(b"?").await.expect("written");
    let mut caller = soon(at_agent.accept()).await.expect("a caller's stream");
    assert_eq!(soon(caller.read_u8()).await.expect("read"), b'?');
    let mut one_way = Box::pin(at_relay.open_uni());
    poll_fn(|cx| {
        assert!(one_way.as_mut().poll(cx).is_pending(), "a one-way stream");
        std::task::Poll::Ready(())
    })
    .await;
    let datagram = at_relay.send_datagram(Bytes::from_static(b"?"));
    assert_eq!(datagram, Err(quinn::SendDatagramError::UnsupportedByPeer));
}

#[tokio::test]
async fn a_stream_that_has_sent_much_stands_behind_the_others() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let client = raw_agent(&authorities, ALPN);
    let (_at_relay, at_client) = raw_dial(&relay, &client).await;
    let (send, _receive) = soon(at_client.expect("let in").open_bi())
        .await
        .expect("the control stream");
    let mut writer = QuicWriter::new(send, Place::of(&Recently::new()));
    writer.write_all(b"?").await.expect("written");
    assert_eq!(writer.stream.priority(), Ok(0));
    for _ in 0..3 {
        // What this test's window takes without a reader.
        soon(writer.write_all(&[0; 100 << 10]))
            .await
            .expect("written");
    }
    assert_eq!(writer.stream.priority(), Ok(-1));
}

#[tokio::test]
async fn callers_that_stop_reading_stop_nobody_else() {
    pair()
        .await
        .carries_beside_the_stalled(limits::STREAM_WINDOW)
        .await;
}

#[tokio::test]
async fn a_change_of_address_does_not_end_a_transfer() {
    let pair = pair().await;
    let (mut at_relay, mut at_agent) = pair.stream().await;
    let before = pair.relay.remote_address();
    let bulk: usize = 8 << 20;
    let sending = TaskTracker::new().spawn(async move {
        at_agent.write_all(&vec![1; bulk]).await.expect("written");
        at_agent.shutdown().await.expect("ended");
    });
    let mut heard = vec![0; 1 << 20];
    soon(at_relay.read_exact(&mut heard))
        .await
        .expect("the first part");
    pair.agent_endpoint.rebind().expect("another socket");
    soon(at_relay.read_to_end(&mut heard))
        .await
        .expect("an end of file");
    assert_eq!(heard.len(), bulk);
    assert_ne!(pair.relay.remote_address(), before);
    sending.await.expect("sent");
}

#[tokio::test]
async fn the_closing_side_says_why() {
    let pair = pair().await;
    pair.relay
        .close(CloseCode::Superseded, "a newer one\x1b[2J is here");
    let closed = soon(pair.agent.closed()).await;
    pair.agent
        .close(CloseCode::ProtocolViolation, "the last word");
    assert_eq!(
        soon(pair.agent.closed()).await,
        closed,
        "who closed first has it"
    );
    let Closed::ByPeer { code, message } = &closed else {
        panic!("{closed:?}")
    };
    assert_eq!(
        (*code, message.as_str()),
        (CloseCode::Superseded, "a newer one [2J is here")
    );
    assert_eq!(soon(pair.relay.closed()).await, Closed::Here);
    assert_eq!(
        soon(pair.relay.open()).await.expect_err("it has ended").0,
        Closed::Here
    );
    assert_eq!(
        soon(pair.agent.accept()).await.expect_err("it has ended").0,
        closed
    );
}

#[test]
fn a_killed_relay_that_returns_tells_its_agents() {
    // Two runtimes: one is killed with everything in it, as by SIGKILL.
    let authorities = Authorities::new();
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let (relay_life, agent_life) = (runtime(), runtime());
    let relay = {
        let _entered = relay_life.enter();
        relay_endpoint(authorities.relay_tls())
    };
    let address = relay.local_address().expect("an address");
    let agent = {
        let _entered = agent_life.enter();
        AgentEndpoint::bind().expect("an endpoint")
    };
    let arriving = relay_life.spawn(async move {
        let session = relay
            .accept()
            .await
            .expect("an arrival")
            .complete(deadline())
            .await;
        (relay, session.expect("let in"))
    });
    let tls = authorities.agent_tls();
    let name = crate::fixture::RELAY_NAME;
    let session = agent_life
        .block_on(agent.dial(address, name, tls, deadline()))
        .expect("let in");
    let alive = agent_life.block_on(arriving).expect("arrived");
    relay_life.shutdown_timeout(std::time::Duration::from_secs(10));
    // Without its tasks nobody can say goodbye any more.
    drop(alive);

    let second_life = runtime();
    let returned = {
        let _entered = second_life.enter();
        let secret = RelaySecret::new([7; 32]);
        let congestion = CongestionControl::default();
        RelayEndpoint::bind(address, authorities.relay_tls(), secret, congestion)
            .expect("the same port")
    };
    let asked = tokio::time::Instant::now();
    assert_eq!(agent_life.block_on(session.closed()), Closed::Forgotten);
    let limit = std::time::Duration::from_millis(limits::IDLE_TIMEOUT_MS.into());
    assert!(
        asked.elapsed() < limit,
        "noticed at a keepalive, not by silence"
    );
    drop(returned);
}

#[tokio::test]
async fn the_socket_says_what_the_kernel_granted() {
    let relay = relay_endpoint(Authorities::new().relay_tls());
    let buffers = relay.buffers();
    assert!(buffers.receive > 0 && buffers.send > 0);
    let short = buffers.receive < limits::SOCKET_BUFFER || buffers.send < limits::SOCKET_BUFFER;
    assert_eq!(buffers.fall_short(), short);
}

#[test]
fn large_datagrams_are_tried_only_where_the_first_hop_carries_them() {
    for (mtu, tried) in [
        (None, 1452),
        (Some(1280), 1452), // a probe more or less; the path is asked, not the interface
        (Some(1500), 1452),
        (Some(1501), 1453),
        (Some(4096), 4048),
        (Some(8896), 6500),
        (Some(65_536), 6500),
        (Some(usize::MAX), 6500),
    ] {
        assert_eq!(limits::largest_tried(mtu), tried, "{mtu:?}");
    }
}

#[test]
fn ten_datagrams_fit_one_call_to_the_kernel() {
    // An IPv4 packet's 65,535 bytes less its headers.
    assert!(10 * usize::from(limits::MAX_UDP_PAYLOAD) <= 65_507);
}

#[test]
fn both_ask_early_enough_to_notice_a_dead_peer_within_thirteen_seconds() {
    let idle = std::time::Duration::from_millis(limits::IDLE_TIMEOUT_MS.into());
    for asks_after in [limits::KEEPALIVE_INTERVAL, limits::RELAY_ASKS_AFTER] {
        assert!(asks_after + idle <= std::time::Duration::from_secs(13));
    }
}

mod strangers;
