//! A certificate chain and the key that belongs to it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gangplank_pki::{crypto, pem as pki_pem};
use rustls::client::ResolvesClientCert;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::fault::{Fault, Place};
use crate::file;
use crate::material::{Material, Purpose};
use crate::pem::{self, told};
use crate::reload::Reloaded;

/// A certificate chain, leaf first, and the key of its leaf; ready for rustls.
#[derive(Clone)]
pub struct KeyPair {
    certified: Arc<CertifiedKey>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl KeyPair {
    /// Puts a chain and its key together.
    ///
    /// # Errors
    /// When the key cannot be used or does not belong to the first certificate.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let certified = CertifiedKey::from_der(chain, key.clone_key(), &crypto::provider())?;
        certified.keys_match()?;
        Ok(Self {
            certified: Arc::new(certified),
            key: Arc::new(key),
        })
    }

    /// The chain, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// The leaf; there always is one.
    pub fn leaf(&self) -> Option<&CertificateDer<'static>> {
        self.certified.cert.first()
    }

    /// Chain and key as rustls signs with them.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// The leaf's key, for transports that make their own configuration.
    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// A chain and its key in two files.
    pub(crate) fn material(
        certificate_file: PathBuf,
        key_file: PathBuf,
        purpose: Purpose,
    ) -> Material<Self> {
        let files = vec![certificate_file.clone(), key_file.clone()];
        Material::of_files(files, move || {
            Self::read(&certificate_file, &key_file, &purpose)
        })
    }

    /// A chain and its key in one file, which can so be replaced in one step.
    pub(crate) fn material_of_one_file(file: PathBuf, purpose: Purpose) -> Material<Self> {
        Material::of_files(vec![file.clone()], move || {
            let bytes = file::read(&file)?;
            let (chain, key) = pem::identity_of(&file, &bytes)?;
            Self::checked(&file, (chain, key), (&file, &purpose))
        })
    }

    /// Reads and checks a chain and its key.
    pub(crate) fn read(
        certificate_file: &Path,
        key_file: &Path,
        purpose: &Purpose,
    ) -> Result<Self, Fault> {
        let certificate_pem = file::read(certificate_file)?;
        let chain = pem::certificates_of(certificate_file, &certificate_pem)?;
        let key = pem::private_key_in(key_file)?;
        let from = (key_file, purpose);
        Self::checked(certificate_file, (chain, key), from)
    }

    fn checked(
        certificate_file: &Path,
        (chain, key): (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>),
        (key_file, purpose): (&Path, &Purpose),
    ) -> Result<Self, Fault> {
        if let Some(leaf) = chain.first() {
            pki_pem::key_matches(leaf, &key).map_err(|fault| {
                let (message, remedy) = told(&fault, "take both of the same issuance");
                Fault::new(key_file, Place::WHOLE_FILE, fault.reason(), message, remedy)
            })?;
            purpose.check(certificate_file, leaf)?;
        }
        Self::new(chain, key).map_err(|_unusable| {
            let message = "this key cannot be used with its certificate";
            let remedy = "use an ECDSA P-256 or P-384, Ed25519, or RSA key of 2048 bits and more";
            Fault::new(key_file, Place::WHOLE_FILE, "UnusableKey", message, remedy)
        })
    }
}

/// Shows the size of the chain only.
impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("chain", &self.chain().len())
            .finish_non_exhaustive()
    }
}

/// Serves the newest state of the files, whatever name is asked for.
impl ResolvesServerCert for Reloaded<KeyPair> {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified_key())
    }
}

/// Presents the newest state of the files, whatever authorities are hinted at.
impl ResolvesClientCert for Reloaded<KeyPair> {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.current().certified_key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
