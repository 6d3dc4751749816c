//! The block that agent and proxy share: the end where callers' certificates are looked at.

use std::path::PathBuf;

use crate::material::{KeyPair, Material, Purpose};
use crate::role::audit::{self, Audit};
use crate::role::limits::{self, Limits};
use crate::scalar::quoted;
use crate::section::Section;
use crate::upstream::{self, InCluster, Upstream};

/// What the exit is to do.
#[derive(Clone, Debug)]
pub struct Exit {
    /// The certificate callers see, and its key.
    pub serving: Material<KeyPair>,
    /// The directory of trust objects; existed when the file was loaded. See
    /// [`TrustDirectory`](crate::TrustDirectory).
    pub trust_directory: PathBuf,
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
    let trust_directory = trust_directory(&section);
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
        trust_directory: trust_directory?,
        client_auth: client_auth?,
        nested_impersonation: nested?,
        upstream: upstream?,
        audit: audit?,
        limits: limits?,
    })
}

fn trust_directory(section: &Section<'_>) -> Option<PathBuf> {
    let written = section
        .required_section("trust", &["directory"])?
        .required_text("directory")?;
    let directory = section.sheet.resolve(written.text);
    if directory.is_dir() {
        return Some(directory);
    }
    let message = format!("there is no directory {}", quoted(written.text));
    let remedy =
        "create it, empty if nobody is to be trusted yet; the path is relative to this file";
    section
        .sheet
        .fault(written.place, "NoSuchDirectory", message, remedy);
    None
}
