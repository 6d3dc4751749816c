//! The certificates behind enrolment: until when the relay can issue, and reach its register.
//!
//! Whoever needs one reads its file at that moment, so that a renewed one is in use at once. Here they are read now and again for status
//! and metrics alone, which wait for no file.

use std::sync::Arc;
use std::time::Duration;

use gangplank_config::role::relay::{Enrolment, Register};
use gangplank_config::{Anchors, KeyPair, Material};
use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How old what is shown may be: metrics are scraped about as often.
const LOOK: Duration = Duration::from_secs(15);

/// What the files hold. One that cannot be read has nothing here; who needs it says why not.
#[derive(Debug, Clone, Default)]
pub struct EnrolmentPapers {
    /// The authority that issues agents' certificates.
    pub issuing: Option<Arc<Anchors>>,
    /// The authorities of the relay's own certificate, as agents get to know them.
    pub of_relay: Option<Arc<Anchors>>,
    /// What is shown to etcd.
    pub etcd_client: Option<Arc<KeyPair>>,
    /// By which the members of etcd are known.
    pub of_etcd: Option<Arc<Anchors>>,
}

/// The files, and what they held. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct PapersOnFile {
    files: Option<Files>,
    read: Arc<Mutex<Arc<EnrolmentPapers>>>,
}

#[derive(Debug, Clone)]
struct Files {
    issuing: Material<Anchors>,
    of_relay: Material<Anchors>,
    etcd: Option<(Material<KeyPair>, Material<Anchors>)>,
}

impl PapersOnFile {
    /// Those of a relay's file, which may have none; read once, as the file was.
    pub(crate) fn of(enrolment: Option<&Enrolment>) -> Self {
        let files = enrolment.map(|enrolment| Files {
            issuing: enrolment.authority_certificate.clone(),
            of_relay: enrolment.relay_authorities.clone(),
            etcd: match &enrolment.register {
                Register::File(_) => None,
                Register::Etcd(etcd) => Some((etcd.key_pair.clone(), etcd.authorities.clone())),
            },
        });
        let read = files.as_ref().map(Files::read).unwrap_or_default();
        Self {
            files,
            read: Arc::new(Mutex::new(Arc::new(read))),
        }
    }

    /// What they held when they were last read.
    pub(crate) fn papers(&self) -> Arc<EnrolmentPapers> {
        Arc::clone(&self.read.lock())
    }

    /// Reads them, again and again, until `shutdown`.
    pub(crate) async fn follow(self, shutdown: CancellationToken) {
        let Some(files) = self.files else {
            return;
        };
        let reading = async {
            loop {
                sleep(LOOK).await;
                let files = files.clone();
                if let Ok(read) = spawn_blocking(move || files.read()).await {
                    *self.read.lock() = Arc::new(read);
                }
            }
        };
        let ended: Option<()> = shutdown.run_until_cancelled(reading).await;
        debug_assert!(ended.is_none(), "only a shutdown ends it");
    }
}

impl Files {
    fn read(&self) -> EnrolmentPapers {
        let etcd = self.etcd.as_ref();
        EnrolmentPapers {
            issuing: held(&self.issuing),
            of_relay: held(&self.of_relay),
            etcd_client: etcd.and_then(|(shown, _)| held(shown)),
            of_etcd: etcd.and_then(|(_, authorities)| held(authorities)),
        }
    }
}

fn held<T: Send + Sync + 'static>(file: &Material<T>) -> Option<Arc<T>> {
    let read = file.read();
    if let Err(fault) = &read {
        tracing::debug!(%fault, "a certificate of enrolment is not shown");
    }
    read.ok().map(Arc::new)
}
