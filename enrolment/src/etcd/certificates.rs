//! Certificates in etcd, and their revocation.

use std::collections::BTreeMap;

use gangplank_pki::{Fingerprint, TunnelName};
use rustls_pki_types::UnixTime;

use super::client::Listing;
use super::record::{
    Certificate, Cluster, certificate_name, read, read_if_there, understood, written,
};
use super::wire::{Compare, RequestOp};
use super::{Decided, EtcdFault, MOST_TRIES, Shared, Verdict};
use crate::register::CertificateRecord;

/// Certificates that were listed.
pub(super) struct Certificates {
    pub(super) records: Vec<CertificateRecord>,
    /// How many more there are, of which nobody can tell whether they are good.
    unread: usize,
}

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
    ) -> Result<bool, EtcdFault> {
        let tunnel = &certificate.tunnel;
        let (of, before) = (
            self.keys.cluster(tunnel),
            self.keys.certificate(tunnel, predecessor),
        );
        let own = self.keys.certificate(tunnel, certificate.fingerprint);
        self.settle([&of, &before, &own], |[cluster, before, done]| {
            if done.is_some() {
                return Ok(Verdict::Stands(true));
            }
            let decided = self.decided(tunnel, cluster.as_ref())?;
            let before: Option<Certificate> = read_if_there(before.as_ref())?;
            let generation = decided.cluster.generation();
            if before.is_none_or(|before| before.generation != generation) {
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

    /// The certificates of all clusters, or of one.
    pub(super) async fn certificates(
        &self,
        of: Option<&TunnelName>,
    ) -> Result<Certificates, EtcdFault> {
        let below = of.map_or_else(
            || self.keys.certificates(),
            |tunnel| self.keys.certificates_of(tunnel),
        );
        let mut listing = Listing::of(&below);
        let (mut found, mut unread) = (Vec::new(), 0);
        while let Some(page) = self.client.page(&mut listing).await? {
            for pair in &page {
                let name = understood(certificate_name(pair));
                match name.zip(understood(read::<Certificate>(pair))) {
                    Some(one) => found.push(one),
                    None => unread += 1,
                }
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
                Some(None) => unread += 1,
            }
        }
        records.sort_by(|one, other| {
            let by = |record: &CertificateRecord| (record.tunnel.clone(), record.issued.as_secs());
            by(one).cmp(&by(other))
        });
        Ok(Certificates { records, unread })
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

    pub(super) async fn revoke(
        &self,
        tunnel: &TunnelName,
        now: UnixTime,
    ) -> Result<usize, EtcdFault> {
        let of = self.keys.cluster(tunnel);
        let mut attempted: Option<(Cluster, usize)> = None;
        for _ in 0..MOST_TRIES {
            let [cluster] = self.client.read([&of]).await?;
            let Decided {
                mut cluster,
                unchanged,
            } = self.decided(tunnel, cluster.as_ref())?;
            if let Some((written, revoked)) = &attempted
                && *written == cluster
            {
                // By us: only the answer was lost.
                return Ok(*revoked);
            }
            let certificates = self.certificates(Some(tunnel)).await?;
            let held = certificates.records.iter();
            // What is not understood may be good: it is revoked with the others.
            let good = held.filter(|held| held.revoked.is_none()).count() + certificates.unread;
            let tokens = self.tokens().await?;
            let open = tokens
                .iter()
                .any(|token| token.tunnel == *tunnel && token.used.is_none());
            if good == 0 && !open {
                // Unless it joined between the two reads, by a token that was open at the first.
                if self.client.change(vec![unchanged], Vec::new()).await? {
                    return Ok(0);
                }
                continue;
            }
            cluster.revocations.push(now.as_secs());
            let then = vec![RequestOp::put(&of, written(&cluster))];
            if self.client.change(vec![unchanged], then).await? {
                return Ok(good);
            }
            attempted = Some((cluster, good));
        }
        Err(EtcdFault::Contended { key: of })
    }
}
