//! Authorities from a bundle file.

use std::fmt;
use std::path::{Path, PathBuf};

use gangplank_pki::TrustAnchor;
use rustls_pki_types::CertificateDer;

use crate::fault::Fault;
use crate::material::Material;
use crate::pem;

/// The certificates of one or several authorities, each checked to be one.
#[derive(Clone)]
pub struct Anchors(Vec<TrustAnchor>);

impl Anchors {
    /// Authorities that were checked already.
    pub fn new(anchors: Vec<TrustAnchor>) -> Self {
        Self(anchors)
    }

    /// The authorities.
    pub fn anchors(&self) -> &[TrustAnchor] {
        &self.0
    }

    /// Their certificates.
    pub fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.0.iter().map(|anchor| anchor.der().clone()).collect()
    }

    /// A PEM bundle in a file.
    pub(crate) fn material(file: PathBuf) -> Material<Self> {
        Material::of_files(vec![file.clone()], move || Self::read(&file))
    }

    /// The authorities of a PEM bundle.
    ///
    /// # Errors
    /// When it cannot be read, or holds anything but certificates of authorities.
    pub fn read(path: &Path) -> Result<Self, Fault> {
        pem::anchors_in(path).map(Self)
    }
}

impl fmt::Debug for Anchors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(TrustAnchor::subject_text))
            .finish()
    }
}
