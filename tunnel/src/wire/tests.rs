use std::net::SocketAddr;

use proptest::prelude::*;

use super::enrolment::{
    EnrolmentAnswer, EnrolmentQuestion, EnrolmentRefusal, Grant, MAX_ANSWER, MAX_QUESTION,
};
use super::*;

/// Bytes as hex, four a group, so that a snapshot can be read beside its comments.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frame_of(bytes: &[u8]) -> Result<Option<ControlFrame>, WireFault> {
    let (prefix, body) = bytes.split_first_chunk().expect("a frame has a prefix");
    let kind = FrameKind::parse(*prefix)?;
    assert_eq!(kind.length, body.len());
    ControlFrame::parse(kind, body)
}

fn body_of(bytes: &[u8], limit: usize) -> &[u8] {
    let (prefix, body) = bytes.split_first_chunk().expect("a record has a prefix");
    assert_eq!(record_length(*prefix, "record", limit), Ok(body.len()));
    body
}

fn header() -> StreamHeader {
    StreamHeader {
        connection: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
        sni: ServerName::fitting("c.a.example"),
        caller: "192.0.2.7:40000".parse().expect("an address"),
        traceparent: None,
    }
}

#[test]
fn hello_on_the_wire() {
    let hello = Hello {
        instance: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
        slot: 2,
        epoch: 3,
        software: SoftwareName::fitting("gangplank 0.1.0"),
    };
    let bytes = ControlFrame::Hello(hello.clone())
        .encode()
        .expect("a hello");
    let expected = [
        "01",                               // type: hello
        "0029",                             // length: 41
        "0102030405060708090a0b0c0d0e0f10", // instance
        "0002",                             // slot
        "0000000000000003",                 // epoch
        "67616e67706c616e6b20302e312e30",   // software, to the end
    ];
    assert_eq!(hex(&bytes), expected.concat());
    assert_eq!(frame_of(&bytes), Ok(Some(ControlFrame::Hello(hello))));
}

#[test]
fn welcome_on_the_wire() {
    let welcome = Welcome {
        relay_instance: 7,
        entrance_domain: EntranceDomain::fitting("t.example"),
    };
    let bytes = ControlFrame::Welcome(welcome.clone())
        .encode()
        .expect("a welcome");
    let expected = [
        "02",                               // type: welcome
        "0019",                             // length: 25
        "00000000000000000000000000000007", // relay instance
        "742e6578616d706c65",               // entrance domain, to the end
    ];
    assert_eq!(hex(&bytes), expected.concat());
    assert_eq!(frame_of(&bytes), Ok(Some(ControlFrame::Welcome(welcome))));
}

#[test]
fn drain_on_the_wire() {
    let bytes = ControlFrame::Drain { limit_ms: 60_000 }
        .encode()
        .expect("a drain");
    let expected = [
        "03",       // type: drain
        "0004",     // length: 4
        "0000ea60", // limit in milliseconds
    ];
    assert_eq!(hex(&bytes), expected.concat());
    assert_eq!(
        frame_of(&bytes),
        Ok(Some(ControlFrame::Drain { limit_ms: 60_000 }))
    );
}

#[test]
fn stream_header_on_the_wire() {
    let bytes = header().encode().expect("a header");
    let expected = [
        "01",                               // version
        "0023",                             // length: 35
        "0102030405060708090a0b0c0d0e0f10", // connection
        "04",                               // caller's family: IPv4
        "c0000207",                         // caller's address
        "9c40",                             // caller's port
        "00",                               // no traceparent
        "632e612e6578616d706c65",           // server name, to the end
    ];
    assert_eq!(hex(&bytes), expected.concat());
    assert_eq!(
        StreamHeader::parse(body_of(&bytes, MAX_HEADER)),
        Ok(header())
    );
}

