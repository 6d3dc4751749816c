//! Certificates in etcd, and their revocation.

use std::collections::BTreeMap;

use gangplank_pki::{Fingerprint, TunnelName, WithCauses};
use rustls_pki_types::UnixTime;

use super::client::Listing;
use super::record::{
    Certificate, Cluster, Renewals, certificate_name, read, read_if_there, revision, understood,
    written,
};
use super::wire::{Compare, RequestOp};
use super::{Decided, EtcdFault, MOST_TRIES, Shared, Verdict};
use crate::register::{CertificateRecord, Revocation, Succession};

impl Shared {
    pub(super) async fn admit(&self, certificate: &CertificateRecord) -> Result<bool, EtcdFault> {
        let tunnel = &certificate.tunnel;
        let of = self.keys.cluster(tunnel);
        let own = self.keys.certificate(tunnel, certificate.fingerprint);
        self.settle([&of, &own], |[cluster, done]| {
            if done.is_some() {
                return Ok(Verdict::Stands(true));
            }
            let decided = self.decided(tunnel, cluster.as_ref())?;
            if decided.cluster.newest.is_some() && !decided.cluster.has_joined() {
                return Ok(Verdict::Stands(false));
            }
            Ok(Verdict::Change {
                provided: vec![decided.unchanged, Compare::unchanged(&own, 0)],
                then: self.keys.issuing(certificate, decided.cluster),
                outcome: true,
            })
        })
        .await
    }

    pub(super) async fn succeed(
        &self,
        predecessor: Fingerprint,
        certificate: &CertificateRecord,
    ) -> Result<Succession, EtcdFault> {
        let tunnel = &certificate.tunnel;
        let (of, before, renewals) = (
            self.keys.cluster(tunnel),
            self.keys.certificate(tunnel, predecessor),
            self.keys.renewals_of(tunnel),
        );
        let own = self.keys.certificate(tunnel, certificate.fingerprint);
        let keys = [&*of, &before, &own, &renewals];
        self.settle(keys, |[cluster, before, done, counted]| {
            if done.is_some() {
                return Ok(Verdict::Stands(Succession::Written));
            }
            let decided = self.decided(tunnel, cluster.as_ref())?;
            let before: Option<Certificate> = read_if_there(before.as_ref())?;
            let generation = decided.cluster.generation();
            if before.is_none_or(|before| before.generation != generation) {
                return Ok(Verdict::Stands(Succession::NoRight));
            }
            let held: Renewals = read_if_there(counted.as_ref())?.unwrap_or_default();
            let Some(held) = held.and(certificate, generation) else {
                return Ok(Verdict::Stands(Succession::TooMany));
            };
            let mut then = self.keys.issuing(certificate, decided.cluster);
            then.push(RequestOp::put(&renewals, written(&held)));
            Ok(Verdict::Change {
                provided: vec![
                    decided.unchanged,
                    Compare::unchanged(&own, 0),
                    Compare::unchanged(&renewals, revision(counted.as_ref())),
                ],
                then,
                outcome: Succession::Written,
            })
        })
        .await
    }

    /// The certificates of all clusters, or of one.
    pub(super) async fn certificates(
        &self,
        of: Option<&TunnelName>,
    ) -> Result<Vec<CertificateRecord>, EtcdFault> {
        let below = of.map_or_else(
            || self.keys.certificates(),
            |tunnel| self.keys.certificates_of(tunnel),
        );
        let mut listing = Listing::of(&below);
        let mut found = Vec::new();
        while let Some(page) = self.client.page(&mut listing).await? {
            for pair in &page {
                let name = understood(certificate_name(pair));
                found.extend(name.zip(understood(read::<Certificate>(pair))));
            }
        }
        // Read after the certificates: one that was revoked in between is so in the list.
        let clusters = match of {
            None => self.clusters().await?,
            Some(tunnel) => {
                let [pair] = self.client.read([&self.keys.cluster(tunnel)]).await?;
                let read = read_if_there(pair.as_ref())?.unwrap_or_default();
                BTreeMap::from([(tunnel.clone(), Some(read))])
            }
        };
        let nothing = Cluster::default();
        let mut records = Vec::with_capacity(found.len());
        for ((tunnel, fingerprint), certificate) in &found {
            match clusters.get(tunnel) {
                None => records.push(certificate.record((tunnel, *fingerprint), &nothing)),
                Some(Some(of)) => records.push(certificate.record((tunnel, *fingerprint), of)),
                // Nobody can tell whether it was revoked.
                Some(None) => {}
            }
        }
        records.sort_by(|one, other| {
            let by = |record: &CertificateRecord| (record.tunnel.clone(), record.issued.as_secs());
            by(one).cmp(&by(other))
        });
        Ok(records)
    }

