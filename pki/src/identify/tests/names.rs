//! Which names become usernames.

use proptest::prelude::*;

use super::*;
use crate::fixture::{
    BMP, IA5, PRINTABLE, TELETEX, UNIVERSAL, UTF8, alternative_names, common_name_as, name,
    provider_from, two_common_names, uri,
};
use crate::provider::UsernameFrom;

fn named(ca: &Ca, subject: Vec<u8>) -> String {
    verdict(ca, &[ca.sign(&ca.draft("").named(subject))])
}

/// A33, A34
#[test]
fn the_encoding_of_a_common_name_makes_no_other_user() {
    let ca = Ca::root("ca");
    for (tag, value, expected) in [
        (UTF8, b"ab".as_slice(), "p:ab"),
        (PRINTABLE, b"ab", "p:ab"),
        (IA5, b"ab", "p:ab"),
        (PRINTABLE, b"a*b@c_d", "p:a*b@c_d"),
        (BMP, b"\0a\0b", "UnusableName"),
        (BMP, b"ab", "UnusableName"),
        (TELETEX, b"ab", "UnusableName"),
        (UNIVERSAL, b"\0\0\0a", "UnusableName"),
        (4, b"ab", "UnusableName"),
        (UTF8, "é".as_bytes(), "UnusableName"),
        (UTF8, "😀".as_bytes(), "UnusableName"),
        (UTF8, "a\u{202e}b".as_bytes(), "UnusableName"),
    ] {
        assert_eq!(
            named(&ca, common_name_as(tag, value)),
            expected,
            "{tag} {value:?}"
        );
    }
    for broken in [b"\xff".as_slice(), b"\xc0\xaf", b"a\xc3", b"\xed\xa0\x80"] {
        let answer = named(&ca, common_name_as(UTF8, broken));
        assert!(
            matches!(answer.as_str(), "UnusableName" | "Malformed"),
            "{broken:?}: {answer}"
        );
    }
}

#[test]
fn exactly_one_common_name_that_is_printable() {
    let ca = Ca::root("ca");
    let single = |text: &str| common_name_as(UTF8, text.as_bytes());
    for (case, subject, expected) in [
        ("none", name(&[]), "UnusableName"),
        (
            "other attributes",
            name(&[(&[85, 4, 10], UTF8, b"a")]),
            "UnusableName",
        ),
        ("two", two_common_names("a", "b", false), "UnusableName"),
        (
            "two in one",
            two_common_names("a", "b", true),
            "UnusableName",
        ),
        (
            "twice the same",
            two_common_names("a", "a", false),
            "UnusableName",
        ),
        ("empty", single(""), "UnusableName"),
        ("blank", single(" "), "UnusableName"),
        ("leading", single(" a"), "UnusableName"),
        ("trailing", single("a "), "UnusableName"),
        ("inner", single("a b"), "p:a b"),
        ("tab", single("a\tb"), "UnusableName"),
        (
            "line",
            single("a\r\nImpersonate-Group: system:masters"),
            "UnusableName",
        ),
        ("nul", single("a\0b"), "UnusableName"),
        ("del", single("a\u{7f}"), "UnusableName"),
        ("system", single("system:masters"), "p:system:masters"),
    ] {
        assert_eq!(named(&ca, subject), expected, "{case}");
    }
}

/// A36
#[test]
fn long_names_pass_and_endless_ones_do_not() {
    let ca = Ca::root("ca");
    let long = format!("ns/{}/id/{}", "n".repeat(63), "i".repeat(253));
    assert_eq!(long.len(), 323);
    assert_eq!(
        named(&ca, common_name_as(UTF8, long.as_bytes())),
        format!("p:{long}")
    );
    let most = "a".repeat(2048);
    assert_eq!(
        named(&ca, common_name_as(UTF8, most.as_bytes())),
        format!("p:{most}")
    );
    assert_eq!(
        named(&ca, common_name_as(UTF8, &[b'a'; 2049])),
        "UnusableName"
    );
    assert_eq!(
        named(&ca, common_name_as(UTF8, &[b'a'; 65_536])),
        "Malformed"
    );
}

/// A38
#[test]
fn common_names_are_literal() {
    let ca = Ca::root("ca");
    let trusted = bundle(vec![provider("p", "spiffe://a/", &[&ca])]);
    for text in [
        "../b/ns/x",
        "ns/./x",
        "ns//x",
        "/ns/x",
        "ns/x/",
        "ns%2Fx",
        "ns/x?y#z",
        "a\\b",
    ] {
        let who = identify(&trusted, &[ca.leaf(text)], now()).unwrap();
        assert_eq!(who.username(), format!("spiffe://a/{text}"));
        assert_eq!(who.name(), text);
    }
}

