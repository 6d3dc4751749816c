//! The controller's file: which cluster this is, and what is made in it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use gangplank_pki::EntranceDomain;

use crate::fault::Faults;
use crate::role::{Log, blocks, exit};
use crate::scalar::{Complaint, quoted};
use crate::section::Section;
use crate::sheet::Sheet;
use crate::trust::AllowedPrefix;
use crate::upstream::{self, InCluster, Upstream};
use crate::yaml::Value;

#[cfg(test)]
mod tests;

/// How long an identity's certificate lives unless the file says otherwise: one that was stolen is worth a day, and a
/// program that reads its kubeconfig only at its start can be restarted by night.
const IDENTITY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the exit's certificate lives: it is renewed at two thirds by itself, and an agent that cannot be given the
/// next one for a week still serves.
const SERVING_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long an authority lives. Its successor comes with a third of that left.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long an authority is published before it signs: whoever follows by himself needs minutes, and a person who
/// copies it by hand has two weeks.
const OVERLAP: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How long a lease holds (client-go's default): so long nobody acts after a replica was killed.
const LEASE: Duration = Duration::from_secs(15);

/// The shortest lease: five looks within two thirds of it are not a flood. The longest: nobody waits longer.
const LEASES: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(3600));

/// What the controller is to do.
#[derive(Clone, Debug)]
pub struct Controller {
    /// The namespace that Gangplank is installed in.
    pub namespace: String,
    /// The account that this cluster belongs to.
    pub account: String,
    /// This cluster's name within it.
    pub cluster: String,
    /// The API server, and the one credential used towards it.
    pub upstream: Upstream,
    /// Entrances are `<cluster>.<account>.<domain>`; none where the exit's certificate comes from elsewhere.
    pub domain: Option<EntranceDomain>,
    /// What is issued.
    pub identities: Identities,
    /// What the exit shows.
    pub serving: Serving,
    /// How authorities follow one another.
    pub authorities: Authorities,
    /// How long a lease holds; none where there is one replica.
    pub lease: Option<Duration>,
    /// What becomes of sources.
    pub sources: Sources,
    /// Which prefixes the providers of a namespace may have, as the exits are told. Empty: any.
    pub allowed_prefixes: Vec<AllowedPrefix>,
    /// Where metrics, probes and status are served, if at all.
    pub admin: Option<SocketAddr>,
    /// How to log.
    pub log: Log,
}

/// What is issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identities {
    /// The Secret of the authority, in the installation's namespace.
    pub authority_secret: String,
    /// How long a certificate lives.
    pub lifetime: Duration,
    /// The SPIFFE trust domain, if certificates carry a URI, too.
    pub trust_domain: Option<String>,
}

/// What the exit shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// The Secret of the authority, in the installation's namespace.
    pub authority_secret: String,
    /// The Secret of the exit's certificate, there as well.
    pub certificate_secret: String,
    /// How long a certificate lives.
    pub lifetime: Duration,
}

/// How authorities follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authorities {
    /// How long one lives.
    pub lifetime: Duration,
    /// How long a successor is published before it signs, and its predecessor after nothing of it is left.
    pub overlap: Duration,
}

/// What becomes of sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// Nothing: something else writes bindings.
    LeftAlone,
    /// They are bound to these ClusterRoles.
    Bound {
        /// What a source that names no role may do.
        role: String,
        /// What every source may see of the cluster as a whole.
        summary_viewer_role: String,
    },
}

const KEYS: &[&str] = &[
    "namespace",
    "account",
    "cluster",
    "upstream",
    "domain",
    "identities",
    "serving",
    "authorities",
    "leaderElection",
    "leaseDuration",
    "sources",
    "providers",
    "admin",
    "log",
];

/// Loads a controller's file.
///
/// # Errors
/// All faults of the file and of the files it names.
pub fn load(path: &Path, in_cluster: &InCluster) -> Result<Controller, Faults> {
    Sheet::load(path, |sheet, root| {
        let section = sheet.section(root, "the controller's file", KEYS)?;
        controller(&section, in_cluster)
    })
}

