//! Forgetting what ended long ago.

use std::collections::BTreeSet;

use gangplank_pki::TunnelName;
use rustls_pki_types::UnixTime;

use super::client::Listing;
use super::record::{Certificate, Token, certificate_name, read, understood};
use super::wire::{Compare, RequestOp};
use super::{EtcdFault, Shared};

/// Deletions of one transaction; etcd takes 128 operations unless told otherwise (`--max-txn-ops`).
const AT_ONCE: usize = 100;

impl Shared {
    /// Tokens, certificates, and then the clusters that have none any more. Two relays that forget at the same
    /// time do no harm: what is deleted twice is deleted. What is not understood stays.
    pub(super) async fn forget(&self, before: UnixTime) -> Result<(), EtcdFault> {
        let before = before.as_secs();
        let mut listing = Listing::of(&self.keys.tokens());
        while let Some(page) = self.client.page(&mut listing).await? {
            let mut ended = Vec::new();
            for pair in &page {
                let token = understood(read::<Token>(pair));
                if token.is_some_and(|token| token.expires < before) {
                    ended.push(RequestOp::delete(&pair.key));
                }
            }
            self.delete(ended).await?;
        }
        let mut left = BTreeSet::new();
        let mut listing = Listing::of(&self.keys.certificates());
        while let Some(page) = self.client.page(&mut listing).await? {
            let mut ended = Vec::new();
            for pair in &page {
                let certificate = understood(read::<Certificate>(pair));
                if certificate.is_some_and(|held| held.not_after < before) {
                    ended.push(RequestOp::delete(&pair.key));
                } else if let Some((tunnel, _)) = understood(certificate_name(pair)) {
                    left.insert(tunnel);
                }
            }
            self.delete(ended).await?;
        }
        self.forget_clusters(before, &left).await
    }

    async fn delete(&self, ended: Vec<RequestOp>) -> Result<(), EtcdFault> {
        for some in ended.chunks(AT_ONCE) {
            self.client.change(Vec::new(), some.to_vec()).await?;
        }
        Ok(())
    }

    /// A cluster that was revoked is remembered as long as a token of before could be used: a week at most, and
    /// what is forgotten ended a month ago.
    async fn forget_clusters(
        &self,
        before: u64,
        left: &BTreeSet<TunnelName>,
    ) -> Result<(), EtcdFault> {
        for (name, cluster) in self.clusters().await? {
            let Some(cluster) = cluster else {
                continue;
            };
            let lately = cluster.revocations.iter().any(|revoked| *revoked >= before);
            if lately || left.contains(&name) {
                continue;
            }
            let key = self.keys.cluster(&name);
            let [pair] = self.client.read([&key]).await?;
            let Some(pair) = pair else {
                continue;
            };
            // One that joins at this moment stays.
            let provided = vec![
                Compare::unchanged(&key, pair.mod_revision),
                Compare::none_below(&self.keys.certificates_of(&name)),
            ];
            let then = vec![RequestOp::delete(key.as_bytes())];
            self.client.change(provided, then).await?;
        }
        Ok(())
    }
}
