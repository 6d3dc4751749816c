//! An agent holds tunnels to several relays, and some of them lie: whatever they say, and however much of it, over QUIC and
//! over TCP, the callers of the honest one are served, and the agent neither grows nor ends.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gangplank_tunnel::wire::{
    CloseCode, ControlFrame, MAX_FRAME, RefusalCode, ServerName, StreamHeader, StreamStatus,
    VERSION,
};
use gangplank_tunnel::{Closed, Session, Stream, announce, await_status};
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::events;
use crate::support::path::{Course, DOMAIN, Relay, Site};
use crate::support::relay_by_hand::{Carrier, RelayByHand, say, welcome};
use crate::support::wait::{self, PATIENCE};
use crate::support::{caller, hello, measured};

const NAME: &str = "harbour.acme";

/// What the agent may grow by under all of it, in KiB. Streams that say nothing have ten seconds at the agent, and those
/// below are its largest part; an agent that kept what it is sent would grow by more than this.
const GROWTH_KIB: u64 = 96 << 10;

/// Small frames in a flood.
const FRAMES: usize = 100_000;

/// Streams that are opened and reset at once.
const RESETS: usize = 5_000;

/// Streams that are held open.
const SILENT: usize = 256;

type Attack = fn(Arc<dyn Session>, Stream) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a relay does with an agent's session and its control stream.
const ATTACKS: [Attack; 13] = [
    |session, control| Box::pin(welcomes_twice(session, control)),
    |session, control| Box::pin(too_large_a_frame(session, control)),
    |session, control| Box::pin(a_frame_that_nobody_knows(session, control)),
    |session, control| Box::pin(a_welcome_that_means_nothing(session, control)),
    |session, control| Box::pin(another_version(session, control)),
    |session, control| Box::pin(never_a_welcome(session, control)),
    |session, control| Box::pin(a_code_that_nobody_knows(session, control)),
    |session, control| Box::pin(frames_to_be_skipped(session, control)),
    |session, control| Box::pin(drains_without_end(session, control)),
    |session, control| Box::pin(headers_that_mean_nothing(session, control)),
    |session, control| Box::pin(streams_that_vanish(session, control)),
    |session, control| Box::pin(streams_that_say_nothing(session, control)),
    |session, control| Box::pin(hellos_without_end(session, control)),
];

#[tokio::test(flavor = "multi_thread")]
async fn over_quic() {
    cost_only_themselves(Carrier::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp() {
    cost_only_themselves(Carrier::Tcp).await;
}

async fn cost_only_themselves(carrier: Carrier) {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start());
    let mut course = Course::by(relay.address);
    let mut hostile = Vec::new();
    for attack in ATTACKS {
        let relay = RelayByHand::beside(&relay, carrier).await;
        course = course.and(relay.address, carrier.word());
        hostile.push((relay, attack));
    }
    let exit = (&*fake.kubeconfig(), &[&organisation][..]);
    let site = Site::tunnel_on(&relay, NAME, exit, &course);
    let papers = organisation.caller("a");
    is_served(&site, &papers).await;
    let mut kept = Connection::open(&site, Some(&papers), Protocol::Two).await;
    let before = site.exit.resident_kib();
    let mut attacking = JoinSet::new();
    for (mut relay, attack) in hostile {
        attacking.spawn(async move {
            let (session, control) = relay.agent().await;
            attack(session, control).await;
            relay
        });
    }
    let mut over = Vec::new();
    while let Some(relay) = wait::within("an attack to be over", attacking.join_next()).await {
        over.push(relay.expect("it went as it should"));
        assert_eq!(kept.fetch("/beside").await.expect("an answer").0, 200);
        is_served(&site, &papers).await;
    }
    is_served(&site, &papers).await;
    let grown = site.exit.resident_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB, "the agent grew by {grown} KiB");
    let log = site.exit.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains('\u{1b}'), "nobody writes to the terminal");
    let told = events(&log);
    let told = told
        .iter()
        .filter(|event| event["message"] == "the relay is going away");
    assert!(
        told.count() <= ATTACKS.len(),
        "a drain is told once, however often it is said"
    );
}

