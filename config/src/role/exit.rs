//! The block that agent and proxy share: the end where callers' certificates are looked at.

use std::path::PathBuf;

use crate::material::{KeyPair, Material, Purpose};
use crate::role::audit::{self, Audit};
use crate::role::controller::label;
use crate::role::limits::{self, Limits};
use crate::scalar::quoted;
use crate::section::{Section, Written};
use crate::trust::{AllowedPrefix, TrustRules};
use crate::upstream::{self, InCluster, Upstream};

/// What the exit is to do.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The certificate callers see, and its key.
    pub serving: Material<KeyPair>,
    /// Where trust objects come from.
    pub trust: Trust,
    /// When a caller without an accepted certificate is turned away.
    pub client_auth: ClientAuth,
    /// What becomes of callers who ask to be taken for someone else.
    pub nested_impersonation: NestedImpersonation,
    /// The API server, and the one credential used towards it.
    pub upstream: Upstream,
    /// Where the audit trail goes.
    pub audit: Audit,
    /// How much of it one organisation, and one caller, may use.
    pub limits: Limits,
}

/// Where trust objects come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// From files in a directory, which existed when the file was loaded. See
    /// [`TrustDirectory`](crate::TrustDirectory).
    Directory(PathBuf, TrustRules),
    /// From the API server. See [`TrustObjects`](crate::TrustObjects).
    Cluster(TrustRules),
}

/// When a caller without an accepted certificate is turned away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// After the handshake, with a 401 that says why.
    #[default]
    Request,
    /// In the handshake.
    Require,
}

/// What becomes of callers who ask to be taken for someone else (`kubectl --as`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NestedImpersonation {
    /// They get a 403.
    #[default]
    Refuse,
    /// The API server is asked whether they may.
    Authorize,
}

const KEYS: &[&str] = &[
    "servingCertificate",
    "trust",
    "clientAuth",
    "nestedImpersonation",
    "upstream",
    "audit",
    "limits",
];

/// The `exit` block of a role's file.
pub(crate) fn exit(role: &Section<'_>, in_cluster: &InCluster) -> Option<Exit> {
    let section = role.required_section("exit", KEYS)?;
    let serving = section
        .required_section("servingCertificate", &["certificateFile", "keyFile"])
        .and_then(|serving| serving.key_pair(Purpose::Exit));
    let trust = trust(&section);
    let words = [
        ("Request", ClientAuth::Request),
        ("Require", ClientAuth::Require),
    ];
    let client_auth = section.word("clientAuth", &words, ClientAuth::default());
    let words = [
        ("Refuse", NestedImpersonation::Refuse),
        ("Authorize", NestedImpersonation::Authorize),
    ];
    let nested = section.word(
        "nestedImpersonation",
        &words,
        NestedImpersonation::default(),
    );
    let upstream = upstream::read(&section, in_cluster);
    let audit = audit::read(&section);
    let limits = limits::read(&section);
    Some(Exit {
        serving: serving?,
        trust: trust?,
        client_auth: client_auth?,
        nested_impersonation: nested?,
        upstream: upstream?,
        audit: audit?,
        limits: limits?,
    })
}

const TRUST_KEYS: &[&str] = &["directory", "cluster", "account", "allowedPrefixes"];

fn trust(section: &Section<'_>) -> Option<Trust> {
    let trust = section.required_section("trust", TRUST_KEYS)?;
    let rules = rules(&trust);
    let from_cluster = trust.flag("cluster", false)?;
    match (from_cluster, trust.optional("directory").is_some()) {
        (true, false) => Some(Trust::Cluster(rules?)),
        (false, true) => {
            let directory = directory(&trust, trust.optional_text("directory")?);
            Some(Trust::Directory(directory?, rules?))
        }
        // It was meant, and told already.
        (false, false) if !trust.slips.is_empty() => None,
        (is_cluster, _) => {
            let message = if is_cluster {
                "`trust` says both `directory` and `cluster`"
            } else {
                "`trust` says neither `directory` nor `cluster`"
            };
            let remedy =
                "write `directory: FOLDER`, or `cluster: true` to read the API server's objects";
            let reason = if is_cluster {
                "Contradiction"
            } else {
                "MissingKey"
            };
            trust.sheet.fault(trust.place, reason, message, remedy);
            None
        }
    }
}

fn rules(trust: &Section<'_>) -> Option<TrustRules> {
    let account = trust
        .optional("account")
        .map(|_written| label(trust, "account"));
    let allowed = allowed_prefixes(trust);
    Some(TrustRules {
        account: match account {
            Some(account) => Some(account?),
            None => None,
        },
        allowed_prefixes: allowed?,
    })
}

/// `allowedPrefixes: [{ namespace: …, prefix: … }]`.
pub(super) fn allowed_prefixes(section: &Section<'_>) -> Option<Vec<AllowedPrefix>> {
    if section.optional("allowedPrefixes").is_none() {
        return Some(Vec::new());
    }
    let items = section.optional_list("allowedPrefixes")?;
    let allowed: Vec<_> = items
        .iter()
        .map(|item| {
            let keys = ["namespace", "prefix"];
            let entry = section.sheet.section(item, "an allowed prefix", &keys)?;
            let (namespace, prefix) = (label(&entry, "namespace"), entry.required_text("prefix"));
            Some(AllowedPrefix {
                namespace: namespace?,
                prefix: prefix?.text.to_owned(),
            })
        })
        .collect();
    allowed.into_iter().collect()
}

fn directory(trust: &Section<'_>, written: Written<'_>) -> Option<PathBuf> {
    let directory = trust.sheet.resolve(written.text);
    if directory.is_dir() {
        return Some(directory);
    }
    let message = format!("there is no directory {}", quoted(written.text));
    let remedy =
        "create it, empty if nobody is to be trusted yet; the path is relative to this file";
    trust
        .sheet
        .fault(written.place, "NoSuchDirectory", message, remedy);
    None
}
