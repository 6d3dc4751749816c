//! The relay's `enrolment` block: how clusters join by themselves.

use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::TunnelName;
use gangplank_pki::clock::ManualClock;
use gangplank_pki::inspect::inspect_der;
use gangplank_pki::issue::CertificateAuthority;
use gangplank_pki::peer::RelayVerifier;
use rustls::CertificateError;
use rustls::client::danger::ServerCertVerifier as _;
use rustls_pki_types::ServerName;

use crate::fault::Place;
use crate::material::{Anchors, KeySet, Material, authority};
use crate::role::blocks;
use crate::role::relay::TunnelEntrance;
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

/// What a verifier says of a certificate by somebody else.
const UNKNOWN_ISSUER: rustls::Error =
    rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);

/// How clusters join by themselves.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// The authority that issues agents' certificates.
    pub authority: Material<CertificateAuthority>,
    /// Its certificate alone, for who shows until when it is good.
    pub authority_certificate: Material<Anchors>,
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
    tunnel: Option<&TunnelEntrance>,
) -> Option<Option<Enrolment>> {
    if section.optional("enrolment").is_none() {
        return Some(None);
    }
    let section = section.optional_section("enrolment", KEYS)?;
    let authority = authority(&section);
    if let (Some((place, authority)), Some(tunnel)) = (&authority, tunnel) {
        agents_are_believed(&section, *place, authority, &tunnel.agent_authorities);
    }
    let relay_authorities = section.anchors("relayCAFile");
    if let (Some(authorities), Some(tunnel)) = (&relay_authorities, tunnel) {
        relay_is_believed(&section, authorities, tunnel);
    }
    let register = register::register(&section);
    let lifetime = bounded(&section, "certificateLifetime", LIFETIME, LIFETIMES);
    let grace = bounded(&section, "renewalGrace", GRACE, GRACES);
    let service_accounts = service_accounts(&section);
    let (_, authority) = authority?;
    let certificate = section.required_text("certificateFile")?;
    Some(Some(Enrolment {
        authority_certificate: Anchors::material(section.sheet.resolve(certificate.text)),
        authority,
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

/// A token pins the first of these authorities, and the relay has to show a certificate of it to whoever comes
/// with one.
fn relay_is_believed(
    section: &Section<'_>,
    authorities: &Material<Anchors>,
    tunnel: &TunnelEntrance,
) {
    let (Ok(authorities), Ok(shown)) = (authorities.read(), tunnel.key_pair.read()) else {
        return;
    };
    let pinned: Vec<_> = authorities.certificates().into_iter().take(1).collect();
    let name = ServerName::try_from(tunnel.server_name.as_str());
    let (Ok(name), Some((leaf, rest))) = (name, shown.chain().split_first()) else {
        return;
    };
    // At a moment when it is good: that its time is over is another matter, and told elsewhere.
    let Some(good) = inspect_der(leaf).map(|leaf| leaf.not_before) else {
        return;
    };
    let Ok(verifier) = RelayVerifier::new(&pinned, Arc::new(ManualClock::new(good))) else {
        return;
    };
    // Who joins is shown these authorities behind the chain.
    let behind: Vec<_> = rest
        .iter()
        .cloned()
        .chain(authorities.certificates())
        .collect();
    let verdict = verifier.verify_server_cert(leaf, &behind, &name, &[], good);
    if verdict.err() != Some(UNKNOWN_ISSUER) {
        return;
    }
    let place = section
        .optional("relayCAFile")
        .map_or(section.place, |node| node.place);
    let message = "the first authority of this file, which tokens pin, did not issue the certificate in `tunnel.certificateFile`: nobody could join";
    let remedy = "put the authority there that did, as the first, or issue the relay's certificate anew by this one";
    section
        .sheet
        .fault(place, "RelayNotBelieved", message, remedy);
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