/// New callers are; on a machine that is busy with the attacks perhaps not the first one.
async fn is_served(site: &Site, papers: &Papers) {
    for (protocol, name) in [(Protocol::One, "http/1.1"), (Protocol::Two, "h2")] {
        wait::until_async("a caller to be served", || async {
            let tls = caller::board(site, Some(papers), &[name]).await.ok()?;
            let mut connection = Connection::over(tls, protocol, &site.entrance).await;
            let (status, _) = connection.fetch("/new").await.ok()?;
            (status == 200).then_some(())
        })
        .await;
    }
}

/// The agent's word on a session that broke the rules.
async fn is_sent_away(session: &dyn Session) {
    let closed = wait::within("the end of the session", session.closed()).await;
    let code = match closed {
        Closed::ByPeer { code, .. } => code,
        other => panic!("{other:?}"),
    };
    assert!(
        matches!(
            code,
            CloseCode::ProtocolViolation | CloseCode::UnknownVersion
        ),
        "{code}"
    );
}

async fn welcomes_twice(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &welcome()).await);
    drop(say(&mut control, &welcome()[1..]).await);
    is_sent_away(&*session).await;
}

async fn too_large_a_frame(session: Arc<dyn Session>, mut control: Stream) {
    let [_, high, low] = [0, 0x10, 0x01];
    assert_eq!(usize::from(u16::from_be_bytes([high, low])), MAX_FRAME + 1);
    drop(say(&mut control, &[&welcome()[..], &[0x90, high, low]].concat()).await);
    is_sent_away(&*session).await;
}

async fn a_frame_that_nobody_knows(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &[&welcome()[..], &[0x7f, 0, 1, 0]].concat()).await);
    is_sent_away(&*session).await;
}

async fn a_welcome_that_means_nothing(session: Arc<dyn Session>, mut control: Stream) {
    let body = [&[7; 16][..], b"\x1b[2J\n"].concat();
    let frame = [&[VERSION, 2, 0, 21][..], &body].concat();
    drop(say(&mut control, &frame).await);
    is_sent_away(&*session).await;
}

async fn another_version(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &[VERSION + 1, 0xff, 0xff]).await);
    is_sent_away(&*session).await;
}

/// It is left when its time is over, which this does not wait for.
async fn never_a_welcome(_session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &[VERSION]).await);
    // The stream ends here without a word.
}

async fn a_code_that_nobody_knows(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &welcome()).await);
    session.close(
        CloseCode::Other(0x7abc),
        "\x1b]0;owned\x07\n{\"level\":\"ERROR\"}",
    );
}

/// Whether the agent still takes callers on this session.
async fn takes_callers(session: &dyn Session) {
    let mut stream = wait::within("a stream", session.open())
        .await
        .expect("it stands");
    let header = header_of("honest.acme.tunnels.test", "192.0.2.7:1");
    announce(&mut stream, &header, b"")
        .await
        .expect("announced");
    let status = await_status(&mut stream, Instant::now() + PATIENCE).await;
    assert_eq!(status.expect("a status"), StreamStatus::Accepted);
}

async fn frames_to_be_skipped(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &welcome()).await);
    let flood = [0x90, 0, 0].repeat(FRAMES);
    say(&mut control, &flood).await.expect("they are skipped");
    let largest = [&[0xff, 0x10, 0][..], &[0; MAX_FRAME]].concat();
    for _ in 0..1000 {
        say(&mut control, &largest).await.expect("they are skipped");
    }
    takes_callers(&*session).await;
}

async fn drains_without_end(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &welcome()).await);
    for limit_ms in [u32::MAX, 0] {
        let frame = ControlFrame::Drain { limit_ms }.encode().expect("a frame");
        say(&mut control, &frame.repeat(FRAMES / 2))
            .await
            .expect("they are read");
    }
    takes_callers(&*session).await;
}

