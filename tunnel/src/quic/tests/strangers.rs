//! Who is at the relay's UDP port without being anybody: forged sources, tokens of others, packets that were never
//! meant, and what is put in between an agent and its relay.

use std::net::Ipv4Addr;
use std::time::Duration;

use quinn::TimeSource;
use rustls::quic::{ClientConnection, Keys, Suite, Version};
use rustls::{CipherSuite, Side, SupportedCipherSuite, Tls13CipherSuite};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::*;
use crate::quic::relay::server_config;
use crate::tls;

/// The largest datagram there is.
const LARGEST: usize = 65_535;

/// QUIC's smallest first datagram (RFC 9000 §14.1).
const FIRST_DATAGRAM: usize = 1200;

async fn udp() -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a socket")
}

async fn heard(socket: &UdpSocket) -> Vec<u8> {
    let mut datagram = vec![0; LARGEST];
    let (length, _) = soon(socket.recv_from(&mut datagram))
        .await
        .expect("a datagram");
    datagram.truncate(length);
    datagram
}

/// A real agent's first flight, which the relay has not seen: the agent dials `catcher`.
async fn first_flight(client: &quinn::Endpoint, catcher: &UdpSocket) -> Vec<Vec<u8>> {
    let address = catcher.local_addr().expect("an address");
    let dialling = client
        .connect(address, crate::fixture::RELAY_NAME)
        .expect("begun");
    // It goes on dialling, in vain.
    drop(TaskTracker::new().spawn(dialling));
    // With a post-quantum key share the hello takes two datagrams.
    vec![heard(catcher).await, heard(catcher).await]
}

#[tokio::test]
async fn a_forged_source_is_sent_three_times_what_came_in_its_name_and_no_more() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let client = raw_agent(&authorities, ALPN);
    let (catcher, victim) = (udp().await, udp().await);
    let flight = first_flight(&client, &catcher).await;
    let address = relay.local_address().expect("an address");
    let mut sent = 0;
    for datagram in &flight {
        sent += victim.send_to(datagram, address).await.expect("sent");
    }
    let arrival = soon(relay.accept()).await.expect("an arrival");
    assert!(!arrival.address_proven());
    // Nobody answers, and time passes: the relay asks again as often as it likes.
    tokio::time::pause();
    let until = Instant::now() + Duration::from_secs(30);
    let listening = async {
        let (mut received, mut datagram) = (0, vec![0; LARGEST]);
        while let Ok(heard) = timeout_at(until, victim.recv_from(&mut datagram)).await {
            received += heard.expect("a datagram").0;
        }
        received
    };
    let (received, arrived) = tokio::join!(listening, arrival.complete(until));
    assert!(arrived.is_err(), "nobody has answered");
    assert!(received > sent, "{received} bytes: it is worth a look");
    // The library lets a datagram go that begins within the bound.
    let bound = 3 * sent + FIRST_DATAGRAM;
    assert!(received < bound, "{received} for {sent} bytes");
}

/// Attempts that the relay has taken and that go no further, so that it asks for proof of the next one.
async fn under_pressure(relay: &RelayEndpoint, client: &quinn::Endpoint) -> Vec<Arrival> {
    let address = relay.local_address().expect("an address");
    let mut held = Vec::new();
    for _ in 0..limits::RETRY_ABOVE {
        let dialling = client
            .connect(address, crate::fixture::RELAY_NAME)
            .expect("begun");
        drop(TaskTracker::new().spawn(dialling));
        let arrival = soon(relay.accept()).await.expect("an arrival");
        assert!(!arrival.address_proven());
        held.push(arrival);
    }
    held
}

/// An agent's flight with the token of the Retry that the relay under pressure sent to `middle`, which stands
/// between the two.
async fn flight_with_token(
    relay: &RelayEndpoint,
    client: &quinn::Endpoint,
    middle: &UdpSocket,
) -> Vec<Vec<u8>> {
    let address = relay.local_address().expect("an address");
    let flight = first_flight(client, middle).await;
    let from_relay = async {
        for datagram in &flight {
            middle.send_to(datagram, address).await.expect("sent");
        }
        heard(middle).await
    };
    // The endpoint answers within `accept`, which takes nobody.
    let retry = tokio::select! {
        retry = from_relay => retry,
        _arrival = relay.accept() => panic!("taken without a proof"),
    };
    assert_eq!(
        retry.first().map(|first| first & 0b1011_0000),
        Some(0b1011_0000),
        "a Retry"
    );
    let agent = client.local_addr().expect("an address").port();
    let agent = (Ipv4Addr::LOCALHOST, agent);
    // Each of the two datagrams was answered; the agent takes the first Retry and no other.
    middle.send_to(&retry, agent).await.expect("sent");
    loop {
        let datagram = heard(middle).await;
        // The second Retry, to what the agent sent before it knew.
        if datagram.first().is_some_and(|first| first & 0x30 == 0x30) {
            continue;
        }
        let next = heard(middle).await;
        return vec![datagram, next];
    }
}

