use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::nested::Wish;

const USER: &str = "spiffe://source-cluster/ns/namespace-a/id/default";

fn impersonation() -> Impersonation {
    Impersonation::from_names(USER, &["partners", "auditors"]).unwrap()
}

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

/// What the API server would get of these lines, without what is always there.
fn passed(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let built = upstream(&map(lines), &impersonation(), Uuid::nil(), None).unwrap();
    built
        .iter()
        .filter(|(name, _)| ![IMPERSONATE_USER, IMPERSONATE_GROUP, AUDIT_ID].contains(name))
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn the_user_stands_there_once_byte_for_byte_and_groups_come_from_the_provider_only() {
    let built = upstream(&map(&[]), &impersonation(), Uuid::nil(), None).unwrap();
    let users: Vec<_> = built.get_all(IMPERSONATE_USER).iter().collect();
    assert_eq!(users, [USER]);
    let groups: Vec<_> = built.get_all(IMPERSONATE_GROUP).iter().collect();
    assert_eq!(groups, ["partners", "auditors"]);
    assert_eq!(
        built.get(AUDIT_ID).unwrap(),
        "00000000-0000-0000-0000-000000000000"
    );
}

#[test]
fn what_a_request_is_about_passes_unchanged() {
    let lines = [
        (
            "accept",
            "application/vnd.kubernetes.protobuf;stream=watch,application/json;as=Table",
        ),
        ("accept-encoding", "gzip"),
        ("content-length", "12"),
        ("content-type", "application/apply-patch+yaml"),
        ("if-none-match", "\"abc\""),
        ("kubectl-command", "kubectl get"),
        ("user-agent", "kubectl/v1.33"),
        ("x-stream-protocol-version", "v4.channel.k8s.io"),
        ("x-stream-protocol-version", "v3.channel.k8s.io"),
    ];
    let expected: Vec<_> = lines
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(passed(&lines), expected);
}

#[test]
fn nothing_passes_that_says_who_or_where_from() {
    for name in [
        "authorization",
        "proxy-authorization",
        "x-remote-user",
        "x-remote-group",
        "x-remote-uid",
        "x-remote-extra-scopes",
        "x-forwarded-for",
        "x-forwarded-host",
        "forwarded",
        "x-real-ip",
        "audit-id",
        "host",
    ] {
        assert_eq!(passed(&[(name, "x"), (name, "y")]), [], "{name}");
    }
}

#[test]
fn nothing_passes_that_is_about_the_connection() {
    let lines = [
        ("connection", "keep-alive, X-Custom"),
        ("connection", "\tAccept ,,"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("trailer", "Impersonate-User"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("expect", "100-continue"),
        ("x-custom", "1"),
        ("accept", "*/*"),
        ("x-kept", "1"),
    ];
    assert_eq!(passed(&lines), [("x-kept".to_owned(), "1".to_owned())]);
}

#[test]
fn connection_cannot_take_away_what_we_add() {
    let lines = [(
        "connection",
        "impersonate-user, impersonate-group, audit-id, authorization, upgrade",
    )];
    let built = upstream(
        &map(&lines),
        &impersonation(),
        Uuid::nil(),
        Some(Protocol::Spdy),
    )
    .unwrap();
    assert_eq!(built.get(IMPERSONATE_USER).unwrap(), USER);
    assert_eq!(built.get_all(IMPERSONATE_GROUP).iter().count(), 2);
    assert_eq!(built.get(UPGRADE).unwrap(), "SPDY/3.1");
    assert!(built.contains_key(AUDIT_ID));
}

#[test]
fn names_that_are_read_differently_do_not_pass() {
    for name in [
        "Impersonate_User",
        "X_Remote_User",
        "Authorization_",
        "x.remote.user",
        "a!b",
        "x~y",
    ] {
        assert_eq!(passed(&[(name, "root")]), [], "{name}");
    }
}

#[test]
fn impersonation_by_the_caller_is_refused_in_any_spelling() {
    for name in [
        "Impersonate-User",
        "IMPERSONATE-GROUP",
        "impersonate-uid",
        "Impersonate-Extra-x",
    ] {
        let fault = upstream(&map(&[(name, "root")]), &impersonation(), Uuid::nil(), None);
        assert!(
            matches!(fault, Err(HeaderFault::Impersonation { .. })),
            "{name}"
        );
    }
}

/// What a caller asked for in these lines, as if it had been granted.
fn granted(lines: &[(&str, &str)]) -> Impersonation {
    let wish = Wish::of(&map(lines)).unwrap().unwrap();
    Impersonation::of_grant(&Grant::unreviewed(USER, wish)).unwrap()
}

#[test]
fn what_was_granted_is_written_anew_and_nothing_of_the_callers_beside_it() {
    let asked = [
        ("impersonate-user", "bob"),
        ("impersonate-group", "auditors"),
        ("impersonate-group", "a,b"),
        ("impersonate-uid", "7"),
        ("impersonate-extra-acme.com%2Fproject", "x"),
    ];
    // What stands in the request besides, and never came to the review.
    let further = [
        ("impersonate-user", "root"),
        ("impersonate-group", "system:masters"),
        ("impersonate-extra-gangplank.dev%2foriginal-user", "root"),
        ("impersonate-something", "x"),
        (
            "connection",
            "impersonate-group, impersonate-extra-gangplank.dev%2foriginal-user",
        ),
    ];
    for protocol in [None, Some(Protocol::Spdy)] {
        let caller = map(&[&asked[..], &further].concat());
        let built = upstream(&caller, &granted(&asked), Uuid::nil(), protocol).unwrap();
        let mut lines: Vec<_> = built
            .iter()
            .filter(|(name, _)| name.as_str().starts_with(IMPERSONATE))
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                ("impersonate-extra-acme.com%2fproject", "x"),
                ("impersonate-extra-gangplank.dev%2foriginal-user", USER),
                ("impersonate-group", "a,b"),
                ("impersonate-group", "auditors"),
                ("impersonate-uid", "7"),
                ("impersonate-user", "bob"),
            ],
        );
    }
}

#[test]
fn bearer_tokens_are_taken_out_of_subprotocols() {
    for (offered, kept) in [
        ("v5.channel.k8s.io", Some("v5.channel.k8s.io")),
        (
            "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io",
            Some("v5.channel.k8s.io"),
        ),
        (
            "v4.channel.k8s.io ,BASE64URL.bearer.authorization.k8s.io.c2VjcmV0,v5",
            Some("v4.channel.k8s.io, v5"),
        ),
        ("base64url.bearer.authorization.k8s.io.c2VjcmV0", None),
        ("base64url.bearer.authorization.k8s.io.", None),
    ] {
        for protocol in [None, Some(Protocol::WebSocket)] {
            let built = upstream(
                &map(&[("sec-websocket-protocol", offered)]),
                &impersonation(),
                Uuid::nil(),
                protocol,
            )
            .unwrap();
            let values: Vec<_> = built
                .get_all(SEC_WEBSOCKET_PROTOCOL)
                .iter()
                .map(|value| value.to_str().unwrap())
                .collect();
            assert_eq!(values, kept.into_iter().collect::<Vec<_>>(), "{offered}");
        }
    }
}

#[test]
fn a_cookie_that_was_cut_is_one_again() {
    assert_eq!(
        passed(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]),
        [
            ("x".to_owned(), "y".to_owned()),
            ("cookie".to_owned(), "a=1; b=2".to_owned())
        ],
    );
}

