use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls_pki_types::{ServerName, UnixTime};

use super::*;
use crate::clock::{Clock, ManualClock, at};
use crate::fixture::handshake::{VERSIONS, client, credential, server, shake_hands};
use crate::fixture::{
    CLIENT_AUTH, Ca, DAY, Draft, NOW, SERVER_AUTH, alternative_names, dns_name, extended_key_usage,
    now, uri,
};
use crate::issue::{CertificateAuthority, Issued, Kind, Request};
use rustls::server::danger::ClientCertVerifier;

const LIFETIME: Duration = Duration::from_secs(30 * DAY);

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::new(now()))
}

fn authority() -> CertificateAuthority {
    CertificateAuthority::create("tunnels", 3650, now()).unwrap()
}

fn issued(by: &CertificateAuthority, kind: Kind) -> Issued {
    by.issue(&Request {
        kind,
        lifetime: LIFETIME,
        now: now(),
    })
    .unwrap()
}

fn agent(by: &CertificateAuthority) -> Issued {
    issued(
        by,
        Kind::Agent {
            tunnel: TunnelName::parse("one.acme").unwrap(),
        },
    )
}

fn relay(by: &CertificateAuthority) -> Issued {
    issued(
        by,
        Kind::Relay {
            hosts: vec!["relay.example.com".to_owned(), "::1".to_owned()],
        },
    )
}

fn agents(by: &CertificateAuthority) -> Arc<AgentVerifier> {
    Arc::new(AgentVerifier::new(&[by.anchor().der().clone()], clock()).unwrap())
}

fn relays(by: &CertificateAuthority) -> Arc<RelayVerifier> {
    Arc::new(RelayVerifier::new(&[by.anchor().der().clone()], clock()).unwrap())
}

#[test]
fn agent_and_relay_know_one_another_afterwards() {
    let (of_agents, of_relays) = (authority(), authority());
    for version in VERSIONS {
        for name in ["relay.example.com", "::1"] {
            let client = client(
                version,
                relays(&of_relays),
                Some(credential(&agent(&of_agents))),
            );
            let server = server(version, agents(&of_agents), credential(&relay(&of_relays)));
            let chain = shake_hands(client, server, name).unwrap();
            assert_eq!(tunnel_name(&chain).unwrap().as_str(), "one.acme");
        }
    }
}

#[test]
fn a_peer_without_the_right_certificate_is_refused() {
    let (of_agents, of_relays, strange) = (authority(), authority(), authority());
    let named = |name: &str| Kind::Caller {
        common_name: name.to_owned(),
        uri: None,
    };
    for version in VERSIONS {
        for (own, by, name) in [
            (None, &of_relays, "relay.example.com"),
            (Some(agent(&strange)), &of_relays, "relay.example.com"),
            (
                Some(issued(&of_agents, named("one.acme"))),
                &of_relays,
                "relay.example.com",
            ),
            (Some(relay(&of_agents)), &of_relays, "relay.example.com"),
            (Some(agent(&of_agents)), &strange, "relay.example.com"),
            (Some(agent(&of_agents)), &of_relays, "other.example.com"),
        ] {
            let client = client(version, relays(&of_relays), own.as_ref().map(credential));
            let server = server(version, agents(&of_agents), credential(&relay(by)));
            assert!(shake_hands(client, server, name).is_err());
        }
    }
}

#[test]
fn a_borrowed_certificate_is_worth_nothing_without_its_key() {
    let of_agents = authority();
    let mut thief = credential(&agent(&authority()));
    let own = credential(&agent(&of_agents));
    thief.0 = own.0;
    let key = crate::crypto::provider()
        .key_provider
        .load_private_key(thief.1)
        .unwrap();
    let stolen = Arc::new(rustls::sign::CertifiedKey::new(thief.0, key));
    let provider = crate::crypto::provider();
    for version in VERSIONS {
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[version])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(relays(&of_agents))
            .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(Arc::clone(
                &stolen,
            ))));
        let server = server(version, agents(&of_agents), credential(&relay(&of_agents)));
        let refused = shake_hands(Arc::new(config), server, "relay.example.com").unwrap_err();
        let bad = CertificateError::BadSignature;
        assert_eq!(refused, rustls::Error::InvalidCertificate(bad));
    }
}

