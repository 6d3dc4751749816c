use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::task::TaskTracker;

use super::*;
use crate::fixture::{
    Authorities, RELAY_NAME, agent_kind, authority, begin, deadline, pair_over_tcp, relay_kind,
    request, soon, tcp_pair,
};
use crate::session::{Closed, Session};
use crate::stream::StreamReset;
use crate::tls::{self, ALPN, AgentTls, RelayTls};
use crate::wire::{AbortCode, CloseCode};

fn relay_end(tls: RelayTls) -> RelayEndpoint {
    RelayEndpoint::new(tls).expect("an endpoint")
}

/// How an attempt that must fail does so, at the relay and at the agent.
async fn refusal(relay: RelayTls, agent: AgentTls) -> (HandshakeError, HandshakeError) {
    let (relay, agent) = begin(&relay_end(relay), &AgentEndpoint::default(), agent).await;
    (relay.expect_err("refused"), agent.expect_err("refused"))
}

#[tokio::test]
async fn agent_of_another_ca_is_refused_before_it_believes_otherwise() {
    let authorities = Authorities::new();
    let stranger = authority().issue(&request(agent_kind())).expect("issued");
    let (at_relay, at_agent) =
        refusal(authorities.relay_tls(), authorities.agent_tls_as(&stranger)).await;
    assert!(
        matches!(
            at_relay,
            HandshakeError::Failed(Closed::RefusedHere { alert: 48, .. })
        ),
        "{at_relay:?}"
    );
    assert!(
        matches!(
            at_agent,
            HandshakeError::Failed(Closed::RefusedByPeer { alert: 48, .. })
        ),
        "{at_agent:?}"
    );
}

#[tokio::test]
async fn relay_of_another_ca_or_name_is_not_talked_to() {
    let authorities = Authorities::new();
    let impostor = authority().issue(&request(relay_kind(RELAY_NAME)));
    let other = authorities
        .relays
        .issue(&request(relay_kind("other.example.com")));
    for issued in [impostor, other] {
        let relay = authorities.relay_tls_as(&issued.expect("issued"));
        let (_, at_agent) = refusal(relay, authorities.agent_tls()).await;
        assert_eq!(at_agent.reason(), "HandshakeRefusedHere");
    }
}

/// A peer of the relay that keeps to nothing but TLS.
async fn raw_agent(
    relay: RelayEndpoint,
    config: ClientConfig,
) -> (RawArrival, TlsStream<TcpStream>) {
    let (near, far) = tcp_pair().await;
    let arrival = TaskTracker::new()
        .spawn(async move { relay.complete(arrived(far), Vec::new(), deadline()).await });
    let name = ServerName::try_from(RELAY_NAME).expect("a name");
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, near);
    (arrival, soon(connecting).await.expect("TLS"))
}

/// A connection, and where it comes from.
fn arrived(socket: TcpStream) -> (TcpStream, SocketAddr) {
    let remote = socket.peer_addr().expect("an address");
    (socket, remote)
}

type RawArrival = tokio::task::JoinHandle<Result<Http2Session, HandshakeError>>;

#[tokio::test]
async fn agent_without_certificate_is_refused() {
    let authorities = Authorities::new();
    let mut config = ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(authorities.relay_verifier())
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let (arrival, mut client) = raw_agent(relay_end(authorities.relay_tls()), config).await;
    let refused = soon(arrival).await.expect("no panic").expect_err("refused");
    assert!(
        matches!(
            refused,
            HandshakeError::Failed(Closed::RefusedHere { alert: 116, .. })
        ),
        "{refused:?}"
    );
    soon(client.read_u8()).await.expect_err("an alert");
}

#[tokio::test]
async fn another_protocol_or_none_is_refused() {
    for offered in [vec![b"h2".to_vec()], Vec::new()] {
        let authorities = Authorities::new();
        let mut config = tls::client(authorities.agent_tls()).expect("a configuration");
        config.alpn_protocols = offered;
        let relay = relay_end(authorities.relay_tls());
        let (near, far) = tcp_pair().await;
        let name = ServerName::try_from(RELAY_NAME).expect("a name");
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, near);
        let (arrived, _client) = soon(async {
            tokio::join!(
                relay.complete(arrived(far), Vec::new(), deadline()),
                connecting
            )
        })
        .await;
        arrived.expect_err("refused");
    }
}

