use gangplank_pki::{TrustAnchor, TunnelName, pem};
use serde_json::json;

use super::*;
use crate::fixture::authority_pem;

fn anchors(common_name: &str) -> Vec<TrustAnchor> {
    let der = pem::certificates(authority_pem(common_name).as_bytes()).unwrap();
    der.into_iter()
        .map(|der| TrustAnchor::parse(der).unwrap())
        .collect()
}

fn invitation() -> Invitation {
    let offer = Offer::new("namespace-b", &["view".to_owned(), "edit".to_owned()]).unwrap();
    Invitation::new(
        TunnelName::parse("target-cluster.user-abcdef").unwrap(),
        "https://target-cluster.user-abcdef.tunnels.example.com",
        anchors("exit of the target"),
        offer,
    )
    .unwrap()
}

fn answer() -> Answer {
    Answer::to(
        &invitation(),
        TunnelName::parse("source-cluster.user-abcdef").unwrap(),
        anchors("identities of the source"),
        ("team-a", "default"),
    )
    .unwrap()
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// The letter's JSON in the order of its fields, with one thing changed.
fn altered(letter: &Letter, from: &str, to: &str) -> String {
    let json = String::from_utf8(URL_SAFE_NO_PAD.decode(letter.text()).unwrap()).unwrap();
    assert!(json.contains(from), "{json}");
    URL_SAFE_NO_PAD.encode(json.replacen(from, to, 1))
}

#[test]
fn a_letter_reads_what_it_writes() {
    let text = Letter::Invitation(invitation()).text();
    let Ok(Letter::Invitation(read)) = Letter::parse(&format!(" {text}\n")) else {
        panic!("an invitation")
    };
    assert_eq!(read.cluster().as_str(), "target-cluster.user-abcdef");
    assert_eq!(read.offer().namespace(), "namespace-b");
    assert_eq!(read.offer().roles(), ["edit", "view"]);
    let text = Letter::Answer(answer()).text();
    let Ok(Letter::Answer(read)) = Letter::parse(&text) else {
        panic!("an answer")
    };
    assert_eq!(read.common_name(), "ns/team-a/id/default");
    assert_eq!(read.inviter().as_str(), "target-cluster.user-abcdef");
    assert_eq!(Letter::Answer(read).text(), text);
}

#[test]
fn a_letter_can_be_told_at_a_glance_and_holds_nothing_but_its_fields() {
    let text = Letter::Invitation(invitation()).text();
    assert!(
        text.starts_with("eyJnYW5ncGxhbmsiOiJpbnZpdGF0aW9uLzEi"),
        "{text}"
    );
    let json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    let mut wanted = ["gangplank", "cluster", "server", "certificates", "offer"];
    wanted.sort_unstable();
    let mut keys = keys;
    keys.sort_unstable();
    assert_eq!(keys, wanted);
}

/// Whatever is altered, the fingerprint is another one, or the letter is none any more.
#[test]
fn no_alteration_keeps_the_fingerprint() {
    let letter = Letter::Invitation(invitation());
    for (from, to) in [
        ("tunnels.example.com", "tunnels.example.org"),
        ("target-cluster", "other-cluster"),
        ("namespace-b", "kube-system"),
        ("\"edit\"", "\"cluster-admin\""),
    ] {
        if let Ok(read) = Letter::parse(&altered(&letter, from, to)) {
            assert_ne!(read.fingerprint(), letter.fingerprint(), "{from}");
        }
    }
    let text = letter.text();
    for index in (0..text.len()).step_by(7) {
        let mut bytes = text.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let other = String::from_utf8(bytes).unwrap();
        if let Ok(read) = Letter::parse(&other) {
            assert_ne!(read.fingerprint(), letter.fingerprint(), "at {index}");
        }
    }
}

#[test]
fn the_same_in_another_form_is_refused() {
    let letter = Letter::Invitation(invitation());
    let roles = altered(&letter, "[\"edit\",\"view\"]", "[\"view\",\"edit\"]");
    assert_eq!(Letter::parse(&roles).unwrap_err(), LetterFault::OtherForm);
    let blank = altered(&letter, "\",\"server", "\", \"server");
    assert_eq!(Letter::parse(&blank).unwrap_err(), LetterFault::OtherForm);
}

#[test]
fn what_is_no_letter_is_refused_with_a_reason() {
    let letter = Letter::Invitation(invitation());
    let text = letter.text();
    let cut: String = text.chars().take(text.len() / 2).collect();
    for none in [
        "",
        "hello",
        "e30",
        &cut,
        &format!("{text}=="),
        &text.to_lowercase(),
    ] {
        assert_eq!(
            Letter::parse(none).unwrap_err(),
            LetterFault::NotWhole,
            "{none}"
        );
    }
    let long = "A".repeat(LONGEST + 1);
    assert!(matches!(
        Letter::parse(&long),
        Err(LetterFault::TooLong { .. })
    ));
    let later = encoded(&json!({"gangplank": "invitation/2", "more": 1}));
    let fault = Letter::parse(&later).unwrap_err();
    assert!(matches!(&fault, LetterFault::Unknown { what } if what == "invitation/2"));
    let unknown = altered(&letter, "\"offer\"", "\"groups\":[],\"offer\"");
    assert!(matches!(
        Letter::parse(&unknown),
        Err(LetterFault::Fields { .. })
    ));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_field() {
    let letter = Letter::Invitation(invitation());
    for (from, to, field) in [
        ("https://", "http://", "server"),
        ("tunnels.example.com", "tunnels.example.com/path", "server"),
        ("tunnels.example.com", "me@tunnels.example.com", "server"),
        ("tunnels.example.com", "\\u001b[2J", "server"),
        ("target-cluster.user-abcdef\"", "Target.x\"", "cluster"),
        ("namespace-b", "Namespace B", "namespace"),
        ("\"edit\"", "\"../edit\"", "role"),
        ("[\"edit\",\"view\"]", "[]", "role"),
        (
            "certificates\":[\"",
            "certificates\":[\"AAAA",
            "certificates",
        ),
    ] {
        let fault = Letter::parse(&altered(&letter, from, to)).unwrap_err();
        let LetterFault::Field(fault) = fault else {
            panic!("{to}: {fault}")
        };
        assert!(fault.to_string().starts_with(field), "{to}: {fault}");
    }
}

/// Somebody else's certificate that says nothing of an authority is not one to be trusted.
#[test]
fn certificates_of_callers_are_no_authorities() {
    let authority = crate::fixture::authority("somebody");
    let kind = gangplank_pki::issue::Kind::Caller {
        common_name: "ns/a/id/b".to_owned(),
        uri: None,
    };
    let leaf = crate::fixture::issued(&authority, kind).cert_pem;
    let der = pem::certificates(leaf.as_bytes()).unwrap();
    let letter = Letter::Invitation(invitation());
    let json = String::from_utf8(URL_SAFE_NO_PAD.decode(letter.text()).unwrap()).unwrap();
    let value: Value = serde_json::from_str(&json).unwrap();
    let there = value["certificates"][0].as_str().unwrap();
    let leaf = base64::engine::general_purpose::STANDARD.encode(&der[0]);
    let text = URL_SAFE_NO_PAD.encode(json.replacen(there, &leaf, 1));
    assert!(matches!(Letter::parse(&text), Err(LetterFault::Field(_))));
}
