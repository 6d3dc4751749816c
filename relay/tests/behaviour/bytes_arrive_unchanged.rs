use std::sync::Arc;

use gangplank_pki::Fingerprint;
use gangplank_pki::clock::{Clock, SystemClock};
use gangplank_pki::issue::{Kind, Request};
use gangplank_pki::pem;
use gangplank_tunnel::wire::AbortCode;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Harness, authority, client_hello, noise, read_all, read_some, soon, until};

const NAME: &str = "c.acme.tunnels.example.com";

#[tokio::test]
async fn both_directions_carry_exactly_what_was_sent() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let (up, down) = (noise(3_000_001, 1), noise(5_000_003, 2));
    let mut sent = client_hello(NAME);
    sent.extend_from_slice(&up);

    let caller = relay.connect().await;
    let address = caller.local_addr().unwrap();
    let (mut caller_reads, mut caller_writes) = caller.into_split();
    let calling = async {
        caller_writes.write_all(&sent).await.unwrap();
        caller_writes.shutdown().await.unwrap();
        let mut received = Vec::new();
        caller_reads.read_to_end(&mut received).await.unwrap();
        Fingerprint::of(&received)
    };
    let exiting = async {
        let (header, stream) = agent.take().await;
        assert_eq!(header.caller, address, "the address of the socket");
        assert_eq!(header.sni.as_str(), NAME);
        let (mut reader, mut writer) = stream.into_split();
        let writing = async {
            writer.write_all(&down).await.unwrap();
            writer.shutdown().await.unwrap();
        };
        let ((), received) = tokio::join!(writing, read_all(&mut reader));
        Fingerprint::of(&received)
    };
    let (at_caller, at_exit) =
        soon("both directions", async { tokio::join!(calling, exiting) }).await;
    assert_eq!(at_exit, Fingerprint::of(&sent));
    assert_eq!(at_caller, Fingerprint::of(&down));
    until("the caller has left", || {
        relay.tunnel(1).is_some_and(|t| t.open_streams == 0)
    })
    .await;
    let carried = u64::try_from(sent.len() + down.len()).unwrap();
    assert_eq!(relay.tunnel(1).unwrap().bytes, carried);
}

#[tokio::test]
async fn hello_in_segments_of_one_byte_arrives_whole() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let hello = client_hello(NAME);
    let mut caller = relay.connect().await;
    caller.set_nodelay(true).unwrap();
    for byte in &hello {
        caller.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let (_, mut stream) = agent.take().await;
    assert_eq!(read_some(&mut stream, hello.len()).await, hello);
}

#[tokio::test]
async fn hello_cut_in_two_at_every_offset_arrives_whole() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let hello = client_hello(NAME);
    let calling = async {
        for cut in 1..hello.len() {
            let mut caller = relay.connect().await;
            caller.set_nodelay(true).unwrap();
            caller.write_all(&hello[..cut]).await.unwrap();
            tokio::task::yield_now().await;
            caller.write_all(&hello[cut..]).await.unwrap();
            caller.shutdown().await.unwrap();
            assert_eq!(read_all(caller).await, b"ok", "cut at {cut}");
        }
    };
    let exiting = async {
        for cut in 1..hello.len() {
            let (_, mut stream) = agent.take().await;
            assert!(read_all(&mut stream).await == hello, "cut at {cut}");
            stream.write_all(b"ok").await.unwrap();
            stream.shutdown().await.unwrap();
        }
    };
    tokio::join!(calling, exiting);
}

/// A whole TLS handshake through the relay, with a HelloRetryRequest: the client meets the exit's own
/// certificate, so nobody in between has ended TLS.
#[tokio::test]
async fn caller_meets_the_exit_s_certificate_even_after_a_hello_retry() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    let exits = authority("exits");
    let kind = Kind::Exit {
        dns_names: vec![NAME.to_owned()],
    };
    let lifetime = std::time::Duration::from_secs(60);
    let issued = exits
        .issue(&Request {
            kind,
            lifetime,
            now: SystemClock.now(),
        })
        .unwrap();

    let mut only_p384 = (*gangplank_pki::crypto::provider()).clone();
    only_p384.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::SECP384R1];
    let server = ServerConfig::builder_with_provider(Arc::new(only_p384))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            pem::certificates(issued.cert_pem.as_bytes()).unwrap(),
            pem::private_key(issued.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem::certificates(issued.ca_pem.as_bytes()).unwrap());
    let client = ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let calling = async {
        let caller = relay.connect().await;
        let name = ServerName::try_from(NAME).unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let mut tls = connector.connect(name, caller).await.unwrap();
        tls.write_all(b"ping").await.unwrap();
        assert_eq!(read_some(&mut tls, 4).await, b"pong");
        let kind = tls.get_ref().1.handshake_kind();
        assert_eq!(kind, Some(rustls::HandshakeKind::FullWithHelloRetryRequest));
        let met = tls.get_ref().1.peer_certificates().unwrap();
        assert_eq!(met, pem::certificates(issued.cert_pem.as_bytes()).unwrap());
        tls.shutdown().await.unwrap();
    };
    let exiting = async {
        let (_, stream) = agent.take().await;
        let mut tls = TlsAcceptor::from(Arc::new(server))
            .accept(stream)
            .await
            .unwrap();
        assert_eq!(read_some(&mut tls, 4).await, b"ping");
        tls.write_all(b"pong").await.unwrap();
        tls.flush().await.unwrap();
        assert_eq!(read_all(&mut tls).await, b"");
    };
    let both = Box::pin(async { tokio::join!(calling, exiting) });
    soon("the handshake", both).await;
}

#[tokio::test]
async fn reset_of_the_caller_reaches_the_exit_and_an_abort_of_the_exit_the_caller() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;

    let (caller, mut stream) = relay.on_board(NAME, &agent).await;
    caller.set_zero_linger().unwrap();
    drop(caller);
    let mut received = Vec::new();
    let reset = soon("the reset", stream.read_to_end(&mut received))
        .await
        .unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);

    let (mut caller, stream) = relay.on_board(NAME, &agent).await;
    stream.abort(AbortCode::PeerReset);
    let reset = soon("the reset", caller.read_to_end(&mut received))
        .await
        .unwrap_err();
    assert_eq!(reset.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn label_before_the_entrance_case_and_final_dot_lead_to_the_same_tunnel() {
    let relay = Harness::start("").await;
    let agent = relay.agent("c.acme", 1, 1).await;
    for name in [
        "kube-mtls-proxy.c.acme.tunnels.example.com",
        "C.Acme.TUNNELS.example.com",
    ] {
        let _caller = relay.call(name).await;
        let (header, _stream) = agent.take().await;
        assert_eq!(header.sni.as_str(), name.to_ascii_lowercase());
    }
}