#[tokio::test]
async fn a_session_leaves_nothing_to_resume() {
    let authorities = Authorities::new();
    let config = tls::client(authorities.agent_tls()).expect("a configuration");
    let (_arrival, mut client) = raw_agent(relay_end(authorities.relay_tls()), config).await;
    let mut preface = [0; 24];
    soon(client.read_exact(&mut preface)).await.expect("read");
    assert_eq!(&preface[..14], b"PRI * HTTP/2.0");
    assert_eq!(client.get_ref().1.tls13_tickets_received(), 0);
}

/// One frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).expect("fits").to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(body);
    bytes
}

/// What an agent says first: that it takes extended CONNECT.
fn settings() -> Vec<u8> {
    frame(4, 0, 0, &[0, 8, 0, 0, 0, 1])
}

#[tokio::test]
async fn an_agent_that_opens_a_stream_is_sent_away() {
    // `:status: 200` on a stream of its own; one that it was to promise; one that nobody opened.
    let opened = frame(1, 4, 2, &[0x88]);
    let promised = frame(5, 4, 1, &[0, 0, 0, 2, 0x82, 0x87, 0x84]);
    let unasked = frame(0, 0, 99, b"?");
    for hostile in [opened, promised, unasked] {
        let authorities = Authorities::new();
        let config = tls::client(authorities.agent_tls()).expect("a configuration");
        let relay = relay_end(authorities.relay_tls());
        let (arrival, mut client) = raw_agent(relay, config).await;
        client.write_all(&settings()).await.expect("written");
        client.flush().await.expect("written");
        let session = soon(arrival).await.expect("no panic").expect("let in");
        client.write_all(&hostile).await.expect("written");
        client.flush().await.expect("written");
        let closed = soon(session.closed()).await;
        assert!(matches!(closed, Closed::Transport { .. }), "{closed:?}");
    }
}

#[tokio::test]
async fn an_agent_without_extended_connect_is_sent_away_at_the_deadline() {
    let authorities = Authorities::new();
    let config = tls::client(authorities.agent_tls()).expect("a configuration");
    let relay = relay_end(authorities.relay_tls());
    let (near, far) = tcp_pair().await;
    let name = ServerName::try_from(RELAY_NAME).expect("a name");
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, near);
    let soon_over = Instant::now() + std::time::Duration::from_millis(500);
    let (arrived, _client) = soon(async {
        tokio::join!(
            relay.complete(arrived(far), Vec::new(), soon_over),
            connecting
        )
    })
    .await;
    assert_eq!(arrived.expect_err("refused").reason(), "HandshakeTimeout");
}

/// A relay that keeps to HTTP/2 and to nothing else: what it opens is up to the test.
async fn raw_relay(
    opening: &'static [&'static str],
) -> (Result<Http2Session, HandshakeError>, TaskTracker) {
    raw_relay_with(opening, 0).await
}

/// The same, whose first callers, so many, come and go in one breath; the one behind them says `!`.
async fn raw_relay_with(
    opening: &'static [&'static str],
    vanishing: usize,
) -> (Result<Http2Session, HandshakeError>, TaskTracker) {
    let authorities = Authorities::new();
    let agent = AgentEndpoint::default();
    let (near, far) = tcp_pair().await;
    let acceptor = TlsAcceptor::from(Arc::new(
        tls::server(authorities.relay_tls()).expect("a configuration"),
    ));
    let tasks = TaskTracker::new();
    drop(tasks.spawn(async move {
        let tls = acceptor.accept(far).await.expect("TLS");
        let (mut sender, connection) = h2::client::handshake(tls).await.expect("HTTP/2");
        let mut connection = Box::pin(connection);
        poll_fn(|cx| {
            let _ended = connection.as_mut().poll(cx);
            if sender.is_extended_connect_protocol_enabled() {
                return std::task::Poll::Ready(());
            }
            std::task::Poll::Pending
        })
        .await;
        let opened: Vec<_> = opening
            .iter()
            .map(|target| session::ask(&mut sender, target).expect("asked"))
            .collect();
        let mut asked = |target| session::ask(&mut sender, target).expect("asked");
        if vanishing > 0 {
            poll_fn(|cx| {
                // What is written is sent before anyone else has a turn.
                let mut gone: Vec<_> = (0..vanishing).map(|_| asked(CALLER)).collect();
                let _pending = connection.as_mut().poll(cx);
                for (_answer, send) in &mut gone {
                    send.send_reset(codes::of_stream(AbortCode::Dropped));
                }
                let _pending = connection.as_mut().poll(cx);
                std::task::Poll::Ready(())
            })
            .await;
        }
        let mut staying = (vanishing > 0).then(|| asked(CALLER));
        if let Some((_answer, send)) = &mut staying {
            send.send_data(Bytes::from_static(b"!"), false)
                .expect("sent");
        }
        drop(connection.await);
        drop((opened, staying));
    }));
    let tls = authorities.agent_tls();
    let begun = soon(agent.begin(near, RELAY_NAME, tls, deadline())).await;
    (begun, tasks)
}

