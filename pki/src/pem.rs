//! PEM files as people have them: certificates and private keys, with the line of what is wrong.
//!
//! Carriage returns, a byte order mark, and text before, between and after the blocks are tolerated
//! (RFC 7468 §2). Key material never appears in a message.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use crate::certificate::Certificate;
use crate::crypto;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Labels under which a private key may stand that can be read.
const KEY_LABELS: [&str; 3] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];

/// What is wrong with a PEM file, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct PemFault {
    /// The line, counted from 1; 1 when the fault is that something is missing.
    pub line: usize,
    /// What is wrong.
    pub problem: PemProblem,
}

/// The kinds of fault in a PEM file. Each message says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PemProblem {
    /// No block at all, though something was expected.
    #[error("there is no PEM block in it; give a file with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// No private key.
    #[error("there is no private key in it; give a file with `-----BEGIN PRIVATE KEY-----`")]
    NoPrivateKey,
    /// A block that is not closed, or closed under another name.
    #[error("a PEM block begins here and is not closed; the file may be cut off")]
    NotClosed,
    /// Letters that are not base64.
    #[error("the PEM block that begins here is not valid base64; export it anew")]
    NotBase64,
    /// A certificate block without a certificate in it.
    #[error("the block that begins here is not an X.509 certificate; export it anew")]
    NotACertificate,
    /// No revocation list, though one was expected.
    #[error("there is no revocation list in it; give DER, or PEM with `-----BEGIN X509 CRL-----`")]
    NoRevocationList,
    /// Something else among revocation lists.
    #[error(
        "the block that begins here is not a revocation list; leave only blocks that begin with \
         `-----BEGIN X509 CRL-----`"
    )]
    NotARevocationList,
    /// A key among certificates.
    #[error(
        "a private key is among the certificates; take it out, it belongs to nobody but its owner"
    )]
    PrivateKeyAmongCertificates,
    /// Something else, such as a certificate request.
    #[error("the block that begins here is neither a certificate nor a key; remove it")]
    OtherBlock,
    /// A passphrase would be needed.
    #[error("the private key is encrypted; decrypt it first (`openssl pkey`)")]
    EncryptedKey,
    /// More than one key.
    #[error("there is a second private key in the file; leave one")]
    SecondPrivateKey,
    /// A key block without a key that is understood in it.
    #[error("the private key cannot be read; use an RSA, ECDSA or Ed25519 key in PKCS#8")]
    NotAKey,
}

impl PemFault {
    /// The kind of fault, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self.problem {
            PemProblem::NoCertificate => "NoCertificate",
            PemProblem::NoPrivateKey => "NoPrivateKey",
            PemProblem::NotClosed => "PemNotClosed",
            PemProblem::NotBase64 => "PemNotBase64",
            PemProblem::NotACertificate => "NotACertificate",
            PemProblem::NoRevocationList => "NoRevocationList",
            PemProblem::NotARevocationList => "NotARevocationList",
            PemProblem::PrivateKeyAmongCertificates => "PrivateKeyAmongCertificates",
            PemProblem::OtherBlock => "OtherPemBlock",
            PemProblem::EncryptedKey => "EncryptedKey",
            PemProblem::SecondPrivateKey => "SecondPrivateKey",
            PemProblem::NotAKey => "NotAKey",
        }
    }
}

/// A certificate chain and its key that share a file.
///
/// # Errors
/// As [`certificates`] and [`private_key`], but that a key is among the certificates.
pub fn identity(
    pem: &[u8],
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PemFault> {
    let others = blocks(pem)?
        .into_iter()
        .filter(|block| !block.label.ends_with("PRIVATE KEY"));
    Ok((certificates_in(others)?, private_key(pem)?))
}

/// Every certificate of a file, in order: a CA bundle, or a leaf and its intermediates.
///
/// # Errors
/// When there is none, when a block is broken, or when there is something else, above all a key.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    certificates_in(blocks(pem)?)
}

fn certificates_in(
    blocks: impl IntoIterator<Item = Block>,
) -> Result<Vec<CertificateDer<'static>>, PemFault> {
    let mut certificates = Vec::new();
    for block in blocks {
        let fault = |problem| {
            Err(PemFault {
                line: block.line,
                problem,
            })
        };
        if block.label.ends_with("PRIVATE KEY") {
            return fault(PemProblem::PrivateKeyAmongCertificates);
        }
        if !matches!(block.label.as_str(), "CERTIFICATE" | "X509 CERTIFICATE") {
            return fault(PemProblem::OtherBlock);
        }
        if Certificate::parse(&block.content).is_none() {
            return fault(PemProblem::NotACertificate);
        }
        certificates.push(CertificateDer::from(block.content));
    }
    if certificates.is_empty() {
        return Err(PemFault {
            line: 1,
            problem: PemProblem::NoCertificate,
        });
    }
    Ok(certificates)
}

/// One revocation list in DER, and in which line it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListBlock {
    /// The line, counted from 1; 0 where the whole file is the list.
    pub line: usize,
    /// The list.
    pub der: Vec<u8>,
}