#[test]
fn longest_stream_header_on_the_wire() {
    let longest = StreamHeader {
        sni: ServerName::fitting(&"a".repeat(253)),
        caller: "[2001:db8::1]:443".parse().expect("an address"),
        traceparent: Some(*b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ..header()
    };
    let bytes = longest.encode().expect("a header");
    let expected = [
        "01".to_owned(),                               // version
        "0158".to_owned(),                             // length: 344
        "0102030405060708090a0b0c0d0e0f10".to_owned(), // connection
        "06".to_owned(),                               // caller's family: IPv6
        "20010db8000000000000000000000001".to_owned(), // caller's address
        "01bb".to_owned(),                             // caller's port
        "01".to_owned(),                               // a traceparent follows
        hex(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        "61".repeat(253), // server name, to the end
    ];
    assert_eq!(hex(&bytes), expected.concat());
    assert_eq!(body_of(&bytes, MAX_HEADER).len(), MAX_HEADER);
    assert_eq!(
        StreamHeader::parse(body_of(&bytes, MAX_HEADER)),
        Ok(longest)
    );
}

#[test]
fn stream_status_on_the_wire() {
    let accepted = StreamStatus::Accepted.encode().expect("a status");
    let expected = [
        "01",   // version
        "0001", // length: 1
        "00",   // accepted
    ];
    assert_eq!(hex(&accepted), expected.concat());

    let refused = StreamStatus::refused(RefusalCode::Draining, "going\naway");
    let bytes = refused.encode().expect("a status");
    let expected = [
        "01",                   // version
        "000d",                 // length: 13
        "01",                   // refused
        "0001",                 // code: draining
        "676f696e672061776179", // message, to the end; the line break is a blank now
    ];
    assert_eq!(hex(&bytes), expected.concat());
    assert_eq!(
        StreamStatus::parse(body_of(&bytes, MAX_STATUS)),
        Ok(refused)
    );
}

#[test]
fn close_and_abort_codes_keep_their_numbers() {
    let close = [
        CloseCode::Done,
        CloseCode::GoingAway,
        CloseCode::Superseded,
        CloseCode::UnknownVersion,
        CloseCode::ProtocolViolation,
        CloseCode::GreetingTimeout,
        CloseCode::NameRefused,
        CloseCode::CertificateEnded,
        CloseCode::Overloaded,
    ];
    for (number, code) in (0..).zip(close) {
        assert_eq!(
            (code.number(), CloseCode::from_number(number)),
            (number, code)
        );
    }
    let abort = [
        AbortCode::NotReading,
        AbortCode::Dropped,
        AbortCode::PeerReset,
        AbortCode::Refused,
        AbortCode::TimedOut,
        AbortCode::ProtocolViolation,
        AbortCode::GoingAway,
        AbortCode::SessionLost,
    ];
    for (number, code) in (0..).zip(abort) {
        assert_eq!(
            (code.number(), AbortCode::from_number(number)),
            (number, code)
        );
    }
    assert_eq!(CloseCode::from_number(0xffff), CloseCode::Other(0xffff));
    assert_eq!(AbortCode::from_number(0xffff), AbortCode::Other(0xffff));
}

#[test]
fn frames_of_later_versions_are_skipped_only_where_they_say_so() {
    assert_eq!(frame_of(&[0x80, 0, 1, 7]), Ok(None));
    assert_eq!(frame_of(&[0xff, 0, 0]), Ok(None));
    for kind in [0x00, 0x04, 0x7f] {
        assert_eq!(
            FrameKind::parse([kind, 0, 0]),
            Err(WireFault::UnknownFrame { kind })
        );
    }
}

#[test]
fn lengths_beyond_the_bound_are_refused_before_anything_is_read() {
    let limit = MAX_FRAME;
    let refused = Err(WireFault::TooLong {
        what: "frame",
        length: 4097,
        limit,
    });
    assert_eq!(FrameKind::parse([0x80, 0x10, 0x01]), refused);
    let refused = Err(WireFault::TooLong {
        what: "header",
        length: 0xffff,
        limit: MAX_HEADER,
    });
    assert_eq!(
        record_length([VERSION, 0xff, 0xff], "header", MAX_HEADER),
        refused
    );
    let refused = Err(WireFault::UnknownVersion { version: 2 });
    assert_eq!(record_length([2, 0, 0], "header", MAX_HEADER), refused);
}

#[test]
fn a_record_means_one_thing_only() {
    let drain = FrameKind::parse([0x03, 0, 5]).expect("a drain");
    let refused = Err(WireFault::Surplus {
        what: "drain",
        surplus: 1,
    });
    assert_eq!(ControlFrame::parse(drain, &[0, 0, 0, 1, 9]), refused);
    let refused = Err(WireFault::Surplus {
        what: "stream status",
        surplus: 1,
    });
    assert_eq!(StreamStatus::parse(&[0, 9]), refused);
    assert_eq!(
        StreamStatus::parse(&[2]),
        Err(WireFault::Meaningless {
            what: "status.kind"
        })
    );
    let mut flagged = header().encode().expect("a header");
    flagged[RECORD_PREFIX + 16 + 7] = 2;
    assert_eq!(
        StreamHeader::parse(&flagged[RECORD_PREFIX..]),
        Err(WireFault::Meaningless {
            what: "header.traceparent"
        })
    );
}

#[test]
fn a_traceparent_cannot_carry_a_header_injection() {
    let mut trace = *b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    trace[40] = b'\r';
    let bytes = StreamHeader {
        traceparent: Some(trace),
        ..header()
    }
    .encode()
    .expect("a header");
    assert_eq!(
        StreamHeader::parse(&bytes[RECORD_PREFIX..]),
        Err(WireFault::Meaningless {
            what: "header.traceparent"
        })
    );
}

fn text<const MAX: usize>() -> impl Strategy<Value = Text<MAX>> {
    proptest::collection::vec(any::<char>(), 0..80)
        .prop_map(|characters| Text::fitting(&characters.into_iter().collect::<String>()))
}

fn caller() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from)
}