fn verdict(ca: &Ca, edit: impl Fn(Draft) -> Draft, at: UnixTime) -> Result<(), rustls::Error> {
    let clock = Arc::new(ManualClock::new(at));
    let verifier = AgentVerifier::new(std::slice::from_ref(&ca.der), clock).unwrap();
    assert!(verifier.client_auth_mandatory() && verifier.root_hint_subjects().is_empty());
    let leaf = ca.sign(&edit(ca.draft("one.acme")));
    // What the TLS library thinks the time is does not matter.
    verifier
        .verify_client_cert(&leaf, &[], UnixTime::now())
        .map(|_verified| ())
}

#[test]
fn an_agent_says_client_auth_and_names_exactly_one_tunnel() {
    let ca = Ca::root("agents");
    let dns = |names: &[&str]| -> Vec<Vec<u8>> { names.iter().map(|n| dns_name(n)).collect() };
    let with = |names: Vec<Vec<u8>>| {
        verdict(&ca, |draft| draft.with(alternative_names(&names)), now()).is_ok()
    };
    assert!(with(dns(&["one.acme"])));
    assert!(with(
        [dns(&["one.acme"]), vec![uri("spiffe://x/y")]].concat()
    ));
    for names in [
        dns(&["one.acme", "two.acme"]),
        dns(&["one.acme", "one.acme"]),
        dns(&["acme"]),
        dns(&["one.acme.example.com"]),
        dns(&["*.acme"]),
        dns(&["One.acme"]),
        dns(&["one.acme."]),
        vec![uri("spiffe://x/y")],
        vec![der_bytes()],
    ] {
        assert!(!with(names));
    }
    assert!(
        verdict(&ca, |draft| draft, now()).is_err(),
        "no name at all"
    );
    let named = |draft: Draft| draft.with(alternative_names(&[dns_name("one.acme")]));
    for purposes in [vec![], vec![SERVER_AUTH]] {
        let edit = |draft: Draft| {
            let draft = named(draft.without(37));
            if purposes.is_empty() {
                draft
            } else {
                draft.with(extended_key_usage(&purposes))
            }
        };
        let invalid = rustls::Error::InvalidCertificate(CertificateError::InvalidPurpose);
        assert_eq!(verdict(&ca, edit, now()), Err(invalid));
    }
    let both = |draft: Draft| {
        named(draft.without(37)).with(extended_key_usage(&[SERVER_AUTH, CLIENT_AUTH]))
    };
    assert_eq!(verdict(&ca, both, now()), Ok(()));
    let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
    assert_eq!(verdict(&ca, named, at(NOW + 400 * DAY)), Err(expired));
}

/// A DNS name that is no text.
fn der_bytes() -> Vec<u8> {
    crate::fixture::der(0x82, b"\xff\xfe")
}

#[test]
fn a_relay_says_server_auth() {
    let ca = Ca::root("relays");
    let verifier = RelayVerifier::new(std::slice::from_ref(&ca.der), clock()).unwrap();
    let named = |draft: Draft| draft.with(alternative_names(&[dns_name("r.example.com")]));
    let ask = |draft: Draft, name: &'static str| {
        let name = ServerName::try_from(name).unwrap();
        let leaf = ca.sign(&draft);
        verifier
            .verify_server_cert(&leaf, &[], &name, &[], UnixTime::now())
            .is_ok()
    };
    let draft = || named(ca.draft("r.example.com").without(37));
    assert!(ask(
        draft().with(extended_key_usage(&[SERVER_AUTH])),
        "r.example.com"
    ));
    assert!(!ask(
        draft().with(extended_key_usage(&[SERVER_AUTH])),
        "s.example.com"
    ));
    assert!(!ask(
        draft().with(extended_key_usage(&[CLIENT_AUTH])),
        "r.example.com"
    ));
    assert!(!ask(draft(), "r.example.com"), "must be said");
    let unnamed = ca
        .draft("r.example.com")
        .without(37)
        .with(extended_key_usage(&[SERVER_AUTH]));
    assert!(
        !ask(unnamed, "r.example.com"),
        "the common name is no host name"
    );
}

#[test]
fn verifiers_need_authorities() {
    assert_eq!(
        AgentVerifier::new(&[], clock()).unwrap_err(),
        VerifierFault::NoAnchors
    );
    let ca = Ca::root("ca");
    let fault = RelayVerifier::new(&[ca.der.clone(), ca.leaf("a")], clock()).unwrap_err();
    assert!(
        matches!(fault, VerifierFault::Anchor { position: 2, .. }),
        "{fault:?}"
    );
    assert_eq!(fault.reason(), "AnchorNotAnAuthority");
}