#[tokio::test]
async fn a_relay_that_does_not_begin_with_the_control_stream_is_left() {
    let (begun, _tasks) = raw_relay(&["/caller"]).await;
    assert_eq!(begun.expect_err("refused").reason(), "NoBeginning");
}

#[tokio::test]
async fn a_second_control_stream_ends_the_session() {
    for second in [&["/control", "/control"], &["/control", "/metrics"]] {
        let (begun, _tasks) = raw_relay(second).await;
        let session = begun.expect("begun");
        assert_eq!(soon(session.closed()).await, Closed::Here);
    }
}

#[tokio::test]
async fn a_relay_with_endless_headers_ends_its_session() {
    let long: &'static str = "/a".repeat(10 << 10).leak();
    let (begun, _tasks) = raw_relay(vec![CONTROL, long].leak()).await;
    // Both may come in one read, or the one after the other.
    let closed = match begun {
        Ok(session) => soon(session.closed()).await,
        Err(HandshakeError::Failed(closed)) => closed,
        Err(error) => panic!("{error}"),
    };
    assert!(matches!(closed, Closed::Transport { .. }), "{closed:?}");
}

/// Bytes that look like chance and are the same each time.
fn noise(seed: &mut u64) -> u8 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    seed.to_be_bytes()[0]
}

/// A request of HTTP/2 for `target` over the protocol of tunnels, without Huffman coding.
fn asking_for(target: &str) -> Vec<u8> {
    let literal =
        |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    let mut block = vec![0x02];
    block.extend(literal("CONNECT"));
    block.extend([0x87, 0x04]);
    block.extend(literal(target));
    block.push(0x01);
    block.extend(literal("relay"));
    block.push(0x00);
    block.extend(literal(":protocol"));
    block.extend(literal(PROTOCOL));
    block
}

/// A relay that begins as one should, and goes on with any frames and now and then with what is none.
#[tokio::test]
async fn whatever_frames_a_relay_sends_the_session_ends_or_goes_on() {
    let mut seed = 7;
    for round in 0..100 {
        let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        said.extend(frame(4, 0, 0, &[]));
        said.extend(frame(1, 4, 1, &asking_for(CONTROL)));
        said.extend(frame(1, 4, 3, &asking_for(CALLER)));
        for _ in 0..noise(&mut seed) % 12 {
            let (kind, flags, stream) = (
                noise(&mut seed) % 11,
                noise(&mut seed),
                noise(&mut seed) % 7,
            );
            let content: Vec<u8> = (0..noise(&mut seed) % 40)
                .map(|_| noise(&mut seed))
                .collect();
            match noise(&mut seed) % 8 {
                0 => said.extend(content),
                1 => said.extend(frame(1, 4, stream.into(), &asking_for(CALLER))),
                _ => said.extend(frame(kind, flags, stream.into(), &content)),
            }
        }
        let authorities = Authorities::new();
        let acceptor = tls::server(authorities.relay_tls()).expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(acceptor));
        let (near, far) = tcp_pair().await;
        let lying = async {
            let mut tls = acceptor.accept(far).await.expect("TLS");
            tls.write_all(&said).await.expect("written");
            // Read on until the agent has had enough of it, or has nothing more to say.
            tls.shutdown().await.expect("ended");
            drop(tls.read_to_end(&mut Vec::new()).await);
        };
        let endpoint = AgentEndpoint::default();
        let dialled = async {
            let tls = authorities.agent_tls();
            if let Ok(session) = endpoint.begin(near, RELAY_NAME, tls, deadline()).await {
                while let Ok(mut stream) = session.accept().await {
                    drop(stream.read_to_end(&mut Vec::new()).await);
                }
                session.closed().await;
            }
        };
        let over = soon(async { tokio::join!(lying, dialled) }).await;
        assert_eq!(over, ((), ()), "round {round}");
    }
}

