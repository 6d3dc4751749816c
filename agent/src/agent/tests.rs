use std::time::Duration;

use gangplank_pki::peer::tunnel_name;
use gangplank_tunnel::wire::{AbortCode, CloseCode, RefusalCode, StreamStatus};
use gangplank_tunnel::{Closed, Notice, StreamReset, await_hello, await_status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use tokio::time::Instant;

use super::fixture::{Harbour, Running, deadline, soon, until};
use crate::backoff;
use crate::boarding::Refusal;
use crate::view::TunnelState;

#[tokio::test]
async fn a_caller_is_answered_and_handed_on() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start(&harbour.settings("60s"));
    let guest = harbour.guest().await;
    assert_eq!((guest.hello.slot, guest.hello.epoch), (0, 1));
    assert!(guest.hello.software.starts_with("gangplank "));
    let name = tunnel_name(guest.session.peer_certificates()).expect("a name");
    assert_eq!(name.as_str(), "one.acme");

    let mut at_relay = guest.caller(77).await;
    let status = soon(await_status(&mut at_relay, deadline()))
        .await
        .expect("a status");
    assert_eq!(status, StreamStatus::Accepted);
    let mut boarding = soon(agent.boarded.recv()).await.expect("a caller");
    assert_eq!(boarding.connection, 77);
    assert_eq!(boarding.sni, "one.acme.example.com");
    assert_eq!(boarding.caller.to_string(), "192.0.2.7:40000");
    assert!(boarding.relay.starts_with("localhost:"));
    assert!(!boarding.drain.is_cancelled());
    let mut first = [0; 5];
    soon(boarding.stream.read_exact(&mut first))
        .await
        .expect("what the caller said");
    assert_eq!(&first, b"hello");

    assert!(agent.view.connected());
    let tunnels = agent.view.tunnels();
    let TunnelState::Up {
        epoch,
        transport,
        entrance_domain,
        open_streams,
        ..
    } = &tunnels[0].state
    else {
        panic!("{tunnels:?}")
    };
    assert_eq!((*epoch, *transport, *open_streams), (1, "quic", 1));
    assert_eq!(entrance_domain, "example.com");
    let metrics = agent.metrics();
    for counted in [
        "agent_dials_total{",
        "agent_tunnels{",
        "agent_streams_total{",
    ] {
        assert!(metrics.contains(counted), "{counted} in {metrics}");
    }
}

#[tokio::test]
async fn a_caller_is_refused_while_the_exit_is_not_ready() {
    let harbour = Harbour::open(true);
    let message = "no trust bundle".to_owned();
    let refusal = Refusal {
        code: RefusalCode::NotReady,
        message,
    };
    let _agent = Running::start_refusing(&harbour.settings("60s"), Some(refusal));
    let guest = harbour.guest().await;
    let mut at_relay = guest.caller(1).await;
    let status = soon(await_status(&mut at_relay, deadline()))
        .await
        .expect("a status");
    assert_eq!(
        status,
        StreamStatus::refused(RefusalCode::NotReady, "no trust bundle")
    );
    let mut nothing = Vec::new();
    soon(at_relay.read_to_end(&mut nothing))
        .await
        .expect("an end of file, not a reset");
}

#[tokio::test]
async fn a_header_that_means_nothing_is_answered_and_ends_its_stream_only() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start(&harbour.settings("60s"));
    let guest = harbour.guest().await;
    let mut hostile = soon(guest.session.open()).await.expect("a stream");
    hostile
        .write_all(&[1, 0xff, 0xff, 0, 0])
        .await
        .expect("written");
    let status = soon(await_status(&mut hostile, deadline()))
        .await
        .expect("a status");
    let StreamStatus::Refused {
        code: RefusalCode::Malformed,
        ..
    } = status
    else {
        panic!("{status:?}")
    };
    let _stream = guest.caller(2).await;
    assert_eq!(
        soon(agent.boarded.recv())
            .await
            .expect("a caller")
            .connection,
        2
    );
}