fn controller(section: &Section<'_>, in_cluster: &InCluster) -> Option<Controller> {
    let namespace = label(section, "namespace");
    let account = label(section, "account");
    let cluster = label(section, "cluster");
    let upstream = upstream::read(section, in_cluster);
    let domain = domain(section);
    let identities = identities(section);
    let serving = serving(section);
    let authorities = authorities(section, identities.as_ref(), serving.as_ref());
    let lease = lease(section);
    let sources = sources(section);
    let allowed_prefixes = providers(section);
    let admin = blocks::admin(section);
    let log = blocks::log(section);
    Some(Controller {
        namespace: namespace?,
        account: account?,
        cluster: cluster?,
        upstream: upstream?,
        domain: domain.ok()?,
        identities: identities?,
        serving: serving?,
        authorities: authorities?,
        lease: lease.ok()?,
        sources: sources?,
        allowed_prefixes: allowed_prefixes?,
        admin,
        log: log?,
    })
}

fn identities(section: &Section<'_>) -> Option<Identities> {
    let mut identities = Identities {
        authority_secret: "gangplank-identity-authority".to_owned(),
        lifetime: IDENTITY_LIFETIME,
        trust_domain: None,
    };
    if section.optional("identities").is_none() {
        return Some(identities);
    }
    let keys = ["authoritySecret", "lifetime", "trustDomain"];
    let written = section.optional_section("identities", &keys)?;
    if written.optional("authoritySecret").is_some() {
        identities.authority_secret = label(&written, "authoritySecret")?;
    }
    identities.lifetime = blocks::duration(&written, "lifetime", IDENTITY_LIFETIME)?;
    if written.optional("trustDomain").is_some() {
        identities.trust_domain = Some(trust_domain(&written)?);
    }
    Some(identities)
}

fn serving(section: &Section<'_>) -> Option<Serving> {
    let mut serving = Serving {
        authority_secret: "gangplank-serving-authority".to_owned(),
        certificate_secret: "gangplank-exit-certificate".to_owned(),
        lifetime: SERVING_LIFETIME,
    };
    if section.optional("serving").is_none() {
        return Some(serving);
    }
    let keys = ["authoritySecret", "certificateSecret", "lifetime"];
    let written = section.optional_section("serving", &keys)?;
    if written.optional("authoritySecret").is_some() {
        serving.authority_secret = label(&written, "authoritySecret")?;
    }
    if written.optional("certificateSecret").is_some() {
        serving.certificate_secret = label(&written, "certificateSecret")?;
    }
    serving.lifetime = blocks::duration(&written, "lifetime", SERVING_LIFETIME)?;
    Some(serving)
}

/// The last third of an authority's life is for its successor: the overlap and the last certificate must fit in.
fn authorities(
    section: &Section<'_>,
    identities: Option<&Identities>,
    serving: Option<&Serving>,
) -> Option<Authorities> {
    let mut authorities = Authorities {
        lifetime: AUTHORITY_LIFETIME,
        overlap: OVERLAP,
    };
    let mut place = section.place;
    if section.optional("authorities").is_some() {
        let written = section.optional_section("authorities", &["lifetime", "overlap"])?;
        authorities.lifetime = blocks::duration(&written, "lifetime", AUTHORITY_LIFETIME)?;
        authorities.overlap = blocks::duration(&written, "overlap", OVERLAP)?;
        place = written.place;
    }
    let longest = identities?.lifetime.max(serving?.lifetime);
    let fits = longest.saturating_add(authorities.overlap) <= authorities.lifetime / 3;
    let fits = fits.then_some(authorities).ok_or_else(|| Complaint {
        reason: "OverlapTooLong",
        message: "an authority does not live long enough to be followed by the next".to_owned(),
        remedy: "give `authorities.lifetime` at least three times `authorities.overlap` and the longest of the \
                 certificates' lifetimes together"
            .to_owned(),
    });
    section.sheet.accept(place, fits)
}

