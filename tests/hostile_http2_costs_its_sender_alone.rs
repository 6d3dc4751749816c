//! What HTTP/2 can be abused for ends or bounds the abuser's connection; a caller beside it is served all the while, the
//! API server sees little of it, and memory stays bounded.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::{FakeApiServer, ok, whole};
use crate::support::path::Site;
use crate::support::raw_http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, INITIAL_WINDOW_SIZE,
    PING, RST_STREAM, RawHttp2, SETTINGS, bomb, frame, get, long_field, opened, post, stream,
    taken_back, to_be_reset,
};
use crate::support::wait;

/// What the API server never answers.
const SLOW: &str = "/slow";

/// What it answers with a mebibyte.
const LARGE: &str = "/large";

/// What a victim asks for.
const BESIDE: &str = "/beside";

/// How much the exit may grow: the allocator's leavings, the log's buffers and the victim's connections.
const GROWTH_KIB: u64 = 48 << 10;

/// What each stream that nobody reads may hold more: what was taken of the API server's, and what was not sent yet.
const UNREAD_KIB: u64 = 512;

/// More than any attack gets through before it is ended.
const MOST: usize = 100_000;

/// An exit with an attacker, and with a victim who asks all the time.
struct Scene {
    /// The API server, and how many of the attacker's requests it has seen.
    _fake: FakeApiServer,
    arrived: Arc<AtomicUsize>,
    site: Site,
    attacker: Papers,
    resident_kib: u64,
    over: Arc<AtomicBool>,
    victim: JoinHandle<usize>,
}

impl Scene {
    async fn set() -> Self {
        let arrived = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&arrived);
        let fake = FakeApiServer::start(&["h2", "http/1.1"], move |request| {
            let path = request.uri().path().to_owned();
            if path != BESIDE {
                seen.fetch_add(1, Ordering::SeqCst);
            }
            Box::pin(async move {
                match path.as_str() {
                    SLOW => pending().await,
                    LARGE => http::Response::new(whole(vec![b'x'; 1 << 20])),
                    _ => ok("{}"),
                }
            })
        })
        .await;
        let (hostile, honest) = (Organisation::new("hostile"), Organisation::new("honest"));
        let site = Site::direct(&fake.kubeconfig(), &[&hostile, &honest]);
        let mut beside =
            Connection::open(&site, Some(&honest.caller("victim")), Protocol::Two).await;
        assert_eq!(beside.fetch(BESIDE).await.expect("an answer").0, 200);
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let victim = tokio::spawn(async move {
            let mut served = 0;
            while !until.load(Ordering::Relaxed) {
                let (status, _) = beside.fetch(BESIDE).await.expect("an answer");
                assert_eq!(status, 200, "request {served} of the victim");
                served += 1;
            }
            served
        });
        Self {
            attacker: hostile.caller("attacker"),
            resident_kib: site.exit.resident_kib(),
            _fake: fake,
            arrived,
            site,
            over,
            victim,
        }
    }

    async fn attack(&self) -> RawHttp2 {
        RawHttp2::open(&self.site, &self.attacker).await
    }

    /// How many of the attacker's requests the API server has seen.
    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// The victim was served all the while and is so now, and the exit has not grown beyond its bound.
    async fn assert_unharmed(self, most_kib: u64) {
        self.over.store(true, Ordering::Relaxed);
        let served = wait::within("the victim's last answer", self.victim).await;
        assert!(served.expect("each of its requests is answered") > 0);
        let grown = self
            .site
            .exit
            .resident_kib()
            .saturating_sub(self.resident_kib);
        assert!(grown < most_kib, "the exit has grown by {grown} KiB");
        let another = Connection::open(&self.site, Some(&self.attacker), Protocol::Two);
        let answer = another.await.fetch("/").await.expect("an answer");
        assert_eq!(answer.0, 200, "the attacker may do better");
    }
}

/// Case G1, as many at once as a segment holds.
#[tokio::test(flavor = "multi_thread")]
async fn rapid_reset_in_bursts() {
    let scene = Scene::set().await;
    let mut attack = scene.attack().await;
    const BURST: u32 = 100;
    let taken = attack
        .flood(MOST / 100, |number| {
            let burst = BURST * number..BURST * (number + 1);
            burst.flat_map(|number| taken_back(number, SLOW)).collect()
        })
        .await;
    assert!(taken < MOST / 100, "it was let through");
    attack.await_end().await;
    assert!(scene.arrived() < 1000, "{} upstream", scene.arrived());
    scene.assert_unharmed(GROWTH_KIB).await;
}

/// Case G1, so that each is on its way to the API server before it is taken back.
#[tokio::test(flavor = "multi_thread")]
async fn rapid_reset_of_requests_that_are_under_way() {
    const ROUND: u32 = 100;
    let scene = Scene::set().await;
    let mut attack = scene.attack().await;
    for round in 0..20 {
        let numbers = || ROUND * round..ROUND * (round + 1);
        let opened = |number| opened(number, &get(SLOW));
        let reset = |number| frame(RST_STREAM, 0, stream(number), &8_u32.to_be_bytes());
        let before = scene.arrived();
        let opened: Vec<u8> = numbers().flat_map(opened).collect();
        if !attack.say(&opened).await {
            break;
        }
        wait::until_async("requests to reach the API server, or the end", || async {
            (scene.arrived() >= before + 100 || attack.said().ended).then_some(())
        })
        .await;
        let reset: Vec<u8> = numbers().flat_map(reset).collect();
        if !attack.say(&reset).await {
            break;
        }
    }
    attack.await_end().await;
    assert!(scene.arrived() < 1000, "{} upstream", scene.arrived());
    let ended = scene
        .site
        .exit
        .metric("gangplank_exit_connections_flooding_total ");
    assert_eq!(ended, Some(1.0));
    scene.assert_unharmed(GROWTH_KIB).await;
}

