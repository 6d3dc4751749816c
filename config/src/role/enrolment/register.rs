//! `enrolment.register`: a file beside one relay, or etcd for several.

use std::fmt;
use std::path::PathBuf;

use crate::material::{Anchors, KeyPair, Material, Purpose};
use crate::scalar::{HostPort, quoted};
use crate::section::{Section, Written};
use crate::upstream::Server;

/// Where tokens, certificates and revocations are kept.
#[derive(Clone, Debug)]
pub enum Register {
    /// A file beside the relay, which is the only one to use it.
    File(PathBuf),
    /// An etcd that several relays share.
    Etcd(Etcd),
}

/// As people are told of it.
impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => {
                // A path that is relative to where the relay was started says little elsewhere.
                let absolute = std::path::absolute(file);
                let file = absolute.as_ref().unwrap_or(file);
                write!(f, "file {}", file.display())
            }
            Self::Etcd(etcd) => {
                let members: Vec<_> = etcd.endpoints.iter().map(|at| &*at.authority).collect();
                write!(f, "etcd {}, below {}", members.join(", "), etcd.prefix)
            }
        }
    }
}

/// An etcd, and which part of it is the register's.
#[derive(Clone, Debug)]
pub struct Etcd {
    /// Its members, to be tried in turn; at least one.
    pub endpoints: Vec<Server>,
    /// What every key begins with; ends with a slash.
    pub prefix: String,
    /// The authorities that its members' certificates may come from. System-wide ones are never used.
    pub authorities: Material<Anchors>,
    /// The certificate that is shown to it, and its key.
    pub key_pair: Material<KeyPair>,
}

const KEYS: &[&str] = &["file", "etcd"];
const ETCD_KEYS: &[&str] = &[
    "endpoints",
    "prefix",
    "caFile",
    "certificateFile",
    "keyFile",
];
/// Nothing else is at home there, and who shares an etcd sees whose keys they are.
const USUAL_PREFIX: &str = "/gangplank/";
/// An etcd has seven members at most; more is a list pasted from elsewhere.
const MOST_ENDPOINTS: usize = 9;

/// `register: { file: … }` or `register: { etcd: … }`.
pub(super) fn register(enrolment: &Section<'_>) -> Option<Register> {
    let section = enrolment.required_section("register", KEYS)?;
    match (section.optional("file"), section.optional("etcd")) {
        (Some(_), Some(etcd)) => {
            let message = "a register is either a `file` or an `etcd`, not both";
            let remedy = "remove one of the two: `file` for one relay, `etcd` for several";
            section
                .sheet
                .fault(etcd.place, "TwoRegisters", message, remedy);
            None
        }
        (None, Some(_)) => etcd(&section).map(Register::Etcd),
        _ => {
            let written = section.required_text("file")?;
            Some(Register::File(section.sheet.resolve(written.text)))
        }
    }
}

fn etcd(register: &Section<'_>) -> Option<Etcd> {
    let section = register.required_section("etcd", ETCD_KEYS)?;
    let endpoints = endpoints(&section);
    let prefix = prefix(&section);
    let authorities = section.anchors("caFile");
    let key_pair = section.key_pair(Purpose::Unchecked);
    Some(Etcd {
        endpoints: endpoints?,
        prefix: prefix?,
        authorities: authorities?,
        key_pair: key_pair?,
    })
}

fn endpoints(section: &Section<'_>) -> Option<Vec<Server>> {
    let items = section.required_list("endpoints")?;
    let place = section.required("endpoints")?.place;
    if items.is_empty() || items.len() > MOST_ENDPOINTS {
        let message = format!("`endpoints` has {} entries", items.len());
        let remedy = format!(
            "name 1 to {MOST_ENDPOINTS} members, such as `https://etcd-0.example.com:2379`"
        );
        section.sheet.fault(place, "OutOfRange", message, remedy);
        return None;
    }
    let read: Vec<_> = items
        .iter()
        .map(|item| endpoint(section, section.text("endpoints", item)?))
        .collect();
    read.into_iter().collect()
}

/// `https://HOST:PORT` as etcd itself writes it, or without the scheme.
fn endpoint(section: &Section<'_>, written: Written<'_>) -> Option<Server> {
    if written.text.contains('@') {
        // Not quoted: a password may stand there.
        let message = "an endpoint has a user or password in it";
        let remedy = "write `https://HOST:PORT`; etcd knows the relay by its certificate";
        section
            .sheet
            .fault(written.place, "BadAddress", message, remedy);
        return None;
    }
    let address = match written.text.split_once("://") {
        None => written.text,
        Some(("https", address)) => address.strip_suffix('/').unwrap_or(address),
        Some(_) => {
            let message = format!("{} is not spoken to", quoted(written.text));
            let remedy = "write `https://HOST:PORT`: what decides who may join travels in TLS only";
            section
                .sheet
                .fault(written.place, "BadAddress", message, remedy);
            return None;
        }
    };
    let address = section
        .sheet
        .accept(written.place, HostPort::parse(address))?;
    section
        .sheet
        .accept(written.place, Server::new(&address, None))
}

fn prefix(section: &Section<'_>) -> Option<String> {
    if section.optional("prefix").is_none() {
        return Some(USUAL_PREFIX.to_owned());
    }
    let written = section.optional_text("prefix")?;
    if written.text.ends_with('/') && written.text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(written.text.to_owned());
    }
    let message = format!("{} cannot be what keys begin with", quoted(written.text));
    let remedy = "write visible ASCII that ends with a slash, such as `/gangplank/`";
    section
        .sheet
        .fault(written.place, "BadPrefix", message, remedy);
    None
}
