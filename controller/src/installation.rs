//! What the installation has for itself: its authorities, and the exit's certificate. They are looked at when their time
//! has come, and when somebody changes their Secrets.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use gangplank_pki::clock::Clock;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use rustls_pki_types::UnixTime;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::authority::Authority;
use crate::drive::Outfit;
use crate::pause::pause;
use crate::serving::Serving;
use crate::trouble::Trouble;

/// The longest time for which the clock is not asked: it may have been set meanwhile. Asking it costs no request.
const LONGEST_NAP: Duration = Duration::from_secs(60);

/// Keeps it.
pub(crate) struct Installation {
    pub(crate) outfit: Outfit,
    pub(crate) namespace: String,
    pub(crate) clock: Arc<dyn Clock>,
    /// Signs identities.
    pub(crate) identities: Arc<Authority>,
    /// What the exit shows, where it comes from here.
    pub(crate) serving: Option<Serving>,
}

/// What the certificates are called in metrics and status.
const OF_IDENTITIES: &str = "authority of identities";
const OF_EXIT: &str = "authority of the exit";
const EXIT: &str = "exit certificate";

impl Installation {
    /// Works until `stop` is cancelled.
    pub(crate) async fn keep(&self, stop: &CancellationToken) {
        let changed = Notify::new();
        tokio::select! {
            () = self.follow(&changed) => {}
            () = stop.cancelled() => {}
            () = self.look(&changed) => {}
        }
    }

    /// Wakes whoever waits when one of the Secrets is changed. All of the namespace are followed, since one that somebody
    /// took our label from is still ours; only what is known of them without their content.
    async fn follow(&self, changed: &Notify) {
        let client = self.outfit.client.clone();
        let secrets = Api::<PartialObjectMeta<Secret>>::namespaced(client, &self.namespace);
        let events = watcher(secrets, watcher::Config::default()).default_backoff();
        let touched = events
            .touched_objects()
            .filter_map(|secret| ready(secret.ok()));
        let mut touched = pin!(touched);
        while let Some(secret) = touched.next().await {
            if self.is_ours(&secret.name_any()) {
                changed.notify_one();
            }
        }
    }

    fn is_ours(&self, secret: &str) -> bool {
        let serving = self.serving.as_ref();
        secret == self.identities.secret_name()
            || serving.is_some_and(|serving| {
                secret == serving.secret_name || secret == serving.authority.secret_name()
            })
    }

    async fn look(&self, changed: &Notify) {
        let mut failures: u32 = 0;
        loop {
            match self.all().await {
                Ok(due) => {
                    failures = 0;
                    tokio::select! {
                        () = self.await_moment(due) => {}
                        () = changed.notified() => {}
                    }
                }
                Err(trouble) => {
                    tracing::debug!(told = trouble.told(), "the installation is looked at again");
                    failures = failures.saturating_add(1);
                    sleep(pause(failures, (self.outfit.random)())).await;
                }
            }
        }
    }

    async fn await_moment(&self, moment: UnixTime) {
        loop {
            let now = self.clock.now();
            if now >= moment {
                return;
            }
            let left = moment.as_secs().saturating_sub(now.as_secs());
            sleep(Duration::from_secs(left).min(LONGEST_NAP)).await;
        }
    }

    /// Looks at everything; one that is in trouble keeps no other one back. Answers when something is due next.
    async fn all(&self) -> Result<UnixTime, Trouble> {
        let of_identities = self.authority(OF_IDENTITIES, &self.identities).await;
        let of_exit = match &self.serving {
            Some(serving) => self.exit(serving).await,
            None => Ok(None),
        };
        let due = of_identities?;
        Ok(of_exit?.map_or(due, |of_exit| due.min(of_exit)))
    }

    async fn authority(
        &self,
        name: &'static str,
        authority: &Authority,
    ) -> Result<UnixTime, Trouble> {
        let kept = self.tell(name, authority.keep().await)?;
        let anchor = kept.current.anchor();
        self.outfit.insight.holds(name, anchor.der().clone());
        Ok(authority.due(&kept))
    }

    async fn exit(&self, serving: &Serving) -> Result<Option<UnixTime>, Trouble> {
        let due = self.authority(OF_EXIT, &serving.authority).await?;
        let succession = serving.authority.current().await?;
        let held = self.tell(EXIT, serving.keep(&succession).await)?;
        self.outfit.insight.holds(EXIT, held.certificate().clone());
        Ok(Some(due.min(held.due())))
    }

    /// An API server that is away is told for all requests together; the rest is told by name.
    fn tell<T>(&self, name: &'static str, kept: Result<T, Trouble>) -> Result<T, Trouble> {
        let away = |error: &kube::Error| !matches!(error, kube::Error::Api(_));
        if let Err(trouble) = &kept
            && !matches!(trouble, Trouble::Overtaken { .. })
            && !matches!(trouble, Trouble::Api(error) if away(error))
        {
            let why = format!("{}: {}", trouble.reason(), trouble.told());
            self.outfit.insight.lacks(name, &why);
        }
        kept
    }
}
