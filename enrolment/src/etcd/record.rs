//! How the register lies in etcd.
//!
//! Below the prefix and `v1/` there is a key a token, a key a certificate, and a key a cluster, each with a JSON
//! object; times are in seconds since 1970. A cluster's object lists the times at which it was revoked, and
//! their number is its *generation*. Tokens and certificates carry the generation in which they were made: those
//! of an earlier one are revoked. So a revocation is one write however much it concerns, and nothing can
//! be issued beside it, because whatever is issued depends on the cluster's object not having changed.
//!
//! A key a cluster more counts the renewals that are good. It is not in the cluster's object, which all relays watch.

use gangplank_pki::clock::at;
use gangplank_pki::{Fingerprint, TunnelName};
use gangplank_tunnel::wire::{Message as Sentence, Text};
use rustls_pki_types::UnixTime;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::left_out::LeftOut;
use super::wire::{KeyValue, RequestOp};
use crate::register::{CertificateRecord, MOST_RENEWALS, TokenId, TokenRecord};

/// What lies at a key is not what was written there.
#[derive(Debug, thiserror::Error)]
#[error(
    "what lies at {key} is not understood: {why}; update this program if a newer one wrote it, or write there what a backup of \
     etcd has. Delete it only if it is none of the register's: a revocation may go with it"
)]
pub(super) struct RecordFault {
    key: KeyName,
    why: Sentence,
}

/// A key for people: as long as a prefix, two labels and a fingerprint are. Whoever writes to etcd chooses it.
type KeyName = Text<512>;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Keys {
    /// `<prefix>v1/`: another layout would lie beside it.
    below: String,
}

impl Keys {
    pub(super) fn below(prefix: &str) -> Self {
        Self {
            below: format!("{prefix}v1/"),
        }
    }

    pub(super) fn tokens(&self) -> String {
        format!("{}token/", self.below)
    }

    pub(super) fn token(&self, id: TokenId) -> String {
        format!("{}{}", self.tokens(), hex(&id))
    }

    pub(super) fn clusters(&self) -> String {
        format!("{}cluster/", self.below)
    }

    pub(super) fn cluster(&self, tunnel: &TunnelName) -> String {
        format!("{}{tunnel}", self.clusters())
    }

    pub(super) fn certificates(&self) -> String {
        format!("{}certificate/", self.below)
    }

    pub(super) fn certificates_of(&self, tunnel: &TunnelName) -> String {
        format!("{}{tunnel}/", self.certificates())
    }

    pub(super) fn renewals(&self) -> String {
        format!("{}renewal/", self.below)
    }

    pub(super) fn renewals_of(&self, tunnel: &TunnelName) -> String {
        format!("{}{tunnel}", self.renewals())
    }

    pub(super) fn certificate(&self, tunnel: &TunnelName, fingerprint: Fingerprint) -> String {
        format!(
            "{}{}",
            self.certificates_of(tunnel),
            hex(fingerprint.as_bytes())
        )
    }
}

impl Keys {
    /// What is to be written when a certificate is: itself, and that the cluster has joined, if that is news. A
    /// renewal does not touch the cluster's object, which all relays watch.
    pub(super) fn issuing(
        &self,
        certificate: &CertificateRecord,
        mut cluster: Cluster,
    ) -> Vec<RequestOp> {
        let (tunnel, generation) = (&certificate.tunnel, cluster.generation());
        let record = Certificate::new(certificate, generation);
        let key = self.certificate(tunnel, certificate.fingerprint);
        let mut puts = vec![RequestOp::put(&key, written(&record))];
        if cluster.newest.replace(generation) != Some(generation) {
            puts.push(RequestOp::put(&self.cluster(tunnel), written(&cluster)));
        }
        puts
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Token {
    /// SHA-256 of its secret.
    secret: String,
    cluster: String,
    pub(super) generation: usize,
    pub(super) created: u64,
    pub(super) expires: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) used: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate {
    pub(super) generation: usize,
    issued: u64,
    pub(super) not_after: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    /// When it was revoked, each time.
    pub(super) revocations: Vec<u64>,
    /// The generation of its newest certificate, if it has joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) newest: Option<usize>,
}

/// The renewals of a cluster that are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Renewals {
    generation: usize,
    /// When each of them ends.
    ends: Vec<u64>,
}

impl Renewals {
    /// With one more; none when there are too many that are good. Those of an earlier generation are not.
    pub(super) fn and(self, certificate: &CertificateRecord, generation: usize) -> Option<Self> {
        let now = certificate.issued.as_secs();
        let mut ends = self.ends;
        ends.retain(|end| self.generation == generation && *end >= now);
        if ends.len() >= MOST_RENEWALS {
            return None;
        }
        ends.push(certificate.not_after.as_secs());
        Some(Self { generation, ends })
    }

