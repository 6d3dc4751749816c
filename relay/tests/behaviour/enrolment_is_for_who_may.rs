//! Enrolment as a stranger finds it: bytes on a TLS connection to the relay's own name.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, RequestedKey};
use gangplank_pki::peer::RelayVerifier;
use gangplank_pki::{crypto, pem};
use gangplank_tunnel::wire::enrolment::{
    EnrolmentAnswer, EnrolmentQuestion, EnrolmentRefusal, Grant, JOIN_PROTOCOL, JoinToken,
    RENEW_PROTOCOL,
};
use gangplank_tunnel::wire::{RECORD_PREFIX, VERSION};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{DOMAIN, Harness, RELAY_NAME, authority, issue, soon, until};

const ENROLMENT: &str = "enrolment:\n  certificateFile: agents-ca.crt\n  keyFile: agents-ca.key\n  \
    relayCAFile: relay-ca.crt\n  register: { file: enrolment.db }\n";

fn name(text: &str) -> TunnelName {
    TunnelName::parse(text).unwrap()
}

async fn token(relay: &Harness, tunnel: &str) -> JoinToken {
    let office = relay.office.as_ref().unwrap();
    let hour = Duration::from_secs(3600);
    let made = office.make_token(&name(tunnel), hour, false).await;
    made.unwrap().token
}

fn joining(token: &JoinToken, tunnel: &str) -> Vec<u8> {
    let request = RequestedKey::for_tunnel(&name(tunnel)).unwrap().request;
    let (id, secret) = (token.id, token.secret);
    let question = EnrolmentQuestion::Join {
        id,
        secret,
        request,
    };
    question.encode().unwrap()
}

fn renewing(tunnel: &str) -> Vec<u8> {
    let request = RequestedKey::for_tunnel(&name(tunnel)).unwrap().request;
    EnrolmentQuestion::Renew { request }.encode().unwrap()
}

