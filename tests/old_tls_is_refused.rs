//! Only TLS 1.3, and 1.2 with forward secrecy and an AEAD; nothing is renegotiated, and a recorded connection is worth
//! nothing.

use std::process::Command;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, Way};
use crate::support::running::Running;
use crate::support::{caller, entrance, hello};

/// Fatal alerts of RFC 8446 §6.2.
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;

/// TLS' numbers of suites: one that is taken, one with CBC, one without forward secrecy, one with RC4.
const ECDHE_ECDSA_AES_128_GCM: u16 = 0xc02b;
const ECDHE_ECDSA_AES_128_CBC: u16 = 0xc009;
const RSA_AES_128_GCM: u16 = 0x009c;
const ECDHE_ECDSA_RC4: u16 = 0xc007;

/// Case A52: what a hello offers, and the alert that answers it.
#[tokio::test(flavor = "multi_thread")]
async fn by_version_and_suite() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    for (version, suite, alert) in [
        ([3, 0], ECDHE_ECDSA_AES_128_GCM, PROTOCOL_VERSION),
        ([3, 1], ECDHE_ECDSA_AES_128_GCM, PROTOCOL_VERSION),
        ([3, 2], ECDHE_ECDSA_AES_128_GCM, PROTOCOL_VERSION),
        ([3, 1], ECDHE_ECDSA_AES_128_CBC, PROTOCOL_VERSION),
        ([3, 3], ECDHE_ECDSA_AES_128_CBC, HANDSHAKE_FAILURE),
        ([3, 3], RSA_AES_128_GCM, HANDSHAKE_FAILURE),
        ([3, 3], ECDHE_ECDSA_RC4, HANDSHAKE_FAILURE),
    ] {
        let hello = hello_of(&site.entrance, version, suite);
        let told = entrance::say(site.address, &hello).await;
        let told = told.expect("an alert and an end");
        assert_eq!(told.first(), Some(&21), "{version:?} {suite:x}: {told:?}");
        assert_eq!(told.last(), Some(&alert), "{version:?} {suite:x}: {told:?}");
    }
    // The same hello with what is taken goes on, so that it was not refused for its form.
    let mut good = entrance::connect(site.address).await;
    let hello = hello_of(&site.entrance, [3, 3], ECDHE_ECDSA_AES_128_GCM);
    good.write_all(&hello).await.expect("it reads");
    let mut answer = [0];
    good.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(answer, [hello::HANDSHAKE_RECORD]);
}

/// Case A52: a client that asks for another handshake within the connection is told no.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_handshake() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    organisation.caller("a").write(site.folder(), "caller");
    let mut openssl = Command::new("openssl");
    openssl.current_dir(site.folder());
    openssl.args(["s_client", "-tls1_2", "-cert", "caller.crt"]);
    openssl.args(["-key", "caller.key", "-servername", &site.entrance]);
    openssl.args(["-connect", &site.address.to_string()]);
    let mut client = Running::start(openssl, "openssl s_client");
    client.await_out("Secure Renegotiation IS supported");
    client.say("R");
    assert_ne!(client.await_end(), 0);
    assert!(
        client.err().contains("no renegotiation"),
        "{}",
        client.err()
    );
    assert!(fake.arrived().is_empty());
}

/// Case A51: every byte that a caller sent, sent again by who recorded it.
#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_connection() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let papers = organisation.caller("a");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let recorder = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listening = recorder.local_addr().expect("an address");
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let (tape, exit) = (Arc::clone(&recorded), site.address);
    let recording = tokio::spawn(async move {
        let (caller, _) = recorder.accept().await.expect("the caller");
        let exit = TcpStream::connect(exit).await.expect("the exit listens");
        record(caller, exit, &tape).await;
    });
    let config = caller::config(site.authority(), Some(&papers), &["http/1.1"]);
    let stream = caller::connect(listening, &site.entrance, config).await;
    let stream = stream.expect("the handshake");
    let mut connection = Connection::over(stream, Protocol::One, &site.entrance).await;
    let answer = connection.fetch("/once").await.expect("an answer");
    assert_eq!(answer.0, 200);
    drop(connection);
    recording.await.expect("it recorded");

    let flights = recorded.lock().clone();
    assert!(flights.len() > 1000, "all of it: {}", flights.len());
    let mut thief = entrance::connect(site.address).await;
    thief.write_all(&flights).await.expect("it reads");
    // With an alert and an end, or with a reset for what it did not read.
    drop(entrance::hear_out(&mut thief).await);
    let mut other = Connection::open(&site, Some(&papers), Protocol::Two).await;
    assert_eq!(other.fetch("/after").await.expect("an answer").0, 200);
    assert_eq!(fake.arrived_at("/once").len(), 1);
}

/// Carries both ways until the caller ends, and keeps what the caller says.
async fn record(mut caller: TcpStream, mut exit: TcpStream, tape: &Mutex<Vec<u8>>) {
    let (mut from_caller, mut to_caller) = caller.split();
    let (mut from_exit, mut to_exit) = exit.split();
    let back = tokio::io::copy(&mut from_exit, &mut to_caller);
    let forth = async {
        let mut chunk = vec![0; 1 << 14];
        while let Ok(length @ 1..) = from_caller.read(&mut chunk).await {
            let said = &chunk[..length];
            tape.lock().extend_from_slice(said);
            to_exit.write_all(said).await.expect("the exit reads");
        }
    };
    tokio::select! {
        () = forth => {}
        _ = back => {}
    }
}

/// A hello of that version at most, with that suite alone and everything else that a server could ask for.
fn hello_of(name: &str, version: [u8; 2], suite: u16) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    body.extend([0]); // session id
    body.extend([0, 2]);
    body.extend(suite.to_be_bytes());
    body.extend([1, 0]); // compression
    let extensions = [
        (0, hello::name_list(&[name.as_bytes()])),
        (10, vec![0, 2, 0, 23]),      // supported_groups: P-256
        (11, vec![1, 0]),             // point formats: uncompressed
        (13, vec![0, 4, 4, 3, 4, 1]), // signatures: ECDSA and RSA with SHA-256
        (23, Vec::new()),             // extended master secret
        (0xff01, vec![0]),            // renegotiation info
    ];
    let extensions: Vec<u8> = extensions
        .iter()
        .flat_map(|(kind, data)| {
            let length = u16::try_from(data.len()).expect("it fits");
            [&u16::to_be_bytes(*kind)[..], &length.to_be_bytes(), data].concat()
        })
        .collect();
    let length = u16::try_from(extensions.len()).expect("it fits");
    body.extend(length.to_be_bytes());
    body.extend(extensions);
    hello::in_records(&hello::message(&body), 1 << 14)
}
