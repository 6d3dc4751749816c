//! What a reference to another cluster leads to: a pin that a person has made, and nothing else.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gangplank_objects::condition::Verdict;
use gangplank_objects::known_cluster::Pin;
use gangplank_objects::{AuthorityStatus, ClusterReference, KnownCluster};
use gangplank_pki::{TrustAnchor, pem};
use kube::runtime::reflector::Store;

use crate::identities::time;

/// The clusters that are known, followed by watch.
#[derive(Clone)]
pub(crate) struct KnownClusters {
    pub(crate) store: Store<KnownCluster>,
    /// The account that is meant when a reference names none.
    pub(crate) own_account: String,
}

/// Authorities that may be believed.
#[derive(Clone, Debug)]
pub(crate) struct Believed {
    /// Where the cluster is, if that is known.
    pub(crate) server: Option<String>,
    /// PEM.
    pub(crate) authorities: String,
    /// The same, one by one.
    pub(crate) told: Vec<AuthorityStatus>,
}

impl KnownClusters {
    /// The authorities of the exit that `reference` leads to, or why it leads nowhere.
    pub(crate) fn serving(&self, reference: &ClusterReference) -> Result<Believed, Verdict> {
        let account = reference.account_name.as_ref().unwrap_or(&self.own_account);
        let cluster = &reference.cluster_name;
        let name = format!("{cluster}.{account}");
        let mut known = self.store.state();
        known.retain(|known| {
            known.spec.account_name == *account && known.spec.cluster_name == *cluster
        });
        match known.as_slice() {
            [] => Err(Verdict::unready(
                "AwaitingPin",
                format!(
                    "nobody has accepted {name} yet: compare fingerprints with its administrator, then run \
                     `gangplank accept`, or make a KnownCluster for it"
                ),
            )),
            [known] => believed(known, known.spec.serving.as_ref(), "spec.serving", &name),
            _ => Err(Verdict::unready(
                "PinAmbiguous",
                format!(
                    "{} KnownClusters are for {name}: keep one of them",
                    known.len()
                ),
            )),
        }
    }
}

fn believed(
    known: &KnownCluster,
    pin: Option<&Pin>,
    field: &str,
    name: &str,
) -> Result<Believed, Verdict> {
    let awaiting = || {
        let message =
            format!("the KnownCluster for {name} has no {field}: what it signs is not believed");
        Verdict::unready("AwaitingPin", message)
    };
    let pin = pin.ok_or_else(awaiting)?;
    let anchors = pinned(pin).map_err(|why| {
        Verdict::unready(
            "PinUnusable",
            format!("{field} of the KnownCluster for {name}: {why}"),
        )
    })?;
    Ok(Believed {
        server: known.spec.server.clone(),
        authorities: anchors
            .iter()
            .map(|anchor| pem::encode("CERTIFICATE", anchor.der()))
            .collect(),
        told: anchors.iter().map(told).collect(),
    })
}

/// The certificates of a pin that have one of its fingerprints.
fn pinned(pin: &Pin) -> Result<Vec<TrustAnchor>, String> {
    let data = pin.certificate_authority_data.as_ref();
    let data = data.ok_or("the certificates are not there, and no directory has told them yet")?;
    let anchors = anchors(data)?;
    let wanted: BTreeSet<&str> = pin.fingerprints.iter().map(String::as_str).collect();
    let strangers = anchors.len();
    let anchors: Vec<TrustAnchor> = anchors
        .into_iter()
        .filter(|anchor| wanted.contains(anchor.fingerprint().to_string().as_str()))
        .collect();
    if anchors.is_empty() {
        return Err(format!(
            "none of its {strangers} certificates has one of its fingerprints"
        ));
    }
    Ok(anchors)
}

/// The authorities in base64-encoded PEM.
pub(crate) fn anchors(data: &str) -> Result<Vec<TrustAnchor>, String> {
    let bytes = STANDARD
        .decode(data.split_ascii_whitespace().collect::<String>())
        .map_err(|_not_base64| "certificateAuthorityData is not base64".to_owned())?;
    let certificates = pem::certificates(&bytes).map_err(|fault| {
        format!(
            "certificateAuthorityData, line {}: {}",
            fault.line, fault.problem
        )
    })?;
    certificates
        .into_iter()
        .map(|certificate| TrustAnchor::parse(certificate).map_err(|fault| fault.to_string()))
        .collect()
}

/// An authority, as a status names it.
pub(crate) fn told(anchor: &TrustAnchor) -> AuthorityStatus {
    AuthorityStatus {
        fingerprint: anchor.fingerprint().to_string(),
        subject: anchor.subject_text().to_owned(),
        not_after: time(anchor.not_after()),
    }
}