/// A connection with this protocol and certificate.
async fn visit(
    relay: &Harness,
    protocols: &[&[u8]],
    identity: Option<&Issued>,
) -> io::Result<TlsStream<TcpStream>> {
    let anchors = pem::certificates(relay.relays_authority.certificate_pem().as_bytes()).unwrap();
    let verifier = RelayVerifier::new(&anchors, Arc::new(SystemClock)).unwrap();
    let builder = ClientConfig::builder_with_provider(crypto::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = pem::certificates(identity.cert_pem.as_bytes()).unwrap();
            let key = pem::private_key(identity.key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let socket = TcpStream::connect(relay.address).await?;
    let name = ServerName::try_from(RELAY_NAME).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, socket);
    soon("a handshake", connecting).await
}

/// What is answered to these bytes.
async fn ask(mut stream: TlsStream<TcpStream>, bytes: &[u8]) -> io::Result<EnrolmentAnswer> {
    let asking = async {
        stream.write_all(bytes).await?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await?;
        Ok::<_, io::Error>(all)
    };
    let all = soon("an answer", asking).await?;
    let body = all.get(RECORD_PREFIX..).unwrap_or_default();
    Ok(EnrolmentAnswer::parse(body).unwrap())
}

fn refusal(answer: &EnrolmentAnswer) -> EnrolmentRefusal {
    match answer {
        EnrolmentAnswer::Refused { code, .. } => *code,
        EnrolmentAnswer::Granted(_) => panic!("granted"),
    }
}

fn grant(answer: EnrolmentAnswer) -> Grant {
    match answer {
        EnrolmentAnswer::Granted(grant) => grant,
        EnrolmentAnswer::Refused { code, message } => panic!("{code}: {message}"),
    }
}

async fn join(relay: &Harness, bytes: &[u8]) -> EnrolmentAnswer {
    let stream = visit(relay, &[JOIN_PROTOCOL], None).await.unwrap();
    ask(stream, bytes).await.unwrap()
}

#[tokio::test]
async fn recorded_bytes_are_good_once() {
    let relay = Harness::start(ENROLMENT).await;
    let token = token(&relay, "edge-1.acme").await;
    let recorded = joining(&token, "edge-1.acme");
    let given = grant(join(&relay, &recorded).await);
    assert_eq!(&*given.entrance_domain, DOMAIN);
    let replayed = join(&relay, &recorded).await;
    assert_eq!(refusal(&replayed), EnrolmentRefusal::TokenUsed);
    let again = joining(&token, "edge-1.acme");
    assert_eq!(
        refusal(&join(&relay, &again).await),
        EnrolmentRefusal::TokenUsed
    );
    let text = relay.scrape();
    assert!(
        text.contains("relay_enrolments_total{outcome=\"Granted\"} 1"),
        "{text}"
    );
}

#[tokio::test]
async fn a_token_is_good_for_its_name_and_with_its_secret_alone() {
    let relay = Harness::start(ENROLMENT).await;
    let token = token(&relay, "edge-1.acme").await;
    let other = joining(&token, "edge-2.acme");
    assert_eq!(
        refusal(&join(&relay, &other).await),
        EnrolmentRefusal::RequestRefused
    );
    let mut guessed = token.clone();
    guessed.secret[31] ^= 1;
    let guessed = joining(&guessed, "edge-1.acme");
    assert_eq!(
        refusal(&join(&relay, &guessed).await),
        EnrolmentRefusal::TokenUnknown
    );
    grant(join(&relay, &joining(&token, "edge-1.acme")).await);
}

#[tokio::test]
async fn what_is_no_question_is_told_or_cut_off() {
    let relay = Harness::start(ENROLMENT).await;
    for bytes in [
        &[VERSION, 0, 0][..],
        &[VERSION, 0, 1, 9],
        &[VERSION, 0, 2, 1, 7],
        &[VERSION + 1, 0, 1, 1],
        &[VERSION, 0xff, 0xff, 1],
        b"GET / HTTP/1.1\r\n\r\n",
        &renewing("edge-1.acme"),
    ] {
        let told = refusal(&join(&relay, bytes).await);
        assert_eq!(told, EnrolmentRefusal::Malformed, "{bytes:?}");
    }
    // Half a question and no more: the connection ends without an answer.
    let mut stream = visit(&relay, &[JOIN_PROTOCOL], None).await.unwrap();
    stream.write_all(&[VERSION, 0, 9, 1]).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let ended = soon("the end", stream.read_to_end(&mut rest)).await;
    assert!(ended.is_err() || rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn other_protocols_are_refused_in_the_handshake() {
    let relay = Harness::start(ENROLMENT).await;
    for protocols in [&[&b"h2"[..]][..], &[b"http/1.1", b"gangplank-join/2"], &[]] {
        let told = match visit(&relay, protocols, None).await {
            Err(error) => error,
            // Without a protocol the relay notices once the handshake is over.
            Ok(stream) => match ask(stream, &[VERSION, 0, 0]).await {
                Err(error) => error,
                Ok(answer) => panic!("{protocols:?}: {answer:?}"),
            },
        };
        drop(told);
    }
    let without = Harness::start("").await;
    assert!(visit(&without, &[JOIN_PROTOCOL], None).await.is_err());
}

async fn renew(
    relay: &Harness,
    identity: Option<&Issued>,
    bytes: &[u8],
) -> io::Result<EnrolmentAnswer> {
    let stream = visit(relay, &[RENEW_PROTOCOL], identity).await?;
    ask(stream, bytes).await
}

fn agent(by: &CertificateAuthority) -> Issued {
    let tunnel = name("edge-1.acme");
    issue(by, Kind::Agent { tunnel })
}

#[tokio::test]
async fn renewal_is_for_agents_that_the_relay_believes() {
    let relay = Harness::start(ENROLMENT).await;
    let caller = Kind::Caller {
        common_name: "edge-1.acme".to_owned(),
        uri: None,
    };
    let question = renewing("edge-1.acme");
    for (what, identity) in [
        ("no certificate", None),
        ("another authority", Some(agent(&authority("agents")))),
        ("no agent", Some(issue(&relay.agents_authority, caller))),
    ] {
        let answer = renew(&relay, identity.as_ref(), &question).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
    }
    // By the right authority, but not through the register: somebody has its key, or had.
    let by_hand = agent(&relay.agents_authority);
    let answer = renew(&relay, Some(&by_hand), &question).await.unwrap();
    assert_eq!(refusal(&answer), EnrolmentRefusal::NotRenewable);
}

#[tokio::test]
async fn renewal_keeps_the_name_and_ends_with_the_revocation() {
    let relay = Harness::start(ENROLMENT).await;
    let token = token(&relay, "edge-1.acme").await;
    let key = RequestedKey::for_tunnel(&name("edge-1.acme")).unwrap();
    let question = EnrolmentQuestion::Join {
        id: token.id,
        secret: token.secret,
        request: key.request,
    };
    let given = grant(join(&relay, &question.encode().unwrap()).await);
    let joined = Issued {
        cert_pem: pem::encode("CERTIFICATE", &given.chain[0]),
        key_pem: key.key_pem,
        ca_pem: String::new(),
    };
    for (question, expected) in [
        (renewing("edge-2.acme"), EnrolmentRefusal::RequestRefused),
        (joining(&token, "edge-1.acme"), EnrolmentRefusal::Malformed),
    ] {
        let answer = renew(&relay, Some(&joined), &question).await.unwrap();
        assert_eq!(refusal(&answer), expected);
    }
    let question = renewing("edge-1.acme");
    grant(renew(&relay, Some(&joined), &question).await.unwrap());

    let tunnel = relay.dial(&joined, 1, 1).await.unwrap();
    until("the tunnel is registered", || relay.tunnel(1).is_some()).await;
    let register = relay.office.as_ref().unwrap().register();
    register
        .revoke(name("edge-1.acme"), SystemClock.now())
        .await
        .unwrap();
    // Within a quarter of a second the handshake itself refuses; until then the office does.
    if let Ok(answer) = renew(&relay, Some(&joined), &question).await {
        assert_eq!(refusal(&answer), EnrolmentRefusal::NotRenewable);
    }
    // Whoever looks is told that, and not that something broke: at the tunnel's end, and when the agent comes again.
    until("the tunnel ends", || {
        let ends = relay.view.clusters();
        let end = ends.first().and_then(|cluster| cluster.last_end);
        end.is_some_and(|end| end.reason == "CertificateRevoked")
    })
    .await;
    drop(tunnel);
    assert!(relay.dial(&joined, 1, 2).await.is_err());
    until("the refusal is counted", || {
        let counted = relay.scrape();
        ["ends", "handshakes"].iter().all(|what| {
            let line = format!(
                "relay_tunnel_{what}_total{{transport=\"quic\",outcome=\"CertificateRevoked\"}} 1"
            );
            counted.contains(&line)
        })
    })
    .await;
}
