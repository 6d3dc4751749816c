//! Forgetting what ended long ago: page by page however many there are, since nothing else makes them fewer.

use std::collections::BTreeSet;

use gangplank_pki::TunnelName;
use gangplank_pki::clock::at;
use rustls_pki_types::UnixTime;

use super::client::Listing;
use super::record::{
    Certificate, Cluster, Keys, Renewals, Token, certificate_name, cluster_name, read, understood,
};
use super::wire::{Compare, KeyValue, RequestOp};
use super::{EtcdFault, Shared};

/// Deletions of one transaction; etcd takes 128 operations unless told otherwise (`--max-txn-ops`).
const AT_ONCE: usize = 100;

/// Names with certificates that are remembered while it forgets; it asks etcd about the others. As many as a relay has place
/// for tunnels.
const MOST_LEFT: usize = 16_384;

impl Shared {
    /// Tokens, certificates, what was counted of renewals, and then the clusters that have no certificates any more. Two relays that
    /// forget at the same time do no harm: what is deleted twice is deleted. What is not understood stays.
    pub(super) async fn forget(&self, before: UnixTime) -> Result<(), EtcdFault> {
        let before = before.as_secs();
        let tokens = self.keys.tokens();
        self.forget_ended(&tokens, |pair| {
            let token = understood(read::<Token>(pair));
            token.is_some_and(|token| token.expires < before)
        })
        .await?;
        let (certificates, mut left) = (self.keys.certificates(), BTreeSet::new());
        self.forget_ended(&certificates, |pair| {
            let certificate = understood(read::<Certificate>(pair));
            let has_ended = certificate.is_some_and(|held| held.not_after < before);
            if !has_ended
                && left.len() < MOST_LEFT
                && let Some((tunnel, _)) = understood(certificate_name(pair))
            {
                left.insert(tunnel);
            }
            has_ended
        })
        .await?;
        let renewals = self.keys.renewals();
        self.forget_ended(&renewals, |pair| {
            let renewals = understood(read::<Renewals>(pair));
            renewals.is_some_and(|counted| counted.have_ended(before))
        })
        .await?;
        self.forget_clusters(before, &left).await
    }

    /// The last moment of the certificate that is good the longest.
    pub(super) async fn last_end(&self) -> Result<Option<UnixTime>, EtcdFault> {
        let mut listing = Listing::without_end(&self.keys.certificates());
        let mut last = None;
        while let Some(page) = self.client.page(&mut listing).await? {
            let read = page.iter().filter_map(|pair| understood(read(pair)));
            let ends = read.map(|held: Certificate| held.not_after);
            last = last.max(ends.max());
        }
        Ok(last.map(at))
    }

    async fn forget_ended(
        &self,
        below: &str,
        mut has_ended: impl FnMut(&KeyValue) -> bool,
    ) -> Result<(), EtcdFault> {
        let mut listing = Listing::without_end(below);
        while let Some(page) = self.client.page(&mut listing).await? {
            let ended = page.iter().filter(|pair| has_ended(pair));
            let ended: Vec<_> = ended.map(|pair| RequestOp::delete(&pair.key)).collect();
            for some in ended.chunks(AT_ONCE) {
                self.client.change(Vec::new(), some.to_vec()).await?;
            }
        }
        Ok(())
    }

    async fn forget_clusters(
        &self,
        before: u64,
        left: &BTreeSet<TunnelName>,
    ) -> Result<(), EtcdFault> {
        let mut listing = Listing::without_end(&self.keys.clusters());
        while let Some(page) = self.client.page(&mut listing).await? {
            for pair in &page {
                if let Some(provided) = if_forgotten(&self.keys, pair, before, left) {
                    let then = vec![RequestOp::delete(&pair.key)];
                    self.client.change(provided, then).await?;
                }
            }
        }
        Ok(())
    }
}

/// What must hold for a cluster to be forgotten, if it is to be. One that was revoked is remembered as long as a token of before could be
/// used: a week at most, and what is forgotten ended a month ago. It is judged as it was listed, and so must still be that: one that is
/// revoked or joins at this moment stays.
fn if_forgotten(
    keys: &Keys,
    pair: &KeyValue,
    before: u64,
    left: &BTreeSet<TunnelName>,
) -> Option<Vec<Compare>> {
    let name = understood(cluster_name(pair))?;
    let cluster: Cluster = understood(read(pair))?;
    let lately = cluster.revocations.iter().any(|revoked| *revoked >= before);
    if lately || left.contains(&name) {
        return None;
    }
    Some(vec![
        Compare::unchanged(&keys.cluster(&name), pair.mod_revision),
        Compare::none_below(&keys.certificates_of(&name)),
    ])
}

#[cfg(test)]
mod tests {
    use super::super::wire::Target;
    use super::*;

    /// Whoever revokes writes the object between its listing and its deletion.
    #[test]
    fn a_cluster_is_forgotten_as_it_was_judged() {
        let keys = Keys::below("/a/");
        let listed = KeyValue {
            key: b"/a/v1/cluster/edge-1.acme".to_vec(),
            mod_revision: 7,
            value: br#"{"revocations":[100],"newest":0}"#.to_vec(),
        };
        let none = BTreeSet::new();
        let provided = if_forgotten(&keys, &listed, 101, &none).expect("it is long ago");
        let revisions: Vec<_> = provided.iter().map(|compare| compare.value).collect();
        let of_the_listed = [Target::ModRevision(7), Target::CreateRevision(0)];
        assert_eq!(revisions, of_the_listed.map(Some));
        assert_eq!(if_forgotten(&keys, &listed, 100, &none), None, "lately");
        let left = [TunnelName::parse("edge-1.acme").unwrap()].into();
        assert_eq!(if_forgotten(&keys, &listed, 101, &left), None);
    }
}
