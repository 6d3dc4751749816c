//! Certificates and keys in PEM, with what is wrong said in the words of this crate.
//!
//! Parsing and checking is `gangplank-pki`'s; here a fault gets its place.

use std::fmt;
use std::path::Path;

use gangplank_pki::{RevocationListFault, TrustAnchor, UnprovenList, pem};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::fault::{Fault, Place};
use crate::file;
use crate::scalar::Complaint;

/// What is wrong with a piece of PEM text, and in which of its lines (0: in none in particular).
#[derive(Debug)]
pub(crate) struct PemComplaint {
    pub(crate) line: usize,
    pub(crate) complaint: Complaint,
}

impl PemComplaint {
    /// The complaint about PEM text in the file `path`.
    pub(crate) fn of_file(self, path: &Path) -> Fault {
        let Self {
            line,
            complaint:
                Complaint {
                    reason,
                    message,
                    remedy,
                },
        } = self;
        Fault::new(path, Place::line(line), reason, message, remedy)
    }

    /// The complaint about PEM text that stands encoded under `key`.
    pub(crate) fn inside(self, key: &str) -> Complaint {
        let Self {
            line,
            complaint:
                Complaint {
                    reason,
                    message,
                    remedy,
                },
        } = self;
        let message = if line > 0 {
            format!("in `{key}`, line {line} of the decoded PEM: {message}")
        } else {
            format!("in `{key}`: {message}")
        };
        Complaint {
            reason,
            message,
            remedy,
        }
    }
}

impl From<pem::PemFault> for PemComplaint {
    fn from(fault: pem::PemFault) -> Self {
        let (message, remedy) = told(&fault, "replace it by PEM as the authority gave it out");
        Self {
            line: fault.line,
            complaint: Complaint {
                reason: fault.reason(),
                message,
                remedy,
            },
        }
    }
}

/// What a fault of `gangplank-pki` says, parted into what is wrong and what to do: its messages put a
/// semicolon in between. `otherwise` is what to do when the message does not say.
pub(crate) fn told(fault: &impl fmt::Display, otherwise: &str) -> (String, String) {
    let text = fault.to_string();
    match text.rsplit_once("; ") {
        Some((message, remedy)) => (message.to_owned(), remedy.to_owned()),
        None => (text, otherwise.to_owned()),
    }
}

/// The authorities of a bundle, each checked to be one.
pub(crate) fn anchors(bytes: &[u8]) -> Result<Vec<TrustAnchor>, PemComplaint> {
    let certificates = pem::certificates(bytes)?;
    let parsed = certificates
        .into_iter()
        .enumerate()
        .map(|(index, certificate)| {
            TrustAnchor::parse(certificate).map_err(|fault| {
                let (message, remedy) = told(&fault, "give the certificate of an authority");
                let complaint = Complaint {
                    reason: fault.reason(),
                    message,
                    remedy,
                };
                PemComplaint {
                    line: line_of_block(bytes, index),
                    complaint,
                }
            })
        });
    parsed.collect()
}

/// A revocation list, not proven yet, and in which line it began (0: in none in particular).
#[derive(Clone, Debug)]
pub(crate) struct FoundList {
    pub(crate) line: usize,
    pub(crate) list: UnprovenList,
}

/// The revocation lists in DER or PEM.
pub(crate) fn lists(bytes: &[u8]) -> Result<Vec<FoundList>, PemComplaint> {
    let blocks = pem::revocation_lists(bytes)?.into_iter();
    let read = blocks.map(|block| {
        let line = block.line;
        UnprovenList::parse(&block.der)
            .map(|list| FoundList { line, list })
            .map_err(|fault| fault_of_list(line, &fault))
    });
    read.collect()
}

/// What is wrong with the revocation list that begins in this line.
pub(crate) fn fault_of_list(line: usize, fault: &RevocationListFault) -> PemComplaint {
    let (message, remedy) = told(fault, "fetch it anew from the CA");
    let complaint = Complaint {
        reason: fault.reason(),
        message,
        remedy,
    };
    PemComplaint { line, complaint }
}

/// In which line, from 1, the block of this index begins.
fn line_of_block(pem: &[u8], index: usize) -> usize {
    let begins = |line: &[u8]| line.trim_ascii_start().starts_with(b"-----BEGIN ");
    let lines = pem.split(|byte| *byte == b'\n').zip(1_usize..);
    lines
        .filter(|(line, _)| begins(line))
        .nth(index)
        .map_or(0, |(_, number)| number)
}

/// The authorities in a file, each checked to be one.
pub(crate) fn anchors_in(path: &Path) -> Result<Vec<TrustAnchor>, Fault> {
    anchors(&file::read(path)?).map_err(|complaint| complaint.of_file(path))
}

/// The certificates in a file, at least one.
pub(crate) fn certificates_in(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    certificates_of(path, &file::read(path)?)
}

/// The certificates in what was read from `path`, at least one.
pub(crate) fn certificates_of(
    path: &Path,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Fault> {
    pem::certificates(bytes).map_err(|fault| PemComplaint::from(fault).of_file(path))
}

/// The certificates and the private key in what was read from `path`.
pub(crate) fn identity_of(
    path: &Path,
    bytes: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Fault> {
    pem::identity(bytes).map_err(|fault| PemComplaint::from(fault).of_file(path))
}

/// The private key in a file.
pub(crate) fn private_key_in(path: &Path) -> Result<PrivateKeyDer<'static>, Fault> {
    let bytes = file::read(path)?;
    pem::private_key(&bytes).map_err(|fault| PemComplaint::from(fault).of_file(path))
}
