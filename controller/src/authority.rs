//! An authority of the installation: made once, kept in a Secret of the installation's namespace, followed by the next
//! ([`succession`]).

mod kept;
mod succession;

use std::sync::Arc;

use gangplank_pki::clock::Clock;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use rustls_pki_types::UnixTime;
use tokio::sync::{Mutex, watch};

use crate::trouble::Trouble;

pub(crate) use kept::bundle;
pub(crate) use succession::{Rules, Step, Succession};

/// The keys of a Secret with a certificate (cert-manager's layout).
pub(crate) const CERTIFICATE: &str = "tls.crt";
/// See [`CERTIFICATE`].
pub(crate) const KEY: &str = "tls.key";
/// See [`CERTIFICATE`]. Of an authority's Secret: all that others are told to trust.
pub(crate) const AUTHORITIES: &str = "ca.crt";
/// Cross certificates: what predecessors signed of their successors ([`gangplank_pki::advances`]).
pub(crate) const SUCCESSOR: &str = "successor.crt";

/// Where an authority is kept.
pub(crate) struct Authority {
    client: Client,
    namespace: String,
    secret_name: String,
    rules: Rules,
    clock: Arc<dyn Clock>,
    /// As it was last read; none before the first time.
    read: watch::Sender<Option<Arc<Succession>>>,
    /// One reading or writing at a time.
    turn: Mutex<()>,
}

/// An authority's Secret, and by what rules it is kept.
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) secret_name: String,
    pub(crate) rules: Rules,
}

impl Authority {
    pub(crate) fn new(client: Client, place: Place, clock: Arc<dyn Clock>) -> Self {
        Self {
            client,
            namespace: place.namespace,
            secret_name: place.secret_name,
            rules: place.rules,
            clock,
            read: watch::Sender::new(None),
            turn: Mutex::new(()),
        }
    }

    /// The authority as it was last read, read now if it was not yet.
    ///
    /// # Errors
    /// As [`keep`](Self::keep).
    pub(crate) async fn current(&self) -> Result<Arc<Succession>, Trouble> {
        let known = self.read.borrow().clone();
        match known {
            Some(known) => Ok(known),
            None => self.keep().await,
        }
    }

    /// Told whenever something else is published, or another one signs.
    pub(crate) fn changes(&self) -> watch::Receiver<Option<Arc<Succession>>> {
        self.read.subscribe()
    }

    /// Reads the Secret, made now if there is none, and does what is due.
    ///
    /// # Errors
    /// When the Secret cannot be read or written, or does not hold an authority: it is never overwritten then, and the
    /// authority that was last read goes on.
    pub(crate) async fn keep(&self) -> Result<Arc<Succession>, Trouble> {
        let _turn = self.turn.lock().await;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let now = self.clock.now();
        let succession = match api.get_opt(&self.secret_name).await? {
            Some(there) => self.advance(&api, there, now).await?,
            None => self.begin(&api, now).await?,
        };
        let succession = Arc::new(succession);
        let told = Arc::clone(&succession);
        self.read.send_if_modified(move |known| {
            let is_new = known.as_ref().is_none_or(|known| differ(known, &told));
            *known = Some(told);
            is_new
        });
        Ok(succession)
    }

    /// Its Secret's name.
    pub(crate) fn secret_name(&self) -> &str {
        &self.secret_name
    }

    /// When the next step is due.
    pub(crate) fn due(&self, succession: &Succession) -> UnixTime {
        succession.due(&self.rules)
    }

    async fn begin(&self, api: &Api<Secret>, now: UnixTime) -> Result<Succession, Trouble> {
        let succession = Succession::begin(&self.rules, now)?;
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.secret_name.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        };
        kept::write(&mut secret, &succession, &self.rules, false);
        match api.create(&PostParams::default(), &secret).await {
            Ok(_created) => {
                let fingerprint = succession.current.anchor().fingerprint();
                tracing::info!(secret = self.told(), %fingerprint, "a certificate authority was made");
                Ok(succession)
            }
            // Another one was faster: its authority counts.
            Err(kube::Error::Api(status)) if status.code == 409 => Err(self.overtaken()),
            Err(error) => Err(error.into()),
        }
    }

    async fn advance(
        &self,
        api: &Api<Secret>,
        there: Secret,
        now: UnixTime,
    ) -> Result<Succession, Trouble> {
        let read = kept::read(&there, &self.rules, now);
        let mut succession = read.map_err(|why| self.spoilt(why))?;
        let asked = kept::asks(&there);
        // One that is on its way fulfils the wish as well.
        let fulfilled = asked && (succession.next.is_some() || succession.may_be_asked());
        let steps = succession.advance(&self.rules, now, asked)?;
        let mut wanted = there.clone();
        kept::write(&mut wanted, &succession, &self.rules, fulfilled);
        if wanted == there {
            return Ok(succession);
        }
        let post = PostParams::default();
        match api.replace(&self.secret_name, &post, &wanted).await {
            Ok(_replaced) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => return Err(self.overtaken()),
            Err(error) => return Err(error.into()),
        }
        for step in steps {
            self.tell(step, &succession);
        }
        Ok(succession)
    }

    fn tell(&self, step: Step, succession: &Succession) {
        let secret = self.told();
        match step {
            Step::Published => {
                let next = succession.next.as_ref();
                let fingerprint =
                    next.map(|next| next.authority.anchor().fingerprint().to_string());
                tracing::info!(
                    secret,
                    fingerprint,
                    "the authority's successor is published"
                );
            }
            Step::Used => {
                let fingerprint = succession.current.anchor().fingerprint();
                tracing::info!(secret, %fingerprint, "the authority's successor signs");
            }
            Step::Retired => tracing::info!(secret, "a former authority is published no longer"),
        }
    }

    fn told(&self) -> String {
        format!("{}/{}", self.namespace, self.secret_name)
    }

    fn overtaken(&self) -> Trouble {
        Trouble::Overtaken {
            what: format!("Secret {}", self.told()),
        }
    }

    fn spoilt(&self, why: String) -> Trouble {
        Trouble::Spoilt {
            what: format!("Secret {}", self.told()),
            why,
            remedy: "restore it from a backup; or delete it for a new authority, which all who trust the old one must learn of",
        }
    }
}

/// Is something else published, or does another one sign?
fn differ(one: &Succession, other: &Succession) -> bool {
    let told = |succession: &Succession| {
        let published = succession.published().into_iter();
        published
            .map(|anchor| anchor.fingerprint())
            .collect::<Vec<_>>()
    };
    told(one) != told(other) || one.proofs != other.proofs
}

/// One entry of a Secret.
pub(crate) fn bytes(key: &str, value: String) -> (String, ByteString) {
    (key.to_owned(), ByteString(value.into_bytes()))
}
