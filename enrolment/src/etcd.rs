//! The register of several relays: a part of an etcd.
//!
//! etcd because several relays must agree on who has used a token, and hear of a revocation at once: it has
//! transactions that compare before they write, and watches. It is spoken to in its own protocol, gRPC, with the
//! HTTP/2 and TLS that are in this program anyway and the few messages that are needed ([`wire`]). Its JSON
//! gateway would have saved those, but it can be switched off, does not know who asks by their certificate, so
//! that a relay could not be kept to its prefix, and wants more of a server's certificate than gRPC does. The
//! crates that speak it link a second HTTP stack and need protoc to be built.
//!
//! Every change is one transaction, which compares the revisions of what it was decided by: when another relay
//! was faster it is decided anew. Reads are of the whole cluster's newest state, never of one member's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gangplank_config::role::relay::Etcd;
use gangplank_pki::{Fingerprint, TunnelName, WithCauses};
use gangplank_tunnel::BoxFuture;
use rustls_pki_types::UnixTime;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::known::{Known, Snapshot};
use crate::register::{CertificateRecord, Register, RegisterFault, TokenId, TokenRecord};
use client::{Client, Listing, MemberFault};
use follow::{Following, MOST_HELD};
use pauses::Pauses;
use record::{
    Certificate, Cluster, Keys, RecordFault, Token, certificate_name, cluster_name, read,
    read_if_there, revision, token_record, understood, written,
};
use wire::{Compare, KeyValue, RequestOp};

mod call;
mod client;
mod follow;
mod forget;
mod heard;
mod pauses;
mod record;
mod wire;

/// How often a change is decided anew because another relay was faster. Each time one of them has succeeded, and
/// more than a few never want the same cluster at once.
const MOST_TRIES: usize = 16;

/// How long a relay that starts waits for an etcd that is not there: as long as one takes to be started beside
/// it. Then it ends, and whoever started it does so again.
const AT_THE_START: Duration = Duration::from_secs(10);

/// A register in an etcd. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EtcdRegister(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    keys: Keys,
}

/// Why etcd is of no use.
#[derive(Debug, thiserror::Error)]
enum EtcdFault {
    #[error(transparent)]
    Member(#[from] MemberFault),
    #[error(transparent)]
    Record(#[from] RecordFault),
    #[error("others change {key} all the time; try again")]
    Contended { key: String },
    #[error("what is below {below} could not be read in time; see `etcdctl endpoint health`")]
    Slow { below: String },
    #[error(
        "there are more than {MOST_HELD} clusters and revoked certificates below {below}; is that the relays' own, \
         and does nobody else write there?"
    )]
    TooMany { below: String },
}

impl EtcdFault {
    /// Whether to wait can help, and nobody need do anything.
    fn may_pass(&self) -> bool {
        match self {
            Self::Member(fault) => fault.may_pass(),
            Self::Record(_) | Self::Contended { .. } | Self::TooMany { .. } | Self::Slow { .. } => {
                false
            }
        }
    }
}

/// Certificates that were listed.
struct Certificates {
    records: Vec<CertificateRecord>,
    /// How many more there are, of which nobody can tell whether they are good.
    unread: usize,
}

/// A cluster's object, and what must not have changed when something is decided by it.
struct Decided {
    cluster: Cluster,
    unchanged: Compare,
}

impl EtcdRegister {
    /// A register that nobody has tried yet: etcd is dialled when it is first needed.
    pub fn new(etcd: Etcd) -> Self {
        let keys = Keys::below(&etcd.prefix);
        let client = Client::new(etcd);
        Self(Arc::new(Shared { client, keys }))
    }

    fn run<'a, T>(
        &'a self,
        done: &'static str,
        work: impl Future<Output = Result<T, EtcdFault>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, RegisterFault>> {
        Box::pin(async move { work.await.map_err(|cause| self.0.fault(done, cause)) })
    }
}

impl Shared {
    fn fault(&self, done: &'static str, cause: EtcdFault) -> RegisterFault {
        RegisterFault {
            place: self.client.place(),
            done,
            cause: Box::new(cause),
        }
    }

    fn decided(&self, tunnel: &TunnelName, pair: Option<&KeyValue>) -> Result<Decided, EtcdFault> {
        Ok(Decided {
            cluster: read_if_there(pair)?.unwrap_or_default(),
            unchanged: Compare::unchanged(&self.keys.cluster(tunnel), revision(pair)),
        })
    }

