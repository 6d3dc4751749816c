//! Strangers at an exit, however many and however slow, neither keep others out nor fill its log; and an exit without file
//! descriptors waits for some instead of dying or spinning.

use std::process::Command;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank::events;
use crate::support::hello::HALF_A_HELLO;
use crate::support::path::Site;
use crate::support::{caller, wait};

async fn is_served(site: &Site, organisation: &Organisation) {
    for protocol in [Protocol::One, Protocol::Two] {
        let papers = organisation.caller("honest");
        let mut connection = Connection::open(site, Some(&papers), protocol).await;
        assert_eq!(connection.fetch("/").await.expect("an answer").0, 200);
    }
}

/// Case E6 at the exit: those who say nothing, half a hello, or one byte now and then. Each is closed, and a good caller
/// is served beside them and after them.
#[tokio::test(flavor = "multi_thread")]
async fn by_being_slow() {
    const CROWD: usize = 400;
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let site = Site::direct(&fake.kubeconfig(), &[&organisation]);
    is_served(&site, &organisation).await;
    let before = site.exit.resident_kib();
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let mut socket = TcpStream::connect(site.address).await.expect("it listens");
        let said = match number % 3 {
            0 => &HALF_A_HELLO[..0],
            1 => HALF_A_HELLO,
            _ => &HALF_A_HELLO[..1],
        };
        socket.write_all(said).await.expect("it reads");
        crowd.spawn(async move {
            let (mut read, mut write) = socket.into_split();
            let drip = async {
                let mut every = tokio::time::interval(std::time::Duration::from_secs(1));
                loop {
                    every.tick().await;
                    // Once it is closed the other branch hears it.
                    drop(write.write_all(&[0]).await);
                }
            };
            let mut rest = Vec::new();
            tokio::select! {
                end = read.read_to_end(&mut rest) => drop(end),
                () = drip, if number % 3 == 2 => {}
            }
        });
    }
    is_served(&site, &organisation).await;
    let grown = site.exit.resident_kib().saturating_sub(before);
    let most = 64 * u64::try_from(CROWD).expect("a count");
    assert!(grown < most, "the exit has grown by {grown} KiB");
    wait::within("each of them to be closed", async {
        while let Some(closed) = crowd.join_next().await {
            closed.expect("no panic");
        }
    })
    .await;
    is_served(&site, &organisation).await;
}

/// Case G10: what strangers do is counted and said at the level of debugging alone.
#[tokio::test(flavor = "multi_thread")]
async fn by_bad_certificates() {
    const FLOOD: u32 = 200;
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let site = Site::direct(&fake.kubeconfig(), &[&organisation]);
    is_served(&site, &organisation).await;
    let loud = || {
        let all = events(&site.exit.log());
        all.iter()
            .filter(|event| event["level"] != "DEBUG" && event["target"] != "gangplank::audit")
            .count()
    };
    let before = loud();
    let papers = Organisation::new("stranger").caller("stranger");
    for _ in 0..FLOOD {
        let stream = caller::board(&site, Some(&papers), &["h2"]).await;
        drop(stream.expect("TLS itself is fine"));
        let mut garbage = TcpStream::connect(site.address).await.expect("it listens");
        garbage.write_all(b"garbage\r\n").await.expect("it reads");
    }
    is_served(&site, &organisation).await;
    let counted = |series: &str| site.exit.metric(series).unwrap_or_default();
    wait::until("each of them to be counted", || {
        let refused = counted("gangplank_exit_refusals_total{class=\"UnknownIssuer\"} ");
        let failed = counted("gangplank_exit_handshakes_total{result=\"Failed\"} ");
        (refused >= f64::from(FLOOD) && failed >= f64::from(FLOOD)).then_some(())
    });
    assert_eq!(loud(), before, "{}", site.exit.log());
}

/// Case G11: connections that cannot be accepted wait, and are served when there is room again.
#[tokio::test(flavor = "multi_thread")]
async fn by_taking_all_file_descriptors() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let site = Site::direct(&fake.kubeconfig(), &[&organisation]);
    is_served(&site, &organisation).await;
    let papers = organisation.caller("beside");
    let mut beside = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(beside.fetch("/").await.expect("an answer").0, 200);
    let most = site.exit.descriptors() + 32;
    let limited = Command::new("prlimit")
        .args(["--pid", &site.exit.pid().to_string()])
        .arg(format!("--nofile={most}"))
        .status()
        .expect("prlimit runs");
    assert!(limited.success(), "its limit can be lowered");
    let mut crowd = Vec::new();
    for _ in 0..64 {
        // The kernel takes them as long as its own queue has room.
        crowd.push(
            TcpStream::connect(site.address)
                .await
                .expect("a place in the queue"),
        );
    }
    wait::until("all descriptors to be in use", || {
        (site.exit.descriptors() >= most).then_some(())
    });
    assert_eq!(
        beside.fetch("/").await.expect("an answer").0,
        200,
        "who was there before notices nothing"
    );
    let ended = site.exit.ended();
    assert!(ended.is_none(), "it does not die of it: {ended:?}");
    crowd.clear();
    is_served(&site, &organisation).await;
    let paused = site.exit.metric("gangplank_exit_accept_faults_total ");
    assert!(paused.is_some_and(|count| count > 0.0), "{paused:?}");
}
