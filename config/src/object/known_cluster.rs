//! `KnownCluster`: what a person has compared and accepted of another cluster. References to the cluster lead to
//! these authorities and to no others.

use std::fmt;

use gangplank_pki::{Fingerprint, TrustAnchor};

use crate::encoding;
use crate::pem;
use crate::scalar::{Complaint, quoted};
use crate::section::{Section, Written};
use crate::sheet::Sheet;
use crate::yaml::Node;

const KEYS: &[&str] = &["apiVersion", "kind", "metadata", "spec", "status"];
const SPEC_KEYS: &[&str] = &[
    "accountName",
    "clusterName",
    "server",
    "identity",
    "serving",
];
const FINGERPRINTS: &str = "fingerprints";
const DATA: &str = "certificateAuthorityData";

/// A cluster as a reference names it. Displays as `cluster.account`, or `cluster` alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterName {
    /// The account; the reader's own when none was written.
    pub account: Option<String>,
    /// Its name within the account.
    pub cluster: String,
}

impl ClusterName {
    pub(super) fn of_reference(sheet: &Sheet<'_>, node: &Node) -> Option<Self> {
        let keys = ["accountName", "clusterName"];
        let reference = sheet.section(node, "an admiraltyReference", &keys)?;
        let cluster = reference.required_text("clusterName");
        let account = if reference.optional("accountName").is_some() {
            Some(reference.optional_text("accountName")?.text.to_owned())
        } else {
            None
        };
        Some(Self {
            account,
            cluster: cluster?.text.to_owned(),
        })
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cluster)?;
        match &self.account {
            Some(account) => write!(f, ".{account}"),
            None => Ok(()),
        }
    }
}

/// A pin as its object describes it.
#[derive(Clone, Debug)]
pub struct KnownCluster {
    /// Which cluster; its account is always named.
    pub name: ClusterName,
    /// The authorities of its identities, if they are pinned.
    pub identity: Option<PinnedAuthorities>,
}

/// Authorities that a person has accepted for one purpose.
#[derive(Clone, Debug)]
pub struct PinnedAuthorities {
    /// What was accepted.
    pub fingerprints: Vec<Fingerprint>,
    /// The certificates with one of these fingerprints.
    pub anchors: Vec<TrustAnchor>,
    /// The fingerprints of certificates that stand beside them and were not accepted.
    pub strangers: Vec<Fingerprint>,
}

pub(super) fn read(sheet: &Sheet<'_>, root: &Node) -> Option<KnownCluster> {
    let section = sheet.section(root, "a KnownCluster", KEYS)?;
    let spec = section.required_section("spec", SPEC_KEYS)?;
    let account = spec.required_text("accountName");
    let cluster = spec.required_text("clusterName");
    if spec.optional("server").is_some() {
        spec.optional_text("server")?;
    }
    let written = |key| spec.optional(key).map(|_pin| pin(&spec, key));
    let (identity, serving) = (written("identity"), written("serving"));
    if matches!(serving, Some(None)) {
        return None;
    }
    Some(KnownCluster {
        name: ClusterName {
            account: Some(account?.text.to_owned()),
            cluster: cluster?.text.to_owned(),
        },
        identity: match identity {
            Some(pinned) => Some(pinned?),
            None => None,
        },
    })
}

fn pin(spec: &Section<'_>, key: &'static str) -> Option<PinnedAuthorities> {
    let pin = spec.optional_section(key, &[FINGERPRINTS, DATA])?;
    let items = pin.required_list(FINGERPRINTS)?;
    if items.is_empty() {
        let message = format!("`{FINGERPRINTS}` is empty, so nothing is pinned");
        let remedy = "write the fingerprints that you have compared, or remove the pin";
        pin.sheet.fault(pin.place, "EmptyList", message, remedy);
        return None;
    }
    let fingerprints: Vec<_> = items
        .iter()
        .map(|item| {
            let written = pin.text(FINGERPRINTS, item)?;
            pin.sheet.accept(written.place, fingerprint(written))
        })
        .collect();
    let found = certificates(&pin);
    let fingerprints = fingerprints.into_iter().collect::<Option<Vec<_>>>()?;
    let (anchors, others): (Vec<_>, Vec<_>) = found?
        .into_iter()
        .partition(|anchor| fingerprints.contains(&anchor.fingerprint()));
    Some(PinnedAuthorities {
        fingerprints,
        anchors,
        strangers: others.iter().map(TrustAnchor::fingerprint).collect(),
    })
}

fn certificates(pin: &Section<'_>) -> Option<Vec<TrustAnchor>> {
    if pin.optional(DATA).is_none() {
        return Some(Vec::new());
    }
    let written = pin.optional_text(DATA)?;
    let bytes = pin
        .sheet
        .accept(written.place, encoding::base64(DATA, written.text))?;
    let anchors = pem::anchors(&bytes).map_err(|complaint| complaint.inside(DATA));
    pin.sheet.accept(written.place, anchors)
}

fn fingerprint(written: Written<'_>) -> Result<Fingerprint, Complaint> {
    written.text.parse().map_err(|fault| Complaint {
        reason: "BadFingerprint",
        message: format!("{} is no fingerprint: {fault}", quoted(written.text)),
        remedy: "write `sha256:` and 64 digits, as `gangplank pki inspect` prints them".to_owned(),
    })
}
