//! The relay's `enrolment` block: how clusters join by themselves.

use std::time::Duration;

use gangplank_pki::TunnelName;
use gangplank_pki::issue::CertificateAuthority;

use crate::fault::Place;
use crate::material::{Anchors, KeySet, Material, authority};
use crate::role::blocks;
use crate::scalar::quoted;
use crate::section::Section;

pub use register::{Etcd, Register};

mod register;

const KEYS: &[&str] = &[
    "certificateFile",
    "keyFile",
    "relayCAFile",
    "register",
    "certificateLifetime",
    "renewalGrace",
    "serviceAccounts",
];
const ACCOUNT_KEYS: &[&str] = &[
    "cluster",
    "issuer",
    "jwksFile",
    "audience",
    "namespace",
    "name",
];
/// One a cluster; a relay has place for sixteen thousand tunnels, and a file for a tenth of it to join so.
const MOST_ACCOUNTS: usize = 2048;

/// A day: renewed at two thirds of it, an agent that was cut off for a night is still known.
const LIFETIME: Duration = Duration::from_secs(24 * HOUR);
/// A week: as long as a cluster may be switched off and come back without a person.
const GRACE: Duration = Duration::from_secs(7 * 24 * HOUR);
/// Ten seconds are for rehearsals: shorter, a renewal would not be over before the next. A year is as long as
/// anyone forgets it.
const LIFETIMES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(YEAR));
/// From none at all to a year.
const GRACES: (Duration, Duration) = (Duration::ZERO, Duration::from_secs(YEAR));
const HOUR: u64 = 60 * 60;
const YEAR: u64 = 365 * 24 * HOUR;

/// How clusters join by themselves.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The authority that issues agents' certificates.
    pub authority: Material<CertificateAuthority>,
    /// The authorities of the relay's own certificate, as agents get to know them.
    pub relay_authorities: Material<Anchors>,
    /// Where tokens, certificates and revocations are kept.
    pub register: Register,
    /// How long an agent's certificate is good.
    pub certificate_lifetime: Duration,
    /// How long an expired certificate may still be renewed.
    pub renewal_grace: Duration,
    /// Which service accounts may join as which cluster.
    pub service_accounts: Vec<JoiningAccount>,
}

/// A service account whose token is good for one cluster's name.
#[derive(Clone, Debug)]
pub struct JoiningAccount {
    /// The name.
    pub cluster: TunnelName,
    /// `iss` of its tokens.
    pub issuer: String,
    /// The keys that sign them.
    pub keys: Material<KeySet>,
    /// `aud` of its tokens: they are made for this relay.
    pub audience: String,
    /// `sub` of its tokens.
    pub subject: String,
}

/// `enrolment: { … }`; `Some(None)` when the block is missing.
#[expect(
    clippy::option_option,
    reason = "the outer one says whether what was written makes sense"
)]
pub(crate) fn enrolment(
    section: &Section<'_>,
    agents: Option<&Material<Anchors>>,
) -> Option<Option<Enrolment>> {
    if section.optional("enrolment").is_none() {
        return Some(None);
    }
    let section = section.optional_section("enrolment", KEYS)?;
    let authority = authority(&section);
    if let (Some((place, authority)), Some(agents)) = (&authority, agents) {
        agents_are_believed(&section, *place, authority, agents);
    }
    let relay_authorities = section.anchors("relayCAFile");
    let register = register::register(&section);
    let lifetime = bounded(&section, "certificateLifetime", LIFETIME, LIFETIMES);
    let grace = bounded(&section, "renewalGrace", GRACE, GRACES);
    let service_accounts = service_accounts(&section);
    Some(Some(Enrolment {
        authority: authority?.1,
        relay_authorities: relay_authorities?,
        register: register?,
        certificate_lifetime: lifetime?,
        renewal_grace: grace?,
        service_accounts: service_accounts?,
    }))
}

fn service_accounts(section: &Section<'_>) -> Option<Vec<JoiningAccount>> {
    let Some(node) = section.optional("serviceAccounts") else {
        return Some(Vec::new());
    };
    let items = section.optional_list("serviceAccounts")?;
    if items.len() > MOST_ACCOUNTS {
        let message = format!("{} service accounts are too many", items.len());
        let remedy = format!("name at most {MOST_ACCOUNTS}; let the others join by tokens");
        section
            .sheet
            .fault(node.place, "TooManyServiceAccounts", message, remedy);
        return None;
    }
    let what = "a service account";
    let read: Vec<_> = items
        .iter()
        .map(|item| service_account(&section.sheet.section(item, what, ACCOUNT_KEYS)?))
        .collect();
    read.into_iter().collect()
}

fn service_account(section: &Section<'_>) -> Option<JoiningAccount> {
    let text = |key| {
        section
            .required_text(key)
            .map(|written| written.text.to_owned())
    };
    let cluster = section.required_text("cluster").and_then(|written| {
        let named = TunnelName::parse(written.text);
        if let Err(fault) = &named {
            let message = format!("{} is no cluster: {fault}", quoted(written.text));
            let remedy = "write such as `edge-1.acme`";
            section
                .sheet
                .fault(written.place, fault.reason(), message, remedy);
        }
        named.ok()
    });
    let (issuer, audience) = (text("issuer"), text("audience"));
    let (namespace, name) = (text("namespace"), text("name"));
    let keys = section.key_set("jwksFile");
    Some(JoiningAccount {
        cluster: cluster?,
        issuer: issuer?,
        keys: keys?,
        audience: audience?,
        subject: format!("system:serviceaccount:{}:{}", namespace?, name?),
    })
}

/// The authority and where it stands, read once.
fn authority(section: &Section<'_>) -> Option<(Place, Material<CertificateAuthority>)> {
    let (certificate, key) = (
        section.required_text("certificateFile"),
        section.required_text("keyFile"),
    );
    let (certificate, key) = (certificate?, key?);
    let key_file = section.sheet.resolve(key.text);
    let material = authority::material(section.sheet.resolve(certificate.text), key_file.clone());
    let read = material.read();
    let of_key = read.as_ref().is_err_and(|fault| fault.file == key_file);
    let place = if of_key { key.place } else { certificate.place };
    section.sheet.accept_referenced(place, read)?;
    Some((certificate.place, material))
}

/// An agent that has joined is to be let in.
fn agents_are_believed(
    section: &Section<'_>,
    place: Place,
    authority: &Material<CertificateAuthority>,
    agents: &Material<Anchors>,
) {
    let (Ok(authority), Ok(agents)) = (authority.read(), agents.read()) else {
        return;
    };
    let own = authority.anchor().der();
    if !agents.anchors().iter().any(|anchor| anchor.der() == own) {
        let message = "this authority is not in `tunnel.clientCAFile`, so no agent that joins would be let in";
        let remedy = "add its certificate to that file";
        section
            .sheet
            .fault(place, "AuthorityNotBelieved", message, remedy);
    }
}

fn bounded(
    section: &Section<'_>,
    key: &'static str,
    missing: Duration,
    (least, most): (Duration, Duration),
) -> Option<Duration> {
    let written = blocks::duration(section, key, missing)?;
    if (least..=most).contains(&written) {
        return Some(written);
    }
    let place = section
        .optional(key)
        .map_or(section.place, |node| node.place);
    let message = format!(
        "`{key}` is not between {} s and {} h",
        least.as_secs(),
        most.as_secs() / HOUR
    );
    let remedy = format!("write one, such as `{}h`", missing.as_secs() / HOUR);
    section.sheet.fault(place, "OutOfRange", message, remedy);
    None
}
