//! The controller's file: which cluster this is, and what is made in it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::fault::Faults;
use crate::role::{Log, blocks, exit};
use crate::scalar::{Complaint, quoted};
use crate::section::Section;
use crate::sheet::Sheet;
use crate::trust::AllowedPrefix;
use crate::upstream::{self, InCluster, Upstream};

/// How long an identity's certificate lives unless the file says otherwise: one that was stolen is worth a day, and a
/// program that reads its kubeconfig only at its start can be restarted by night.
const IDENTITY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

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
    /// What is issued.
    pub identities: Identities,
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
    "identities",
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
    let identities = identities(section);
    let sources = sources(section);
    let allowed_prefixes = providers(section);
    let admin = blocks::admin(section);
    let log = blocks::log(section);
    Some(Controller {
        namespace: namespace?,
        account: account?,
        cluster: cluster?,
        upstream: upstream?,
        identities: identities?,
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
