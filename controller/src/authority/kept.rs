//! An authority's Secret: what is written in it of the succession, and what is read.

use std::collections::BTreeMap;
use std::time::Duration;

use gangplank_pki::TrustAnchor;
use gangplank_pki::clock::{at, rfc3339};
use gangplank_pki::issue::CertificateAuthority;
use gangplank_pki::pem;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::succession::{Next, Previous, Rules, Succession};
use super::{AUTHORITIES, CERTIFICATE, KEY, SUCCESSOR, bytes};
use crate::made::MANAGED_BY;

/// The successor's certificate, until it signs.
const NEXT: &str = "next.crt";
/// Its key.
const NEXT_KEY: &str = "next.key";
/// The predecessors' certificates, as long as they are published.
const PREVIOUS: &str = "previous.crt";
/// When what happened.
const RECORD: &str = "succession.json";

/// Who writes another value here than before asks for a new authority.
pub(crate) const ROTATE: &str = "gangplank.dev/rotate";
/// What comes next, for people.
const TOLD: &str = "gangplank.dev/succession";

/// When what happened, so that it can be known when what is due.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Record {
    /// Since when the successor is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    published: Option<String>,
    /// Until when predecessors are published, by fingerprint.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    until: BTreeMap<String, String>,
    /// The wish that was last fulfilled.
    #[serde(skip_serializing_if = "Option::is_none")]
    rotated: Option<String>,
}

/// The succession in the Secret, or what is wrong with it. What is not known of its times is taken as late as it can be.
pub(super) fn read(secret: &Secret, rules: &Rules, now: UnixTime) -> Result<Succession, String> {
    let record = record(secret);
    let current = authority(secret, CERTIFICATE, KEY)?;
    let next = match text(secret, NEXT)? {
        None => None,
        Some(_certificate) => Some(Next {
            authority: authority(secret, NEXT, NEXT_KEY)?,
            published: record
                .published
                .as_deref()
                .and_then(moment)
                .unwrap_or(now)
                .min(now),
        }),
    };
    let latest = now
        .as_secs()
        .saturating_add((rules.longest + rules.overlap).as_secs());
    let previous = anchors(secret, PREVIOUS)?.into_iter().map(|anchor| {
        let until = record.until.get(&anchor.fingerprint().to_string());
        let until = until
            .and_then(|until| moment(until))
            .unwrap_or_else(|| at(latest));
        Previous { anchor, until }
    });
    Ok(Succession {
        current,
        next,
        previous: previous.collect(),
        proofs: certificates(secret, SUCCESSOR)?,
    })
}

/// Does the Secret ask for a new authority?
pub(super) fn asks(secret: &Secret) -> bool {
    let wish = secret.annotations().get(ROTATE);
    wish.is_some() && wish != record(secret).rotated.as_ref()
}

/// Writes the succession into the Secret, beside what others wrote there. `fulfilled` says that its wish, if it has one,
/// was fulfilled.
pub(super) fn write(secret: &mut Secret, succession: &Succession, rules: &Rules, fulfilled: bool) {
    let mut record = record(secret);
    let metadata = &mut secret.metadata;
    let (label, value) = MANAGED_BY;
    let labels = metadata.labels.get_or_insert_with(BTreeMap::new);
    labels.insert(label.to_owned(), value.to_owned());
    let annotations = metadata.annotations.get_or_insert_with(BTreeMap::new);
    match told(succession, rules) {
        Some(told) => annotations.insert(TOLD.to_owned(), told),
        None => annotations.remove(TOLD),
    };
    if fulfilled {
        record.rotated = annotations.get(ROTATE).cloned();
    }
    record.published = succession.next.as_ref().map(|next| rfc3339(next.published));
    let until = succession.previous.iter();
    record.until = until
        .map(|previous| {
            (
                previous.anchor.fingerprint().to_string(),
                rfc3339(previous.until),
            )
        })
        .collect();
    // What somebody put there in another form stays in that form.
    let there = authority(secret, CERTIFICATE, KEY).ok();
    let is_there = there.is_some_and(|there| {
        there.anchor().fingerprint() == succession.current.anchor().fingerprint()
    });
    let data = secret.data.get_or_insert_with(BTreeMap::new);
    let written = entries(succession, &record)
        .into_iter()
        .filter(|(key, _)| !is_there || ![CERTIFICATE, KEY].contains(key));
    for (key, value) in written {
        match value {
            Some(value) => data.extend([bytes(key, value)]),
            None => drop(data.remove(key)),
        }
    }
}

/// The entries of a Secret; without a value those that are not there.
fn entries(succession: &Succession, record: &Record) -> [(&'static str, Option<String>); 8] {
    let next = succession.next.as_ref().map(|next| &next.authority);
    let previous = succession
        .previous
        .iter()
        .map(|previous| previous.anchor.der());
    let published = succession.published();
    [
        (
            CERTIFICATE,
            Some(succession.current.certificate_pem().to_owned()),
        ),
        (KEY, Some(succession.current.key_pem())),
        (
            AUTHORITIES,
            Some(bundle(published.iter().map(TrustAnchor::der))),
        ),
        (NEXT, next.map(|next| next.certificate_pem().to_owned())),
        (NEXT_KEY, next.map(CertificateAuthority::key_pem)),
        (
            PREVIOUS,
            Some(bundle(previous)).filter(|pem| !pem.is_empty()),
        ),
        (
            SUCCESSOR,
            Some(bundle(succession.proofs.iter())).filter(|pem| !pem.is_empty()),
        ),
        (
            RECORD,
            serde_json::to_string(record)
                .ok()
                .filter(|json| json != "{}"),
        ),
    ]
}

/// Certificates, PEM.
pub(crate) fn bundle<'c>(
    certificates: impl Iterator<Item = &'c CertificateDer<'static>>,
) -> String {
    certificates
        .map(|der| pem::encode("CERTIFICATE", der))
        .collect()
}

