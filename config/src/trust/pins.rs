//! What a reference to another cluster leads to: the authorities that a person has pinned, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use gangplank_pki::{Fingerprint, TrustAnchor};

use crate::fault::{Fault, Place};
use crate::object::{ClusterName, KnownCluster, PinnedAuthorities};

/// The pins of this moment.
#[derive(Debug)]
pub(super) struct Pins<'h> {
    known: BTreeMap<&'h ClusterName, Vec<&'h KnownCluster>>,
    /// The account that is meant when a reference names none.
    own_account: Option<&'h str>,
}

/// Why a reference leads nowhere.
#[derive(Debug)]
pub(super) struct Unpinned {
    reason: &'static str,
    message: String,
    remedy: String,
}

impl Unpinned {
    fn awaiting(message: String, remedy: &str) -> Self {
        Self {
            reason: "AwaitingPin",
            message,
            remedy: remedy.to_owned(),
        }
    }

    /// The same about an object.
    pub(super) fn of(self, file: &Path, place: Place) -> Fault {
        Fault::new(file, place, self.reason, self.message, self.remedy)
    }
}

impl<'h> Pins<'h> {
    pub(super) fn of(
        clusters: impl Iterator<Item = &'h KnownCluster>,
        own_account: Option<&'h str>,
    ) -> Self {
        let mut known: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for cluster in clusters {
            known.entry(&cluster.name).or_default().push(cluster);
        }
        Self { known, own_account }
    }

    /// The authorities of that cluster's identities.
    pub(super) fn follow(&self, reference: &ClusterName) -> Result<&'h [TrustAnchor], Unpinned> {
        let account = reference.account.as_deref().or(self.own_account);
        let Some(account) = account else {
            return Err(Unpinned::awaiting(
                format!("the reference to {reference} names no account"),
                "write its accountName, or give this exit an account of its own",
            ));
        };
        let name = ClusterName {
            account: Some(account.to_owned()),
            cluster: reference.cluster.clone(),
        };
        match self.known.get(&name).map(Vec::as_slice) {
            None | Some([]) => Err(Unpinned::awaiting(
                format!("nobody has accepted {name} yet"),
                "compare fingerprints with its administrator, then run `gangplank accept` or `gangplank trust add`",
            )),
            Some([known]) => accepted(&name, known.identity.as_ref()),
            Some(several) => Err(Unpinned {
                reason: "PinAmbiguous",
                message: format!("{} KnownClusters are for {name}", several.len()),
                remedy: "keep one of them".to_owned(),
            }),
        }
    }
}

fn accepted<'h>(
    name: &ClusterName,
    pinned: Option<&'h PinnedAuthorities>,
) -> Result<&'h [TrustAnchor], Unpinned> {
    let Some(pinned) = pinned else {
        return Err(Unpinned::awaiting(
            format!("the KnownCluster for {name} pins no `identity`, so nobody of it is believed"),
            "compare the fingerprint of its identities' CA with its administrator, then run `gangplank accept` or \
             `gangplank trust add`",
        ));
    };
    if !pinned.anchors.is_empty() {
        return Ok(&pinned.anchors);
    }
    if pinned.strangers.is_empty() {
        return Err(Unpinned::awaiting(
            format!(
                "the KnownCluster for {name} pins {}, but no certificate is there",
                listed(&pinned.fingerprints)
            ),
            "write the CA into its `identity.certificateAuthorityData`",
        ));
    }
    Err(Unpinned::awaiting(
        format!(
            "the identities of {name} seem to be signed by {}, which nobody has accepted; accepted is {}",
            listed(&pinned.strangers),
            listed(&pinned.fingerprints)
        ),
        "compare the fingerprint with its administrator, then run `gangplank accept` or `gangplank trust add`",
    ))
}

/// The first few of them: enough to compare, and no more than a message holds.
fn listed(fingerprints: &[Fingerprint]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = fingerprints
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    let further = fingerprints.len().saturating_sub(SHOWN);
    if further == 0 {
        return shown.join(", ");
    }
    format!("{} and {further} more", shown.join(", "))
}