#[tokio::test]
async fn a_lost_session_is_replaced_with_a_higher_epoch() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start(&harbour.settings("60s"));
    let first = harbour.guest().await;
    let (_stream, mut boarding) = agent.board(&first, 1).await;
    first.session.close(CloseCode::Overloaded, "too many");
    let mut rest = Vec::new();
    let broken = soon(boarding.stream.read_to_end(&mut rest))
        .await
        .expect_err("broken off");
    assert_eq!(broken.kind(), std::io::ErrorKind::ConnectionAborted);
    let second = harbour.guest().await;
    assert_eq!(second.hello.instance, first.hello.instance);
    assert!(second.hello.epoch > first.hello.epoch);
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_is_tried_again() {
    let harbour = Harbour::open(true);
    let agent = Running::start(&harbour.settings("60s"));
    for _ in 0..2 {
        let session = harbour.arrival().await;
        await_hello(&*session, deadline()).await.expect("a hello");
        session.close(CloseCode::NameRefused, "one.acme is not served here");
    }
    let fault = || {
        agent.view.tunnels()[0]
            .last_fault
            .clone()
            .unwrap_or_default()
    };
    until(|| fault().contains("one.acme is not served here")).await;
    assert!(
        fault().contains("issue an agent certificate"),
        "{}",
        fault()
    );
    assert!(!agent.view.connected());
    assert!(
        agent.metrics().contains("outcome=\"NameRefused\""),
        "{}",
        agent.metrics()
    );
    let _guest = harbour.guest().await;
    until(|| agent.view.connected()).await;
    assert_eq!(fault(), "");
}

#[tokio::test]
async fn a_relay_of_another_authority_is_never_greeted() {
    let harbour = Harbour::open(false);
    let agent = Running::start(&harbour.settings("60s"));
    let arrival = soon(harbour.endpoint.accept()).await.expect("an arrival");
    assert!(soon(arrival.complete(deadline())).await.is_err());
    let fault = || {
        agent.view.tunnels()[0]
            .last_fault
            .clone()
            .unwrap_or_default()
    };
    until(|| fault().contains("refused here")).await;
    assert!(!agent.view.connected());
}

#[tokio::test]
async fn a_relay_that_cannot_be_trusted_is_dialled_ever_more_seldom() {
    let harbour = Harbour::open(false);
    let agent = Running::start_patient(&harbour.settings("60s"));
    let mut before = None;
    for attempt in 0..3 {
        let arrival = soon(harbour.endpoint.accept()).await.expect("an arrival");
        let arrived = Instant::now();
        if let Some(before) = before {
            // A slow machine only makes it longer.
            let least = backoff::delay(attempt - 1, u64::MAX);
            assert!(arrived.duration_since(before) >= least, "{attempt}");
        }
        before = Some(Instant::now());
        let refused = soon(arrival.complete(deadline())).await;
        assert!(refused.is_err(), "it is not talked to");
    }
    assert!(!agent.view.connected());
}

/// It has each of its welcomes followed by a drain and an end, and would otherwise be dialled as often as it likes.
#[tokio::test]
async fn a_relay_that_always_drains_at_once_is_dialled_ever_more_seldom() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start_patient(&harbour.settings("60s"));
    let mut before = None;
    for attempt in 0..4 {
        let mut guest = harbour.guest().await;
        let arrived = Instant::now();
        if let Some(before) = before {
            // A slow machine only makes it longer.
            let least = backoff::delay(attempt - 1, u64::MAX);
            assert!(arrived.duration_since(before) >= least, "{attempt}");
        }
        before = Some(Instant::now());
        let drained = guest.says.drain(Duration::from_secs(60)).await;
        drained.expect("said");
        // The end comes when the drain was heard: the end alone was never answered at once.
        let _at_relay = guest.caller(1).await;
        let boarding = soon(agent.boarded.recv()).await.expect("a caller");
        soon(boarding.drain.cancelled()).await;
        guest.session.close(CloseCode::GoingAway, "");
    }
}