fn certificates() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..4)
}

/// What stands at the end of an answer, and may be of any length.
fn entrance_domain_length(answer: &EnrolmentAnswer) -> usize {
    match answer {
        EnrolmentAnswer::Granted(grant) => grant.entrance_domain.len(),
        EnrolmentAnswer::Refused { message, .. } => message.len(),
    }
}

#[test]
fn refusals_of_enrolment_keep_their_numbers() {
    for number in 1..=8 {
        let code = EnrolmentRefusal::from_number(number);
        assert!(!matches!(code, EnrolmentRefusal::Other(_)), "{number}");
        assert_eq!(code.number(), number);
        let answer = EnrolmentAnswer::refused(code, "so");
        let bytes = answer.encode().expect("an answer");
        assert_eq!(EnrolmentAnswer::parse(&bytes[RECORD_PREFIX..]), Ok(answer));
    }
    assert_eq!(EnrolmentRefusal::from_number(9), EnrolmentRefusal::Other(9));
}

#[test]
fn chains_without_end_are_refused_before_they_are_sent_or_kept() {
    let grant = |certificates: usize| {
        EnrolmentAnswer::Granted(Grant {
            entrance_domain: Text::fitting("tunnels.example.com"),
            chain: vec![vec![7]; certificates],
            relay_authorities: vec![vec![7]],
        })
    };
    assert!(grant(8).encode().is_ok());
    assert!(grant(9).encode().is_err());
    for count in [0, 9, 255] {
        let refused = Err(WireFault::Meaningless {
            what: "answer.chain",
        });
        assert_eq!(EnrolmentAnswer::parse(&[0, count, 0, 0]), refused);
    }
}

fn traceparent() -> impl Strategy<Value = Option<[u8; TRACEPARENT_LENGTH]>> {
    let digits = proptest::collection::vec(proptest::sample::select(&b"0123456789abcdef-"[..]), 55);
    proptest::option::of(digits.prop_map(|digits| digits.try_into().expect("55 digits")))
}

