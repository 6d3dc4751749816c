//! A relay serves many clusters, and one of their agents lies: whatever it says, and however much of it, over QUIC and over
//! TCP, the callers of the others are served, and the relay neither grows nor ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use gangplank_tunnel::wire::{CloseCode, ControlFrame, MAX_FRAME, StreamStatus, VERSION};
use quinn::{Connection, ConnectionError, TransportConfig, VarInt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use crate::support::agent_by_hand::AgentByHand;
use crate::support::bare_agent::{self, BareAgent, greeting};
use crate::support::noise::Random;
use crate::support::path::{DOMAIN, RELAY_NAME, Relay};
use crate::support::raw_http2::{DATA, HEADERS, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame};
use crate::support::{caller, entrance, hello, wait};

/// What the relay may grow by under all of it, in KiB: one that kept what it is sent would grow by more.
const GROWTH_KIB: u64 = 64 << 10;

/// Small frames in a flood.
const FRAMES: usize = 100_000;

/// Tunnels of one name that are asked for at once.
const CROWD: usize = 150;

type Attack = fn(Arc<Relay>, String) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// One honest agent and its callers, beside these attacks, each by an agent with a certificate of its own.
async fn cost_only_themselves(attacks: &[Attack]) {
    let exit = AgentByHand::start("harbour.acme").await;
    serves_a_caller(&exit).await;
    let before = exit.relay.process.resident_kib();
    let mut attacking = JoinSet::new();
    for (number, attack) in attacks.iter().enumerate() {
        attacking.spawn(attack(
            Arc::clone(&exit.relay),
            format!("evil-{number}.acme"),
        ));
    }
    while let Some(over) = wait::within("an attack to be over", attacking.join_next()).await {
        over.expect("it went as it should");
        serves_a_caller(&exit).await;
    }
    serves_a_caller(&exit).await;
    let grown = exit.relay.process.resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB, "the relay grew by {grown} KiB");
    let log = exit.relay.process.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// A caller's bytes arrive at the honest exit, and the exit's at the caller; on a machine that is busy with the attacks
/// perhaps not the first one's.
async fn serves_a_caller(exit: &AgentByHand) {
    wait::until_async("a caller to be served", || {
        wait::within("one caller's way", is_served(exit))
    })
    .await;
}

async fn is_served(exit: &AgentByHand) -> Option<()> {
    let hello = hello::asking_for(exit.entrance.as_bytes());
    let mut caller = entrance::connect(exit.relay.address).await;
    caller.write_all(&hello).await.ok()?;
    let (header, mut stream) = tokio::select! {
        boarded = exit.caller() => boarded,
        _sent_away = caller.readable() => return None,
    };
    assert_eq!(header.sni.as_str(), exit.entrance);
    let mut arrived = vec![0; hello.len()];
    stream.read_exact(&mut arrived).await.ok()?;
    assert_eq!(arrived, hello);
    stream.write_all(b"served").await.ok()?;
    stream.shutdown().await.ok()?;
    let heard = entrance::hear_out(&mut caller).await;
    assert_eq!(heard.ok()?, b"served");
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic() {
    cost_only_themselves(&[
        |relay, name| Box::pin(greets_again(relay, name)),
        |relay, name| Box::pin(too_large_a_frame(relay, name)),
        |relay, name| Box::pin(a_frame_that_nobody_knows(relay, name)),
        |relay, name| Box::pin(greetings_that_mean_nothing(relay, name)),
        |relay, name| Box::pin(frames_to_be_skipped(relay, name)),
        |relay, name| Box::pin(drains_without_end(relay, name)),
        |relay, name| Box::pin(a_code_that_nobody_knows(relay, name)),
        |relay, name| Box::pin(more_tunnels_than_may_be(relay, name)),
        |relay, name| Box::pin(handshakes_that_are_left(relay, name)),
    ])
    .await;
}

/// What an agent says of its callers, and how: each is told, or has its end.
#[tokio::test(flavor = "multi_thread")]
async fn by_what_they_do_with_callers() {
    cost_only_themselves(&[
        |relay, name| Box::pin(statuses_that_mean_nothing(relay, name)),
        |relay, name| Box::pin(callers_that_are_reset(relay, name)),
        |relay, name| Box::pin(callers_that_are_flooded(relay, name)),
        |relay, name| Box::pin(windows_of_nothing(relay, name)),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp() {
    cost_only_themselves(&[
        |relay, name| Box::pin(floods_of_frames(relay, name)),
        |relay, name| Box::pin(frames_out_of_place(relay, name)),
        |relay, name| Box::pin(frames_by_chance(relay, name)),
        |relay, name| Box::pin(nothing_is_read(relay, name)),
    ])
    .await;
}

/// The relay's word on a session that broke the rules.
async fn is_sent_away(connection: &Connection) {
    let closed = wait::within("the end of the session", connection.closed()).await;
    let ConnectionError::ApplicationClosed(close) = closed else {
        panic!("{closed}")
    };
    let codes = [CloseCode::ProtocolViolation, CloseCode::UnknownVersion];
    assert!(
        codes
            .iter()
            .any(|code| close.error_code == code.number().into()),
        "{close}"
    );
}

async fn tunnel_is_gone(relay: &Relay, name: &str) {
    wait::until_async("its tunnel to be gone", || async {
        (!relay.has_tunnel(name)).then_some(())
    })
    .await;
}

async fn greets_again(relay: Arc<Relay>, name: String) {
    let mut agent = BareAgent::start(&relay, &name).await;
    drop(agent.control.0.write_all(&greeting(8)[1..]).await);
    is_sent_away(&agent.connection).await;
    tunnel_is_gone(&relay, &name).await;
}

async fn too_large_a_frame(relay: Arc<Relay>, name: String) {
    let mut agent = BareAgent::start(&relay, &name).await;
    let length = u16::try_from(MAX_FRAME + 1).expect("fits").to_be_bytes();
    drop(
        agent
            .control
            .0
            .write_all(&[&[0x90][..], &length].concat())
            .await,
    );
    is_sent_away(&agent.connection).await;
}

async fn a_frame_that_nobody_knows(relay: Arc<Relay>, name: String) {
    let mut agent = BareAgent::start(&relay, &name).await;
    drop(agent.control.0.write_all(&[0x7f, 0, 1, 0]).await);
    is_sent_away(&agent.connection).await;
}

async fn greetings_that_mean_nothing(relay: Arc<Relay>, name: String) {
    let drain = ControlFrame::Drain { limit_ms: 1 }
        .encode()
        .expect("a frame");
    let good = greeting(1);
    let misfits = [
        vec![VERSION + 1],
        vec![VERSION, 1, 0xff, 0xff],
        [&[VERSION], &drain[..]].concat(),
        [&[VERSION, 0x90, 0, 0], &good[1..]].concat(),
        [&good[..good.len() - 1], b"\x1b"].concat(),
        [&[VERSION, 1, 0, 4], &[0; 4][..]].concat(),
    ];
    for said in misfits {
        let papers = relay.agents().agent(&name);
        let endpoint = bare_agent::endpoint(&relay, &papers, TransportConfig::default());
        let connection = bare_agent::dial(&endpoint, &relay).await.expect("let in");
        let (mut send, _receive) = connection.open_bi().await.expect("a control stream");
        drop(send.write_all(&said).await);
        is_sent_away(&connection).await;
        assert!(!relay.has_tunnel(&name), "{said:?}");
    }
}

async fn frames_to_be_skipped(relay: Arc<Relay>, name: String) {
    let mut agent = BareAgent::start(&relay, &name).await;
    let largest = [&[0xff, 0x10, 0][..], &[0; MAX_FRAME]].concat();
    let flood = [[0x90, 0, 0].repeat(FRAMES), largest.repeat(1000)].concat();
    wait::within("a flood to leave", agent.control.0.write_all(&flood))
        .await
        .expect("they are skipped");
    assert!(relay.has_tunnel(&name) && agent.connection.close_reason().is_none());
}

async fn drains_without_end(relay: Arc<Relay>, name: String) {
    let mut agent = BareAgent::start(&relay, &name).await;
    let frame = ControlFrame::Drain { limit_ms: u32::MAX }.encode();
    let flood = frame.expect("a frame").repeat(FRAMES);
    drop(wait::within("a flood to leave", agent.control.0.write_all(&flood)).await);
    wait::within(
        "the end of a session without callers",
        agent.connection.closed(),
    )
    .await;
    tunnel_is_gone(&relay, &name).await;
}

async fn a_code_that_nobody_knows(relay: Arc<Relay>, name: String) {
    let agent = BareAgent::start(&relay, &name).await;
    let code = VarInt::from_u64(0x3fff_ffff_ffff).expect("fits");
    agent
        .connection
        .close(code, b"\x1b]0;owned\x07\n{\"level\":\"ERROR\"}");
    tunnel_is_gone(&relay, &name).await;
    assert!(!relay.process.log().contains('\x1b'));
}

async fn more_tunnels_than_may_be(relay: Arc<Relay>, name: String) {
    let papers = relay.agents().agent(&name);
    let endpoint = bare_agent::endpoint(&relay, &papers, TransportConfig::default());
    let mut held = Vec::new();
    for instance in 0..CROWD {
        let connection = bare_agent::dial(&endpoint, &relay).await.expect("let in");
        let mut control = connection.open_bi().await.expect("a control stream");
        let instance = u128::try_from(instance).expect("fits");
        drop(control.0.write_all(&greeting(instance)).await);
        held.push((connection, control));
    }
    let overloaded = |connection: &Connection| {
        matches!(connection.close_reason(), Some(ConnectionError::ApplicationClosed(close))
            if close.error_code == CloseCode::Overloaded.number().into())
    };
    wait::until_async("the crowd to be bounded", || async {
        let refused = held.iter().filter(|(it, _)| overloaded(it)).count();
        (refused >= CROWD - 64).then_some(())
    })
    .await;
}

/// Attempts that are given up in the middle of the handshake.
async fn handshakes_that_are_left(relay: Arc<Relay>, name: String) {
    let papers = relay.agents().agent(&name);
    for _ in 0..2 {
        let endpoint = bare_agent::endpoint(&relay, &papers, TransportConfig::default());
        let attempts: Vec<_> = (0..100)
            .map(|_| endpoint.connect(relay.address, RELAY_NAME).expect("begun"))
            .collect();
        drop(attempts);
        wait::within("them to leave", endpoint.wait_idle()).await;
    }
}

/// A caller of the hostile cluster, by its entrance; what it hears until its end.
async fn caller_of(relay: &Relay, name: &str) -> std::io::Result<Vec<u8>> {
    let mut caller = entrance::connect(relay.address).await;
    let hello = hello::asking_for(format!("{name}.{DOMAIN}").as_bytes());
    caller.write_all(&hello).await?;
    entrance::hear_out(&mut caller).await
}

async fn statuses_that_mean_nothing(relay: Arc<Relay>, name: String) {
    let agent = BareAgent::start(&relay, &name).await;
    let accepted = StreamStatus::Accepted.encode().expect("a status");
    let misfits: [&[u8]; 6] = [
        &[],
        &[VERSION + 1, 0, 0],
        &[VERSION, 0xff, 0xff],
        &[VERSION, 0, 0],
        &[VERSION, 0, 3, 0xff, 0xff, 0x1b],
        &[22, 3, 3, 0, 4, 2, 0, 0, 0],
    ];
    for said in misfits {
        let connection = agent.connection.clone();
        let answering = async {
            let (mut send, receive) = connection.accept_bi().await.expect("a caller");
            drop(send.write_all(said).await);
            drop(send.finish());
            (send, receive)
        };
        let (told, _stream) = tokio::join!(caller_of(&relay, &name), answering);
        let told = told.expect("a clean end");
        assert_eq!(told, entrance::alert(entrance::INTERNAL_ERROR), "{said:?}");
    }
    // The second record of two is content.
    let answering = async {
        let (mut send, receive) = agent.connection.accept_bi().await.expect("a caller");
        send.write_all(&accepted.repeat(2)).await.expect("it reads");
        send.finish().expect("our end");
        (send, receive)
    };
    let (told, _stream) = tokio::join!(caller_of(&relay, &name), answering);
    assert_eq!(told.expect("a clean end"), accepted);
}

async fn callers_that_are_reset(relay: Arc<Relay>, name: String) {
    let agent = BareAgent::start(&relay, &name).await;
    let accepted = StreamStatus::Accepted.encode().expect("a status");
    for number in 0..6_u32 {
        let answering = async {
            let (mut send, mut receive) = agent.connection.accept_bi().await.expect("a caller");
            if number % 3 > 0 {
                drop(send.write_all(&accepted).await);
            }
            // Codes that there are, and codes that there are not.
            drop(receive.stop(number.into()));
            drop(send.reset((u32::MAX >> (2 + number % 20)).into()));
            (send, receive)
        };
        let (told, _stream) = tokio::join!(caller_of(&relay, &name), answering);
        let told = told.unwrap_or_default();
        assert!(told.len() <= 7, "{told:?}");
    }
}

/// More than the caller ever reads.
async fn callers_that_are_flooded(relay: Arc<Relay>, name: String) {
    let agent = BareAgent::start(&relay, &name).await;
    let mut callers = Vec::new();
    let mut flooding = JoinSet::new();
    for _ in 0..8 {
        let mut caller = entrance::connect(relay.address).await;
        let hello = hello::asking_for(format!("{name}.{DOMAIN}").as_bytes());
        caller.write_all(&hello).await.expect("it reads");
        callers.push(caller);
        let stream = wait::within("a caller", agent.connection.accept_bi()).await;
        let (mut send, receive) = stream.expect("a stream");
        flooding.spawn(async move {
            let accepted = StreamStatus::Accepted.encode().expect("a status");
            drop(send.write_all(&accepted).await);
            // Until the window of the stream is full, and then one more: it stays where it is.
            let block = vec![0; 1 << 20];
            let mut written = 0;
            while tokio::time::timeout(
                std::time::Duration::from_millis(500),
                send.write_all(&block),
            )
            .await
            .is_ok_and(|done| done.is_ok())
            {
                written += block.len();
            }
            (written, receive)
        });
    }
    while let Some(flooded) = wait::within("windows to be full", flooding.join_next()).await {
        let (written, _receive) = flooded.expect("no panic");
        assert!(
            written < 32 << 20,
            "{written} bytes were taken for who reads none"
        );
    }
}

/// An agent that takes a byte at a time, and none at all.
async fn windows_of_nothing(relay: Arc<Relay>, name: String) {
    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(1))
        .receive_window(VarInt::from_u32(1 << 10))
        .max_concurrent_bidi_streams(VarInt::from_u32(1));
    let agent = BareAgent::start_with(&relay, &name, transport).await;
    let (first, second) = tokio::join!(caller_of(&relay, &name), caller_of(&relay, &name));
    for told in [first, second] {
        let told = told.expect("a clean end");
        assert_eq!(told, entrance::alert(entrance::INTERNAL_ERROR));
    }
    // It takes nothing of its welcome either.
    let closed = wait::within("its end", agent.connection.closed()).await;
    let ConnectionError::ApplicationClosed(close) = closed else {
        panic!("{closed}")
    };
    assert_eq!(close.error_code, CloseCode::GreetingTimeout.number().into());
}

/// An agent with TLS alone between it and the relay's TCP port, which has said that it takes extended CONNECT.
async fn over_tls(relay: &Relay, name: &str) -> TlsStream<TcpStream> {
    let papers = relay.agents().agent(name);
    let config = caller::config(relay.authority(), Some(&papers), &["gangplank/1"]);
    let mut tls = caller::connect(relay.address, RELAY_NAME, config)
        .await
        .expect("the relay takes it");
    let settings = frame(SETTINGS, 0, 0, &[0, 8, 0, 0, 0, 1, 0, 3, 0, 0, 0, 9]);
    tls.write_all(&settings).await.expect("the relay reads");
    tls
}

/// Says it again and again beside reading what comes back, until the relay ends the session or it has been said so often.
async fn flood(tls: TlsStream<TcpStream>, bytes: &[u8], times: usize) {
    let (mut reads, mut writes) = tokio::io::split(tls);
    let reading = async {
        let mut heard = vec![0; 64 << 10];
        while reads.read(&mut heard).await.is_ok_and(|length| length > 0) {}
    };
    let writing = async {
        for _ in 0..times {
            if writes.write_all(bytes).await.is_err() {
                return;
            }
        }
        drop(writes.flush().await);
    };
    let flooding = async {
        tokio::select! {
            () = reading => {}
            () = writing => {}
        }
    };
    wait::within("a flood to be over", flooding).await;
}

async fn floods_of_frames(relay: Arc<Relay>, name: String) {
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]).repeat(100);
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(100);
    let updates = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(100);
    let unknown = frame(0xbe, 0xff, 77, &[1; 64]).repeat(100);
    for bytes in [settings, pings, updates, unknown] {
        flood(over_tls(&relay, &name).await, &bytes, FRAMES / 200).await;
    }
}

async fn frames_out_of_place(relay: Arc<Relay>, name: String) {
    const PUSH_PROMISE: u8 = 5;
    const GOAWAY: u8 = 7;
    const CONTINUATION: u8 = 9;
    let whole: [Vec<u8>; 9] = [
        frame(DATA, 0, 0, b"?"),
        frame(DATA, 0, 99, b"?"),
        frame(HEADERS, 4, 2, &[0x88]),
        frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82, 0x87, 0x84]),
        frame(RST_STREAM, 0, 0, &[0; 4]),
        frame(GOAWAY, 0, 0, &[0; 8]),
        frame(CONTINUATION, 0, 1, &[0x88]),
        frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        // A frame of 16 MiB, which is only announced.
        vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1],
    ];
    for bytes in whole {
        flood(over_tls(&relay, &name).await, &bytes, 2).await;
    }
    // Answers' heads without an end.
    let mut tls = over_tls(&relay, &name).await;
    drop(tls.write_all(&frame(HEADERS, 0, 1, &[0x88])).await);
    let more = frame(CONTINUATION, 0, 1, &[0; 16 << 10]);
    flood(tls, &more, 1000).await;
    tunnel_is_gone(&relay, &name).await;
}