    pub(super) async fn certificate(
        &self,
        tunnel: &TunnelName,
        fingerprint: Fingerprint,
    ) -> Result<Option<CertificateRecord>, EtcdFault> {
        let keys = [
            &*self.keys.certificate(tunnel, fingerprint),
            &self.keys.cluster(tunnel),
        ];
        let [certificate, cluster] = self.client.read(keys).await?;
        let certificate: Option<Certificate> = read_if_there(certificate.as_ref())?;
        let cluster: Cluster = read_if_there(cluster.as_ref())?.unwrap_or_default();
        Ok(certificate.map(|found| found.record((tunnel, fingerprint), &cluster)))
    }

    /// The new generation is written first and what it concerned is counted then: who has the cluster's key may have made so
    /// many certificates that they cannot be listed.
    pub(super) async fn revoke(
        &self,
        tunnel: &TunnelName,
        now: UnixTime,
    ) -> Result<Revocation, EtcdFault> {
        let of = self.keys.cluster(tunnel);
        let mut attempted: Option<(Cluster, usize)> = None;
        for _ in 0..MOST_TRIES {
            let [cluster] = self.client.read([&of]).await?;
            let Decided {
                mut cluster,
                unchanged,
            } = self.decided(tunnel, cluster.as_ref())?;
            if let Some((written, generation)) = &attempted
                && *written == cluster
            {
                // By us: only the answer was lost.
                return Ok(self.counted(tunnel, *generation).await);
            }
            let generation = cluster.generation();
            if !cluster.has_joined() {
                let counted = self.counted(tunnel, generation).await;
                if counted.is_empty() {
                    // Unless it joined between the two reads, by a token that was open at the first.
                    if self.client.change(vec![unchanged], Vec::new()).await? {
                        return Ok(counted);
                    }
                    continue;
                }
            }
            cluster.revocations.push(now.as_secs());
            let then = vec![RequestOp::put(&of, written(&cluster))];
            if self.client.change(vec![unchanged], then).await? {
                return Ok(self.counted(tunnel, generation).await);
            }
            attempted = Some((cluster, generation));
        }
        Err(EtcdFault::Contended { key: of })
    }

    /// What the end of a generation revokes, as far as it can be counted.
    async fn counted(&self, tunnel: &TunnelName, generation: usize) -> Revocation {
        let certificates = self.certificates_since(tunnel, generation).await;
        let tokens = self.open_tokens(tunnel, generation).await;
        Revocation {
            certificates: self.best(certificates),
            tokens: self.best(tokens),
        }
    }

    fn best(&self, counted: Result<usize, EtcdFault>) -> Option<usize> {
        let told = counted.map_err(|fault| self.fault("read", fault));
        told.inspect_err(|fault| {
            tracing::warn!(error = %WithCauses(fault), "what a revocation concerns is not counted");
        })
        .ok()
    }

    async fn certificates_since(
        &self,
        tunnel: &TunnelName,
        generation: usize,
    ) -> Result<usize, EtcdFault> {
        let mut listing = Listing::of(&self.keys.certificates_of(tunnel));
        let mut count = 0;
        while let Some(page) = self.client.page(&mut listing).await? {
            let counted = page.iter().filter(|pair| {
                let certificate = understood(read::<Certificate>(pair));
                let is_named = understood(certificate_name(pair)).is_some();
                // What is not understood may be good: it is revoked with the others.
                certificate.is_none_or(|held| !is_named || held.generation >= generation)
            });
            count += counted.count();
        }
        Ok(count)
    }
}
