//! The TLS settings of a dial, made of files that may have changed since the last one.

use std::fmt;
use std::sync::Arc;

use gangplank_config::{Anchors, Fault, KeyPair, Material};
use parking_lot::Mutex;
use rustls::client::Resumption;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use tokio::task::spawn_blocking;

use super::Offer;
use crate::fault::DialError;

/// The authorities that are believed, and the certificate that is shown, if any.
pub(super) struct TlsFiles {
    authorities: Material<Anchors>,
    certificate: Option<Material<KeyPair>>,
    good: Mutex<Good>,
}

/// The last settings that could be made.
#[derive(Default)]
struct Good {
    configs: Option<Configs>,
    /// Counts the certificates that were shown, one after the other.
    certificates: u64,
    /// Whether the last attempt failed, so that the same failure is told once.
    stale: bool,
}

#[derive(Clone)]
struct Configs {
    newest: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    shown: Arc<[CertificateDer<'static>]>,
    /// Which certificate that is, counted.
    number: u64,
}

/// Why settings could not be made.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    File(#[from] Fault),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("the files could not be read")]
    Unread,
}

impl TlsFiles {
    pub(super) fn new(
        authorities: Material<Anchors>,
        certificate: Option<Material<KeyPair>>,
    ) -> Self {
        Self {
            authorities,
            certificate,
            good: Mutex::default(),
        }
    }

    /// The settings for a dial now. Files that have become unusable leave the last good settings in
    /// force: they only prove who the server is and who we are, and both sides check. With them comes the
    /// number of the certificate that they show.
    pub(super) async fn current(
        &self,
        offer: Offer,
    ) -> Result<(Arc<ClientConfig>, u64), DialError> {
        let configs = if let Some(configs) = self.unchanging() {
            configs
        } else {
            let made = self.make().await;
            self.good.lock().adopt(made)?
        };
        let config = match offer {
            Offer::Newest => configs.newest,
            Offer::Http1 => configs.http1,
        };
        Ok((config, configs.number))
    }

    /// The number of the certificate that dials show now.
    pub(super) fn certificate(&self) -> u64 {
        self.good.lock().certificates
    }

    /// The same after another look at the files, if it can change at all.
    pub(super) async fn reread_certificate(&self) -> u64 {
        if self
            .certificate
            .as_ref()
            .is_some_and(|pair| !pair.files().is_empty())
        {
            let made = self.make().await;
            drop(self.good.lock().adopt(made));
        }
        self.certificate()
    }

    /// The settings made before, when nothing they are made of can change.
    fn unchanging(&self) -> Option<Configs> {
        let fixed = self.authorities.files().is_empty()
            && self
                .certificate
                .as_ref()
                .is_none_or(|pair| pair.files().is_empty());
        self.good.lock().configs.clone().filter(|_configs| fixed)
    }

    async fn make(&self) -> Result<Configs, Unusable> {
        let (authorities, certificate) = (self.authorities.clone(), self.certificate.clone());
        let read = move || {
            let certificate = certificate.map(|pair| pair.read()).transpose()?;
            Configs::new(&authorities.read()?, certificate.as_ref())
        };
        spawn_blocking(read).await.unwrap_or(Err(Unusable::Unread))
    }
}

impl Good {
    /// Takes newly made settings over, or keeps the old ones.
    fn adopt(&mut self, made: Result<Configs, Unusable>) -> Result<Configs, DialError> {
        match (made, self.configs.clone()) {
            (Ok(mut configs), last) => {
                if last.is_none_or(|last| last.shown != configs.shown) {
                    self.certificates += 1;
                }
                configs.number = self.certificates;
                self.stale = false;
                self.configs = Some(configs.clone());
                Ok(configs)
            }
            (Err(error), Some(last)) => {
                if !self.stale {
                    tracing::warn!(%error, "upstream TLS files are unusable, the last good ones are kept");
                }
                self.stale = true;
                Ok(last)
            }
            (Err(error), None) => Err(DialError::Material(Arc::new(error))),
        }
    }
}

impl Configs {
    fn new(authorities: &Anchors, certificate: Option<&KeyPair>) -> Result<Self, Unusable> {
        let mut roots = RootCertStore::empty();
        for anchor in authorities.certificates() {
            roots.add(anchor)?;
        }
        let builder = ClientConfig::builder_with_provider(gangplank_pki::crypto::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots);
        let mut newest = match certificate {
            Some(pair) => {
                let resolver = SingleCertAndKey::from((*pair.certified_key()).clone());
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        newest.resumption = Resumption::disabled();
        let mut http1 = newest.clone();
        newest.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let shown = certificate.map_or_else(Arc::default, |pair| Arc::from(pair.chain()));
        Ok(Self {
            newest: Arc::new(newest),
            http1: Arc::new(http1),
            shown,
            number: 0,
        })
    }
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFiles")
            .field("authorities", &self.authorities)
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}