fn uri_verdict(uris: &[&str]) -> String {
    let ca = Ca::root("ca");
    let trusted = bundle(vec![provider_from(
        "p",
        "spiffe://a/ns/",
        &[&ca],
        UsernameFrom::Uri,
    )]);
    let names: Vec<_> = uris.iter().map(|text| uri(text)).collect();
    let draft = ca.draft("the common name is ignored");
    let draft = if names.is_empty() {
        draft
    } else {
        draft.with(alternative_names(&names))
    };
    said(identify(&trusted, &[ca.sign(&draft)], now()))
}

#[test]
fn a_uri_is_the_username_by_spiffe_rules() {
    assert_eq!(
        uri_verdict(&["spiffe://a/ns/x/sa/y"]),
        "spiffe://a/ns/x/sa/y"
    );
    assert_eq!(
        uri_verdict(&["spiffe://a/ns/X_y-z.1"]),
        "spiffe://a/ns/X_y-z.1"
    );
    let endless = format!("spiffe://a/ns/{}", "x".repeat(2048));
    for refused in [
        vec![],
        vec!["spiffe://a/ns/x", "spiffe://a/ns/y"],
        vec!["spiffe://a/ns/x", "https://elsewhere/"],
        vec!["spiffe://b/ns/x"],
        vec!["SPIFFE://a/ns/x"],
        vec!["spiffe://a/ns/"],
        vec!["spiffe://a/ns"],
        vec!["spiffe://a/nsx"],
        vec!["spiffe://a/ns/../admin"],
        vec!["spiffe://a/ns/./x"],
        vec!["spiffe://a/ns//x"],
        vec!["spiffe://a/ns/x/"],
        vec!["spiffe://a/ns/x%2fy"],
        vec!["spiffe://a/ns/x?y"],
        vec!["spiffe://a/ns/x#y"],
        vec!["spiffe://a/ns/x y"],
        vec!["spiffe://a/ns/é"],
        vec!["spiffe://a/ns/x\0"],
        vec![endless.as_str()],
    ] {
        assert_eq!(uri_verdict(&refused), "UnusableName", "{refused:?}");
    }
}

#[test]
fn the_field_not_chosen_is_ignored() {
    let ca = Ca::root("ca");
    let two_uris = alternative_names(&[uri("spiffe://x/../y"), uri("b")]);
    assert_eq!(
        verdict(&ca, &[ca.sign(&ca.draft("a").with(two_uris))]),
        "p:a"
    );
    let trusted = bundle(vec![provider_from(
        "p",
        "spiffe://a/",
        &[&ca],
        UsernameFrom::Uri,
    )]);
    let draft = ca.draft("").named(two_common_names("a", "b", false));
    let leaf = ca.sign(&draft.with(alternative_names(&[uri("spiffe://a/x")])));
    assert_eq!(said(identify(&trusted, &[leaf], now())), "spiffe://a/x");
}

#[test]
fn groups_are_the_provider_s() {
    let ca = Ca::root("ca");
    let made = |groups: &[&str]| {
        Provider::new(
            ProviderId::new("default", "p"),
            Prefix::parse("p:").unwrap(),
            vec![ca.anchor()],
            UsernameFrom::CommonName,
            groups.iter().map(|group| (*group).to_owned()).collect(),
        )
    };
    let trusted = bundle(vec![made(&["viewers", "auditors", "viewers"]).unwrap()]);
    let subject = name(&[
        (&[85, 4, 10], UTF8, b"system:masters"),
        (&[85, 4, 3], UTF8, b"a"),
    ]);
    let leaf = ca.sign(&ca.draft("").named(subject));
    let who = identify(&trusted, &[leaf], now()).unwrap();
    assert_eq!(who.groups(), ["auditors", "viewers"]);
    for group in ["", " a", "a ", "é", "a\nb", "system:masters", "system:"] {
        assert_eq!(
            made(&[group]).unwrap_err().reason(),
            "GroupNotAllowed",
            "{group}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_in_a_common_name_are_kept_or_refused(
        tag in prop::sample::select(vec![UTF8, PRINTABLE, IA5, BMP, TELETEX]),
        value in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let ca = Ca::root("ca");
        let leaf = ca.sign(&ca.draft("").named(common_name_as(tag, &value)));
        if let Ok(who) = asked(&ca, &[leaf]) {
            prop_assert_eq!(who.username().as_bytes(), [b"p:", value.as_slice()].concat());
            prop_assert!(who.username().bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }

    #[test]
    fn any_printable_common_name_is_a_username(text in "[!-~]([ -~]{0,80}[!-~])?") {
        let ca = Ca::root("ca");
        prop_assert_eq!(verdict(&ca, &[ca.leaf(&text)]), format!("p:{text}"));
    }

    #[test]
    fn accepted_uris_begin_with_the_prefix_and_have_no_dots(rest in "[a-z./%]{0,12}") {
        let username = uri_verdict(&[&format!("spiffe://a/ns/{rest}")]);
        if username != "UnusableName" {
            prop_assert_eq!(&username, &format!("spiffe://a/ns/{rest}"));
            prop_assert!(!username.split('/').any(|segment| matches!(segment, "." | "..")));
            prop_assert!(!username.contains('%') && !username.ends_with('/'));
        }
    }
}
