use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};

use gangplank_tunnel::wire::CloseCode;
use gangplank_tunnel::{BoxFuture, Closed, GreetError, SessionError, Stream, Traffic};
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;

use super::*;

/// A session on which so much has come.
#[derive(Debug, Default)]
struct Quiet(AtomicU64);

impl Quiet {
    fn speak(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Session for Quiet {
    fn open(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
        Box::pin(async { Err(SessionError(Closed::Here)) })
    }

    fn accept(&self) -> BoxFuture<'_, Result<Stream, SessionError>> {
        self.open()
    }

    fn closed(&self) -> BoxFuture<'_, Closed> {
        Box::pin(async { Closed::Here })
    }

    fn close(&self, _code: CloseCode, _reason: &str) {}

    fn remote_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, 1).into()
    }

    fn peer_certificates(&self) -> &[CertificateDer<'static>] {
        &[]
    }

    fn round_trip_time(&self) -> Duration {
        Duration::from_millis(20)
    }

    fn transport(&self) -> &'static str {
        "quic"
    }

    fn grow_stream_credit(&self, _streams: u32) {}

    fn open_streams(&self) -> usize {
        1
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            received: self.0.load(Ordering::Relaxed),
            ..Traffic::default()
        }
    }
}

/// A relay that answers the hello of number `welcomed`, counted from 1, and lets the others wait until they are too late.
pub(crate) struct Sluggish {
    /// How long it takes to be reached.
    reached_after: Duration,
    welcomed: u64,
    attempts: Mutex<Vec<Instant>>,
    hellos: AtomicU64,
}

impl Sluggish {
    pub(crate) fn new(reached_after: Duration, welcomed: u64) -> Self {
        Self {
            reached_after,
            welcomed,
            attempts: Mutex::default(),
            hellos: AtomicU64::new(0),
        }
    }

    pub(crate) fn hellos(&self) -> u64 {
        self.hellos.load(Ordering::Relaxed)
    }

    fn attempts(&self) -> Vec<Instant> {
        self.attempts.lock().clone()
    }
}

impl Dial for Sluggish {
    type Reached = ();
    type Aboard = u64;

    async fn reach(&self, _head_start: Duration) -> Result<(), DialError> {
        self.attempts.lock().push(Instant::now());
        sleep(self.reached_after).await;
        Ok(())
    }

    async fn greet(&self, (): ()) -> Result<u64, DialError> {
        let hello = self.hellos.fetch_add(1, Ordering::Relaxed) + 1;
        if hello == self.welcomed {
            return Ok(hello);
        }
        sleep(Duration::from_secs(10)).await;
        Err(DialError::Greeting(GreetError::TooLate))
    }

    fn random(&self) -> u64 {
        u64::MAX
    }
}

/// Dials beside the session for five minutes, while it speaks each second from the moment on at which `from` holds.
async fn dial_for_minutes(relay: &Sluggish, from: impl Fn() -> bool + Send + Sync) -> Option<u64> {
    let session = Quiet::default();
    let speaking = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            if from() {
                session.speak();
            }
        }
    };
    let mut silences = 0;
    let dialling = dial_beside(&session, relay, &mut silences);
    tokio::select! {
        aboard = timeout(Duration::from_secs(300), dialling) => aboard.ok(),
        () = speaking => None,
    }
}

