use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gangplank_config::Material;
use gangplank_pki::clock::{Clock as _, SystemClock};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
const AUDIENCE: &str = "relay.example.com";
const SUBJECT: &str = "system:serviceaccount:gangplank:agent";

struct Issuer {
    key: EncodingKey,
    public: Value,
}

impl Issuer {
    fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let public = json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
            "x": text(x), "y": text(y) });
        let document = pair.to_pkcs8v1().unwrap();
        Self {
            key: EncodingKey::from_ec_der(document.as_ref()),
            public,
        }
    }

    fn sign(&self, header: &Header, claims: &Value) -> Vec<u8> {
        encode(header, claims, &self.key).unwrap().into_bytes()
    }
}

fn accounts(keys: &[&Issuer]) -> Accounts {
    let keys: Vec<&Value> = keys.iter().map(|issuer| &issuer.public).collect();
    let set: JwkSet = serde_json::from_value(json!({ "keys": keys })).unwrap();
    Accounts::new(&[JoiningAccount {
        cluster: name("edge-1.acme"),
        issuer: ISSUER.to_owned(),
        keys: Material::fixed(KeySet::new(set)),
        audience: AUDIENCE.to_owned(),
        subject: SUBJECT.to_owned(),
    }])
}

fn name(text: &str) -> TunnelName {
    TunnelName::parse(text).unwrap()
}

fn now() -> u64 {
    SystemClock.now().as_secs()
}

fn header(kid: &str) -> Header {
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(kid.to_owned());
    header
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE], "exp": now() + 600, "nbf": now() - 5,
        "iat": now() - 5, "jti": "f2d5", "kubernetes.io": { "namespace": "gangplank" } })
}

#[test]
fn the_account_of_the_cluster_is_believed_and_no_other_cluster_is_named_by_it() {
    let issuer = Issuer::new("a");
    let accounts = accounts(&[&issuer]);
    let token = issuer.sign(&header("a"), &claims());
    accounts.prove(&name("edge-1.acme"), &token).unwrap();
    let refused = accounts.prove(&name("edge-2.acme"), &token);
    assert!(
        matches!(refused, Err(ProofFault::NoAccount(_))),
        "{refused:?}"
    );
}

#[test]
fn a_token_for_somebody_else_or_another_time_proves_nothing() {
    let issuer = Issuer::new("a");
    let accounts = accounts(&[&issuer]);
    let cases: &[(&str, Value)] = &[
        ("iss", json!("https://other.example.com")),
        ("iss", Value::Null),
        ("sub", json!("system:serviceaccount:gangplank:other")),
        ("sub", json!("system:serviceaccount:gangplank:agent2")),
        ("sub", Value::Null),
        ("aud", json!(["https://kubernetes.default.svc"])),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("exp", json!(now() - 60)),
        ("exp", Value::Null),
        ("nbf", json!(now() + 600)),
    ];
    for (claim, value) in cases {
        let mut claims = claims();
        claims[*claim] = value.clone();
        let token = issuer.sign(&header("a"), &claims);
        let refused = accounts.prove(&name("edge-1.acme"), &token);
        assert!(
            matches!(refused, Err(ProofFault::Refused(_))),
            "{claim} {value}: {refused:?}"
        );
    }
}

#[test]
fn only_keys_of_the_set_and_kinds_that_have_a_public_one_count() {
    let (issuer, other) = (Issuer::new("a"), Issuer::new("a"));
    let accounts = accounts(&[&issuer]);
    let prove = |token: &[u8]| accounts.prove(&name("edge-1.acme"), token);
    let forged = other.sign(&header("a"), &claims());
    assert!(matches!(prove(&forged), Err(ProofFault::Refused(_))));
    for kid in [Some("b"), None] {
        let mut header = header("a");
        header.kid = kid.map(str::to_owned);
        let token = issuer.sign(&header, &claims());
        assert!(
            matches!(prove(&token), Err(ProofFault::UnknownKey)),
            "{kid:?}"
        );
    }
    // The public key as a shared secret, and no signature at all.
    let mut symmetric = Header::new(Algorithm::HS256);
    symmetric.kid = Some("a".to_owned());
    let public = issuer.public["x"].as_str().unwrap();
    let secret = EncodingKey::from_secret(public.as_bytes());
    let confused = encode(&symmetric, &claims(), &secret).unwrap();
    assert!(matches!(
        prove(confused.as_bytes()),
        Err(ProofFault::NoToken)
    ));
    let text = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!(
        "{}.{}.",
        text(&json!({ "alg": "none", "kid": "a" })),
        text(&claims())
    );
    assert!(prove(unsigned.as_bytes()).is_err());
    for garbage in [&b""[..], b"a.b.c", b"..", &[0xff; 64], b"{}"] {
        assert!(
            matches!(prove(garbage), Err(ProofFault::NoToken)),
            "{garbage:?}"
        );
    }
    let good = issuer.sign(&header("a"), &claims());
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        assert!(prove(&changed).is_err(), "byte {at}");
    }
}
