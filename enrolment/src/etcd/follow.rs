//! Following the clusters' objects: read once, and then every change as it comes.
//!
//! After a loss all is read again. So it does not matter what etcd has meanwhile compacted away, and a watch that
//! asks for too old a revision is one more loss.
//!
//! A key that is not understood stops nobody else's: it is named in the log and gives nobody a right. A cluster
//! whose object is not understood has not joined and all its certificates are revoked, until it is understood;
//! so is a certificate that is not understood, of a cluster that was ever revoked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use gangplank_pki::{Fingerprint, TunnelName};
use tokio::time::{Instant, timeout};

use super::client::{Listing, Watch};
use super::record::{Certificate, Cluster, certificate_name, cluster_name, read, understood};
use super::wire::{DELETE, Event, KeyValue};
use super::{EtcdFault, Shared};
use crate::known::{Known, Snapshot};

/// Clusters and revoked certificates that are remembered: a hundred bytes each, and more than any listing of a relay's
/// ever had. An etcd that names ever new ones would fill the memory.
pub(super) const MOST_HELD: usize = 1_000_000;

/// Certificates of one revoked cluster that are looked at. Renewals are so bounded that a cluster has 48,000 in a month, with
/// certificates of an hour. A cluster with more, which somebody else wrote there or a service account that joined all the time, is refused whole:
/// its tunnels, and nobody else's.
const MOST_OF_A_CLUSTER: usize = 100_000;

/// For reading everything: as long as the longest listing may take, and as long again for those of the revoked clusters.
const READING: Duration = Duration::from_secs(240);

/// Whether a cluster has joined, and its revoked certificates.
type OfCluster = (bool, Vec<Fingerprint>);

/// What is followed.
#[derive(Debug)]
pub(super) struct Following {
    clusters: BTreeMap<TunnelName, OfCluster>,
    /// How many of both.
    held: usize,
    /// As of which revision.
    revision: i64,
}

impl Following {
    /// Reads everything, within [`READING`].
    pub(super) async fn begin(shared: &Shared) -> Result<Self, EtcdFault> {
        let reading = timeout(READING, Self::read(shared)).await;
        reading.unwrap_or_else(|_elapsed| {
            Err(EtcdFault::Slow {
                below: shared.keys.clusters(),
            })
        })
    }