#[tokio::test]
async fn under_pressure_an_address_is_proven_first_and_only_the_one_that_was_asked() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let address = relay.local_address().expect("an address");
    let client = raw_agent(&authorities, ALPN);
    let _held = under_pressure(&relay, &client).await;
    let (middle, elsewhere) = (udp().await, udp().await);
    let flight = flight_with_token(&relay, &client, &middle).await;
    for datagram in &flight {
        elsewhere.send_to(datagram, address).await.expect("sent");
    }
    let refused = tokio::select! {
        refused = heard(&elsewhere) => refused,
        _arrival = relay.accept() => panic!("another address goes by the token"),
    };
    assert!(
        refused.len() < flight[0].len(),
        "told so, in less than it sent"
    );
    for datagram in &flight {
        middle.send_to(datagram, address).await.expect("sent");
    }
    let arrival = soon(relay.accept()).await.expect("an arrival");
    assert!(arrival.address_proven());
    assert_eq!(arrival.remote_address(), middle.local_addr().expect("ours"));
}

/// A clock that goes ahead.
struct Ahead(Duration);

#[expect(clippy::disallowed_methods, reason = "quinn's trait asks for it")]
impl TimeSource for Ahead {
    fn now(&self) -> std::time::SystemTime {
        std::time::SystemTime::now() + self.0
    }
}

#[tokio::test]
async fn a_token_of_before_proves_nothing() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let client = raw_agent(&authorities, ALPN);
    let _held = under_pressure(&relay, &client).await;
    let middle = udp().await;
    let flight = flight_with_token(&relay, &client, &middle).await;
    // The same relay, by its secret, at two moments.
    for (ahead, good) in [
        (Duration::ZERO, true),
        (limits::RETRY_LIFETIME + Duration::from_secs(1), false),
    ] {
        let secret = RelaySecret::new([7; 32]);
        let mut config = server_config(
            authorities.relay_tls(),
            &secret,
            CongestionControl::default(),
        )
        .expect("a configuration");
        config.time_source(Arc::new(Ahead(ahead)));
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        let later = quinn::Endpoint::server(config, address).expect("an endpoint");
        let address = later.local_addr().expect("an address");
        for datagram in &flight {
            middle.send_to(datagram, address).await.expect("sent");
        }
        let taken = tokio::select! {
            incoming = soon(later.accept()) => incoming.map(|it| it.remote_address_validated()),
            _refused = heard(&middle) => None,
        };
        assert_eq!(taken, good.then_some(true), "{ahead:?} later");
    }
}

/// The keys of a first packet, which anybody can make (RFC 9001 §5.2).
fn initial_keys(id: &[u8]) -> Keys {
    let provider = gangplank_pki::crypto::provider();
    let suite = provider
        .cipher_suites
        .iter()
        .find(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256)
        .and_then(SupportedCipherSuite::tls13)
        .and_then(Tls13CipherSuite::quic_suite)
        .expect("every provider has it");
    let Suite { suite, quic } = suite;
    Keys::initial(Version::V1, suite, quic, id, Side::Client)
}

/// A first packet with these frames in it, in a datagram of its own.
fn initial(id: [u8; 8], frames: &[u8]) -> Vec<u8> {
    const TAG: usize = 16;
    const HEADER: usize = 1 + 4 + 9 + 1 + 1 + 2 + 4;
    let keys = initial_keys(&id).local;
    let mut payload = frames.to_vec();
    payload.resize(frames.len().max(FIRST_DATAGRAM - HEADER - TAG), 0); // PADDING
    let length = u16::try_from(4 + payload.len() + TAG).expect("fits") | 0x4000;
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend(id);
    packet.extend([0, 0]); // no id of ours, no token
    packet.extend(length.to_be_bytes());
    let number_at = packet.len();
    packet.extend([0; 4]);
    let tag = keys
        .packet
        .encrypt_in_place(0, &packet, &mut payload)
        .expect("it fits");
    packet.extend(payload);
    packet.extend(tag.as_ref());
    let sample = packet[number_at + 4..number_at + 20].to_vec();
    let (first, rest) = packet.split_first_mut().expect("a packet");
    let number = &mut rest[number_at - 1..number_at + 3];
    keys.header
        .encrypt_in_place(&sample, first, number)
        .expect("a sample");
    packet
}

