//! What everything that reaches the API server must obey (the contract on who someone is, point 7).

use std::collections::HashSet;

use http::Version;
use uuid::Uuid;

use super::case::{Case, Field, TAINT};
use super::recorder::Record;
use crate::exit::tests::stage::TOKEN;

/// Whom the API server must see, and by which proof of ours.
#[derive(Clone, Debug)]
pub(super) struct Rightful {
    pub(super) username: String,
    pub(super) groups: Vec<String>,
    /// The address that is configured.
    pub(super) authority: String,
    /// Whether the proxy proves itself by a client certificate.
    pub(super) by_certificate: bool,
}

/// Headers that the proxy or its HTTP library writes itself.
const OURS: [&[u8]; 9] = [
    b"impersonate-user",
    b"impersonate-group",
    b"authorization",
    b"audit-id",
    b"host",
    b"connection",
    b"upgrade",
    b"content-length",
    b"transfer-encoding",
];

/// Headers that nobody may send to the API server through this proxy.
const NEVER: [&[u8]; 8] = [
    b"forwarded",
    b"x-real-ip",
    b"te",
    b"trailer",
    b"keep-alive",
    b"proxy-connection",
    b"http2-settings",
    b"expect",
];

type Judgement = Result<(), String>;

/// Judges one record; `ids` are the audit ids seen before.
pub(super) fn judge(
    record: &Record,
    case: &Case,
    whose: &Rightful,
    ids: &mut HashSet<Uuid>,
) -> Judgement {
    if let Some(wrong) = record.wrong {
        return Err(format!("malformed: {wrong}"));
    }
    identity(record, whose)?;
    credential(record, whose)?;
    audit_id(record, case, ids)?;
    connection(record, case, whose)?;
    for (name, value) in &record.fields {
        clean(name, value)?;
    }
    passed(record, case)?;
    content(record, case)
}

/// Every value of a header.
fn all<'r>(record: &'r Record, name: &[u8]) -> Vec<&'r [u8]> {
    let fields = record.fields.iter();
    let found = fields.filter(|(it, _)| it.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_slice()).collect()
}

fn ensure(holds: bool, what: impl Fn() -> String) -> Judgement {
    if holds { Ok(()) } else { Err(what()) }
}

fn identity(record: &Record, whose: &Rightful) -> Judgement {
    let users = all(record, b"impersonate-user");
    ensure(users == [whose.username.as_bytes()], || {
        "not exactly the one user".to_owned()
    })?;
    let groups = all(record, b"impersonate-group");
    let rightful: Vec<_> = whose.groups.iter().map(String::as_bytes).collect();
    ensure(groups == rightful, || "other groups".to_owned())?;
    let foreign = record.fields.iter().find(|(name, _)| {
        let name = name.to_ascii_lowercase();
        name.starts_with(b"impersonate-")
            && name != b"impersonate-user"
            && name != b"impersonate-group"
    });
    ensure(foreign.is_none(), || {
        "another order to impersonate".to_owned()
    })
}

fn credential(record: &Record, whose: &Rightful) -> Judgement {
    let shown = all(record, b"authorization");
    let ours = format!("Bearer {TOKEN}");
    let rightful: &[&[u8]] = if whose.by_certificate {
        &[]
    } else {
        &[ours.as_bytes()]
    };
    ensure(
        shown == rightful && record.certified == whose.by_certificate,
        || "not exactly the one credential".to_owned(),
    )
}

fn audit_id(record: &Record, case: &Case, ids: &mut HashSet<Uuid>) -> Judgement {
    let [id] = all(record, b"audit-id")[..] else {
        return Err("not exactly one audit id".to_owned());
    };
    let sent = case.fields.iter().any(|(_, value)| value == id);
    let id =
        Uuid::try_parse_ascii(id).map_err(|_invalid| "an audit id that is no UUID".to_owned())?;
    ensure(!sent && ids.insert(id), || {
        "an audit id that is not ours alone".to_owned()
    })
}

/// Where to, and in which protocol.
fn connection(record: &Record, case: &Case, whose: &Rightful) -> Judgement {
    let authority = whose.authority.as_bytes();
    let hosts = all(record, b"host");
    let http2 = record.version == Version::HTTP_2;
    let right = if http2 {
        record.authority == authority && hosts.is_empty()
    } else {
        hosts == [authority]
    };
    ensure(right, || "another host".to_owned())?;
    let (options, protocols) = (all(record, b"connection"), all(record, b"upgrade"));
    match (options.as_slice(), protocols.as_slice()) {
        ([], []) => Ok(()),
        ([b"Upgrade"], [protocol]) => {
            let asked = case.upgrade.unwrap_or_default();
            ensure(
                !http2 && protocol.eq_ignore_ascii_case(asked.as_bytes()),
                || "a protocol that was not asked for".to_owned(),
            )
        }
        _ => Err("what is about a connection".to_owned()),
    }
}

/// Nothing by which someone else could be meant, and no name that is read in two ways.
fn clean(name: &[u8], value: &[u8]) -> Judgement {
    let name = name.to_ascii_lowercase();
    let bad = NEVER.contains(&name.as_slice())
        || name.starts_with(b"x-remote-")
        || name.starts_with(b"x-forwarded-")
        || name.starts_with(b"proxy-")
        || name
            .iter()
            .any(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let value = value.to_ascii_lowercase();
    let contains = |part: &str| {
        let part = part.to_ascii_lowercase();
        value
            .windows(part.len())
            .any(|window| window == part.as_bytes())
    };
    let spoiled = contains(TAINT) || contains("base64url.bearer.authorization");
    ensure(!bad && !spoiled, || {
        let (name, value) = (
            String::from_utf8_lossy(&name),
            String::from_utf8_lossy(&value),
        );
        format!("{name}: {value}")
    })
}

/// What is not ours is the caller's, as it was sent, and not named in its `Connection`.
fn passed(record: &Record, case: &Case) -> Judgement {
    let named = case.named_in_connection();
    for (name, value) in &record.fields {
        let name = name.to_ascii_lowercase();
        if OURS.contains(&name.as_slice()) {
            continue;
        }
        ensure(!named.contains(&name), || {
            format!("{} was named in Connection", String::from_utf8_lossy(&name))
        })?;
        let joined = name == b"cookie" || name == b"sec-websocket-protocol";
        let sent = |(theirs, it): &Field| {
            theirs.eq_ignore_ascii_case(&name) && it.trim_ascii() == value.trim_ascii()
        };
        ensure(joined || case.odd || case.fields.iter().any(sent), || {
            let name = String::from_utf8_lossy(&name);
            format!("{name}: {:?} was not sent", String::from_utf8_lossy(value))
        })?;
    }
    Ok(())
}

/// Method, path, query and body, byte for byte.
fn content(record: &Record, case: &Case) -> Judgement {
    let expected = case.expected_target();
    ensure(case.may_mean(b":path", expected, &record.target), || {
        let target = String::from_utf8_lossy(&record.target);
        format!("another target: {target}")
    })?;
    let is_meant = case.may_mean(b":method", &case.method, &record.method);
    ensure(is_meant, || "another method".to_owned())?;
    let whole = !record.complete || case.bodies.contains(&record.body);
    ensure(whole, || {
        let body = String::from_utf8_lossy(&record.body);
        format!("another body: {body:?}")
    })
}