/// Every revocation list of a file, in order: PEM, or a single one in DER, as CAs publish them.
///
/// # Errors
/// When there is none, when a block is broken, or when there is something else.
pub fn revocation_lists(file: &[u8]) -> Result<Vec<ListBlock>, PemFault> {
    // A list is longer than the 127 bytes that a short length can say, so no text begins like it.
    if matches!(file, [0x30, 0x80..=0xff, ..]) {
        let der = file.to_vec();
        return Ok(vec![ListBlock { line: 0, der }]);
    }
    let mut lists = Vec::new();
    for block in blocks(file)? {
        let problem = match block.label.as_str() {
            "X509 CRL" => {
                lists.push(ListBlock {
                    line: block.line,
                    der: block.content,
                });
                continue;
            }
            label if label.ends_with("PRIVATE KEY") => PemProblem::PrivateKeyAmongCertificates,
            _ => PemProblem::NotARevocationList,
        };
        return Err(PemFault {
            line: block.line,
            problem,
        });
    }
    if lists.is_empty() {
        return Err(PemFault {
            line: 1,
            problem: PemProblem::NoRevocationList,
        });
    }
    Ok(lists)
}

/// The one private key of a file; certificates and curve parameters beside it are passed over.
///
/// # Errors
/// When there is none, a second one, an encrypted one, or one of an unknown kind.
pub fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemFault> {
    let mut found = None;
    for block in blocks(pem)? {
        let fault = |problem| PemFault {
            line: block.line,
            problem,
        };
        if block.label == "ENCRYPTED PRIVATE KEY" {
            return Err(fault(PemProblem::EncryptedKey));
        }
        if !block.label.ends_with("PRIVATE KEY") {
            continue;
        }
        if !KEY_LABELS.contains(&block.label.as_str()) {
            return Err(fault(PemProblem::NotAKey));
        }
        if found.is_some() {
            return Err(fault(PemProblem::SecondPrivateKey));
        }
        let key = PrivateKeyDer::try_from(block.content).map_err(|_text| PemFault {
            line: block.line,
            problem: PemProblem::NotAKey,
        })?;
        crypto::provider()
            .key_provider
            .load_private_key(key.clone_key())
            .map_err(|_tls| PemFault {
                line: block.line,
                problem: PemProblem::NotAKey,
            })?;
        found = Some(key);
    }
    found.ok_or(PemFault {
        line: 1,
        problem: PemProblem::NoPrivateKey,
    })
}

/// Why a certificate and a private key do not belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// The key is of another certificate.
    #[error("the private key does not belong to the certificate; check which files were exchanged")]
    Mismatch,
    /// One of the two cannot be read.
    #[error("certificate or private key cannot be read; export them anew")]
    Unreadable,
}

impl KeyFault {
    /// The kind of fault, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Mismatch => "KeyMismatch",
            Self::Unreadable => "KeyUnreadable",
        }
    }
}

/// Does the key belong to the certificate?
///
/// # Errors
/// When it does not, or one of them cannot be read.
pub fn key_matches(
    certificate: &CertificateDer<'_>,
    key: &PrivateKeyDer<'_>,
) -> Result<(), KeyFault> {
    let certificate = Certificate::parse(certificate).ok_or(KeyFault::Unreadable)?;
    let key = crypto::provider()
        .key_provider
        .load_private_key(key.clone_key())
        .map_err(|_tls| KeyFault::Unreadable)?;
    let public = key.public_key().ok_or(KeyFault::Unreadable)?;
    if public.as_ref() == certificate.public_key() {
        Ok(())
    } else {
        Err(KeyFault::Mismatch)
    }
}

/// DER as a PEM block.
pub fn encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("{BEGIN}{label}{DASHES}\n");
    let base64 = STANDARD.encode(der);
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(64).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(END);
    text.push_str(label);
    text.push_str(DASHES);
    text.push('\n');
    text
}

struct Block {
    line: usize,
    label: String,
    content: Vec<u8>,
}

struct OpenBlock {
    line: usize,
    label: String,
    base64: Vec<u8>,
}

fn blocks(pem: &[u8]) -> Result<Vec<Block>, PemFault> {
    let mut blocks = Vec::new();
    let mut open: Option<OpenBlock> = None;
    let pem = pem.strip_prefix(BYTE_ORDER_MARK).unwrap_or(pem);
    for (line, number) in pem.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        match open.take() {
            None => {
                open = label_of(line, BEGIN).map(|label| OpenBlock {
                    line: number,
                    label,
                    base64: Vec::new(),
                });
            }
            Some(block) if label_of(line, END).as_ref() == Some(&block.label) => {
                blocks.push(close(block)?);
            }
            Some(block) if line.starts_with(DASHES.as_bytes()) => {
                return Err(PemFault {
                    line: block.line,
                    problem: PemProblem::NotClosed,
                });
            }
            Some(mut block) => {
                block
                    .base64
                    .extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
                open = Some(block);
            }
        }
    }
    match open {
        Some(block) => Err(PemFault {
            line: block.line,
            problem: PemProblem::NotClosed,
        }),
        None => Ok(blocks),
    }
}

fn close(block: OpenBlock) -> Result<Block, PemFault> {
    let content = STANDARD
        .decode(&block.base64)
        .map_err(|_position| PemFault {
            line: block.line,
            problem: PemProblem::NotBase64,
        })?;
    Ok(Block {
        line: block.line,
        label: block.label,
        content,
    })
}

/// The label of a line such as `-----BEGIN CERTIFICATE-----`.
fn label_of(line: &[u8], beginning: &str) -> Option<String> {
    let label = line
        .strip_prefix(beginning.as_bytes())?
        .strip_suffix(DASHES.as_bytes())?;
    String::from_utf8(label.to_vec()).ok()
}

#[cfg(test)]
mod tests;