/// A hello with these transport parameters, in a CRYPTO frame.
fn hello_with(authorities: &Authorities, parameters: &[u8]) -> Vec<u8> {
    let mut config = tls::client(authorities.agent_tls()).expect("a configuration");
    let mut provider = (*gangplank_pki::crypto::provider()).clone();
    // One datagram is to hold it.
    provider
        .kx_groups
        .retain(|group| group.name() == rustls::NamedGroup::X25519);
    let verifier = authorities.relay_verifier();
    config = {
        let mut plain = rustls::ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        plain.alpn_protocols = config.alpn_protocols;
        plain
    };
    let name = crate::fixture::RELAY_NAME.try_into().expect("a name");
    let mut hello = Vec::new();
    let mut client =
        ClientConnection::new(Arc::new(config), Version::V1, name, parameters.to_vec())
            .expect("a client");
    let _no_keys_yet = client.write_hs(&mut hello);
    crypto(&hello)
}

fn crypto(hello: &[u8]) -> Vec<u8> {
    let length = u16::try_from(hello.len()).expect("fits") | 0x4000;
    [&[6, 0], &length.to_be_bytes()[..], hello].concat()
}

/// Accepts whoever comes; tells how many attempts have come to an end, and hands on those that got in.
fn keep_accepting(relay: RelayEndpoint) -> (JoinHandle<RelayEndpoint>, watch::Receiver<usize>) {
    let (over, count) = watch::channel(0);
    let accepting = TaskTracker::new().spawn(async move {
        let mut let_in = Vec::new();
        while let Some(arrival) = relay.accept().await {
            let until = Instant::now() + Duration::from_secs(1);
            let_in.extend(arrival.complete(until).await.ok());
            over.send_modify(|count| *count += 1);
        }
        relay
    });
    (accepting, count)
}

#[tokio::test]
async fn first_packets_that_nobody_would_make_cost_nobody_else_anything() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let address = relay.local_address().expect("an address");
    let agent = AgentEndpoint::bind().expect("an endpoint");
    let (at_relay, at_agent) = dial(&relay, &agent, authorities.agent_tls()).await;
    let (at_relay, at_agent) = (at_relay.expect("let in"), at_agent.expect("let in"));
    let (accepting, _over) = keep_accepting(relay);
    let stranger = udp().await;
    let frames: Vec<Vec<u8>> = vec![
        Vec::new(),                                                // nothing but padding
        vec![0x3f; 8],                                             // of no known type
        vec![0x40, 0x3f],                   // the same, written longer than need be
        vec![0x08, 0x00, b'x'],             // STREAM, far too early
        vec![0x1e],                         // HANDSHAKE_DONE, which only a server says
        vec![0x06, 0x00, 0x7f, 0xff],       // CRYPTO longer than the packet
        vec![0x06, 0xff, 0xff, 0xff, 0xff], // cut off in the middle of a number
        vec![0x02, 0x3f, 0x00, 0x3f, 0x3f, 0x3f], // ACK of what was never sent
        vec![0x02, 0x00, 0x00, 0x3f, 0xff], // ACK with more ranges than bytes
        vec![0x18, 0, 0, 20],               // an id that is cut off
        vec![0x1c, 0xff],                   // CLOSE, cut off
        crypto(&[0xff; 64]),                // no message of TLS
        crypto(&[1, 0xff, 0xff, 0xff, 3, 3]), // a hello of 16 MiB
        hello_with(&authorities, &[]),      // no parameters
        hello_with(&authorities, &[0x01]),  // cut off
        hello_with(&authorities, &[0x03, 0x02, 0x40, 0x01]), // max_udp_payload_size of 1
        hello_with(&authorities, &[0x0a, 0x01, 21]), // ack_delay_exponent of 21
        hello_with(&authorities, &[0x0e, 0x01, 1]), // active_connection_id_limit of 1
        hello_with(&authorities, &[0x04, 0x01, 1, 0x04, 0x01, 1]), // one twice
        hello_with(&authorities, &[0x02, 0x01, 1]), // a reset token, which only a server has
        hello_with(&authorities, &[0x0f, 0x3f, 1, 2]), // longer than there is
    ];
    for (number, frames) in frames.iter().enumerate() {
        let id = u64::try_from(number + 1).expect("few").to_be_bytes();
        let datagram = initial(id, frames);
        // As it is, cut off, and with one bit changed in its header or in what is sealed.
        let mut forged = datagram.clone();
        forged[20 + number] ^= 0x10;
        for datagram in [&datagram[..], &datagram[..600], &datagram[..7], &forged[..]] {
            stranger.send_to(datagram, address).await.expect("sent");
        }
    }
    for version in [0_u32, 2, 0xff00_001d, 0x0a0a_0a0a, u32::MAX] {
        let mut other = vec![0xc0; FIRST_DATAGRAM];
        other[1..5].copy_from_slice(&version.to_be_bytes());
        stranger.send_to(&other, address).await.expect("sent");
    }
    // Behind all of that the next agent gets in, and who was there before is still there.
    let dialled = agent.dial(
        address,
        crate::fixture::RELAY_NAME,
        authorities.agent_tls(),
        deadline(),
    );
    let newcomer = soon(dialled).await.expect("let in");
    assert!(soon(at_relay.open()).await.is_ok());
    at_agent.close(CloseCode::Done, "");
    newcomer.close(CloseCode::Done, "");
    assert!(!accepting.is_finished(), "no panic");
    accepting.abort();
}

