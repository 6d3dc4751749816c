//! Certificates, keys and tokens that stand in the kubeconfig itself.

use gangplank_pki::pem as pki_pem;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::encoding;
use crate::material::{Anchors, KeyPair, Material, NOT_A_TOKEN, Purpose, Token};
use crate::pem::{self, PemComplaint};
use crate::scalar::Complaint;
use crate::section::Section;

/// Authorities under `key`.
pub(super) fn authorities(cluster: &Section<'_>, key: &str) -> Option<Material<Anchors>> {
    let anchors = decoded(cluster, key, pem::anchors)?;
    Some(Material::fixed(Anchors::new(anchors)))
}

/// A client certificate and its key, each either inline or in a file; inline overrides, as in kubectl.
pub(super) fn client_certificate(user: &Section<'_>) -> Option<Material<KeyPair>> {
    let inline = |key: &str| user.optional(key).is_some();
    if !inline("client-certificate-data") && !inline("client-key-data") {
        return user.key_pair_at("client-certificate", "client-key", Purpose::Unchecked);
    }
    let chain = if inline("client-certificate-data") {
        decoded(user, "client-certificate-data", certificates)
    } else {
        let written = user.required_text("client-certificate")?;
        let path = user.sheet.resolve(written.text);
        user.sheet
            .accept_referenced(written.place, pem::certificates_in(&path))
    };
    let key = if inline("client-key-data") {
        decoded(user, "client-key-data", private_key)
    } else {
        let written = user.required_text("client-key")?;
        let path = user.sheet.resolve(written.text);
        user.sheet
            .accept_referenced(written.place, pem::private_key_in(&path))
    };
    let pair = KeyPair::new(chain?, key?).map_err(|_mismatch| Complaint {
        reason: "KeyMismatch",
        message: "the client key does not belong to the client certificate".to_owned(),
        remedy: "copy both from the same source".to_owned(),
    });
    user.sheet.accept(user.place, pair).map(Material::fixed)
}

/// `token`, which is never quoted.
pub(super) fn token(user: &Section<'_>) -> Option<Token> {
    let written = user.optional_text("token")?;
    let token = Token::parse(written.text);
    if token.is_none() {
        user.sheet.fault(
            written.place,
            "BadToken",
            NOT_A_TOKEN,
            "write the token alone",
        );
    }
    token
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemComplaint> {
    Ok(pki_pem::certificates(pem)?)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, PemComplaint> {
    Ok(pki_pem::private_key(pem)?)
}

fn decoded<T>(
    section: &Section<'_>,
    key: &str,
    parse: impl Fn(&[u8]) -> Result<T, PemComplaint>,
) -> Option<T> {
    let written = section.optional_text(key)?;
    let pem = section
        .sheet
        .accept(written.place, encoding::base64(key, written.text))?;
    let parsed = parse(&pem).map_err(|complaint| complaint.inside(key));
    section.sheet.accept(written.place, parsed)
}