#[test]
fn names_that_no_header_can_carry_make_no_headers() {
    for user in ["", " x", "x ", "x\ny", "x\0", "\u{a0}x"] {
        assert!(
            Impersonation::from_names::<&str>(user, &[]).is_err(),
            "{user:?}"
        );
    }
    assert!(Impersonation::from_names("user", &["ok", ""]).is_err());
    let long = "a".repeat(1024);
    assert_eq!(
        Impersonation::from_names::<&str>(&long, &[]).unwrap().user,
        long
    );
}

#[test]
fn a_response_keeps_everything_but_what_is_about_the_connection() {
    let mut headers = map(&[
        ("audit-id", "1"),
        ("warning", "299 - \"a\""),
        ("warning", "299 - \"b\""),
        ("retry-after", "1"),
        ("etag", "\"x\""),
        ("x-kubernetes-pf-flowschema-uid", "u"),
        ("connection", "close, X-Secret-Hop"),
        ("x-secret-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x"),
        ("upgrade", "h2c"),
        ("content-length", "3"),
    ]);
    strip_response(&mut headers);
    let left: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        left,
        [
            "audit-id",
            "warning",
            "warning",
            "retry-after",
            "etag",
            "x-kubernetes-pf-flowschema-uid",
        ],
    );
}

#[test]
fn a_responses_length_passes_where_it_says_something() {
    let mut plain = map(&[("content-length", "3")]);
    strip_response(&mut plain);
    assert_eq!(plain["content-length"], "3");
    let mut chunked = map(&[("content-length", "3"), ("transfer-encoding", "chunked")]);
    strip_response(&mut chunked);
    assert!(chunked.is_empty());
}

