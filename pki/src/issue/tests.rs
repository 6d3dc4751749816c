use std::time::Duration;

use rustls_pki_types::UnixTime;

use super::*;
use crate::certificate::Certificate;
use crate::clock::at;
use crate::fixture::{Ca, DAY, NOW, common_name, now, two_common_names};
use crate::inspect::{CertificateSummary, KindGuess, inspect_certificates};
use crate::pem;
use crate::prefix::Prefix;
use crate::provider::{Provider, ProviderId, UsernameFrom};
use crate::tunnel_name::TunnelName;

fn authority() -> CertificateAuthority {
    CertificateAuthority::create("test", 365, now()).unwrap()
}

fn request(kind: Kind) -> Request {
    Request {
        kind,
        lifetime: Duration::from_secs(DAY),
        now: now(),
    }
}

fn caller(name: &str) -> Kind {
    Kind::Caller {
        common_name: name.to_owned(),
        uri: None,
    }
}

fn summary(pem: &str) -> CertificateSummary {
    inspect_certificates(pem.as_bytes()).unwrap().pop().unwrap()
}

#[test]
fn a_new_authority_issues_leaves_only() {
    let ca = authority();
    let seen = summary(ca.certificate_pem());
    assert_eq!(
        (seen.kind, seen.is_authority, seen.subject.as_str()),
        (KindGuess::Authority, true, "CN=test")
    );
    assert_eq!(
        (seen.not_before, seen.not_after),
        (at(NOW - 300), at(NOW + 365 * DAY))
    );
    assert_eq!(ca.anchor().path_length(), Some(0));
    let shown = format!("{ca:?} {:?}", ca.issue(&request(caller("a"))).unwrap());
    assert!(!shown.contains("PRIVATE KEY"));
    for wrong in ["", " a", "a\n"] {
        assert!(matches!(
            CertificateAuthority::create(wrong, 1, now()),
            Err(IssueFault::Name(_))
        ));
    }
    assert!(matches!(
        CertificateAuthority::create("a", 0, now()),
        Err(IssueFault::Lifetime)
    ));
    let endless = CertificateAuthority::create("a", u32::MAX, now());
    assert!(matches!(endless, Err(IssueFault::Lifetime)));
}

#[test]
fn each_kind_has_its_names_and_one_purpose() {
    let ca = authority();
    let tunnel = TunnelName::parse("one.acme").unwrap();
    let uri = Some("spiffe://a/ns/x".to_owned());
    let host = "one.acme.example.com".to_owned();
    let hosts = vec![
        "relay.example.com".to_owned(),
        "192.0.2.1".to_owned(),
        "::1".to_owned(),
    ];
    for (kind, guess, purpose, names) in [
        (caller("alice"), KindGuess::Caller, "clientAuth", [0, 0, 0]),
        (
            Kind::Caller {
                common_name: "a".to_owned(),
                uri,
            },
            KindGuess::Caller,
            "clientAuth",
            [0, 0, 1],
        ),
        (
            Kind::Exit {
                dns_names: vec![host],
            },
            KindGuess::Server,
            "serverAuth",
            [1, 0, 0],
        ),
        (
            Kind::Agent { tunnel },
            KindGuess::Agent,
            "clientAuth",
            [1, 0, 0],
        ),
        (
            Kind::Relay { hosts },
            KindGuess::Server,
            "serverAuth",
            [1, 2, 0],
        ),
    ] {
        let issued = ca.issue(&request(kind.clone())).unwrap();
        let seen = summary(&issued.cert_pem);
        assert_eq!(seen.kind, guess, "{kind:?}");
        assert_eq!(seen.extended_key_usages, [purpose]);
        assert_eq!(
            [
                seen.dns_names.len(),
                seen.ip_addresses.len(),
                seen.uris.len()
            ],
            names
        );
        assert!(!seen.is_authority);
        assert_eq!(seen.key, "P-256");
        assert_eq!(issued.ca_pem, ca.certificate_pem());
    }
}

#[test]
fn serials_are_random_and_key_ids_are_set() {
    let ca = authority();
    let serials: std::collections::HashSet<_> = (0..50)
        .map(|_| {
            let issued = ca.issue(&request(caller("a"))).unwrap();
            let der = pem::certificates(issued.cert_pem.as_bytes())
                .unwrap()
                .remove(0);
            let leaf = Certificate::parse(&der).unwrap();
            assert_eq!(leaf.authority_key_id(), Some(ca.anchor().key_id()));
            assert!(leaf.key_id().is_some());
            leaf.serial().unwrap().to_string()
        })
        .collect();
    assert_eq!(serials.len(), 50);
    assert!(
        serials
            .iter()
            .all(|s| s.len() == 32 && s.starts_with(['4', '5', '6', '7']))
    );
}

#[test]
fn what_is_issued_is_identified() {
    let ca = authority();
    let long = format!("ns/{}/id/{}", "n".repeat(63), "i".repeat(253));
    let prefix = Prefix::parse("spiffe://a/").unwrap();
    let id = ProviderId::new("default", "p");
    let trusted = |from| {
        let anchors = vec![ca.anchor().clone()];
        let provider = Provider::new(id.clone(), prefix.clone(), anchors, from, Vec::new());
        crate::fixture::bundle(vec![provider.unwrap()])
    };
    let kind = Kind::Caller {
        common_name: long.clone(),
        uri: Some("spiffe://a/x".to_owned()),
    };
    let issued = ca.issue(&request(kind)).unwrap();
    let chain = pem::certificates(issued.cert_pem.as_bytes()).unwrap();
    let who = crate::identify(&trusted(UsernameFrom::CommonName), &chain, now()).unwrap();
    assert_eq!(who.username(), format!("spiffe://a/{long}"));
    let who = crate::identify(&trusted(UsernameFrom::Uri), &chain, now()).unwrap();
    assert_eq!(who.username(), "spiffe://a/x");
}

