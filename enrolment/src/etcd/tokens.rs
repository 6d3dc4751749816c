//! Tokens in etcd.

use gangplank_pki::TunnelName;

use super::client::Listing;
use super::record::{Cluster, Token, read, read_if_there, token_record, understood, written};
use super::wire::{Compare, RequestOp};
use super::{EtcdFault, MOST_TRIES, Shared, Verdict};
use crate::register::{CertificateRecord, TokenId, TokenRecord};

impl Shared {
    pub(super) async fn keep_token(&self, token: &TokenRecord) -> Result<(), EtcdFault> {
        let (key, of) = (self.keys.token(token.id), self.keys.cluster(&token.tunnel));
        self.settle([&of, &key], |[cluster, held]| {
            if held.is_some() {
                // Written by us: its ID is random. Only the answer was lost.
                return Ok(Verdict::Stands(()));
            }
            let decided = self.decided(&token.tunnel, cluster.as_ref())?;
            let kept = Token::new(token, decided.cluster.generation());
            Ok(Verdict::Change {
                provided: vec![Compare::unchanged(&key, 0), decided.unchanged],
                then: vec![RequestOp::put(&key, written(&kept))],
                outcome: (),
            })
        })
        .await
    }

    /// A token, unless its cluster was revoked since; and its cluster's object.
    pub(super) async fn token(
        &self,
        id: TokenId,
    ) -> Result<Option<(TokenRecord, Token, i64)>, EtcdFault> {
        let [pair] = self.client.read([&self.keys.token(id)]).await?;
        let Some(pair) = pair else {
            return Ok(None);
        };
        let (token, record) = token_record(&pair)?;
        let [of] = self
            .client
            .read([&self.keys.cluster(&record.tunnel)])
            .await?;
        let cluster: Cluster = read_if_there(of.as_ref())?.unwrap_or_default();
        let is_there = token.used.is_some() || token.generation == cluster.generation();
        Ok(is_there.then_some((record, token, pair.mod_revision)))
    }

    pub(super) async fn tokens(&self) -> Result<Vec<TokenRecord>, EtcdFault> {
        let clusters = self.clusters().await?;
        let mut listing = Listing::of(&self.keys.tokens());
        let mut tokens = Vec::new();
        while let Some(page) = self.client.page(&mut listing).await? {
            for pair in &page {
                let Some((token, record)) = understood(token_record(pair)) else {
                    continue;
                };
                let is_open = match clusters.get(&record.tunnel) {
                    None => token.generation == 0,
                    Some(Some(cluster)) => token.generation == cluster.generation(),
                    // Nobody can tell whether it was revoked: it is good for nothing.
                    Some(None) => false,
                };
                if token.used.is_some() || is_open {
                    tokens.push(record);
                }
            }
        }
        tokens.sort_by_key(|token| token.created.as_secs());
        Ok(tokens)
    }

    /// How many of a cluster are good until a generation ends.
    pub(super) async fn open_tokens(
        &self,
        tunnel: &TunnelName,
        generation: usize,
    ) -> Result<usize, EtcdFault> {
        let mut listing = Listing::of(&self.keys.tokens());
        let mut count = 0;
        while let Some(page) = self.client.page(&mut listing).await? {
            let tokens = page
                .iter()
                .filter_map(|pair| understood(token_record(pair)));
            let open = tokens.filter(|(token, record)| {
                record.tunnel == *tunnel && token.used.is_none() && token.generation >= generation
            });
            count += open.count();
        }
        Ok(count)
    }

    pub(super) async fn forget_token(&self, id: TokenId) -> Result<bool, EtcdFault> {
        let key = self.keys.token(id);
        for _ in 0..MOST_TRIES {
            let Some((_, _, seen)) = self.token(id).await? else {
                return Ok(false);
            };
            let provided = vec![Compare::unchanged(&key, seen)];
            let then = vec![RequestOp::delete(key.as_bytes())];
            if self.client.change(provided, then).await? {
                return Ok(true);
            }
        }
        Err(EtcdFault::Contended { key })
    }

    pub(super) async fn redeem(
        &self,
        id: TokenId,
        certificate: &CertificateRecord,
    ) -> Result<bool, EtcdFault> {
        let tunnel = &certificate.tunnel;
        let (key, of) = (self.keys.token(id), self.keys.cluster(tunnel));
        let own = self.keys.certificate(tunnel, certificate.fingerprint);
        self.settle([&of, &key, &own], |[cluster, token, done]| {
            if done.is_some() {
                // By us: only the answer was lost.
                return Ok(Verdict::Stands(true));
            }
            let Some(pair) = token else {
                return Ok(Verdict::Stands(false));
            };
            let mut token: Token = read(&pair)?;
            let decided = self.decided(tunnel, cluster.as_ref())?;
            let is_good = token.used.is_none()
                && token.generation == decided.cluster.generation()
                && token.tunnel().as_ref() == Some(tunnel);
            if !is_good {
                return Ok(Verdict::Stands(false));
            }
            token.used = Some(certificate.issued.as_secs());
            let provided = vec![
                Compare::unchanged(&key, pair.mod_revision),
                decided.unchanged,
                Compare::unchanged(&own, 0),
            ];
            let mut then = vec![RequestOp::put(&key, written(&token))];
            then.extend(self.keys.issuing(certificate, decided.cluster));
            Ok(Verdict::Change {
                provided,
                then,
                outcome: true,
            })
        })
        .await
    }
}
