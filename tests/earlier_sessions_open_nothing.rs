//! What a caller kept of an earlier session opens nothing: the exit gives no tickets, takes nobody else's, and does not
//! hear what is said with one before the handshake is over.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::ExtendedKeyUsagePurpose;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use rustls_pki_types::ServerName;
use time::{Duration, OffsetDateTime};

use crate::support::caller;
use crate::support::certificates::{Organisation, Papers, leaf_params};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::own_answer;
use crate::support::path::{DOMAIN, Site, WAYS};
use crate::support::wait;

/// Case A49: a client that keeps whatever it is given for the next connection, until its certificate is over.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_certificate_that_expired_meanwhile() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    for way in WAYS {
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        let papers = ending(
            &organisation,
            OffsetDateTime::now_utc() + Duration::seconds(6),
        );
        let mut earlier = Vec::new();
        for version in [&TLS12, &TLS13] {
            // What it is given is shared by its clones.
            let config = caller::config_of(&[version], site.authority(), Some(&papers), &["h2"]);
            let stream = caller::connect(site.address, &site.entrance, config.clone()).await;
            let stream = stream.expect("the handshake");
            let mut first = Connection::over(stream, Protocol::Two, &site.entrance).await;
            assert_eq!(first.fetch("/before").await.expect("an answer").0, 200);
            earlier.push((first, config));
        }
        for (first, config) in earlier {
            first.await_close("the certificate that is over").await;
            let stream = caller::connect(site.address, &site.entrance, config).await;
            let stream = stream.expect("the handshake");
            let tls = stream.get_ref().1;
            assert_eq!(tls.handshake_kind(), Some(HandshakeKind::Full), "{way:?}");
            let mut again = Connection::over(stream, Protocol::Two, &site.entrance).await;
            let told = own_answer::read(again.get("/after").await.expect("an answer")).await;
            assert_eq!(
                (told.code, told.class.as_str()),
                (401, "Expired"),
                "{way:?}"
            );
        }
    }
    assert!(fake.arrived_at("/after").is_empty());
}

/// Case A51: a client with a ticket that lets it speak at once, from a server that showed the exit's own certificate.
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_what_is_said_with_a_ticket() {
    let organisation = Organisation::new("acme");
    for way in WAYS {
        let fake = FakeApiServer::echo().await;
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        let name = site.entrance.clone();
        let shown = site.authority().exit(cluster_of(&name), DOMAIN);
        let papers = organisation.caller("a");
        let mut config =
            caller::config_of(&[&TLS13], site.authority(), Some(&papers), &["http/1.1"]);
        config.enable_early_data = true;
        let (config, exit) = (Arc::new(config), site.address);
        let speaking = tokio::task::spawn_blocking(move || {
            let giver = give_tickets(&shown);
            say(&config, &name, giver, "/kept", false);
            say(&config, &name, exit, "/early", true);
        });
        wait::within("both connections", speaking)
            .await
            .expect("no panic");
        assert!(fake.arrived_at("/early").is_empty(), "{way:?}");
        assert_eq!(
            fake.arrived_at("/after").len(),
            1,
            "{way:?}: it was heard out"
        );
    }
}

/// One connection that says one thing as early as it may, and another after the handshake.
fn say(config: &Arc<ClientConfig>, name: &str, to: SocketAddr, path: &str, with_a_ticket: bool) {
    let server = ServerName::try_from(name.to_owned()).expect("a name");
    let mut tls = ClientConnection::new(Arc::clone(config), server).expect("a client");
    let mut socket = TcpStream::connect(to).expect("it listens");
    let request = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n").into_bytes()
    };
    let early = tls.early_data();
    assert_eq!(
        early.is_some(),
        with_a_ticket,
        "it has a ticket to speak with"
    );
    if let Some(mut early) = early {
        early.write_all(&request(path)).expect("it fits");
    }
    while tls.is_handshaking() {
        tls.complete_io(&mut socket).expect("the handshake goes on");
    }
    assert_eq!(tls.handshake_kind(), Some(HandshakeKind::Full));
    assert!(!tls.is_early_data_accepted());
    let mut stream = rustls::Stream::new(&mut tls, &mut socket);
    stream.write_all(&request("/after")).expect("it reads");
    let mut answer = Vec::new();
    // It may end without a goodbye of TLS: what matters is what came.
    drop(stream.read_to_end(&mut answer));
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
}

/// A server that gives tickets for early data to one client, and answers it once.
fn give_tickets(shown: &Papers) -> SocketAddr {
    let mut config = ServerConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(shown.chain(), shown.key())
        .expect("papers that fit");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.max_early_data_size = 16 << 10;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("the client");
        let mut tls = ServerConnection::new(Arc::new(config)).expect("a server");
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        let mut request = [0; 1024];
        let read = stream.read(&mut request).expect("a request");
        assert!(read > 0);
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).expect("it reads");
        tls.send_close_notify();
        tls.complete_io(&mut socket).expect("it reads");
    });
    address
}

fn cluster_of(entrance: &str) -> &str {
    let cluster = entrance.strip_suffix(DOMAIN).expect("below it");
    cluster.trim_end_matches('.')
}

fn ending(organisation: &Organisation, end: OffsetDateTime) -> Papers {
    let mut params = leaf_params("timed", ExtendedKeyUsagePurpose::ClientAuth);
    (params.not_before, params.not_after) = (end - Duration::days(1), end);
    organisation.authority.sign(&params)
}
