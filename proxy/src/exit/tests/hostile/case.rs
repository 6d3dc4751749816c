//! What a caller may think of: one request, drawn from a seed and a number, so that it can be drawn again.

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// Name and value as they are put on the wire.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// Stands in everything that must not arrive.
pub(super) const TAINT: &str = "EVIL";

/// Headers that mean something harmless, or nothing.
const HARMLESS: [&str; 12] = [
    "accept",
    "user-agent",
    "content-type",
    "if-match",
    "x-custom-1",
    "x-custom-2",
    "x-stream-protocol-version",
    "origin",
    "sec-websocket-key",
    "sec-websocket-version",
    "accept-language",
    "baggage",
];

/// Headers by which some server would take a request for someone else's, or that are about the caller's
/// connection, or whose names are read differently by different programs.
const FORBIDDEN: [&str; 36] = [
    "authorization",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-connection",
    "x-remote-user",
    "x-remote-group",
    "x-remote-uid",
    "x-remote-extra-scopes",
    "x-remote-extra-a%2fb",
    "x_remote_user",
    "x-remote_user",
    "x.remote.user",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-user",
    "x-forwarded-groups",
    "x-forwarded-email",
    "forwarded",
    "x-real-ip",
    "audit-id",
    "audit_id",
    "keep-alive",
    "te",
    "trailer",
    "http2-settings",
    "impersonate_user",
    "impersonate_group",
    "impersonate.user",
    "x!a",
    "x#a",
    "x|a",
    "x~a",
    "x^a",
    "x'a",
    "expect",
];

/// The headers by which Kubernetes lets someone act as someone else.
const IMPERSONATE: [&str; 6] = [
    "impersonate-user",
    "impersonate-group",
    "impersonate-uid",
    "impersonate-extra-scopes",
    "impersonate-",
    "impersonate-user-",
];

/// Methods of Kubernetes' clients, and of others.
const METHODS: [&str; 14] = [
    "GET", "GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get",
    "PROPFIND", "M-SEARCH", "BREW",
];

/// What stands in paths and queries.
const PIECES: [&str; 30] = [
    "/", "//", "api", "v1", "..", ".", "a%2Fb", "%00", "%", "%zz", "a;b=c", "?", "??", "a=b&c",
    "watch=1", "~", "{x}", "\"", "|", "^", "`", "\\", "[", "<", ">", "'", "+", "*", "@", ":",
];

/// A request, and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) number: u64,
    /// Which caller asks.
    pub(super) who: usize,
    /// In which version of HTTP.
    pub(super) http2: bool,
    pub(super) method: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) fields: Vec<Field>,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Vec<Field>,
    /// The protocol to go on in, as it stands in `Upgrade`.
    pub(super) upgrade: Option<&'static str>,
    /// Whether its form leaves open which headers it has.
    pub(super) odd: bool,
    /// A pseudo-header that is there twice. h2 refuses that, unless the block is cut in three and the second lies in the
    /// middle: then the first counts. One meaning it has, and it is the caller's own.
    pub(super) second: Option<Field>,
    /// The beginning of what went over the wire, for whoever looks for the cause.
    pub(super) wire: Vec<u8>,
    /// What may arrive as a whole body; when there is none, no body may come to its end.
    pub(super) bodies: Vec<Vec<u8>>,
}

/// The chance of one case.
pub(super) fn chance(seed: u64, number: u64) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

pub(super) fn of<T: Copy>(rng: &mut TestRng, items: &[T]) -> T {
    items[rng.random_range(0..items.len())]
}

pub(super) fn one_in(rng: &mut TestRng, many: u32) -> bool {
    rng.random_ratio(1, many)
}

impl Case {
    /// Whether this may stand for the pseudo-header `name` whose value is `value`.
    pub(super) fn may_mean(&self, name: &[u8], value: &[u8], meant: &[u8]) -> bool {
        let second = self.second.as_ref();
        value == meant || second.is_some_and(|second| second.0 == name && second.1 == meant)
    }

    pub(super) fn draw(rng: &mut TestRng, number: u64, who: usize) -> Self {
        let body = if one_in(rng, 3) {
            text(rng, 60)
        } else {
            Vec::new()
        };
        let mut fields: Vec<Field> = Vec::new();
        for _ in 0..rng.random_range(0..9_u8) {
            fields.push(field(rng));
        }
        if one_in(rng, 24) {
            let name = of(rng, &IMPERSONATE);
            fields.push((name.into(), tainted(rng)));
        }
        let count = if one_in(rng, 4) { 2 } else { 0 };
        Self {
            number,
            who,
            http2: false,
            method: of(rng, &METHODS).into(),
            target: target(rng, number),
            fields,
            bodies: vec![body.clone()],
            body,
            trailers: (0..count).map(|_| trailer(rng)).collect(),
            upgrade: None,
            odd: false,
            second: None,
            wire: Vec::new(),
        }
    }

    /// Path and query as they must arrive: what follows `#` is neither.
    pub(super) fn expected_target(&self) -> &[u8] {
        let mut parts = self.target.split(|byte| *byte == b'#');
        parts.next().unwrap_or_default()
    }

    /// The names that `Connection` lists, in lower case. HTTP/2 has no such field: with it a request is
    /// refused, or, where the head is cut into CONTINUATION frames, only the field is left out (h2 0.4
    /// forgets a fault of all frames but the last).
    pub(super) fn named_in_connection(&self) -> Vec<Vec<u8>> {
        if self.http2 {
            return Vec::new();
        }
        let values = self
            .fields
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"));
        values
            .flat_map(|(_, value)| value.split(|byte| *byte == b','))
            .map(|option| option.trim_ascii().to_ascii_lowercase())
            .collect()
    }