    async fn read(shared: &Shared) -> Result<Self, EtcdFault> {
        let mut listing = Listing::of(&shared.keys.clusters());
        let listed = shared.rest_of_clusters(&mut listing).await?;
        let mut following = Self {
            clusters: BTreeMap::new(),
            held: 0,
            revision: listing.revision,
        };
        for (name, cluster) in listed {
            following.take(shared, name, cluster.as_ref()).await?;
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
        cluster: Option<&Cluster>,
    ) -> Result<bool, EtcdFault> {
        let revoked = revoked_of(shared, &name, cluster.map(Cluster::generation)).await?;
        let now = match revoked {
            Some(revoked) => (cluster.is_some_and(Cluster::has_joined), revoked),
            None => refused_whole(&name),
        };
        let is_news = self.clusters.get(&name) != Some(&now);
        self.hold(name, now)
            .then_some(is_news)
            .ok_or_else(|| too_many(shared))
    }

    /// False when that is too much, even without the certificates of this one.
    fn hold(&mut self, name: TunnelName, mut now: OfCluster) -> bool {
        self.forget(&name);
        let left = MOST_HELD.saturating_sub(self.held);
        if now.1.len() > 1 && now.1.len() >= left {
            now = refused_whole(&name);
        }
        self.held += 1 + now.1.len();
        self.clusters.insert(name, now);
        self.held <= MOST_HELD
    }

    /// Says whether there was anything.
    fn forget(&mut self, name: &TunnelName) -> bool {
        let forgotten = self.clusters.remove(name);
        let count = forgotten.as_ref().map_or(0, |(_, of)| 1 + of.len());
        self.held = self.held.saturating_sub(count);
        forgotten.is_some()
    }

    async fn hear(&mut self, shared: &Shared, event: Event) -> Result<bool, EtcdFault> {
        let pair = event.kv.unwrap_or_default();
        let Some(name) = understood(cluster_name(&pair)) else {
            return Ok(false);
        };
        if event.kind == DELETE {
            return Ok(self.forget(&name));
        }
        let cluster: Option<Cluster> = understood(read(&pair));
        self.take(shared, name, cluster.as_ref()).await
    }
}

/// The revoked certificates of a cluster; none when there are too many.
async fn revoked_of(
    shared: &Shared,
    name: &TunnelName,
    generation: Option<usize>,
) -> Result<Option<Vec<Fingerprint>>, EtcdFault> {
    let mut count = Count::default();
    if generation == Some(0) {
        return Ok(Some(count.revoked));
    }
    let mut listing = Listing::of(&shared.keys.certificates_of(name));
    while let Some(page) = shared.client.page(&mut listing).await? {
        if !count.take(&page, generation) {
            return Ok(None);
        }
    }
    Ok(Some(count.revoked))
}

#[derive(Debug, Default)]
struct Count {
    seen: usize,
    revoked: Vec<Fingerprint>,
}

impl Count {
    /// False when that is too much.
    fn take(&mut self, page: &[KeyValue], generation: Option<usize>) -> bool {
        for pair in page {
            let certificate = understood(read::<Certificate>(pair));
            let is_good = certificate
                .zip(generation)
                .is_some_and(|(held, now)| held.generation >= now);
            if let (false, Some((_, fingerprint))) = (is_good, understood(certificate_name(pair))) {
                self.revoked.push(fingerprint);
            }
        }
        self.seen += page.len();
        self.seen <= MOST_OF_A_CLUSTER
    }
}

/// Which certificate is of which generation nobody can tell who does not remember all.
fn refused_whole(name: &TunnelName) -> OfCluster {
    tracing::error!(
        cluster = %name,
        "a revoked cluster has more certificates than can be remembered: all of it are refused until enough are forgotten; \
         let it join under another name"
    );
    (false, vec![Fingerprint::of_every_agent(name)])
}

fn too_many(shared: &Shared) -> EtcdFault {
    let below = shared.keys.clusters();
    EtcdFault::TooMany { below }
}

/// How following ended.
pub(super) struct Lost {
    pub(super) fault: EtcdFault,
    /// When the register was last heard of.
    pub(super) heard: Instant,
    /// Since when it had been followed, if it was.
    pub(super) followed_since: Option<Instant>,
}

/// Keeps `known` up to date until etcd is lost.
pub(super) async fn until_lost(shared: &Shared, known: &Known) -> Lost {
    let begun = Instant::now();
    let (following, watch) = match catch_up(shared).await {
        Ok(caught_up) => caught_up,
        Err(fault) => {
            return Lost {
                fault,
                heard: begun,
                followed_since: None,
            };
        }
    };
    known.learn(following.snapshot());
    let followed_since = Some(Instant::now());
    let heard = watch.heard();
    let Err(fault) = keep_up(shared, known, following, watch).await;
    Lost {
        fault,
        heard: heard.last(),
        followed_since,
    }
}

/// Everything, and a watch of what comes after it.
async fn catch_up(shared: &Shared) -> Result<(Following, Watch), EtcdFault> {
    let following = Following::begin(shared).await?;
    let start = following.revision.saturating_add(1);
    let watch = shared.client.watch(&shared.keys.clusters(), start).await?;
    Ok((following, watch))
}

async fn keep_up(
    shared: &Shared,
    known: &Known,
    mut following: Following,
    mut watch: Watch,
) -> Result<Infallible, EtcdFault> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a watch tells goes on for ever, and each change may name a cluster that nobody had heard of.
    #[test]
    fn what_is_remembered_is_counted() {
        let mut following = Following {
            clusters: BTreeMap::new(),
            held: 0,
            revision: 1,
        };
        let name = |number: u32| TunnelName::parse(&format!("edge-{number}.acme")).unwrap();
        let of = |number: u32| (true, vec![Fingerprint::of(&number.to_be_bytes())]);
        for number in [1, 2, 1, 1] {
            assert!(following.hold(name(number), of(number)));
        }
        assert_eq!(following.held, 4);
        assert!(following.forget(&name(1)) && !following.forget(&name(1)));
        assert_eq!(following.held, 2);
        following.held = MOST_HELD - 4;
        let several = [1_u8, 2, 3, 4].map(|number| Fingerprint::of(&[number]));
        assert!(following.hold(name(5), (true, several.to_vec())));
        let whole = (false, vec![Fingerprint::of_every_agent(&name(5))]);
        assert_eq!(following.clusters.get(&name(5)), Some(&whole));
        assert!(following.hold(name(3), of(3)));
        assert!(!following.hold(name(4), of(4)));
    }

    #[test]
    fn a_cluster_with_too_many_certificates_is_refused_whole_and_no_other() {
        let page = |from: usize, count: usize| -> Vec<KeyValue> {
            let pair = |number| KeyValue {
                key: format!("/a/v1/certificate/edge-1.acme/{number:064x}").into(),
                mod_revision: 1,
                value: br#"{"generation":0,"issued":1,"notAfter":2}"#.to_vec(),
            };
            (from..from + count).map(pair).collect()
        };
        let mut count = Count::default();
        for from in (0..MOST_OF_A_CLUSTER).step_by(1000) {
            assert!(count.take(&page(from, 1000), Some(1)));
        }
        assert_eq!(count.revoked.len(), MOST_OF_A_CLUSTER);
        assert!(!count.take(&page(MOST_OF_A_CLUSTER, 1), Some(1)));
    }
}