    async fn keep_token(&self, token: &TokenRecord) -> Result<(), EtcdFault> {
        let (key, of) = (self.keys.token(token.id), self.keys.cluster(&token.tunnel));
        for _ in 0..MOST_TRIES {
            let [held, cluster] = self.client.read([&key, &of]).await?;
            if held.is_some() {
                // Written by us: its ID is random. Only the answer was lost.
                return Ok(());
            }
            let decided = self.decided(&token.tunnel, cluster.as_ref())?;
            let kept = Token::new(token, decided.cluster.generation());
            let provided = vec![Compare::unchanged(&key, 0), decided.unchanged];
            let then = vec![RequestOp::put(&key, written(&kept))];
            if self.client.change(provided, then).await? {
                return Ok(());
            }
        }
        Err(EtcdFault::Contended { key: of })
    }

    /// A token, unless its cluster was revoked since; and its cluster's object.
    async fn token(&self, id: TokenId) -> Result<Option<(TokenRecord, Token, i64)>, EtcdFault> {
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

    async fn tokens(&self) -> Result<Vec<TokenRecord>, EtcdFault> {
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

    async fn forget_token(&self, id: TokenId) -> Result<bool, EtcdFault> {
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
        Err(EtcdFault::Contended { key: key })
    }

    async fn redeem(
        &self,
        id: TokenId,
        certificate: &CertificateRecord,
    ) -> Result<bool, EtcdFault> {
        let tunnel = &certificate.tunnel;
        let (key, of) = (self.keys.token(id), self.keys.cluster(tunnel));
        let own = self.keys.certificate(tunnel, certificate.fingerprint);
        for _ in 0..MOST_TRIES {
            let [token, cluster, done] = self.client.read([&key, &of, &own]).await?;
            if done.is_some() {
                // By us: only the answer was lost.
                return Ok(true);
            }
            let Some(pair) = token else {
                return Ok(false);
            };
            let mut token: Token = read(&pair)?;
            let decided = self.decided(tunnel, cluster.as_ref())?;
            let is_good = token.used.is_none()
                && token.generation == decided.cluster.generation()
                && token.tunnel().as_ref() == Some(tunnel);
            if !is_good {
                return Ok(false);
            }
            token.used = Some(certificate.issued.as_secs());
            let provided = vec![
                Compare::unchanged(&key, pair.mod_revision),
                decided.unchanged,
                Compare::unchanged(&own, 0),
            ];
            let mut then = vec![RequestOp::put(&key, written(&token))];
            then.extend(self.keys.issuing(certificate, decided.cluster));
            if self.client.change(provided, then).await? {
                return Ok(true);
            }
        }
        Err(EtcdFault::Contended { key: of })
    }

    async fn admit(&self, certificate: &CertificateRecord) -> Result<bool, EtcdFault> {
        let tunnel = &certificate.tunnel;
        let of = self.keys.cluster(tunnel);
        let own = self.keys.certificate(tunnel, certificate.fingerprint);
        for _ in 0..MOST_TRIES {
            let [cluster, done] = self.client.read([&of, &own]).await?;
            if done.is_some() {
                return Ok(true);
            }
            let decided = self.decided(tunnel, cluster.as_ref())?;
            if decided.cluster.newest.is_some() && !decided.cluster.has_joined() {
                return Ok(false);
            }
            let provided = vec![decided.unchanged, Compare::unchanged(&own, 0)];
            let then = self.keys.issuing(certificate, decided.cluster);
            if self.client.change(provided, then).await? {
                return Ok(true);
            }
        }
        Err(EtcdFault::Contended { key: of })
    }

    async fn succeed(
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
        for _ in 0..MOST_TRIES {
            let [cluster, before, done] = self.client.read([&of, &before, &own]).await?;
            if done.is_some() {
                return Ok(true);
            }
            let decided = self.decided(tunnel, cluster.as_ref())?;
            let before: Option<Certificate> = read_if_there(before.as_ref())?;
            let generation = decided.cluster.generation();
            if before.is_none_or(|before| before.generation != generation) {
                return Ok(false);
            }
            let provided = vec![decided.unchanged, Compare::unchanged(&own, 0)];
            let then = self.keys.issuing(certificate, decided.cluster);
            if self.client.change(provided, then).await? {
                return Ok(true);
            }
        }
        Err(EtcdFault::Contended { key: of })
    }

    /// All clusters; none in the place of one whose object is not understood.
    async fn clusters(&self) -> Result<BTreeMap<TunnelName, Option<Cluster>>, EtcdFault> {
        let mut listing = Listing::of(&self.keys.clusters());
        self.rest_of_clusters(&mut listing).await
    }

    async fn rest_of_clusters(
        &self,
        listing: &mut Listing,
    ) -> Result<BTreeMap<TunnelName, Option<Cluster>>, EtcdFault> {
        let mut clusters = BTreeMap::new();
        while let Some(page) = self.client.page(listing).await? {
            for pair in &page {
                if let Some(name) = understood(cluster_name(pair)) {
                    clusters.insert(name, understood(read(pair)));
                }
            }
        }
        Ok(clusters)
    }

    /// The certificates of all clusters, or of one.
    async fn certificates(&self, of: Option<&TunnelName>) -> Result<Certificates, EtcdFault> {
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

    async fn certificate(
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

    async fn revoke(&self, tunnel: &TunnelName, now: UnixTime) -> Result<usize, EtcdFault> {
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

impl Register for EtcdRegister {
    fn keep_token(&self, token: TokenRecord) -> BoxFuture<'_, Result<(), RegisterFault>> {
        self.run("written", async move { self.0.keep_token(&token).await })
    }

    fn token(&self, id: TokenId) -> BoxFuture<'_, Result<Option<TokenRecord>, RegisterFault>> {
        self.run("read", async move {
            let found = self.0.token(id).await?;
            Ok(found.map(|(record, _, _)| record))
        })
    }

    fn tokens(&self) -> BoxFuture<'_, Result<Vec<TokenRecord>, RegisterFault>> {
        self.run("read", self.0.tokens())
    }

    fn forget_token(&self, id: TokenId) -> BoxFuture<'_, Result<bool, RegisterFault>> {
        self.run("written", self.0.forget_token(id))
    }

    fn redeem(
        &self,
        id: TokenId,
        certificate: CertificateRecord,
    ) -> BoxFuture<'_, Result<bool, RegisterFault>> {
        self.run(
            "written",
            async move { self.0.redeem(id, &certificate).await },
        )
    }

    fn admit(&self, certificate: CertificateRecord) -> BoxFuture<'_, Result<bool, RegisterFault>> {
        self.run("written", async move { self.0.admit(&certificate).await })
    }

