//! What an agent kept of an earlier session makes no tunnel once its authority is not believed any more: the relay gives
//! nothing to come back with. A change of the relay's files concerns nobody else.

use std::fs;
use std::sync::Arc;

use gangplank_tunnel::wire::CloseCode;
use quinn::{ConnectionError, Endpoint, TransportConfig};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::HandshakeKind;
use time::{Duration, OffsetDateTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::agent_by_hand::AgentByHand;
use crate::support::bare_agent::{self, BareAgent};
use crate::support::certificates::{Authority, leaf_params};
use crate::support::path::{RELAY_NAME, Relay};
use crate::support::{caller, entrance, hello, wait};

const UNKNOWN_CA: u64 = 48;
const CERTIFICATE_EXPIRED: u64 = 45;

/// A file of the relay's, renamed into place.
fn rewrite(relay: &Relay, name: &str, text: &str) {
    let beside = relay.folder().join("beside");
    fs::write(&beside, text).expect("written");
    fs::rename(beside, relay.folder().join(name)).expect("renamed");
}

/// How the relay ends an attempt: TLS 1.3 lets the agent believe for a moment that it was let in.
async fn refusal(endpoint: &Endpoint, relay: &Relay) -> ConnectionError {
    let connecting = endpoint
        .connect(relay.address, RELAY_NAME)
        .expect("it begins");
    let Err(connecting) = connecting.into_0rtt() else {
        panic!("it may speak before the handshake")
    };
    match wait::within("an attempt", connecting).await {
        Ok(connection) => wait::within("its end", connection.closed()).await,
        Err(error) => error,
    }
}

/// An alert of TLS within QUIC (RFC 9001 §4.8).
fn is_alert(error: &ConnectionError, alert: u64) -> bool {
    let ConnectionError::ConnectionClosed(close) = error else {
        return false;
    };
    u64::from(close.error_code) == 0x100 + alert
}

#[tokio::test(flavor = "multi_thread")]
async fn over_quic_once_the_authority_is_gone() {
    let relay = Arc::new(Relay::start());
    let agent = BareAgent::start(&relay, "harbour.acme").await;
    rewrite(&relay, "agents-ca.crt", &Authority::new("others").pem());
    let closed = wait::within("the end of the session", agent.connection.closed()).await;
    let ConnectionError::ApplicationClosed(close) = closed else {
        panic!("{closed}")
    };
    assert_eq!(
        close.error_code,
        CloseCode::CertificateEnded.number().into()
    );
    for _ in 0..3 {
        let refused = refusal(&agent.endpoint, &relay).await;
        assert!(is_alert(&refused, UNKNOWN_CA), "{refused}");
    }
    assert!(!relay.has_tunnel("harbour.acme"));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_once_the_authority_is_gone() {
    let relay = Arc::new(Relay::start());
    let papers = relay.agents().agent("harbour.acme");
    // What it is given is shared by its clones.
    let config = caller::config(relay.authority(), Some(&papers), &["gangplank/1"]);
    let mut tls = caller::connect(relay.address, RELAY_NAME, config.clone())
        .await
        .expect("the handshake");
    let mut preface = [0; 24];
    wait::within("the relay's first words", tls.read_exact(&mut preface))
        .await
        .expect("it was let in");
    assert_eq!(tls.get_ref().1.tls13_tickets_received(), 0);
    rewrite(&relay, "agents-ca.crt", &Authority::new("others").pem());
    wait::until_async("it to be refused", || async {
        let again = caller::connect(relay.address, RELAY_NAME, config.clone()).await;
        let mut again = again.expect("the agent believes that it was let in");
        assert_eq!(
            again.get_ref().1.handshake_kind(),
            Some(HandshakeKind::Full)
        );
        let refused = again.read_u8().await.err()?;
        refused.to_string().contains("UnknownCA").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_certificate_whose_time_is_over() {
    let relay = Arc::new(Relay::start());
    let mut params = leaf_params("timed", ExtendedKeyUsagePurpose::ClientAuth);
    let end = OffsetDateTime::now_utc() - Duration::seconds(2);
    (params.not_before, params.not_after) = (end - Duration::days(1), end);
    params.subject_alt_names = vec![rcgen::SanType::DnsName(
        "harbour.acme".try_into().expect("a name"),
    )];
    let papers = relay.agents().sign(&params);
    let endpoint = bare_agent::endpoint(&relay, &papers, TransportConfig::default());
    let refused = refusal(&endpoint, &relay).await;
    assert!(is_alert(&refused, CERTIFICATE_EXPIRED), "{refused}");
    assert!(!relay.has_tunnel("harbour.acme"));
}

/// Certificate, key and authorities replaced while a caller is on board.
#[tokio::test(flavor = "multi_thread")]
async fn and_changed_files_end_nobody_elses_tunnel() {
    let exit = AgentByHand::start("harbour.acme").await;
    let relay = &exit.relay;
    let hello = hello::asking_for(exit.entrance.as_bytes());
    let mut on_board = entrance::connect(relay.address).await;
    on_board.write_all(&hello).await.expect("the relay reads");
    let (_, mut stream) = exit.caller().await;
    let renewed = relay.authority().relay(RELAY_NAME);
    let both = format!(
        "{}{}",
        relay.agents().pem(),
        Authority::new("more agents").pem()
    );
    rewrite(relay, "agents-ca.crt", &both);
    rewrite(relay, "relay.key", &renewed.key);
    rewrite(relay, "relay.crt", &renewed.certificates);
    let papers = relay.agents().agent("newcomer.acme");
    wait::until_async("the renewed certificate to be shown", || async {
        let config = caller::config(relay.authority(), Some(&papers), &["gangplank/1"]);
        let tls = caller::connect(relay.address, RELAY_NAME, config).await;
        let tls = tls.expect("the handshake");
        let shown = tls.get_ref().1.peer_certificates().map(<[_]>::to_vec);
        (shown == Some(renewed.chain())).then_some(())
    })
    .await;
    let newcomer = bare_agent::endpoint(relay, &papers, TransportConfig::default());
    let newcomer = bare_agent::dial(&newcomer, relay).await.expect("let in");
    let shown = newcomer.peer_identity().expect("certificates");
    let shown = shown.downcast::<Vec<rustls_pki_types::CertificateDer<'static>>>();
    assert_eq!(*shown.expect("certificates"), renewed.chain());
    stream.write_all(b"still here").await.expect("it reads");
    stream.shutdown().await.expect("our end");
    let heard = entrance::hear_out(&mut on_board).await;
    assert_eq!(heard.expect("a clean end"), b"still here");
    let another = AgentByHand::at(relay, "another.acme").await;
    assert!(relay.has_tunnel("harbour.acme") && another.nobody_came().await);
}
