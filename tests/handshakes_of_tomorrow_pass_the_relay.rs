//! The relay has no opinion on TLS: extensions it does not know, a second ClientHello and bytes behind the first one
//! pass as they are.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::kx_group::{MLKEM768, SECP256R1};
use rustls::{ClientConfig, HandshakeKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::agent_by_hand::AgentByHand;
use crate::support::certificates::Organisation;
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, Way};
use crate::support::{caller, entrance, hello, wait};

/// Case E13: an encrypted ClientHello is routed by its outer name, and what comes in the same segment behind the hello
/// arrives once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn encrypted_hellos_and_bytes_behind_them() {
    const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
    let exit = AgentByHand::start("harbour.acme").await;
    let mut said = hello::with_extensions(&[
        (0x0a0a, vec![]),
        (ENCRYPTED_CLIENT_HELLO, vec![9; 300]),
        (0, hello::name_list(&[exit.entrance.as_bytes()])),
        (0x3a3a, vec![0]),
    ]);
    said.extend((0..3000_u32).flat_map(u32::to_be_bytes));
    let mut caller = entrance::connect(exit.relay.address).await;
    caller.write_all(&said).await.expect("the relay reads");
    caller
        .write_all(b"and later")
        .await
        .expect("the relay reads");
    caller.shutdown().await.expect("our end");
    let (_, mut stream) = exit.caller().await;
    let mut arrived = Vec::new();
    wait::within("all of it", stream.read_to_end(&mut arrived))
        .await
        .expect("a clean end");
    said.extend(b"and later");
    assert!(arrived == said, "{} of {} bytes", arrived.len(), said.len());
}

/// Case E13: a key share that the exit does not take makes it ask again (HelloRetryRequest).
#[tokio::test(flavor = "multi_thread")]
async fn a_second_client_hello() {
    let (fake, organisation) = (FakeApiServer::echo().await, Organisation::new("acme"));
    let site = Site::start(Way::Tunnel, &fake.kubeconfig(), &[&organisation]);
    let papers = organisation.caller("a");
    let provider = CryptoProvider {
        kx_groups: vec![MLKEM768, SECP256R1],
        ..(*gangplank_pki::crypto::provider()).clone()
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has it")
        .with_root_certificates(site.authority().roots())
        .with_client_auth_cert(papers.chain(), papers.key())
        .expect("papers that fit");
    let stream = caller::connect(site.address, &site.entrance, config)
        .await
        .expect("the handshake");
    assert_eq!(
        stream.get_ref().1.handshake_kind(),
        Some(HandshakeKind::FullWithHelloRetryRequest)
    );
    let mut connection = Connection::over(stream, Protocol::One, &site.entrance).await;
    assert_eq!(connection.fetch("/api").await.expect("an answer").0, 200);
}