/// Names that matter more often than chance would have them, and arbitrary ones.
fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec![
            "Authorization", "X-Remote-User", "X-Remote-Extra-Foo", "X-Forwarded-For", "Forwarded",
            "Audit-ID", "Connection", "Upgrade", "TE", "Trailer", "Transfer-Encoding", "Host",
            "Impersonate_User", "X_Remote_User", "Cookie", "Sec-WebSocket-Protocol", "Accept",
            "Content-Type", "Proxy-Authorization", "Keep-Alive", "Expect", "HTTP2-Settings",
        ]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["Impersonate-User", "impersonate-extra-a"])
            .prop_map(str::to_owned),
        3 => "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,24}",
    ]
}

fn any_value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => prop::sample::select(vec![
            "impersonate-user, accept", "Upgrade", "close", "root", "SPDY/3.1", "websocket",
            "base64url.bearer.authorization.k8s.io.dG9rZW4, v4.channel.k8s.io", "a=1",
        ]).prop_map(|value| value.as_bytes().to_vec()),
        2 => prop::collection::vec(
            prop_oneof![Just(b'\t'), 0x20_u8..=0x7e, 0x80_u8..=0xff], 0..40),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// What cannot be written byte for byte is not written at all.
    #[test]
    fn names_are_written_as_they_are_or_not(name in "(\\PC|[ \t\r\n\0\x7f]){0,12}") {
        let outer = name.trim().len() != name.len();
        let control = name.chars().any(|it| it != '\t' && it.is_ascii_control());
        match Impersonation::from_names(&name, &[&name]) {
            Ok(written) => {
                prop_assert!(!name.is_empty() && !outer && !control);
                prop_assert_eq!(written.user.as_bytes(), name.as_bytes());
                prop_assert_eq!(written.groups[0].as_bytes(), name.as_bytes());
            }
            Err(fault) => {
                prop_assert_eq!(fault, HeaderFault::Identity);
                prop_assert!(name.is_empty() || outer || control);
            }
        }
    }

    /// Contract 4.7: whatever arrives, exactly one user, our groups, no other identity, nothing about
    /// the connection, no token, and nothing under a name that can be misread.
    #[test]
    fn whatever_arrives_the_identity_is_the_certificates(
        lines in prop::collection::vec((any_name(), any_value()), 0..30),
        upgrades in any::<bool>(),
    ) {
        let mut caller = HeaderMap::new();
        for (name, value) in &lines {
            caller.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        let protocol = upgrades.then_some(Protocol::WebSocket);
        let asks = lines.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with(IMPERSONATE));
        let built = upstream(&caller, &impersonation(), Uuid::nil(), protocol);
        prop_assert_eq!(asks, built.is_err());
        let Ok(built) = built else { return Ok(()) };

        let users: Vec<_> = built.get_all(IMPERSONATE_USER).iter().collect();
        prop_assert_eq!(users, vec![USER]);
        let groups: HashSet<_> = built.get_all(IMPERSONATE_GROUP).iter().collect();
        prop_assert_eq!(groups.len(), 2);
        prop_assert_eq!(built.get_all(AUDIT_ID).iter().count(), 1);
        for (name, value) in &built {
            let name = name.as_str();
            prop_assert!(name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{}", name);
            prop_assert!(!name.starts_with("x-remote-"));
            prop_assert!(!name.starts_with("x-forwarded-"));
            prop_assert!(!name.starts_with("proxy-"));
            prop_assert!(!name.starts_with(IMPERSONATE) || ["impersonate-user", "impersonate-group"].contains(&name));
            prop_assert!(!["authorization", "forwarded", "host", "te", "trailer",
                "transfer-encoding", "keep-alive", "expect", "http2-settings"].contains(&name));
            if name == "connection" || name == "upgrade" {
                prop_assert!(upgrades);
                prop_assert_eq!(built.get_all(name).iter().count(), 1);
            }
            if name == "sec-websocket-protocol" {
                let text = value.as_bytes().to_ascii_lowercase();
                prop_assert!(!text.split(|b| *b == b',').any(|offer|
                    offer.trim_ascii().starts_with(BEARER_SUBPROTOCOL)));
            }
        }
        prop_assert!(built.get_all(COOKIE).iter().count() <= 1);
    }
}
