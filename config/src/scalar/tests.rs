use super::*;

use proptest::prelude::*;

#[test]
fn durations_are_whole_numbers_with_units() {
    for (written, milliseconds) in [
        ("0s", 0),
        ("500ms", 500),
        ("2s", 2_000),
        ("1m30s", 90_000),
        ("1h", 3_600_000),
    ] {
        assert_eq!(
            duration(written),
            Ok(Duration::from_millis(milliseconds)),
            "{written}"
        );
    }
    for written in [
        "",
        "2",
        "s",
        "2 s",
        "-2s",
        "1.5s",
        "2d",
        "99999999999999999999h",
        "2s3",
    ] {
        assert_eq!(
            duration(written).unwrap_err().reason,
            "BadDuration",
            "{written}"
        );
    }
}

#[test]
fn what_a_duration_was_meant_to_be_is_named() {
    for (written, remedy) in [
        ("7d", "`168h`"),
        ("24", "`24h`, `24m`"),
        ("1w", "`1m30s`"),
        ("1d12h", "`1m30s`"),
        ("99999999999999999999d", "`1m30s`"),
    ] {
        let complaint = duration(written).unwrap_err();
        assert!(complaint.remedy.contains(remedy), "{complaint:?}");
    }
}

#[test]
fn host_names_are_letters_digits_and_hyphens() {
    assert_eq!(
        HostName::parse("Relay.Example.COM.").unwrap().as_str(),
        "relay.example.com"
    );
    assert_eq!(HostName::parse("localhost").unwrap().as_str(), "localhost");
    let long_label = "a".repeat(64);
    let long_name = ["a".repeat(63).as_str(); 4].join(".");
    for written in [
        "",
        ".",
        "a..b",
        "-a.b",
        "a-.b",
        "a_b",
        "*.b",
        "ä.b",
        "10.0.0.1",
        "::1",
        "a b",
        "a\0b",
        &long_label,
        &long_name,
    ] {
        assert_eq!(
            HostName::parse(written).unwrap_err().reason,
            "BadHostName",
            "{written}"
        );
    }
}

#[test]
fn a_name_is_within_another_by_whole_labels() {
    let name = |written: &str| HostName::parse(written).unwrap();
    assert!(name("relay.example.com").is_within(&name("example.com")));
    assert!(name("example.com").is_within(&name("EXAMPLE.com.")));
    assert!(!name("badexample.com").is_within(&name("example.com")));
    assert!(!name("example.com").is_within(&name("relay.example.com")));
}

#[test]
fn hosts_with_ports() {
    for (written, shown) in [
        ("relay.example.com:8443", "relay.example.com:8443"),
        ("10.0.0.1:1", "10.0.0.1:1"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
    ] {
        assert_eq!(HostPort::parse(written).unwrap().to_string(), shown);
    }
    for written in [
        "relay.example.com",
        "relay:https",
        "2001:db8::1:443",
        "[x]:1",
        ":443",
        "a:65536",
    ] {
        assert!(HostPort::parse(written).is_err(), "{written}");
    }
    let address = HostPort::parse("[::1]:443").unwrap();
    assert!(matches!(
        address.server_name(),
        Ok(ServerName::IpAddress(_))
    ));
}

#[test]
fn listening_takes_addresses_only() {
    assert!(listen_address("[::]:8443").is_ok());
    assert!(listen_address("127.0.0.1:0").is_ok());
    for (written, remedy) in [
        (
            ":8443",
            "write `[::]:8443` for all addresses, or `127.0.0.1:8443` for this host only",
        ),
        ("localhost:1", "write `127.0.0.1:1` or `[::1]:1`"),
        (
            "::1:1",
            "put the IPv6 address in brackets: `[2001:db8::1]:1`",
        ),
        ("8443", "write the port behind a colon, such as `:8443`"),
    ] {
        assert_eq!(
            listen_address(written).unwrap_err().remedy,
            remedy,
            "{written}"
        );
    }
}

#[test]
fn keys_are_never_quoted_and_quotes_are_bounded() {
    assert_eq!(
        quoted("-----BEGIN PRIVATE KEY-----\nMIIE"),
        "(a private key)"
    );
    assert!(quoted(&"x".repeat(10_000)).len() < 100);
    assert_eq!(quoted("a\u{1b}[31m\n"), "`a\\u{1b}[31m\\n`");
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(written in "\\PC{0,80}") {
        drop(duration(&written));
        drop(HostName::parse(&written));
        drop(HostPort::parse(&written));
        drop(listen_address(&written));
    }
}

#[test]
fn networks_are_as_written() {
    for (written, read) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.7", "10.0.0.7/32"),
        ("2001:db8::/32", "2001:db8::/32"),
        ("2001:db8::7", "2001:db8::7/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
    ] {
        assert_eq!(network(written).unwrap().to_string(), read);
    }
    for written in [
        "",
        "10.0.0.0/33",
        "10.0.0.7/8",
        "2001:db8::1/32",
        "10/8",
        "any",
    ] {
        assert_eq!(network(written).unwrap_err().reason, "NotANetwork");
    }
}
