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

/// What a verifier says of an agent's certificate .
fn judged(verifier: &AgentVerifier, issued: &Issued) -> Result<(), rustls::Error> {
    let chain = crate::pem::certificates(issued.cert_pem.as_bytes()).unwrap();
    let (leaf, rest) = chain.split_first().unwrap();
    verifier.verify_client_cert(leaf, rest, now()).map(|_| ())
}

#[test]
fn an_account_s_authority_names_clusters_of_that_account_alone() {
    let (relay_s_own, acme_s) = (authority(), authority());
    let listed = |accounts: &[&str]| {
        let accounts = accounts.iter().map(|&account| account.to_owned());
        Accounts::Listed(Arc::new(accounts.collect()))
    };
    let certificate = |by: &CertificateAuthority| [by.anchor().der().clone()];
    let verifier = |accounts: &[&str]| {
        AgentVerifier::new(&certificate(&relay_s_own), clock())
            .unwrap()
            .with_authorities(&certificate(&acme_s), &listed(accounts))
            .unwrap()
    };
    assert_eq!(judged(&verifier(&["acme"]), &agent(&acme_s)), Ok(()));
    assert_eq!(judged(&verifier(&[]), &agent(&relay_s_own)), Ok(()));
    for accounts in [&[][..], &["other"], &["acm"], &["one.acme"], &["one"]] {
        let refused = judged(&verifier(accounts), &agent(&acme_s)).unwrap_err();
        assert!(
            format!("{refused:?}").contains("ForeignAccount"),
            "{refused:?}"
        );
    }
    // One CA under two scopes has both.
    let both = verifier(&["other"])
        .with_authorities(&certificate(&acme_s), &listed(&["acme"]))
        .unwrap();
    assert_eq!(judged(&both, &agent(&acme_s)), Ok(()));
}

#[test]
fn revoked_agents_are_refused_and_late_ones_within_the_grace_only() {
    let ca = authority();
    let late = agent(&ca);
    let clock = Arc::new(ManualClock::new(now()));
    let at_a_time = || {
        let clock: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        AgentVerifier::new(&[ca.anchor().der().clone()], clock).unwrap()
    };
    let leaf = crate::pem::certificates(late.cert_pem.as_bytes())
        .unwrap()
        .remove(0);
    let fingerprint = crate::fingerprint::Fingerprint::of(&leaf);
    let revoked = at_a_time().with_revoked(Arc::new([fingerprint].into()));
    assert_eq!(
        judged(&revoked, &late),
        Err(rustls::Error::InvalidCertificate(CertificateError::Revoked))
    );
    for (every, is_revoked) in [
        (tunnel_name(&[leaf]).unwrap(), true),
        (TunnelName::parse("x.y").unwrap(), false),
    ] {
        let every = crate::fingerprint::Fingerprint::of_every_agent(&every);
        let revoked = at_a_time().with_revoked(Arc::new([every].into()));
        assert_eq!(judged(&revoked, &late).is_err(), is_revoked);
    }
    let grace = Duration::from_secs(100);
    clock.set(at(NOW + 30 * DAY));
    assert_eq!(judged(&at_a_time(), &late), Ok(()));
    for (beyond, without, with) in [(1, false, true), (100, false, true), (101, false, false)] {
        clock.set(at(NOW + 30 * DAY + beyond));
        assert_eq!(judged(&at_a_time(), &late).is_ok(), without, "{beyond}");
        assert_eq!(
            judged(&at_a_time().with_grace(grace), &late).is_ok(),
            with,
            "{beyond}"
        );
        assert_eq!(
            judged(&revoked, &late),
            Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)),
            "its end forgives nothing"
        );
    }
    // Grace says nothing about beginnings.
    clock.set(at(NOW - 301));
    assert!(judged(&at_a_time().with_grace(grace), &late).is_err());
    clock.set(at(NOW + 30 * DAY + 1));
    let revoked = at_a_time()
        .with_grace(grace)
        .with_revoked(Arc::new([fingerprint].into()));
    assert!(judged(&revoked, &late).is_err());
}

/// Looking at the time alone finds what verifying would have found, and lets nothing stay that has ended.
#[test]
fn what_is_in_time_is_what_time_has_not_ended() {
    let ca = CertificateAuthority::create("tunnels", 40, now()).unwrap();
    let late = ca.issue(&Request {
        kind: Kind::Agent {
            tunnel: TunnelName::parse("one.acme").unwrap(),
        },
        lifetime: Duration::from_secs(30 * DAY),
        now: now(),
    });
    let late = late.unwrap();
    let chain = crate::pem::certificates(late.cert_pem.as_bytes()).unwrap();
    let leaf = crate::certificate::Certificate::parse(&chain[0]).unwrap();
    let anchor = ca.anchor();
    let ends = [
        leaf.not_before(),
        leaf.not_after(),
        anchor.not_before(),
        anchor.not_after(),
    ];
    let mut ended = 0;
    for end in ends {
        for moment in [end.as_secs() - 1, end.as_secs(), end.as_secs() + 1] {
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(at(moment)));
            let verifier = AgentVerifier::new(&[anchor.der().clone()], clock).unwrap();
            let accepted = judged(&verifier, &late).is_ok();
            assert_eq!(verifier.is_in_time(&chain), accepted, "{moment}");
            ended += usize::from(!accepted);
        }
    }
    assert!((1..ends.len() * 3).contains(&ended));
    // An authority beside it that has ended is reason enough to verify.
    let old = CertificateAuthority::create("old", 1, at(NOW - 10 * DAY)).unwrap();
    let both = [anchor.der().clone(), old.anchor().der().clone()];
    let verifier = AgentVerifier::new(&both, clock()).unwrap();
    assert!(judged(&verifier, &late).is_ok() && !verifier.is_in_time(&chain));
}

#[test]
fn who_joins_knows_the_relay_by_its_authority_s_fingerprint_alone() {
    let (ca, other) = (authority(), authority());
    let shown = relay(&ca);
    let chain = |certificates: &[&str]| -> Vec<_> {
        let read = |pem: &&str| crate::pem::certificates(pem.as_bytes()).unwrap();
        certificates.iter().flat_map(read).collect()
    };
    let pin = crate::fingerprint::Fingerprint::of(ca.anchor().der());
    let verifier = PinnedRelayVerifier::new(pin, clock());
    let verdict = |chain: &[CertificateDer<'static>], name: &str| {
        let (leaf, rest) = chain.split_first().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(leaf, rest, &name, &[], now())
            .is_ok()
    };
    let whole = chain(&[&shown.cert_pem, ca.certificate_pem()]);
    assert!(verdict(&whole, "relay.example.com"));
    assert!(!verdict(&whole, "other.example.com"), "another name");
    assert!(
        !verdict(&chain(&[&shown.cert_pem]), "relay.example.com"),
        "the authority is not shown"
    );
    let impostor = relay(&other);
    let beside = chain(&[
        &impostor.cert_pem,
        ca.certificate_pem(),
        other.certificate_pem(),
    ]);
    assert!(
        !verdict(&beside, "relay.example.com"),
        "shown beside a chain of another"
    );
    let alone = chain(&[ca.certificate_pem(), ca.certificate_pem()]);
    assert!(
        !verdict(&alone, "relay.example.com"),
        "the authority itself"
    );
    let agent = agent(&ca);
    let usage = chain(&[&agent.cert_pem, ca.certificate_pem()]);
    assert!(
        !verdict(&usage, "one.acme"),
        "an agent of the same authority"
    );
}
