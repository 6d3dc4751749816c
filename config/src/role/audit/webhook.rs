//! `exit.audit.webhook`: a collector of events, over HTTP.

use std::time::Duration;

use crate::material::{Anchors, Material, Token};
use crate::role::blocks;
use crate::scalar::{HostPort, quoted};
use crate::section::{Section, Written};
use crate::upstream::Server;

/// A collector of events.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its address.
    pub server: Server,
    /// Path and query of what events are posted to.
    pub target: String,
    /// The authorities that its certificate may come from; none for plain HTTP.
    pub authorities: Option<Material<Anchors>>,
    /// A bearer token for it.
    pub token: Option<Material<Token>>,
    /// How long one batch may take, from dialling to the answer.
    pub timeout: Duration,
}

const KEYS: &[&str] = &["url", "caFile", "tokenFile", "timeout"];

/// Long enough for a collector that writes to its own store before it answers.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Below it a handshake over a long way may never succeed.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(100);
/// Beyond it the queue is full before anyone notices.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(120);

/// What a URL says.
struct Address {
    server: Server,
    target: String,
    is_secure: bool,
}

pub(super) fn read(audit: &Section<'_>) -> Option<Webhook> {
    let section = audit.required_section("webhook", KEYS)?;
    let written = section.required_text("url");
    let address = written.and_then(|written| address(&section, written));
    let timeout = timeout(&section);
    let address = address?;
    let authorities = authorities(&section, &address);
    let token = token(&section, &address);
    Some(Webhook {
        server: address.server,
        target: address.target,
        authorities,
        token,
        timeout: timeout?,
    })
}

fn address(section: &Section<'_>, written: Written<'_>) -> Option<Address> {
    let refuse = |why: &str| {
        let message = format!(
            "{} is not an address for events: {why}",
            quoted(written.text)
        );
        let remedy =
            "write `https://HOST:PORT/PATH`, or `http://…` for a collector beside this process";
        section
            .sheet
            .fault(written.place, "BadAddress", message, remedy);
        None
    };
    let (rest, port) = match written.text.split_once("://") {
        Some(("https", rest)) => (rest, 443),
        Some(("http", rest)) => (rest, 80),
        _ => return refuse("it begins with neither https:// nor http://"),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, target) = rest.split_at(end);
    if host.contains('@') {
        // Not quoted: a password may stand there.
        let message = "the address for events has a user or password in it";
        let remedy = "put a bearer token into a file and name that as `tokenFile`";
        section
            .sheet
            .fault(written.place, "BadAddress", message, remedy);
        return None;
    }
    if !target
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return refuse("what follows the host must be visible ASCII without `#`");
    }
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'));
    let host = if has_port {
        HostPort::parse(host)
    } else {
        HostPort::from_parts(host, port)
    };
    let host = section.sheet.accept(written.place, host)?;
    let server = section
        .sheet
        .accept(written.place, Server::new(&host, None))?;
    let slash = if target.starts_with('/') { "" } else { "/" };
    Some(Address {
        server,
        target: format!("{slash}{target}"),
        is_secure: port == 443,
    })
}

/// As for the API server, the system's own authorities are never used. With a fault there are none, too.
fn authorities(section: &Section<'_>, address: &Address) -> Option<Material<Anchors>> {
    if address.is_secure {
        section.required("caFile")?;
        return section.anchors("caFile");
    }
    if let Some(node) = section.optional("caFile") {
        let message = "`caFile` says nothing about an http:// address";
        section
            .sheet
            .fault(node.place, "UselessKey", message, "remove it");
    }
    None
}

/// The token's file, if there is to be one. With a fault there is none, too.
fn token(section: &Section<'_>, address: &Address) -> Option<Material<Token>> {
    let node = section.optional("tokenFile")?;
    if !address.is_secure {
        let message = "the token would travel in clear over http://";
        let remedy = "write an https:// address, or remove the token";
        section
            .sheet
            .fault(node.place, "TokenInClear", message, remedy);
        return None;
    }
    let written = section.optional_text("tokenFile")?;
    let material = Token::material(section.sheet.resolve(written.text));
    section
        .sheet
        .accept_referenced(written.place, material.read())?;
    Some(material)
}

fn timeout(section: &Section<'_>) -> Option<Duration> {
    let timeout = blocks::duration(section, "timeout", USUAL_TIMEOUT)?;
    if (SHORTEST_TIMEOUT..=LONGEST_TIMEOUT).contains(&timeout) {
        return Some(timeout);
    }
    let written = section.optional_text("timeout")?;
    let message = format!(
        "{} is too short or too long for a batch",
        quoted(written.text)
    );
    let remedy = "write a duration from `100ms` to `2m`";
    section
        .sheet
        .fault(written.place, "OutOfRange", message, remedy);
    None
}