/// Frames of any kind, flags, stream and content, and now and then bytes that are no frame.
async fn frames_by_chance(relay: Arc<Relay>, name: String) {
    let (seed, mut random) = Random::fresh();
    for round in 0..60 {
        let mut bytes = Vec::new();
        for _ in 0..=random.below(12) {
            let kind = u8::try_from(random.below(12)).expect("small");
            let flags = u8::try_from(random.below(256)).expect("a byte");
            let stream = u32::try_from(random.below(6)).expect("small");
            let content: Vec<u8> = (0..random.below(40))
                .map(|_| u8::try_from(random.below(256)).expect("a byte"))
                .collect();
            match random.below(8) {
                0 => bytes.extend(content),
                _ => bytes.extend(frame(kind, flags, stream, &content)),
            }
        }
        let tls = over_tls(&relay, &name).await;
        flood(tls, &bytes, 1).await;
        assert!(
            relay.process.ended().is_none(),
            "seed {seed}, round {round}"
        );
    }
}

/// It asks for answers and takes none of them.
async fn nothing_is_read(relay: Arc<Relay>, name: String) {
    let mut tls = over_tls(&relay, &name).await;
    let pings = frame(PING, 0, 0, &[7; 8]).repeat(1000);
    let asking = async {
        for _ in 0..FRAMES / 1000 {
            if tls.write_all(&pings).await.is_err() {
                return;
            }
        }
    };
    // The relay stops reading what it cannot answer, or ends it.
    drop(tokio::time::timeout(std::time::Duration::from_secs(2), asking).await);
}
