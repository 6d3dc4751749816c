//! Following the clusters' objects: read once, and then every change as it comes.
//!
//! After a loss all is read again. So it does not matter what etcd has meanwhile compacted away, and a watch that
//! asks for too old a revision is one more loss.

use std::collections::BTreeMap;

use gangplank_pki::{Fingerprint, TunnelName};

use super::client::Listing;
use super::record::{Certificate, Cluster, certificate_name, cluster_name, read};
use super::wire::{DELETE, Event};
use super::{EtcdFault, Shared};
use crate::known::{Known, Snapshot};

/// What is followed.
#[derive(Debug)]
pub(super) struct Following {
    /// Of each cluster whether it has joined, and its revoked certificates.
    clusters: BTreeMap<TunnelName, (bool, Vec<Fingerprint>)>,
    /// As of which revision.
    revision: i64,
}

impl Following {
    /// Reads everything.
    pub(super) async fn begin(shared: &Shared) -> Result<Self, EtcdFault> {
        let mut listing = Listing::of(&shared.keys.clusters());
        let listed = shared.rest_of_clusters(&mut listing).await?;
        let mut following = Self {
            clusters: BTreeMap::new(),
            revision: listing.revision,
        };
        for (name, cluster) in listed {
            following.take(shared, name, &cluster).await?;
        }
        Ok(following)
    }

    /// What a relay has to know of it.
    pub(super) fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (name, (has_joined, revoked)) in &self.clusters {
            if *has_joined {
                snapshot.names.insert(name.clone());
            }
            snapshot.revoked.extend(revoked);
        }
        snapshot
    }

    /// Says whether it is news: a renewal is none.
    async fn take(
        &mut self,
        shared: &Shared,
        name: TunnelName,
        cluster: &Cluster,
    ) -> Result<bool, EtcdFault> {
        let mut revoked = Vec::new();
        if cluster.generation() > 0 {
            let mut listing = Listing::of(&shared.keys.certificates_of(&name));
            while let Some(page) = shared.client.page(&mut listing).await? {
                for pair in &page {
                    let certificate: Certificate = read(pair)?;
                    if certificate.generation < cluster.generation() {
                        revoked.push(certificate_name(pair)?.1);
                    }
                }
            }
        }
        let now = (cluster.has_joined(), revoked);
        let is_news = self.clusters.get(&name) != Some(&now);
        self.clusters.insert(name, now);
        Ok(is_news)
    }

    async fn hear(&mut self, shared: &Shared, event: Event) -> Result<bool, EtcdFault> {
        let pair = event.kv.unwrap_or_default();
        let name = cluster_name(&pair)?;
        if event.kind == DELETE {
            return Ok(self.clusters.remove(&name).is_some());
        }
        let cluster: Cluster = read(&pair)?;
        self.take(shared, name, &cluster).await
    }
}

/// Keeps `known` up to date until etcd is lost; says by what.
pub(super) async fn until_lost(shared: &Shared, known: &Known) -> EtcdFault {
    match follow(shared, known).await {
        Ok(never) => match never {},
        Err(fault) => fault,
    }
}

async fn follow(shared: &Shared, known: &Known) -> Result<std::convert::Infallible, EtcdFault> {
    let mut following = Following::begin(shared).await?;
    let start = following.revision.saturating_add(1);
    let mut watch = shared.client.watch(&shared.keys.clusters(), start).await?;
    known.learn(following.snapshot());
    loop {
        let mut is_news = false;
        for event in watch.next().await?.events {
            is_news |= following.hear(shared, event).await?;
        }
        if is_news {
            known.learn(following.snapshot());
        }
    }
}