/// Case G2: the caller has the exit reset its streams by mistakes of its own.
#[tokio::test(flavor = "multi_thread")]
async fn made_you_reset() {
    let scene = Scene::set().await;
    let mut attack = scene.attack().await;
    let taken = attack.flood(MOST, |number| to_be_reset(number, SLOW)).await;
    assert!(taken < MOST, "it was let through");
    let said = attack.await_end().await;
    assert_eq!(said.goaway, Some(ENHANCE_YOUR_CALM), "{said:?}");
    assert!(scene.arrived() < 1000, "{} upstream", scene.arrived());
    scene.assert_unharmed(GROWTH_KIB).await;
}

/// Case G3: headers that never end, in frames with and without something in them.
#[tokio::test(flavor = "multi_thread")]
async fn continuation_flood() {
    let scene = Scene::set().await;
    for piece in [long_field(), Vec::new()] {
        let mut attack = scene.attack().await;
        let opened = frame(HEADERS, END_STREAM, stream(0), &get("/flood"));
        assert!(attack.say(&opened).await, "it begins like any other");
        let taken = attack
            .flood(MOST, |_| frame(CONTINUATION, 0, stream(0), &piece))
            .await;
        assert!(
            taken < MOST,
            "it was let through: {} bytes each",
            piece.len()
        );
        attack.await_end().await;
    }
    assert_eq!(scene.arrived(), 0, "nothing of it is a request");
    scene.assert_unharmed(GROWTH_KIB).await;
}

/// Case G4: frames without data for a body that nobody reads, and for one that is read.
#[tokio::test(flavor = "multi_thread")]
async fn empty_data_flood() {
    let scene = Scene::set().await;
    for path in [SLOW, "/read"] {
        let mut attack = scene.attack().await;
        let opened = frame(HEADERS, END_HEADERS, stream(0), &post(path));
        assert!(attack.say(&opened).await, "it begins like any other");
        let taken = attack.flood(MOST, |_| frame(DATA, 0, stream(0), &[])).await;
        assert!(taken < MOST, "it was let through at {path}");
        attack.await_end().await;
    }
    scene.assert_unharmed(GROWTH_KIB).await;
}

/// Case G5: what must be answered, from someone who reads the answers and from someone who does not.
#[tokio::test(flavor = "multi_thread")]
async fn settings_and_ping_flood() {
    let scene = Scene::set().await;
    let (settings, ping) = (frame(SETTINGS, 0, 0, &[]), frame(PING, 0, 0, &[7; 8]));
    for piece in [settings, ping] {
        let burst = piece.repeat(100);
        let mut reading = scene.attack().await;
        assert!(
            reading.flood(MOST, |_| burst.clone()).await < MOST,
            "it was let through"
        );
        reading.await_end().await;
        // Who does not read what is answered hears of the end by writing.
        let mut unread = RawHttp2::open_unread(&scene.site, &scene.attacker).await;
        assert!(
            unread.flood(MOST, |_| burst.clone()).await < MOST,
            "it was let through"
        );
    }
    let ended = scene
        .site
        .exit
        .metric("gangplank_exit_connections_flooding_total ");
    assert_eq!(ended, Some(4.0));
    scene.assert_unharmed(GROWTH_KIB).await;
}

/// Case G5: answers that nobody lets out.
#[tokio::test(flavor = "multi_thread")]
async fn windows_of_nothing() {
    const STREAMS: u32 = 200;
    let scene = Scene::set().await;
    let mut attack = scene.attack().await;
    let shut = [&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &[0; 4]].concat();
    assert!(attack.say(&frame(SETTINGS, 0, 0, &shut)).await);
    let sent: Vec<u8> = (0..STREAMS)
        .flat_map(|number| opened(number, &get(LARGE)))
        .collect();
    assert!(attack.say(&sent).await, "200 streams are no attack yet");
    wait::until_async("all heads", || async {
        (attack.said().heads == 200).then_some(())
    })
    .await;
    scene
        .assert_unharmed(GROWTH_KIB + u64::from(STREAMS) * UNREAD_KIB)
        .await;
}

/// Case G6: a few bytes that stand for many.
#[tokio::test(flavor = "multi_thread")]
async fn hpack_bomb() {
    let scene = Scene::set().await;
    let mut attack = scene.attack().await;
    attack.flood(200, bomb).await;
    // Refused or ended: one stream after the other, or all of them.
    wait::until_async("each to be refused, or the end", || async {
        let said = attack.said();
        (said.ended || said.resets + said.heads >= 200).then_some(())
    })
    .await;
    assert_eq!(scene.arrived(), 0, "none of them reaches the API server");
    scene.assert_unharmed(GROWTH_KIB).await;
}
