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
use crate::register::{
    CertificateRecord, Register, RegisterFault, Revocation, Succession, TokenId, TokenRecord,
};
use client::{Client, Listing, MemberFault};
use follow::{Following, MOST_HELD};
use pauses::Pauses;
use record::{Cluster, Keys, RecordFault, cluster_name, read, read_if_there, revision, understood};
use wire::{Compare, KeyValue, RequestOp};

mod call;
mod certificates;
mod client;
mod follow;
mod forget;
mod heard;
mod left_out;
mod pauses;
mod record;
mod tokens;
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

/// A cluster's object, and what must not have changed when something is decided by it.
struct Decided {
    cluster: Cluster,
    unchanged: Compare,
}

/// What was decided by the state of some keys.
enum Verdict<T> {
    /// Nothing is to be changed, and this is what came of it.
    Stands(T),
    /// This is to be changed, provided that; and this comes of it.
    Change {
        provided: Vec<Compare>,
        then: Vec<RequestOp>,
        outcome: T,
    },
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

    /// Reads keys, decides by them, and changes what was decided; anew when another relay was faster. The first key is that
    /// which others change, too.
    async fn settle<const N: usize, T: Send>(
        &self,
        keys: [&str; N],
        decide: impl Fn([Option<KeyValue>; N]) -> Result<Verdict<T>, EtcdFault> + Send + Sync,
    ) -> Result<T, EtcdFault> {
        for _ in 0..MOST_TRIES {
            match decide(self.client.read(keys).await?)? {
                Verdict::Stands(outcome) => return Ok(outcome),
                Verdict::Change {
                    provided,
                    then,
                    outcome,
                } => {
                    if self.client.change(provided, then).await? {
                        return Ok(outcome);
                    }
                }
            }
        }
        let key = keys.first().copied().unwrap_or_default().to_owned();
        Err(EtcdFault::Contended { key })
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
    ) -> BoxFuture<'_, Result<Succession, RegisterFault>> {
        self.run("written", async move {
            self.0.succeed(predecessor, &certificate).await
        })
    }

    fn certificates(&self) -> BoxFuture<'_, Result<Vec<CertificateRecord>, RegisterFault>> {
        self.run("read", async move { self.0.certificates(None).await })
    }

    fn certificates_of(
        &self,
        tunnel: TunnelName,
    ) -> BoxFuture<'_, Result<Vec<CertificateRecord>, RegisterFault>> {
        self.run(
            "read",
            async move { self.0.certificates(Some(&tunnel)).await },
        )
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

    fn last_end(&self) -> BoxFuture<'_, Result<Option<UnixTime>, RegisterFault>> {
        self.run("read", self.0.last_end())
    }

    fn revoke(
        &self,
        tunnel: TunnelName,
        now: UnixTime,
    ) -> BoxFuture<'_, Result<Revocation, RegisterFault>> {
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
