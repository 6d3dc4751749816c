//! Which public keys are strong enough, and what people call them.

use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_NIST_EC_P521,
    OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// RSA keys below are broken or nearly so, above they only cost time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// What kind of key it is, such as `RSA-2048` or `P-256`; `Err` names one too weak or unknown.
pub(super) fn of(key: &SubjectPublicKeyInfo<'_>) -> Result<String, String> {
    let algorithm = &key.algorithm.algorithm;
    if *algorithm == OID_PKCS1_RSAENCRYPTION {
        let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
            return Err("an unreadable RSA key".to_owned());
        };
        let bits = rsa.key_size();
        let kind = format!("RSA-{bits}");
        return if RSA_BITS.contains(&bits) {
            Ok(kind)
        } else {
            Err(kind)
        };
    }
    if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = key.algorithm.parameters().and_then(|any| any.as_oid().ok());
        let Some(curve) = curve else {
            return Err("a key on no named curve".to_owned());
        };
        return [
            (OID_EC_P256, "P-256"),
            (OID_NIST_EC_P384, "P-384"),
            (OID_NIST_EC_P521, "P-521"),
        ]
        .into_iter()
        .find_map(|(oid, name)| (oid == curve).then(|| name.to_owned()))
        .ok_or_else(|| format!("a key on the curve {curve}"));
    }
    if *algorithm == OID_SIG_ED25519 {
        return Ok("Ed25519".to_owned());
    }
    match algorithm.to_id_string().as_str() {
        "2.16.840.1.101.3.4.3.17" => Ok("ML-DSA-44".to_owned()),
        "2.16.840.1.101.3.4.3.18" => Ok("ML-DSA-65".to_owned()),
        "2.16.840.1.101.3.4.3.19" => Ok("ML-DSA-87".to_owned()),
        other => Err(format!("a key of the kind {other}")),
    }
}