/// The relay has withdrawn the session on the first hello, and does not say so: to hear it again means nothing.
#[tokio::test(start_paused = true)]
async fn a_hello_that_went_out_is_never_forgotten() {
    for welcomed in [1, 2, 4] {
        let relay = Sluggish::new(Duration::from_millis(50), welcomed);
        let aboard = dial_for_minutes(&relay, || relay.hellos() > 0).await;
        assert_eq!(aboard, Some(welcomed), "{} hellos", relay.hellos());
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_not_greeted_is_forgotten_when_the_session_is_heard() {
    let relay = Sluggish::new(Duration::from_millis(2900), 1);
    let aboard = dial_for_minutes(&relay, || !relay.attempts().is_empty()).await;
    assert_eq!((aboard, relay.hellos()), (None, 0));
    assert_eq!(relay.attempts().len(), 1);
}

/// After a hello the patience is that of any dial.
#[tokio::test(start_paused = true)]
async fn a_relay_that_is_slow_is_waited_for_after_a_hello() {
    let relay = Sluggish::new(Duration::from_secs(4), 1);
    assert_eq!(timeout(HEAD_START * 10, replace(&relay, 0)).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn the_waits_between_attempts_double() {
    // Longer than one attempt may take.
    let relay = Sluggish::new(Duration::from_secs(5), 1);
    assert_eq!(dial_for_minutes(&relay, || false).await, None);
    let attempts = relay.attempts();
    let gaps: Vec<_> = attempts
        .windows(2)
        .map(|two| {
            ((two[1] - two[0]).saturating_sub(SHORT_ATTEMPT))
                .as_secs_f64()
                .round()
        })
        .collect();
    assert_eq!(gaps[..5], [4.0, 8.0, 16.0, 30.0, 30.0]);
}

/// Each welcome is followed by silence: what was waited before is not forgotten by it.
#[tokio::test(start_paused = true)]
async fn a_relay_that_welcomes_and_is_silent_is_dialled_ever_more_seldom() {
    let mut silences = 0;
    let mut waits = Vec::new();
    for _ in 0..6 {
        let relay = Sluggish::new(Duration::ZERO, 1);
        let begun = Instant::now();
        let session = Quiet::default();
        let aboard = dial_beside(&session, &relay, &mut silences);
        assert_eq!(timeout(Duration::from_secs(300), aboard).await, Ok(1));
        let patience = KEEPALIVE_INTERVAL + OVERDUE + LOOK;
        waits.push(begun.elapsed().saturating_sub(patience));
    }
    let waits: Vec<_> = waits
        .iter()
        .map(|wait| wait.as_secs_f64().round())
        .collect();
    assert_eq!(waits, [2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_heard_for_long_forgives_what_was_before() {
    for (heard, patience) in [(20, 30), (60, 2)] {
        let (session, relay) = (Quiet::default(), Sluggish::new(Duration::ZERO, 1));
        let begun = Instant::now();
        let speaking = async {
            while begun.elapsed() < Duration::from_secs(heard) {
                sleep(Duration::from_secs(1)).await;
                session.speak();
            }
        };
        let mut silences = 9;
        tokio::join!(dial_beside(&session, &relay, &mut silences), speaking);
        let waited = begun.elapsed().as_secs() - heard;
        assert!((patience..patience + 6).contains(&waited), "{waited}");
    }
}

/// Nothing is heard for nine seconds of each twenty-five, and no attempt gets through in them.
#[tokio::test(start_paused = true)]
async fn a_path_that_is_interrupted_again_and_again_is_dialled_on_as_soon_each_time() {
    let session = Quiet::default();
    let relay = Sluggish::new(Duration::from_secs(5), 1);
    let begun = Instant::now();
    let interrupted = |at: Instant| (at - begun).as_secs() % 25 >= 16;
    let speaking = async {
        while begun.elapsed() < Duration::from_secs(300) {
            if !interrupted(Instant::now()) {
                session.speak();
            }
            sleep(Duration::from_secs(1)).await;
        }
    };
    let mut silences = 0;
    tokio::select! {
        _ = dial_beside(&session, &relay, &mut silences) => panic!("nobody gets through"),
        () = speaking => {}
    }
    assert_eq!(relay.attempts().len(), 300 / 25);
    assert_eq!(silences, 0);
}

#[test]
fn silence_counts_from_the_last_byte() {
    let begun = Instant::now();
    let at = |seconds| begun + Duration::from_secs(seconds);
    let mut ear = Ear {
        received: 7,
        heard: begun,
    };
    assert_eq!(ear.listen(7, at(3)).as_secs(), 3);
    assert_eq!(ear.listen(9, at(4)).as_secs(), 0);
    assert_eq!(ear.listen(9, at(9)).as_secs(), 5);
}