fn told(succession: &Succession, rules: &Rules) -> Option<String> {
    let next = succession.next.as_ref()?;
    let from = rfc3339(succession.turn(rules)?);
    let fingerprint = next.authority.anchor().fingerprint();
    Some(format!(
        "{fingerprint} is published in {AUTHORITIES} and signs from {from}"
    ))
}

fn authority(
    secret: &Secret,
    certificate: &str,
    key: &str,
) -> Result<CertificateAuthority, String> {
    let missing = |key: &str| format!("it has no `{key}`");
    let pem = text(secret, certificate)?.ok_or_else(|| missing(certificate))?;
    let key = text(secret, key)?.ok_or_else(|| missing(key))?;
    CertificateAuthority::load(&pem, &key).map_err(|fault| fault.to_string())
}

fn anchors(secret: &Secret, key: &str) -> Result<Vec<TrustAnchor>, String> {
    let certificates = certificates(secret, key)?.into_iter();
    let anchors = certificates.map(TrustAnchor::parse);
    anchors
        .collect::<Result<_, _>>()
        .map_err(|fault| format!("`{key}`: {fault}"))
}

fn certificates(secret: &Secret, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(pem) = text(secret, key)? else {
        return Ok(Vec::new());
    };
    let read = pem::certificates(pem.as_bytes());
    read.map_err(|fault| format!("`{key}`, line {}: {}", fault.line, fault.problem))
}

fn text(secret: &Secret, key: &str) -> Result<Option<String>, String> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    let Some(ByteString(bytes)) = bytes else {
        return Ok(None);
    };
    let text = String::from_utf8(bytes.clone());
    text.map(Some)
        .map_err(|_bytes| format!("`{key}` is not PEM"))
}

fn record(secret: &Secret) -> Record {
    let written = secret.data.as_ref().and_then(|data| data.get(RECORD));
    let read = written.and_then(|bytes| serde_json::from_slice(&bytes.0).ok());
    read.unwrap_or_default()
}

fn moment(written: &str) -> Option<UnixTime> {
    let seconds = written.parse::<Timestamp>().ok()?.as_second();
    let since = Duration::from_secs(u64::try_from(seconds).ok()?);
    Some(UnixTime::since_unix_epoch(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000;

    fn rules() -> Rules {
        Rules {
            common_name: "one.acme identities".to_owned(),
            lifetime: Duration::from_secs(60_000),
            overlap: Duration::from_secs(1_000),
            longest: Duration::from_secs(2_000),
        }
    }

    fn asking(value: &str) -> Secret {
        let mut secret = Secret::default();
        secret
            .annotations_mut()
            .insert(ROTATE.to_owned(), value.to_owned());
        secret
    }

    #[test]
    fn what_is_written_is_read_again() {
        let rules = rules();
        let mut succession = Succession::begin(&rules, at(START)).unwrap();
        let mut secret = Secret::default();
        for moment in [0, 10, 1_010, 1_020] {
            succession
                .advance(&rules, at(START + moment), moment > 0)
                .unwrap();
            write(&mut secret, &succession, &rules, false);
            let read = read(&secret, &rules, at(START + moment)).unwrap();
            let fingerprints = |succession: &Succession| {
                let published = succession.published().into_iter();
                published
                    .map(|anchor| anchor.fingerprint())
                    .collect::<Vec<_>>()
            };
            assert_eq!(fingerprints(&read), fingerprints(&succession), "{moment}");
            assert_eq!(read.due(&rules), succession.due(&rules), "{moment}");
            assert_eq!(read.proofs, succession.proofs, "{moment}");
            succession = read;
        }
        let keys: Vec<_> = secret.data.unwrap().into_keys().collect();
        assert_eq!(
            keys,
            [
                "ca.crt",
                "next.crt",
                "next.key",
                "previous.crt",
                "succession.json",
                "successor.crt",
                "tls.crt",
                "tls.key"
            ]
        );
    }

    #[test]
    fn a_wish_is_fulfilled_once() {
        let rules = rules();
        let succession = Succession::begin(&rules, at(START)).unwrap();
        let mut secret = asking("today");
        assert!(asks(&secret));
        write(&mut secret, &succession, &rules, true);
        assert!(!asks(&secret));
        secret
            .annotations_mut()
            .insert(ROTATE.to_owned(), "tomorrow".to_owned());
        assert!(asks(&secret), "another one");
    }

    /// A record that somebody lost neither retires a predecessor early nor makes a successor sign early.
    #[test]
    fn without_its_record_everything_is_late() {
        let rules = rules();
        let mut succession = Succession::begin(&rules, at(START)).unwrap();
        for moment in [10, 1_010, 1_020] {
            succession
                .advance(&rules, at(START + moment), true)
                .unwrap();
        }
        let mut secret = Secret::default();
        write(&mut secret, &succession, &rules, false);
        secret
            .data
            .as_mut()
            .unwrap()
            .extend([bytes(RECORD, "{".to_owned())]);
        let read = read(&secret, &rules, at(START + 1_500)).unwrap();
        assert_eq!(read.next.unwrap().published, at(START + 1_500));
        assert_eq!(read.previous[0].until, at(START + 4_500));
    }

    #[test]
    fn what_others_wrote_stays() {
        let rules = rules();
        let succession = Succession::begin(&rules, at(START)).unwrap();
        let mut secret = Secret {
            data: Some(BTreeMap::from([bytes("theirs", "x".to_owned())])),
            ..Secret::default()
        };
        write(&mut secret, &succession, &rules, false);
        assert_eq!(secret.data.unwrap()["theirs"].0, b"x");
    }
}