#[tokio::test]
async fn a_draining_relay_is_left_without_dropping_anyone() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start(&harbour.settings("60s"));
    let mut first = harbour.guest().await;
    let (mut at_relay, mut boarding) = agent.board(&first, 1).await;
    first
        .says
        .drain(Duration::from_secs(60))
        .await
        .expect("said");
    soon(boarding.drain.cancelled()).await;
    let second = harbour.guest().await;
    assert!(second.hello.epoch > first.hello.epoch);
    boarding
        .stream
        .write_all(b"still here")
        .await
        .expect("written");
    let mut heard = [0; 10];
    soon(at_relay.read_exact(&mut heard)).await.expect("read");
    assert_eq!(&heard, b"still here");
    // Whoever came to the old relay at the last moment is not turned away.
    let _late = first.caller(2).await;
    assert_eq!(
        soon(agent.boarded.recv())
            .await
            .expect("a caller")
            .connection,
        2
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_before_the_old_session_ends() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start(&harbour.settings("60s"));
    let first = harbour.guest().await;
    let (mut at_relay, mut boarding) = agent.board(&first, 1).await;
    harbour.renew();
    let second = harbour.guest().await;
    assert!(second.hello.epoch > first.hello.epoch);
    assert_eq!(second.hello.instance, first.hello.instance);
    assert_ne!(
        second.session.peer_certificates(),
        first.session.peer_certificates()
    );
    assert!(!boarding.drain.is_cancelled(), "what runs is not disturbed");
    boarding
        .stream
        .write_all(b"still here")
        .await
        .expect("written");
    let mut heard = [0; 10];
    soon(at_relay.read_exact(&mut heard)).await.expect("read");
    // The older one's end is not the tunnel's.
    first.session.close(CloseCode::Superseded, "");
    let ended = || agent.metrics().contains("outcome=\"Superseded\"");
    until(ended).await;
    assert!(agent.view.connected());
}

#[tokio::test]
async fn a_shutdown_drains_and_ends_when_the_last_caller_left() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start(&harbour.settings("60s"));
    let mut guest = harbour.guest().await;
    let (mut at_relay, mut boarding) = agent.board(&guest, 1).await;
    agent.shutdown.cancel();
    let heard = soon(guest.hears.next()).await.expect("heard");
    assert_eq!(
        heard,
        Some(Notice::Drain {
            limit: Duration::from_secs(60)
        })
    );
    soon(boarding.drain.cancelled()).await;
    let mut late = guest.caller(2).await;
    let status = soon(await_status(&mut late, deadline()))
        .await
        .expect("a status");
    assert!(matches!(
        status,
        StreamStatus::Refused {
            code: RefusalCode::Draining,
            ..
        }
    ));
    boarding
        .stream
        .write_all(b"the end")
        .await
        .expect("written");
    boarding.stream.shutdown().await.expect("ended");
    let mut heard = Vec::new();
    soon(at_relay.read_to_end(&mut heard))
        .await
        .expect("an end of file");
    assert_eq!(heard, b"the end");
    assert!(!agent.task.is_finished());
    // What the relay does when nobody is left.
    guest.session.close(CloseCode::GoingAway, "");
    soon(agent.task).await.expect("it ended");
}

#[tokio::test]
async fn a_shutdown_ends_at_its_limit_whoever_is_left() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start(&harbour.settings("1s"));
    let guest = harbour.guest().await;
    let (_at_relay, _boarding) = agent.board(&guest, 1).await;
    agent.shutdown.cancel();
    soon(agent.task).await.expect("it ended");
    let closed = soon(guest.session.closed()).await;
    assert!(
        matches!(
            closed,
            Closed::ByPeer {
                code: CloseCode::GoingAway,
                ..
            }
        ),
        "{closed:?}"
    );
}

#[tokio::test]
async fn an_abort_cuts_the_drain_short_and_relays_are_told() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start(&harbour.settings("60s"));
    let guest = harbour.guest().await;
    let (_at_relay, _boarding) = agent.board(&guest, 1).await;
    agent.shutdown.cancel();
    agent.abort.cancel();
    soon(agent.task).await.expect("it ended");
    assert_eq!(soon(guest.session.closed()).await.reason(), "GoingAway");
}

#[tokio::test]
async fn a_shutdown_ends_an_agent_that_reaches_nobody() {
    let harbour = Harbour::open(true);
    let settings = harbour.settings("60s");
    drop(harbour.endpoint);
    let agent = Running::start(&settings);
    agent.shutdown.cancel();
    soon(agent.task).await.expect("it ended");
}

#[tokio::test]
async fn a_caller_that_the_handoff_drops_sees_a_reset() {
    let harbour = Harbour::open(true);
    let mut agent = Running::start(&harbour.settings("60s"));
    let guest = harbour.guest().await;
    // The status first: a reset may overtake what was said before it.
    let (mut at_relay, boarding) = agent.board(&guest, 1).await;
    drop(boarding);
    let broken = soon(at_relay.read_u8()).await.expect_err("a reset");
    assert_eq!(StreamReset::within(&broken), Some(AbortCode::Dropped));
}