    /// Whether all ended before.
    pub(super) fn have_ended(&self, before: u64) -> bool {
        self.ends.iter().all(|end| *end < before)
    }
}

impl Cluster {
    /// What is made now belongs to this one.
    pub(super) fn generation(&self) -> usize {
        self.revocations.len()
    }

    /// Whether it has joined and its newest certificate was not revoked.
    pub(super) fn has_joined(&self) -> bool {
        self.newest == Some(self.generation())
    }

    /// When what was made in that generation was revoked, if it was.
    pub(super) fn revoked(&self, generation: usize) -> Option<UnixTime> {
        self.revocations.get(generation).copied().map(at)
    }
}

impl Token {
    pub(super) fn new(record: &TokenRecord, generation: usize) -> Self {
        Self {
            secret: hex(record.secret.as_bytes()),
            cluster: record.tunnel.to_string(),
            generation,
            created: record.created.as_secs(),
            expires: record.expires.as_secs(),
            used: record.used.map(|used| used.as_secs()),
        }
    }

    pub(super) fn tunnel(&self) -> Option<TunnelName> {
        TunnelName::parse(&self.cluster).ok()
    }

    pub(super) fn record(&self, id: TokenId) -> Option<TokenRecord> {
        Some(TokenRecord {
            id,
            secret: Fingerprint::from_bytes(unhex(&self.secret)?),
            tunnel: self.tunnel()?,
            created: at(self.created),
            expires: at(self.expires),
            used: self.used.map(at),
        })
    }
}

impl Certificate {
    pub(super) fn new(record: &CertificateRecord, generation: usize) -> Self {
        Self {
            generation,
            issued: record.issued.as_secs(),
            not_after: record.not_after.as_secs(),
        }
    }

