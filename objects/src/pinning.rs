//! What a person has accepted of a cluster, brought into its one `KnownCluster`.
//!
//! A cluster has one `KnownCluster`, also when both sides call one another: then it holds both pins. A pin that is there
//! is never replaced here: that another authority is shown is what pins are for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gangplank_pki::{TrustAnchor, TunnelName, pem};
use kube::ResourceExt;

use crate::known_cluster::Pin;
use crate::place::{is_marked, mark};
use crate::{KnownCluster, KnownClusterSpec};

/// What authorities are accepted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// For the certificates of its callers.
    Identity,
    /// For the certificate of its exit.
    Serving,
}

impl Purpose {
    /// The field of the object.
    pub fn field(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Serving => "serving",
        }
    }

    /// The pin for this purpose.
    pub fn of(self, spec: &KnownClusterSpec) -> Option<&Pin> {
        match self {
            Self::Identity => spec.identity.as_ref(),
            Self::Serving => spec.serving.as_ref(),
        }
    }

    fn put(self, spec: &mut KnownClusterSpec, pin: Pin) {
        match self {
            Self::Identity => spec.identity = Some(pin),
            Self::Serving => spec.serving = Some(pin),
        }
    }
}

/// What is to be known of a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Pinning<'p> {
    /// Which cluster.
    pub cluster: &'p TunnelName,
    /// For what.
    pub purpose: Purpose,
    /// Which authorities.
    pub authorities: &'p [TrustAnchor],
    /// Where its API is, if that was said.
    pub server: Option<&'p str>,
}

/// What comes of it.
#[derive(Clone, Debug)]
pub enum Pinned {
    /// Somebody's `KnownCluster` of this name says so already.
    Stands(String),
    /// There is to be this one, which `gangplank accept` has made or makes.
    Wanted(Box<KnownCluster>),
}

impl Pin {
    /// The pin of these authorities, with their certificates.
    pub fn of(authorities: &[TrustAnchor]) -> Self {
        let certificates: String = authorities
            .iter()
            .map(|anchor| pem::encode("CERTIFICATE", anchor.der()))
            .collect();
        Self {
            fingerprints: authorities
                .iter()
                .map(|anchor| anchor.fingerprint().to_string())
                .collect(),
            certificate_authority_data: Some(STANDARD.encode(certificates)),
        }
    }
}

/// What is known, and what is added to it: no pin goes, and one that is there is not added again.
pub fn joined(there: &KnownClusterSpec, added: KnownClusterSpec) -> KnownClusterSpec {
    KnownClusterSpec {
        server: added.server.or_else(|| there.server.clone()),
        identity: both(there.identity.as_ref(), added.identity),
        serving: both(there.serving.as_ref(), added.serving),
        ..there.clone()
    }
}

fn both(there: Option<&Pin>, added: Option<Pin>) -> Option<Pin> {
    let (there, added) = match (there, added) {
        (Some(there), Some(added)) => (there, added),
        (there, added) => return added.or_else(|| there.cloned()),
    };
    let mut fingerprints = there.fingerprints.clone();
    let new = added.fingerprints.into_iter();
    fingerprints.extend(new.filter(|new| !there.fingerprints.contains(new)));
    // PEM can be put one behind the other, its base64 cannot.
    let certificates = [
        there.certificate_authority_data.as_deref(),
        added.certificate_authority_data.as_deref(),
    ];
    let mut pem = Vec::new();
    for data in certificates.into_iter().flatten() {
        let more = STANDARD.decode(data).unwrap_or_default();
        if !more.is_empty() && !pem.ends_with(&more) {
            pem.extend(more);
        }
    }
    Some(Pin {
        fingerprints,
        certificate_authority_data: (!pem.is_empty()).then(|| STANDARD.encode(pem)),
    })
}

/// Is this the `KnownCluster` of `cluster`?
pub fn is_of(known: &KnownCluster, cluster: &TunnelName) -> bool {
    known.spec.account_name == cluster.account() && known.spec.cluster_name == cluster.cluster()
}

impl Pinning<'_> {
    /// Brings it among what is `known`.
    ///
    /// # Errors
    /// When something else is known of the cluster, or somebody else made what would have to change.
    pub fn among(&self, known: &[KnownCluster]) -> Result<Pinned, PinFault> {
        let mut of_cluster = known.iter().filter(|known| is_of(known, self.cluster));
        let there = of_cluster.next();
        if of_cluster.next().is_some() {
            return Err(PinFault::Ambiguous {
                cluster: self.cluster.clone(),
            });
        }
        let Some(there) = there else {
            return Ok(Pinned::Wanted(Box::new(self.first())));
        };
        let mut spec = there.spec.clone();
        match self.purpose.of(&there.spec) {
            None => self.purpose.put(&mut spec, Pin::of(self.authorities)),
            Some(pin) if self.is_within(pin) => {}
            Some(pin) => {
                return Err(PinFault::Other {
                    cluster: self.cluster.clone(),
                    name: there.name_any(),
                    purpose: self.purpose,
                    fingerprints: pin.fingerprints.clone(),
                });
            }
        }
        if let Some(server) = self.server {
            spec.server = Some(server.to_owned());
        }
        if is_marked(there, self.cluster) {
            let wanted = self.marked(&there.name_any(), spec);
            return Ok(Pinned::Wanted(Box::new(wanted)));
        }
        if spec == there.spec {
            return Ok(Pinned::Stands(there.name_any()));
        }
        Err(PinFault::NotOurs {
            cluster: self.cluster.clone(),
            name: there.name_any(),
        })
    }

    /// The first that is known of the cluster.
    fn first(&self) -> KnownCluster {
        let mut spec = KnownClusterSpec {
            account_name: self.cluster.account().to_owned(),
            cluster_name: self.cluster.cluster().to_owned(),
            server: self.server.map(str::to_owned),
            identity: None,
            serving: None,
        };
        self.purpose.put(&mut spec, Pin::of(self.authorities));
        self.marked(self.cluster.as_str(), spec)
    }

    fn marked(&self, name: &str, spec: KnownClusterSpec) -> KnownCluster {
        let mut known = KnownCluster::new(name, spec);
        mark(&mut known, self.cluster);
        known
    }

    /// Are all the authorities pinned already? One among them that is not could be anybody's.
    fn is_within(&self, pin: &Pin) -> bool {
        self.authorities
            .iter()
            .all(|anchor| pin.fingerprints.contains(&anchor.fingerprint().to_string()))
    }
}

/// Why something cannot be known beside what is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PinFault {
    /// Another authority was accepted before.
    #[error(
        "{cluster} is known by another authority: KnownCluster {name} pins {} ({}); it was altered on the way, or its \
         administrator has a new authority: ask them, and only then `gangplank trust remove {cluster}`",
        .fingerprints.join(", "), .purpose.field()
    )]
    Other {
        /// Which cluster.
        cluster: TunnelName,
        /// The object.
        name: String,
        /// For what.
        purpose: Purpose,
        /// What is pinned.
        fingerprints: Vec<String>,
    },
    /// Somebody wrote the object by hand.
    #[error(
        "KnownCluster {name} of {cluster} was not made by `gangplank accept`, and lacks what was accepted; add it there \
         (`gangplank trust add`), or delete it"
    )]
    NotOurs {
        /// Which cluster.
        cluster: TunnelName,
        /// The object.
        name: String,
    },
    /// Several objects for one cluster.
    #[error("there are several KnownClusters for {cluster}; keep one of them")]
    Ambiguous {
        /// Which cluster.
        cluster: TunnelName,
    },
}

#[cfg(test)]
mod tests;