async fn headers_that_mean_nothing(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &welcome()).await);
    let good = header_of(NAME, "192.0.2.7:1").encode().expect("a header");
    let beginnings = [
        vec![1, 0, 0],
        vec![9, 0, 4, 1, 2, 3, 4],
        vec![1, 0xff, 0xff],
        [&[1, 1, 88][..], &[0xff; 344]].concat(),
        // A family of addresses that there is none of; a name with a line feed in it.
        [&good[..19], &[5], &good[20..]].concat(),
        [&good[..good.len() - 1], b"\n"].concat(),
    ];
    for _ in 0..20 {
        for beginning in &beginnings {
            let mut stream = wait::within("a stream", session.open())
                .await
                .expect("it stands");
            drop(say(&mut stream, beginning).await);
            let status = await_status(&mut stream, Instant::now() + PATIENCE).await;
            let Ok(StreamStatus::Refused { code, .. }) = status else {
                panic!("{beginning:?}: {status:?}");
            };
            assert_eq!(code, RefusalCode::Malformed);
        }
    }
    takes_callers(&*session).await;
}

async fn streams_that_vanish(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &welcome()).await);
    open_and_reset(&*session, RESETS).await;
}

async fn open_and_reset(session: &dyn Session, streams: usize) {
    let header = header_of(NAME, "192.0.2.7:1");
    for number in 0..streams {
        let Ok(mut stream) = wait::within("a stream", session.open()).await else {
            // Over TCP the agent has had enough of it (RFC 9113, rapid reset).
            assert_ne!(session.transport(), "quic");
            return;
        };
        if number % 2 == 0 {
            drop(announce(&mut stream, &header, hello::HALF_A_HELLO).await);
        }
        // A stream that is dropped is reset.
    }
    takes_callers(session).await;
}

async fn streams_that_say_nothing(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &welcome()).await);
    let header = header_of(NAME, "[::]:0");
    let mut held = Vec::new();
    for number in 0..SILENT {
        let mut stream = wait::within("a stream", session.open())
            .await
            .expect("it stands");
        match number % 3 {
            0 => drop(say(&mut stream, &[VERSION]).await),
            1 => drop(announce(&mut stream, &header, b"").await),
            _ => drop(announce(&mut stream, &header, hello::HALF_A_HELLO).await),
        }
        held.push(stream);
    }
    takes_callers(&*session).await;
    // The agent ends each of them by its own deadlines.
    for mut stream in held {
        let mut rest = Vec::new();
        drop(wait::within("the agent's patience", stream.read_to_end(&mut rest)).await);
    }
}