/// Bytes that look like chance and are the same each time.
fn noise(seed: &mut u64) -> u8 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    seed.to_be_bytes()[0]
}

/// What somebody on the way makes of a datagram, beside passing it on: another bit, another end, an older one
/// again, bytes that mean nothing, and the form of a stateless reset, under the address of the other side.
fn forgeries(datagram: &[u8], seed: &mut u64) -> Vec<Vec<u8>> {
    let mut changed = datagram.to_vec();
    let at = usize::from(noise(seed)) % changed.len();
    changed[at] ^= 1 << (noise(seed) % 8);
    let cut = datagram[..datagram.len() - at % datagram.len()].to_vec();
    let mut reset: Vec<u8> = (0..41 + usize::from(noise(seed)))
        .map(|_| noise(seed))
        .collect();
    reset[0] = 0x40 | (reset[0] & 0x3f);
    let negotiation = [
        &[0x80 | noise(seed), 0, 0, 0, 0, 8][..],
        datagram.get(1..9).unwrap_or_default(),
        &[0][..],
        &[0xff, 0, 0, 29],
    ]
    .concat();
    let nothing = vec![noise(seed); usize::from(noise(seed))];
    vec![changed, cut, datagram.to_vec(), reset, negotiation, nothing]
}

/// Passes datagrams between an agent and `relay`; from `lying` on it adds its own.
async fn between(relay: std::net::SocketAddr, middle: UdpSocket, lying: watch::Receiver<bool>) {
    let (mut agent, mut seed) = (None, 1);
    let mut datagram = vec![0; LARGEST];
    while let Ok((length, from)) = middle.recv_from(&mut datagram).await {
        let datagram = &datagram[..length];
        let onward = if from == relay {
            agent
        } else {
            agent = Some(from);
            Some(relay)
        };
        let Some(onward) = onward else { continue };
        middle.send_to(datagram, onward).await.expect("sent");
        if *lying.borrow() && length > 0 {
            for forged in forgeries(datagram, &mut seed) {
                middle.send_to(&forged, onward).await.expect("sent");
            }
        }
    }
}

#[tokio::test]
async fn forged_packets_and_resets_leave_a_tunnel_as_it_is() {
    let authorities = Authorities::new();
    let relay = relay_endpoint(authorities.relay_tls());
    let agent = AgentEndpoint::bind().expect("an endpoint");
    let middle = udp().await;
    let address = middle.local_addr().expect("an address");
    let (lie, lying) = watch::channel(false);
    let onward = relay.local_address().expect("an address");
    let way = TaskTracker::new().spawn(between(onward, middle, lying));
    let arrival = async {
        relay
            .accept()
            .await
            .expect("an arrival")
            .complete(deadline())
            .await
    };
    let dialled = agent.dial(
        address,
        crate::fixture::RELAY_NAME,
        authorities.agent_tls(),
        deadline(),
    );
    let (at_relay, at_agent) = soon(async { tokio::join!(arrival, dialled) }).await;
    let (at_relay, at_agent) = (at_relay.expect("let in"), at_agent.expect("let in"));
    lie.send(true).expect("it listens");
    let sent: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    for _ in 0..3 {
        let mut caller = soon(at_relay.open()).await.expect("a stream");
        let whole = sent.clone();
        let sending = TaskTracker::new().spawn(async move {
            caller.write_all(&whole).await.expect("written");
            caller.shutdown().await.expect("ended");
            let mut back = Vec::new();
            caller.read_to_end(&mut back).await.expect("an end");
            back
        });
        let mut exit = soon(at_agent.accept()).await.expect("a stream");
        let mut heard = Vec::new();
        soon(exit.read_to_end(&mut heard)).await.expect("an end");
        assert!(heard == sent, "{} bytes at the exit", heard.len());
        exit.write_all(&heard).await.expect("written");
        exit.shutdown().await.expect("ended");
        let back = soon(sending).await.expect("no panic");
        assert!(back == sent, "{} bytes at the caller", back.len());
    }
    assert!(!way.is_finished(), "it lied to the end");
    way.abort();
}