/// It is wrong, which the sheet was told.
struct Told;

fn domain(section: &Section<'_>) -> Result<Option<EntranceDomain>, Told> {
    if section.optional("domain").is_none() {
        return Ok(None);
    }
    let written = section.required_text("domain").ok_or(Told)?;
    let domain = EntranceDomain::parse(written.text).map_err(|fault| Complaint {
        reason: fault.reason(),
        message: format!("{} is no entrance domain", quoted(written.text)),
        remedy: fault.to_string(),
    });
    let domain = section.sheet.accept(written.place, domain);
    domain.map(Some).ok_or(Told)
}

/// In a cluster there may be several replicas, if only while one takes the place of another.
fn lease(section: &Section<'_>) -> Result<Option<Duration>, Told> {
    let election = section.flag("leaderElection", is_in_cluster(section));
    let lease = blocks::duration(section, "leaseDuration", LEASE).ok_or(Told)?;
    let (shortest, longest) = LEASES;
    let fits = (shortest..=longest).contains(&lease) && lease.subsec_nanos() == 0;
    let fits = fits.then_some(lease).ok_or_else(|| Complaint {
        reason: "BadDuration",
        message: "`leaseDuration` is no time that a lease can have".to_owned(),
        remedy: "write whole seconds from `3s` to `1h`, such as `15s`".to_owned(),
    });
    let place = section.optional("leaseDuration");
    let place = place.map_or(section.place, |node| node.place);
    let lease = section.sheet.accept(place, fits).ok_or(Told)?;
    Ok(election.ok_or(Told)?.then_some(lease))
}

fn is_in_cluster(section: &Section<'_>) -> bool {
    let Some(Value::Mapping(upstream)) = section.optional("upstream").map(|node| &node.value)
    else {
        return false;
    };
    let inside = upstream.iter().find(|(key, _)| key.name == "inCluster");
    inside.is_some_and(|(_, node)| matches!(node.value, Value::Bool(true)))
}

fn sources(section: &Section<'_>) -> Option<Sources> {
    if section.optional("sources").is_none() {
        return Some(Sources::LeftAlone);
    }
    let written = section.optional_section("sources", &["role", "summaryViewerRole"])?;
    let role = written.required_text("role");
    let viewer = written.required_text("summaryViewerRole");
    Some(Sources::Bound {
        role: role?.text.to_owned(),
        summary_viewer_role: viewer?.text.to_owned(),
    })
}

/// `providers: { allowedPrefixes: … }`.
fn providers(section: &Section<'_>) -> Option<Vec<AllowedPrefix>> {
    if section.optional("providers").is_none() {
        return Some(Vec::new());
    }
    exit::allowed_prefixes(&section.optional_section("providers", &["allowedPrefixes"])?)
}

/// A DNS label (RFC 1123), as Kubernetes demands of namespaces.
pub(super) fn label(section: &Section<'_>, key: &str) -> Option<String> {
    let written = section.required_text(key)?;
    let text = written.text;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|byte| is_word(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    let valid = fits.then(|| text.to_owned()).ok_or_else(|| Complaint {
        reason: "BadName",
        message: format!("{} is no name for `{key}`", quoted(text)),
        remedy: "use at most 63 lower-case letters, digits and hyphens".to_owned(),
    });
    section.sheet.accept(written.place, valid)
}

/// A trust domain's name (SPIFFE-ID §2.1).
fn trust_domain(section: &Section<'_>) -> Option<String> {
    let written = section.required_text("trustDomain")?;
    let text = written.text;
    let is_word = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_')
    };
    let fits = (1..=255).contains(&text.len()) && text.bytes().all(is_word);
    let valid = fits.then(|| text.to_owned()).ok_or_else(|| Complaint {
        reason: "BadTrustDomain",
        message: format!("{} is no SPIFFE trust domain", quoted(text)),
        remedy: "write one such as `source-cluster.example`, without `spiffe://`".to_owned(),
    });
    section.sheet.accept(written.place, valid)
}