    fn succeed(
        &self,
        predecessor: Fingerprint,
        certificate: CertificateRecord,
    ) -> BoxFuture<'_, Result<bool, RegisterFault>> {
        self.run("written", async move {
            self.0.succeed(predecessor, &certificate).await
        })
    }

    fn certificates(&self) -> BoxFuture<'_, Result<Vec<CertificateRecord>, RegisterFault>> {
        self.run("read", async move {
            Ok(self.0.certificates(None).await?.records)
        })
    }

    fn certificates_of(
        &self,
        tunnel: TunnelName,
    ) -> BoxFuture<'_, Result<Vec<CertificateRecord>, RegisterFault>> {
        self.run("read", async move {
            Ok(self.0.certificates(Some(&tunnel)).await?.records)
        })
    }

    fn certificate(
        &self,
        tunnel: TunnelName,
        fingerprint: Fingerprint,
    ) -> BoxFuture<'_, Result<Option<CertificateRecord>, RegisterFault>> {
        self.run("read", async move {
            self.0.certificate(&tunnel, fingerprint).await
        })
    }

    fn revoke(
        &self,
        tunnel: TunnelName,
        now: UnixTime,
    ) -> BoxFuture<'_, Result<usize, RegisterFault>> {
        self.run("written", async move { self.0.revoke(&tunnel, now).await })
    }

    fn forget(&self, before: UnixTime) -> BoxFuture<'_, Result<(), RegisterFault>> {
        self.run("written", self.0.forget(before))
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, RegisterFault>> {
        self.run("read", async move {
            let (deadline, mut pauses) = (Instant::now() + AT_THE_START, Pauses::new());
            let mut is_told = false;
            loop {
                let fault = match Following::begin(&self.0).await {
                    Ok(read) => return Ok(read.snapshot()),
                    Err(fault) => fault,
                };
                let pause = pauses.next();
                if !fault.may_pass() || Instant::now() + pause >= deadline {
                    return Err(fault);
                }
                if !is_told {
                    is_told = true;
                    let fault = self.0.fault("read", fault);
                    tracing::warn!(
                        error = %WithCauses(&fault),
                        seconds = AT_THE_START.as_secs(),
                        "the register is waited for"
                    );
                }
                sleep(pause).await;
            }
        })
    }

    fn follow(&self, known: Known, shutdown: CancellationToken) -> BoxFuture<'_, ()> {
        let following = async move {
            let mut pauses = Pauses::new();
            loop {
                let lost = follow::until_lost(&self.0, &known).await;
                known.lost(&self.0.fault("read", lost.fault), lost.heard);
                if let Some(begun) = lost.followed_since {
                    pauses.held_for(begun.elapsed());
                }
                sleep(pauses.next()).await;
            }
        };
        Box::pin(async move {
            let ended: Option<()> = shutdown.run_until_cancelled(following).await;
            debug_assert!(ended.is_none(), "only a shutdown ends it");
            self.0.client.end().await;
        })
    }
}
