use super::*;

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        );
    }
    headers
}

fn wish(lines: &[(&str, &str)]) -> Result<Wish, WishFault> {
    Wish::of(&headers(lines)).expect("it asks for something")
}

#[test]
fn who_asks_for_nothing_has_no_wish() {
    for lines in [
        &[][..],
        &[("accept", "*/*"), ("x-impersonate-user", "root")],
        &[("impersonate_user", "root"), ("impersonate", "root")],
    ] {
        assert_eq!(Wish::of(&headers(lines)), None, "{lines:?}");
    }
}

#[test]
fn everything_that_kubernetes_knows_is_read() {
    let lines = [
        ("Impersonate-Group", "b,c"),
        ("Impersonate-Extra-Scopes", "view"),
        ("Impersonate-User", "jürgen@example.com"),
        ("Impersonate-Extra-acme.com%2Fproject", "some"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-scopes", "development"),
    ];
    let wish = wish(&lines).unwrap();
    assert_eq!(wish.user(), "jürgen@example.com");
    assert_eq!(wish.uid(), Some("7"));
    assert_eq!(wish.groups(), ["b,c", "a"]);
    let extra = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(
        wish.extras(),
        [
            extra("scopes", "view"),
            extra("scopes", "development"),
            extra("acme.com/project", "some")
        ]
    );
    let claims: Vec<_> = wish.claims().iter().map(Claim::parts).collect();
    assert_eq!(
        claims,
        [
            ["users", "", "", "jürgen@example.com"],
            ["uids", "", "", "7"],
            ["groups", "", "", "b,c"],
            ["groups", "", "", "a"],
            ["userextras", "scopes", "", "view"],
            ["userextras", "scopes", "", "development"],
            ["userextras", "acme.com/project", "", "some"],
        ],
        "each value is a claim of its own"
    );
}

#[test]
fn what_names_no_user_is_no_wish() {
    for lines in [
        [("impersonate-group", "a")],
        [("impersonate-uid", "1")],
        [("impersonate-extra-a", "b")],
    ] {
        assert_eq!(wish(&lines), Err(WishFault::NoUser), "{lines:?}");
    }
}

#[test]
fn what_two_readers_could_read_differently_is_no_wish() {
    let user = ("impersonate-user", "bob");
    assert_eq!(
        wish(&[user, ("Impersonate-User", "alice")]),
        Err(WishFault::Twice("Impersonate-User"))
    );
    assert_eq!(
        wish(&[user, ("impersonate-uid", "1"), ("impersonate-uid", "1")]),
        Err(WishFault::Twice("Impersonate-Uid"))
    );
    for value in ["", " bob", "bob ", "b\tob", "\u{a0}bob", "b\u{85}ob"] {
        for name in [
            "impersonate-user",
            "impersonate-group",
            "impersonate-uid",
            "impersonate-extra-a",
        ] {
            let fault = wish(&[(name, value)]);
            assert!(
                matches!(fault, Err(WishFault::Value(_))),
                "{name} {value:?}"
            );
        }
    }
    let mut latin = HeaderMap::new();
    latin.insert(
        "impersonate-user",
        HeaderValue::from_bytes(b"j\xfcrgen").unwrap(),
    );
    assert!(matches!(Wish::of(&latin), Some(Err(WishFault::Value(_)))));
    for name in [
        "impersonate-something",
        "impersonate-extra",
        "impersonate-",
        "impersonate-groups",
    ] {
        let fault = wish(&[user, (name, "x")]);
        assert!(matches!(fault, Err(WishFault::UnknownHeader(_))), "{name}");
    }
    for name in [
        "impersonate-extra-",
        "impersonate-extra-%",
        "impersonate-extra-%2",
        "impersonate-extra-%zz",
        "impersonate-extra-%+1",
        "impersonate-extra-%41",
        "impersonate-extra-a%20b",
        "impersonate-extra-a%00",
        "impersonate-extra-%c3%bc",
    ] {
        let fault = wish(&[user, (name, "x")]);
        assert!(matches!(fault, Err(WishFault::Key(_))), "{name}");
    }
}

#[test]
fn what_the_exit_says_cannot_be_said_by_a_caller_in_any_spelling() {
    for key in [
        "gangplank.dev%2Foriginal-user",
        "gangplank.dev%2foriginal-user",
        "GANGPLANK.dev%2FOriginal-User",
        "gangplank%2edev%2foriginal%2Duser",
        "%67angplank.dev%2foriginal-user",
        "gangplank.dev%2fanything",
        "gangplank.dev%2f",
        "gangplank.dev",
    ] {
        let name = format!("impersonate-extra-{key}");
        let fault = wish(&[("impersonate-user", "bob"), (&name, "alice")]);
        assert_eq!(fault, Err(WishFault::Reserved), "{key}");
    }
    let similar = [
        ("impersonate-user", "bob"),
        ("impersonate-extra-gangplank.development", "x"),
    ];
    assert!(wish(&similar).is_ok());
}

#[test]
fn a_wish_has_an_end() {
    let user = ("impersonate-user", "bob");
    let group = ("impersonate-group", "a");
    let mut lines = vec![user];
    lines.extend(vec![group; VALUES - 1]);
    assert!(wish(&lines).is_ok());
    lines.push(group);
    assert_eq!(wish(&lines), Err(WishFault::TooMuch));
    let long = "x".repeat(BYTES - "bob".len());
    assert!(wish(&[user, ("impersonate-group", &long)]).is_ok());
    assert_eq!(
        wish(&[user, ("impersonate-extra-k", &long)]),
        Err(WishFault::TooMuch),
        "a key counts"
    );
}