#[tokio::test]
async fn the_closing_side_says_why() {
    for from_relay in [true, false] {
        let pair = pair_over_tcp().await;
        let (here, there) = if from_relay {
            (&pair.relay, &pair.agent)
        } else {
            (&pair.agent, &pair.relay)
        };
        here.close(CloseCode::Superseded, "a newer one is here");
        let closed = soon(there.closed()).await;
        assert!(
            matches!(
                closed,
                Closed::ByPeer {
                    code: CloseCode::Superseded,
                    ..
                }
            ),
            "{closed:?}"
        );
        assert_eq!(soon(here.closed()).await, Closed::Here);
        let ended = soon(here.open()).await.expect_err("it has ended");
        assert_eq!(ended.0, Closed::Here);
        assert_eq!(
            soon(there.accept()).await.expect_err("it has ended").0,
            closed
        );
    }
}

#[tokio::test]
async fn what_was_written_leaves_before_the_last_word() {
    let pair = pair_over_tcp().await;
    let (at_relay, mut at_agent) = pair.stream().await;
    let (_reader, mut writer) = at_relay.into_split();
    let whole = vec![7; 200 << 10];
    writer.write_all(&whole).await.expect("written");
    writer.shutdown().await.expect("ended");
    soon(writer.delivered()).await;
    pair.relay.close(CloseCode::Done, "");
    let mut heard = vec![0; whole.len()];
    soon(at_agent.read_exact(&mut heard))
        .await
        .expect("all of it");
    assert_eq!(heard, whole);
}

#[tokio::test]
async fn a_session_that_nobody_holds_ends() {
    let pair = pair_over_tcp().await;
    let (at_relay, _at_agent) = pair.stream().await;
    drop(pair.relay);
    drop(at_relay);
    let closed = soon(pair.agent.closed()).await;
    assert!(
        matches!(
            closed,
            Closed::ByPeer {
                code: CloseCode::Done,
                ..
            }
        ),
        "{closed:?}"
    );
}

