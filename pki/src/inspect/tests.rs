use super::*;
use crate::fixture::{
    Ca, DAY, EMAIL, NOW, SERVER_AUTH, alternative_names, dns_name, extended_key_usage, uri,
};

fn seen(der: &[u8]) -> CertificateSummary {
    inspect_certificates(pem::encode("CERTIFICATE", der).as_bytes())
        .unwrap()
        .pop()
        .unwrap()
}

#[test]
fn everything_worth_knowing_is_told() {
    let ca = Ca::root("ca");
    let names = alternative_names(&[dns_name("a.example.com"), uri("spiffe://a/b")]);
    let leaf = ca.sign(&ca.draft("alice").with(names));
    let seen = seen(&leaf);
    assert_eq!(
        (seen.subject.as_str(), seen.issuer.as_str()),
        ("CN=alice", "CN=ca")
    );
    assert_eq!((seen.serial.as_str(), seen.key.as_str()), ("1234", "P-256"));
    assert_eq!(
        (seen.dns_names, seen.uris),
        (
            vec!["a.example.com".to_owned()],
            vec!["spiffe://a/b".to_owned()]
        )
    );
    assert_eq!(seen.fingerprint, Fingerprint::of(&leaf));
    assert_eq!(seen.not_after, crate::clock::at(NOW + 365 * DAY));
}

#[test]
fn kinds_are_guessed_from_what_decides_elsewhere() {
    let ca = Ca::root("ca");
    let draft = || ca.draft("a");
    let named = |name: &str| alternative_names(&[dns_name(name)]);
    for (draft, kind) in [
        (draft(), "caller"),
        (draft().without(37), "caller"),
        (draft().with(named("one.acme")), "agent"),
        (draft().with(named("a.example.com")), "caller"),
        (
            draft().without(37).with(extended_key_usage(&[SERVER_AUTH])),
            "server",
        ),
        (
            draft().without(37).with(extended_key_usage(&[EMAIL])),
            "other",
        ),
    ] {
        assert_eq!(seen(&ca.sign(&draft)).kind.as_str(), kind);
    }
    assert_eq!(seen(&ca.der).kind.as_str(), "authority");
}

#[test]
fn hostile_names_are_escaped() {
    let ca = Ca::root("ca");
    let names = alternative_names(&[dns_name("a\u{1b}[31m"), uri("b\nc")]);
    let seen = seen(&ca.sign(&ca.draft("d\u{7}").with(names)));
    let all = format!(
        "{}{}{}",
        seen.subject,
        seen.dns_names.concat(),
        seen.uris.concat()
    );
    assert!(all.chars().all(|c| c.is_ascii_graphic()), "{all}");
}

#[test]
fn a_file_with_a_key_is_not_shown() {
    let pem = crate::fixture::new_key().serialize_pem();
    let fault = inspect_certificates(pem.as_bytes()).unwrap_err();
    assert_eq!(fault.reason(), "PrivateKeyAmongCertificates");
}