#[test]
fn names_that_nobody_could_use_are_not_issued() {
    let ca = authority();
    let uri = |uri: &str| Kind::Caller {
        common_name: "a".to_owned(),
        uri: Some(uri.to_owned()),
    };
    let exit = |name: &str| Kind::Exit {
        dns_names: vec![name.to_owned()],
    };
    let relay = |name: &str| Kind::Relay {
        hosts: vec![name.to_owned()],
    };
    for (kind, reason) in [
        (caller(""), "UnusableName"),
        (caller("a\nb"), "UnusableName"),
        (caller("é"), "UnusableName"),
        (caller(&"a".repeat(2049)), "UnusableName"),
        (uri("spiffe://a/../b"), "UnusableName"),
        (uri("no uri"), "UnusableName"),
        (exit("*.example.com"), "NotAHostName"),
        (exit("a b"), "NotAHostName"),
        (exit("192.0.2.1"), "NotAHostName"),
        (relay("a/b"), "NotAHostName"),
        (relay(""), "NotAHostName"),
        (
            Kind::Exit {
                dns_names: Vec::new(),
            },
            "NoHostName",
        ),
        (Kind::Relay { hosts: Vec::new() }, "NoHostName"),
    ] {
        assert_eq!(
            ca.issue(&request(kind.clone())).unwrap_err().reason(),
            reason,
            "{kind:?}"
        );
    }
    let long_host = format!("{}.{}.example.com", "a".repeat(63), "b".repeat(63));
    assert!(ca.issue(&request(exit(&long_host))).is_ok());
}

#[test]
fn lifetimes_stay_within_the_authority_s() {
    let ca = authority();
    let issue = |now: UnixTime, seconds: u64| {
        let lifetime = Duration::from_secs(seconds);
        ca.issue(&Request {
            kind: caller("a"),
            lifetime,
            now,
        })
        .map(|i| summary(&i.cert_pem))
    };
    let long = issue(now(), 3650 * DAY).unwrap();
    assert_eq!(long.not_after, at(NOW + 365 * DAY));
    let short = issue(now(), DAY).unwrap();
    assert_eq!(
        (short.not_before, short.not_after),
        (at(NOW - 300), at(NOW + DAY))
    );
    let short = issue(now(), DAY).unwrap();
    assert_eq!(short.not_before, at(NOW - 300));
    assert_eq!(short.not_after, at(NOW + DAY));
    let early = issue(at(NOW - 200), DAY).unwrap();
    assert_eq!(early.not_before, at(NOW - 300), "not before the CA");
    assert_eq!(issue(now(), 0).unwrap_err().reason(), "InvalidLifetime");
    assert_eq!(
        issue(now(), u64::MAX).unwrap_err().reason(),
        "InvalidLifetime"
    );
    assert_eq!(
        issue(at(NOW - 301), DAY).unwrap_err().reason(),
        "AuthorityNotValid"
    );
    assert_eq!(
        issue(at(NOW + 365 * DAY + 1), DAY).unwrap_err().reason(),
        "AuthorityNotValid"
    );
}

#[test]
fn an_authority_is_loaded_again() {
    let ca = authority();
    let (certificate, key) = (ca.certificate_pem().to_owned(), ca.key_pem());
    let loaded = CertificateAuthority::load(&certificate, &key).unwrap();
    assert!(loaded.issue(&request(caller("a"))).is_ok());
    assert_eq!(loaded.anchor().fingerprint(), ca.anchor().fingerprint());
    let reason = |certificate: &str, key: &str| {
        CertificateAuthority::load(certificate, key)
            .unwrap_err()
            .reason()
    };
    assert_eq!(reason(&certificate, &authority().key_pem()), "KeyMismatch");
    assert_eq!(reason("", &key), "NoCertificate");
    assert_eq!(reason(&certificate, ""), "NoPrivateKey");
    let leaf = ca.issue(&request(caller("a"))).unwrap();
    assert_eq!(
        reason(&leaf.cert_pem, &leaf.key_pem),
        "AnchorNotAnAuthority"
    );
}

/// CAs of openssl, of Kubernetes and of nobody in particular.
#[test]
fn foreign_authorities_work_or_say_that_they_do_not() {
    let load = |ca: &Ca| {
        let certificate = pem::encode("CERTIFICATE", &ca.der);
        CertificateAuthority::load(&certificate, &ca.key.serialize_pem())
    };
    let other_tag = crate::fixture::common_name_as(crate::fixture::PRINTABLE, b"kubernetes");
    for subject in [common_name("kubernetes"), other_tag] {
        let ca = load(&Ca::root_as(subject, |draft| draft)).unwrap();
        assert!(ca.issue(&request(caller("a"))).is_ok());
    }
    // rcgen keeps one value an attribute: the issuer's name would be another.
    let ca = load(&Ca::root_as(two_common_names("a", "b", false), |draft| {
        draft
    }))
    .unwrap();
    assert_eq!(
        ca.issue(&request(caller("a"))).unwrap_err().reason(),
        "Unverifiable"
    );
}