#[tokio::test]
async fn more_streams_than_may_be_wait_their_turn() {
    let pair = pair_over_tcp().await;
    let mut held = Vec::new();
    for _ in 0..limits::STREAMS {
        held.push(pair.stream().await);
    }
    let mut beyond = pair.relay.open();
    let polled = poll_fn(|cx| std::task::Poll::Ready(beyond.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    held.pop();
    soon(beyond).await.expect("one more");
}

#[tokio::test]
async fn callers_that_vanish_at_once_take_nobody_along() {
    let (begun, _tasks) = raw_relay_with(&["/control"], 500).await;
    let session = begun.expect("begun");
    let heard = soon(async {
        loop {
            let mut stream = session.accept().await.expect("it stands");
            if let Ok(byte) = stream.read_u8().await {
                return byte;
            }
        }
    });
    assert_eq!(heard.await, b'!');
}

#[tokio::test]
async fn callers_that_stop_reading_stop_nobody_else() {
    pair_over_tcp()
        .await
        .carries_beside_the_stalled(limits::STREAM_WINDOW)
        .await;
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_noticed() {
    let authorities = Authorities::new();
    let (relay, agent) = (relay_end(authorities.relay_tls()), AgentEndpoint::default());
    let ((near, mut middle_near), (mut middle_far, far)) = (tcp_pair().await, tcp_pair().await);
    let (cut, cutting) = oneshot::channel::<()>();
    // A way between the two that swallows everything after the cut, without a sign.
    let way = TaskTracker::new().spawn(async move {
        tokio::select! {
            _ended = copy_bidirectional(&mut middle_near, &mut middle_far) => {}
            _cut = cutting => {}
        }
        (middle_near, middle_far)
    });
    let arrival = relay.complete(arrived(far), Vec::new(), deadline());
    let dialled = agent.begin(near, RELAY_NAME, authorities.agent_tls(), deadline());
    let (at_relay, at_agent) = soon(async { tokio::join!(arrival, dialled) }).await;
    let (at_relay, at_agent) = (at_relay.expect("let in"), at_agent.expect("let in"));
    cut.send(()).expect("a way");
    let _silent = way.await.expect("cut");
    tokio::time::pause();
    let begun = Instant::now();
    let (relays, agents) = tokio::join!(at_relay.closed(), at_agent.closed());
    assert_eq!((relays, agents), (Closed::Silent, Closed::Silent));
    let most = limits::IDLE_TIMEOUT + limits::KEEPALIVE_INTERVAL;
    assert!(begun.elapsed() <= most, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_idle_session_lives_on_and_knows_its_round_trip() {
    let pair = pair_over_tcp().await;
    let measured = soon(async {
        loop {
            let times = (pair.relay.round_trip_time(), pair.agent.round_trip_time());
            if !times.0.is_zero() && !times.1.is_zero() {
                return times;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(
        measured.0.as_secs() < 60 && measured.1.as_secs() < 60,
        "{measured:?}"
    );
    let traffic = (pair.relay.traffic(), pair.agent.traffic());
    assert!(traffic.0.sent > 0 && traffic.1.received > 0, "{traffic:?}");
}

#[test]
fn a_tunnel_is_told_by_its_protocol() {
    let hello = |protocols: &[&[u8]]| {
        let authorities = Authorities::new();
        let mut config = tls::client(authorities.agent_tls()).expect("a configuration");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let name = ServerName::try_from(RELAY_NAME).expect("a name");
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("written");
        bytes
    };
    assert!(RelayEndpoint::is_asked_for(&hello(&[ALPN])));
    assert!(RelayEndpoint::is_asked_for(&hello(&[b"h2", ALPN])));
    assert!(!RelayEndpoint::is_asked_for(&hello(&[b"gangplank-join/1"])));
    assert!(!RelayEndpoint::is_asked_for(&hello(&[])));
    assert!(!RelayEndpoint::is_asked_for(&Bytes::from_static(
        b"GET / HTTP/1.1"
    )));
    assert!(!RelayEndpoint::is_asked_for(&hello(&[ALPN])[..40]));
}

/// How a direction comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Shutdown,
    Abort,
    Drop,
}

/// Writes pieces of these lengths, ends in this manner, and checks what arrives: all of it in order behind a
/// shutdown; a beginning of it, and never an end of file, behind anything else.
async fn arrives(from_relay: bool, pieces: &[usize], manner: Manner) {
    let pair = pair_over_tcp().await;
    let (at_relay, at_agent) = pair.stream().await;
    let (mut here, mut there) = if from_relay {
        (at_relay, at_agent)
    } else {
        (at_agent, at_relay)
    };
    let whole: Vec<u8> = (0..=250).cycle().take(pieces.iter().sum()).collect();
    let sent = whole.clone();
    let sending = async {
        let mut rest = sent.as_slice();
        for length in pieces {
            let (piece, later) = rest.split_at(*length);
            here.write_all(piece).await.expect("written");
            rest = later;
        }
        match manner {
            Manner::Shutdown => {
                here.shutdown().await.expect("ended");
                Some(here)
            }
            Manner::Abort => {
                here.abort(AbortCode::PeerReset);
                None
            }
            Manner::Drop => {
                drop(here);
                None
            }
        }
    };
    let mut heard = Vec::new();
    let hearing = there.read_to_end(&mut heard);
    let (_held, ended) = soon(async { tokio::join!(sending, hearing) }).await;
    assert!(
        whole.starts_with(&heard),
        "{} of {}",
        heard.len(),
        whole.len()
    );
    let told = ended.map_err(|error| StreamReset::within(&error));
    match manner {
        Manner::Shutdown => assert_eq!((told, heard.len()), (Ok(whole.len()), whole.len())),
        Manner::Abort => assert_eq!(told, Err(Some(AbortCode::PeerReset))),
        Manner::Drop => assert_eq!(told, Err(Some(AbortCode::Dropped))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_arrives_is_what_was_written_and_its_end_is_true(
        from_relay: bool,
        pieces in proptest::collection::vec(0..90_000_usize, 0..10),
        manner in prop_oneof![Just(Manner::Shutdown), Just(Manner::Abort), Just(Manner::Drop)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(arrives(from_relay, &pieces, manner));
    }
}