proptest! {
    #[test]
    fn hello_survives_the_wire(
        instance in any::<u128>(), slot in any::<u16>(), epoch in any::<u64>(), software in text(),
    ) {
        let frame = ControlFrame::Hello(Hello { instance, slot, epoch, software });
        prop_assert_eq!(frame_of(&frame.encode().expect("a hello")), Ok(Some(frame)));
    }

    #[test]
    fn welcome_survives_the_wire(relay_instance in any::<u128>(), entrance_domain in text()) {
        let frame = ControlFrame::Welcome(Welcome { relay_instance, entrance_domain });
        prop_assert_eq!(frame_of(&frame.encode().expect("a welcome")), Ok(Some(frame)));
    }

    #[test]
    fn stream_header_survives_the_wire(
        connection in any::<u128>(), sni in text(), caller in caller(), traceparent in traceparent(),
    ) {
        let header = StreamHeader { connection, sni, caller, traceparent };
        let bytes = header.encode().expect("a header");
        prop_assert_eq!(StreamHeader::parse(body_of(&bytes, MAX_HEADER)), Ok(header));
    }

    #[test]
    fn stream_status_survives_the_wire(code in any::<u16>(), message in text()) {
        let status = StreamStatus::Refused { code: RefusalCode::from_number(code), message };
        let bytes = status.encode().expect("a status");
        prop_assert_eq!(StreamStatus::parse(body_of(&bytes, MAX_STATUS)), Ok(status));
    }

    #[test]
    fn enrolment_survives_the_wire(
        id in any::<[u8; 16]>(), secret in any::<[u8; 32]>(),
        request in proptest::collection::vec(any::<u8>(), 0..600),
        tunnel in text(), token in proptest::collection::vec(any::<u8>(), 0..600),
        chain in certificates(), relay_authorities in certificates(), entrance_domain in text(),
    ) {
        let join = EnrolmentQuestion::Join { id, secret, request: request.clone() };
        let vouched = EnrolmentQuestion::Vouched { tunnel, token, request: request.clone() };
        for question in [join, vouched, EnrolmentQuestion::Renew { request }] {
            let bytes = question.encode().expect("a question");
            prop_assert_eq!(EnrolmentQuestion::parse(body_of(&bytes, MAX_QUESTION)), Ok(question));
        }
        let answer = EnrolmentAnswer::Granted(Grant { entrance_domain, chain, relay_authorities });
        let bytes = answer.encode().expect("an answer");
        let body = body_of(&bytes, MAX_ANSWER);
        for cut in 0..body.len() - entrance_domain_length(&answer) {
            prop_assert!(EnrolmentAnswer::parse(&body[..cut]).is_err());
        }
        prop_assert_eq!(EnrolmentAnswer::parse(body), Ok(answer));
    }

    #[test]
    fn hostile_bytes_are_refused_or_understood(body in proptest::collection::vec(any::<u8>(), 0..600)) {
        // What is understood says the same thing again; nothing panics.
        if let Ok(header) = StreamHeader::parse(&body) {
            prop_assert_eq!(&header.encode().expect("a header")[RECORD_PREFIX..], &body[..]);
        }
        if let Ok(status) = StreamStatus::parse(&body) {
            prop_assert_eq!(&status.encode().expect("a status")[RECORD_PREFIX..], &body[..]);
        }
        if let Ok(question) = EnrolmentQuestion::parse(&body) {
            prop_assert_eq!(&question.encode().expect("a question")[RECORD_PREFIX..], &body[..]);
        }
        if let Ok(answer) = EnrolmentAnswer::parse(&body) {
            prop_assert_eq!(&answer.encode().expect("an answer")[RECORD_PREFIX..], &body[..]);
        }
        if let Some((prefix, body)) = body.split_first_chunk()
            && let Ok(kind) = FrameKind::parse(*prefix)
            && let Ok(Some(frame)) = ControlFrame::parse(kind, body)
        {
            prop_assert_eq!(&frame.encode().expect("a frame")[FRAME_PREFIX..], body);
        }
    }

    #[test]
    fn a_header_that_is_cut_short_is_refused(cut in 0_usize..80, traceparent in traceparent()) {
        let bytes = StreamHeader { traceparent, ..header() }.encode().expect("a header");
        let body = &bytes[RECORD_PREFIX..];
        // Everything but the server name, which goes to the end.
        let fixed = body.len() - header().sni.len();
        let kept = &body[..cut.min(fixed)];
        prop_assert_eq!(StreamHeader::parse(kept).is_ok(), kept.len() == fixed);
    }
}