/// A caller that does not exist and whose ClientHello has no end.
async fn hellos_without_end(session: Arc<dyn Session>, mut control: Stream) {
    drop(say(&mut control, &welcome()).await);
    let tiny = hello::in_records(&hello::claiming(1 << 20, &vec![0; 1 << 16]), 1);
    let strange = [vec![22; 1 << 16], vec![0; 1 << 16], tiny];
    for bytes in strange {
        let mut stream = wait::within("a stream", session.open())
            .await
            .expect("it stands");
        let header = header_of(NAME, "192.0.2.7:1");
        announce(&mut stream, &header, b"")
            .await
            .expect("announced");
        let (mut reads, mut writes) = stream.into_split();
        let mut heard = Vec::new();
        let flooding = async {
            loop {
                if writes.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        let ended = async {
            tokio::select! {
                _end = reads.read_to_end(&mut heard) => {}
                () = flooding => {}
            }
        };
        wait::within("the end of a hello without one", ended).await;
        assert!(heard.len() < 1 << 10, "{} bytes for nothing", heard.len());
    }
    takes_callers(&*session).await;
}

fn header_of(name: &str, caller: &str) -> StreamHeader {
    StreamHeader {
        connection: 5,
        sni: ServerName::fitting(name),
        caller: caller.parse().expect("an address"),
        traceparent: None,
    }
}

/// What a relay says of a caller is no more than that: neither another cluster's name nor an address leads anywhere but to
/// this exit's own API server, in the name of the caller's own certificate.
#[tokio::test(flavor = "multi_thread")]
async fn and_what_they_say_of_callers_chooses_nothing() {
    let (fake, other) = (FakeApiServer::echo().await, FakeApiServer::echo().await);
    let organisation = Organisation::new("acme");
    let relay = Arc::new(Relay::start());
    let mut lying = RelayByHand::beside(&relay, Carrier::Quic).await;
    let course = Course::by(relay.address).and(lying.address, Carrier::Quic.word());
    let exit = (&*fake.kubeconfig(), &[&organisation][..]);
    let site = Site::tunnel_on(&relay, NAME, exit, &course);
    let (session, mut control) = lying.agent().await;
    say(&mut control, &welcome()).await.expect("it listens");
    let told: [(String, SocketAddr); 4] = [
        (format!("other.acme.{DOMAIN}"), other.address),
        (other.address.to_string(), other.address),
        ("169.254.169.254".to_owned(), SocketAddr::from(([0; 4], 0))),
        (String::new(), SocketAddr::from(([0; 16], u16::MAX))),
    ];
    for (number, (name, address)) in told.iter().enumerate() {
        let mut stream = wait::within("a stream", session.open())
            .await
            .expect("it stands");
        let header = header_of(name, &address.to_string());
        announce(&mut stream, &header, b"")
            .await
            .expect("announced");
        let status = await_status(&mut stream, Instant::now() + PATIENCE).await;
        assert_eq!(status.expect("a status"), StreamStatus::Accepted, "{name}");
        let config = caller::config(
            site.authority(),
            Some(&organisation.caller("a")),
            &["http/1.1"],
        );
        let own = site.entrance.clone().try_into().expect("a name");
        let shaking = TlsConnector::from(Arc::new(config)).connect(own, stream);
        let mut tls = wait::within("the handshake", shaking)
            .await
            .expect("it is the exit's");
        let path = format!("/told/{number}");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            other.address
        );
        tls.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        drop(wait::within("an answer", tls.read_to_end(&mut answer)).await);
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{name}: {answer:?}");
        let arrived = fake.arrived_at(&path);
        assert_eq!(arrived.len(), 1, "{name}");
        let user = organisation.username("a");
        assert_eq!(arrived[0].values("impersonate-user"), [user], "{name}");
    }
    assert!(other.arrived().is_empty() && other.connections() == 0);
    let mut connection =
        Connection::open(&site, Some(&organisation.caller("a")), Protocol::Two).await;
    let request = Request::get("/after")
        .body(caller::body(""))
        .expect("a request");
    let answer = connection.send(request).await.expect("an answer");
    assert_eq!(answer.status(), 200, "and the honest one is served");
}

/// How long so many requests take on a connection that stands, the middle one of them.
async fn median(connection: &mut Connection, requests: usize) -> Duration {
    let mut took = Vec::new();
    for _ in 0..requests {
        let asked = Instant::now();
        assert_eq!(connection.fetch("/beside").await.expect("an answer").0, 200);
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    took[took.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a load: make soak"]
async fn soak_of_a_hundred_thousand_streams() {
    const STREAMS: usize = 100_000;
    /// Against hanging, on a loaded machine too.
    const BOUND: Duration = Duration::from_secs(600);
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let relay = Arc::new(Relay::start());
    let mut hostile = RelayByHand::beside(&relay, Carrier::Quic).await;
    let course = Course::by(relay.address).and(hostile.address, Carrier::Quic.word());
    let exit = (&*fake.kubeconfig(), &[&organisation][..]);
    let site = Site::tunnel_on(&relay, NAME, exit, &course);
    let papers = organisation.caller("a");
    let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
    let (session, mut control) = hostile.agent().await;
    say(&mut control, &welcome()).await.expect("it listens");
    let (before, grown_from) = (median(&mut connection, 200).await, site.exit.resident_kib());
    let flood = tokio::spawn(timeout(BOUND, async move {
        let began = Instant::now();
        let header = header_of(NAME, "192.0.2.7:1");
        for _ in 0..STREAMS {
            let mut stream = session.open().await.expect("it stands");
            drop(announce(&mut stream, &header, hello::HALF_A_HELLO).await);
        }
        began.elapsed()
    }));
    let mut meanwhile = vec![median(&mut connection, 50).await];
    while !flood.is_finished() {
        meanwhile.push(median(&mut connection, 50).await);
    }
    let took = flood.await.expect("no panic").expect("within its bound");
    meanwhile.sort_unstable();
    let middle = meanwhile[meanwhile.len() / 2];
    let grown = site.exit.resident_kib().saturating_sub(grown_from);
    measured::tell(&format!(
        "{STREAMS} streams opened and reset by a hostile relay in {took:?}: another relay's caller is answered in \
         {middle:?} (before: {before:?}), the agent grew by {grown} KiB"
    ));
    assert!(grown < GROWTH_KIB, "the agent grew by {grown} KiB");
}