    pub(super) fn record(
        &self,
        (tunnel, fingerprint): (&TunnelName, Fingerprint),
        cluster: &Cluster,
    ) -> CertificateRecord {
        CertificateRecord {
            fingerprint,
            tunnel: tunnel.clone(),
            issued: at(self.issued),
            not_after: at(self.not_after),
            revoked: cluster.revoked(self.generation),
        }
    }
}

/// A record as it is written.
pub(super) fn written(record: &impl Serialize) -> Vec<u8> {
    // Structs of numbers and text cannot fail to be JSON; an empty value would be refused when it is read.
    serde_json::to_vec(record).unwrap_or_default()
}

/// A record as it was read.
pub(super) fn read<T: DeserializeOwned>(pair: &KeyValue) -> Result<T, RecordFault> {
    serde_json::from_slice(&pair.value).map_err(|fault| misunderstood(pair, &fault.to_string()))
}

/// The same of a key that may not be there.
pub(super) fn read_if_there<T: DeserializeOwned>(
    pair: Option<&KeyValue>,
) -> Result<Option<T>, RecordFault> {
    pair.map(read).transpose()
}

/// The revision of a key's last change; 0 for one that is not there.
pub(super) fn revision(pair: Option<&KeyValue>) -> i64 {
    pair.map_or(0, |pair| pair.mod_revision)
}

/// The token that a key is of.
fn token_id(pair: &KeyValue) -> Result<TokenId, RecordFault> {
    last_part(pair).and_then(unhex).ok_or_else(|| unnamed(pair))
}

/// The token that lies at a token's key.
pub(super) fn token_record(pair: &KeyValue) -> Result<(Token, TokenRecord), RecordFault> {
    let (id, token) = (token_id(pair)?, read::<Token>(pair)?);
    match token.record(id) {
        Some(record) => Ok((token, record)),
        None => Err(misunderstood(pair, "it is no token")),
    }
}

/// Of all registers of this process: it has one.
static LEFT_OUT: LeftOut = LeftOut::new();

/// What was read among many, if it was understood; otherwise the log names or counts it, and the others go on without it.
/// Whoever asks must take what is missing for what gives nobody a right.
pub(super) fn understood<T>(read: Result<T, RecordFault>) -> Option<T> {
    read.inspect_err(|fault| LEFT_OUT.tell(fault)).ok()
}

/// The cluster that a cluster's key is of.
pub(super) fn cluster_name(pair: &KeyValue) -> Result<TunnelName, RecordFault> {
    let named = last_part(pair).and_then(|name| TunnelName::parse(name).ok());
    named.ok_or_else(|| unnamed(pair))
}

/// The cluster and the certificate that a certificate's key is of.
pub(super) fn certificate_name(pair: &KeyValue) -> Result<(TunnelName, Fingerprint), RecordFault> {
    let mut parts = std::str::from_utf8(&pair.key)
        .unwrap_or_default()
        .rsplit('/');
    let fingerprint = parts.next().and_then(unhex).map(Fingerprint::from_bytes);
    let tunnel = parts.next().and_then(|name| TunnelName::parse(name).ok());
    tunnel.zip(fingerprint).ok_or_else(|| unnamed(pair))
}

fn last_part(pair: &KeyValue) -> Option<&str> {
    std::str::from_utf8(&pair.key).ok()?.rsplit('/').next()
}

fn unnamed(pair: &KeyValue) -> RecordFault {
    misunderstood(pair, "its name is none that is given here")
}

fn misunderstood(pair: &KeyValue, why: &str) -> RecordFault {
    RecordFault {
        key: KeyName::fitting(&String::from_utf8_lossy(&pair.key)),
        why: Sentence::fitting(why),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (to, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        for digit in pair {
            let value = char::from(*digit).to_digit(16)?;
            *to = *to << 4 | u8::try_from(value).ok()?;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TunnelName {
        TunnelName::parse(text).unwrap()
    }

    fn pair(key: String, value: &[u8]) -> KeyValue {
        KeyValue {
            key: key.into(),
            mod_revision: 1,
            value: value.to_vec(),
        }
    }

    /// What is in an etcd stays readable for whoever comes later.
    #[test]
    fn records_lie_where_and_as_they_always_did() {
        let keys = Keys::below("/gangplank/");
        let tunnel = name("edge-1.acme");
        let token = TokenRecord {
            id: [0xab; 16],
            secret: Fingerprint::from_bytes([1; 32]),
            tunnel: tunnel.clone(),
            created: at(100),
            expires: at(200),
            used: None,
        };
        assert_eq!(
            keys.token(token.id),
            "/gangplank/v1/token/abababababababababababababababab"
        );
        let mut of_token = Token::new(&token, 2);
        let text = r#"{"secret":"SECRET","cluster":"edge-1.acme","generation":2,"created":100,"expires":200}"#;
        let text = text.replace("SECRET", &"01".repeat(32));
        assert_eq!(String::from_utf8(written(&of_token)).unwrap(), text);
        let there = pair(keys.token(token.id), text.as_bytes());
        assert_eq!(token_id(&there).unwrap(), token.id);
        assert_eq!(read::<Token>(&there).unwrap().record(token.id), Some(token));
        of_token.used = Some(150);
        assert!(written(&of_token).ends_with(br#","used":150}"#));

        let record = CertificateRecord {
            fingerprint: Fingerprint::from_bytes([0xcd; 32]),
            tunnel: tunnel.clone(),
            issued: at(150),
            not_after: at(1000),
            revoked: None,
        };
        let text = br#"{"generation":0,"issued":150,"notAfter":1000}"#;
        assert_eq!(written(&Certificate::new(&record, 0)), text);
        let there = pair(keys.certificate(&tunnel, record.fingerprint), text);
        let (of, fingerprint) = certificate_name(&there).unwrap();
        assert_eq!((&of, fingerprint), (&tunnel, record.fingerprint));
        let certificate: Certificate = read(&there).unwrap();
        let cluster = Cluster::default();
        assert_eq!(certificate.record((&of, fingerprint), &cluster), record);

        let cluster = Cluster {
            revocations: vec![160],
            newest: Some(0),
        };
        let text = br#"{"revocations":[160],"newest":0}"#;
        assert_eq!(written(&cluster), text);
        let there = pair(keys.cluster(&tunnel), text);
        assert_eq!(cluster_name(&there).unwrap(), tunnel);
        assert_eq!(read::<Cluster>(&there).unwrap(), cluster);
        let revoked = certificate.record((&of, fingerprint), &cluster).revoked;
        assert_eq!(revoked, Some(at(160)));
        assert!(!cluster.has_joined());
    }

    #[test]
    fn a_renewal_is_one_key() {
        let keys = Keys::below("/gangplank/");
        let record = CertificateRecord {
            fingerprint: Fingerprint::from_bytes([0xcd; 32]),
            tunnel: name("edge-1.acme"),
            issued: at(150),
            not_after: at(1000),
            revoked: None,
        };
        for (newest, puts) in [(None, 2), (Some(0), 2), (Some(1), 1)] {
            let cluster = Cluster {
                revocations: vec![160],
                newest,
            };
            assert_eq!(keys.issuing(&record, cluster).len(), puts, "{newest:?}");
        }
    }

    #[test]
    fn renewals_that_are_good_are_counted() {
        let renewal = |issued| CertificateRecord {
            fingerprint: Fingerprint::from_bytes([0xcd; 32]),
            tunnel: name("edge-1.acme"),
            issued: at(issued),
            not_after: at(issued + 100),
            revoked: None,
        };
        let mut counted = Renewals::default();
        for number in 0..64 {
            counted = counted.and(&renewal(number), 0).expect("a place");
        }
        assert_eq!(counted.clone().and(&renewal(100), 0), None);
        assert!(counted.clone().and(&renewal(101), 0).is_some(), "one ended");
        let anew = counted.clone().and(&renewal(100), 1).expect("revoked");
        assert_eq!(written(&anew), br#"{"generation":1,"ends":[200]}"#);
        assert!(!counted.have_ended(163) && counted.have_ended(164));
    }

    #[test]
    fn what_somebody_else_wrote_is_named() {
        for (key, value) in [
            ("/a/v1/cluster/edge-1.acme", "{}"),
            ("/a/v1/cluster/edge-1.acme", ""),
        ] {
            let there = pair(key.to_owned(), value.as_bytes());
            let fault = read::<Cluster>(&there).unwrap_err().to_string();
            assert!(fault.contains(key), "{fault}");
        }
        for key in ["/a/v1/cluster/Edge", "", "/"] {
            assert!(cluster_name(&pair(key.to_owned(), b"")).is_err(), "{key}");
        }
        for key in ["/a/v1/certificate/edge-1.acme/00", "/a/v1/certificate/00"] {
            assert!(
                certificate_name(&pair(key.to_owned(), b"")).is_err(),
                "{key}"
            );
        }
        assert!(token_id(&pair("/a/v1/token/+b".to_owned(), b"")).is_err());
    }
}