    /// What a caller of HTTP/1.1 who wants to go on in another protocol adds.
    pub(super) fn ask_to_switch(&mut self, rng: &mut TestRng) {
        let protocol = of(
            rng,
            &[
                "SPDY/3.1",
                "spdy/3.1",
                "websocket",
                "WebSocket",
                "SPDY/3.1+portforward.k8s.io",
                "h2c",
                "websocket, SPDY/3.1",
                "EVIL/1.0",
            ],
        );
        self.method = of(rng, &["GET", "POST"]).into();
        self.body.clear();
        self.bodies = vec![Vec::new()];
        self.trailers.clear();
        let connection = of(
            rng,
            &[
                "Upgrade",
                "upgrade, keep-alive",
                "x-custom-1, UPGRADE",
                "close, upgrade",
            ],
        );
        self.fields.push(("Connection".into(), connection.into()));
        self.fields.push(("Upgrade".into(), protocol.into()));
        if one_in(rng, 2) {
            self.fields.push(subprotocols(rng));
        }
        self.upgrade = Some(protocol);
    }
}

fn field(rng: &mut TestRng) -> Field {
    match rng.random_range(0..20_u8) {
        0..=8 => (of(rng, &HARMLESS).into(), harmless_value(rng)),
        9..=15 => (of(rng, &FORBIDDEN).into(), tainted(rng)),
        16 => ("connection".into(), options(rng)),
        17 => subprotocols(rng),
        18 => ("cookie".into(), text(rng, 12)),
        _ => (
            format!("x-{}", "n".repeat(rng.random_range(1..40))).into(),
            text(rng, 80),
        ),
    }
}

fn trailer(rng: &mut TestRng) -> Field {
    let name = if one_in(rng, 2) {
        of(rng, &FORBIDDEN)
    } else {
        of(rng, &IMPERSONATE)
    };
    (name.into(), tainted(rng))
}

/// A list of headers that shall end at the next hop.
fn options(rng: &mut TestRng) -> Vec<u8> {
    const OURS: [&str; 14] = [
        "impersonate-user",
        "Impersonate-Group",
        "authorization",
        "audit-id",
        "host",
        "content-length",
        "transfer-encoding",
        "cookie",
        "sec-websocket-protocol",
        "te",
        "keep-alive",
        "",
        " ",
        "x-custom-1;q=1",
    ];
    let mut list = Vec::new();
    for _ in 0..rng.random_range(1..4_u8) {
        list.push(if one_in(rng, 2) {
            of(rng, &OURS)
        } else {
            of(rng, &HARMLESS)
        });
    }
    list.join(of(rng, &[",", ", ", "\t, "])).into_bytes()
}

/// A bearer token among subprotocols, as browsers send it.
fn subprotocols(rng: &mut TestRng) -> Field {
    const TOKENS: [&str; 4] = [
        "base64url.bearer.authorization.k8s.io.EVIL",
        "BASE64URL.bearer.Authorization.k8s.io.EVIL",
        "base64url.bearer.authorization.k8s.io.",
        "  base64url.bearer.authorization.k8s.io.EVIL",
    ];
    let mut list = Vec::new();
    for _ in 0..rng.random_range(1..4_u8) {
        list.push(if one_in(rng, 2) {
            of(rng, &TOKENS)
        } else {
            of(rng, &["v4.channel.k8s.io", "v5.channel.k8s.io", "", "a b"])
        });
    }
    let value = list.join(of(rng, &[",", ", ", ",\t"]));
    ("sec-websocket-protocol".into(), value.into())
}

fn target(rng: &mut TestRng, number: u64) -> Vec<u8> {
    let mut target = format!("/case/{number}");
    if one_in(rng, 2) {
        target.push(of(rng, &['/', '?']));
        for _ in 0..rng.random_range(0..8_u8) {
            target.push_str(of(rng, &PIECES));
        }
    }
    let mut target = target.into_bytes();
    match rng.random_range(0..100_u8) {
        0..=2 => target.extend_from_slice(b"#EVIL"),
        3..=4 => target.extend_from_slice("/\u{e9}?\u{20ac}".as_bytes()),
        5 => target.extend_from_slice(&[b'/', rng.random_range(0x80..=0xff)]),
        6 => target.extend_from_slice(&[b'/', rng.random_range(1..0x20)]),
        7 => target.extend(std::iter::repeat_n(b'a', rng.random_range(1..9000))),
        _ => {}
    }
    target
}

/// Bytes that a header's value may hold, without blanks at its ends.
fn text(rng: &mut TestRng, most: usize) -> Vec<u8> {
    let length = rng.random_range(1..most);
    let mut text: Vec<u8> = (0..length)
        .map(|_| match rng.random_range(0..40_u8) {
            0 => b'\t',
            1 => rng.random_range(0x80..=0xff),
            _ => rng.random_range(0x20..=0x7e),
        })
        .collect();
    text[0] = b'a';
    text[length - 1] = b'z';
    text
}

fn harmless_value(rng: &mut TestRng) -> Vec<u8> {
    if one_in(rng, 10) {
        Vec::new()
    } else {
        text(rng, 20)
    }
}

fn tainted(rng: &mut TestRng) -> Vec<u8> {
    let around = of(
        rng,
        &[
            "EVIL",
            "Bearer EVIL",
            "system:masters,EVIL",
            "EVIL;for=1",
            "trailers, EVIL",
        ],
    );
    around.into()
}
