//! `gangplank cluster`: who has joined at a relay, and whose right ends.

use std::collections::BTreeMap;

use gangplank_enrolment::{CertificateRecord, Revocation};
use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock as _, SystemClock, rfc3339};
use rustls_pki_types::UnixTime;
use serde::Serialize;

use crate::cli::{ClusterListArguments, ClusterRevokeArguments};
use crate::failure::{Failure, Outcome};
use crate::output::{columns, print, show};
use crate::verb::register;
use crate::verb::token::cluster;

/// A cluster that has joined.
#[derive(Serialize)]
struct Shown {
    name: String,
    state: &'static str,
    /// The last moment of its newest certificate.
    good_until: String,
    /// When that was issued.
    renewed: String,
    /// SHA-256 of it.
    certificate: String,
}

/// Lists clusters.
pub(crate) fn list(arguments: &ClusterListArguments) -> Outcome {
    let certificates = register::with_register(&arguments.relay, async |register| {
        register.certificates().await.map_err(register::failure)
    })?;
    let mut newest: BTreeMap<TunnelName, CertificateRecord> = BTreeMap::new();
    for certificate in certificates {
        newest
            .entry(certificate.tunnel.clone())
            .and_modify(|held| {
                if certificate.issued >= held.issued {
                    *held = certificate.clone();
                }
            })
            .or_insert(certificate);
    }
    let now = SystemClock.now();
    let shown: Vec<Shown> = newest.values().map(|newest| shown(newest, now)).collect();
    show(&shown, arguments.output, |shown| table(shown))
}

fn shown(newest: &CertificateRecord, now: UnixTime) -> Shown {
    let state = if newest.revoked.is_some() {
        "revoked"
    } else if newest.not_after < now {
        "expired"
    } else {
        "joined"
    };
    Shown {
        name: newest.tunnel.to_string(),
        state,
        good_until: rfc3339(newest.not_after),
        renewed: rfc3339(newest.issued),
        certificate: newest.fingerprint.to_string(),
    }
}

fn table(clusters: &[Shown]) -> String {
    let mut rows = vec![
        ["CLUSTER", "STATE", "RENEWED", "GOOD UNTIL"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(clusters.iter().map(|cluster| {
        vec![
            cluster.name.clone(),
            cluster.state.to_owned(),
            cluster.renewed.clone(),
            cluster.good_until.clone(),
        ]
    }));
    columns(&rows)
}

/// Revokes every certificate of a cluster.
pub(crate) fn revoke(arguments: &ClusterRevokeArguments) -> Outcome {
    let name = cluster(&arguments.cluster)?;
    let revoked = register::with_register(&arguments.relay, async |register| {
        let revoked = register.revoke(name.clone(), SystemClock.now()).await;
        revoked.map_err(register::failure)
    })?;
    if revoked.is_empty() {
        return Err(Failure::Usage(format!(
            "{name} has no certificate and no open token to revoke: `gangplank cluster list --config FILE` shows who has joined"
        )));
    }
    let what = said(&revoked);
    print(&format!(
        "{name} revoked ({what}): its tunnels end within a second, it joins again only with a new token (`gangplank token create --config FILE --cluster {name}`)"
    ))
}

/// What was revoked, in words.
fn said(revoked: &Revocation) -> String {
    let number = |counted: Option<usize>, what| match counted {
        Some(1) => Some(format!("1 {what}")),
        Some(0) => None,
        Some(count) => Some(format!("{count} {what}s")),
        None => Some(format!("{what}s that could not be counted")),
    };
    let certificates = number(revoked.certificates, "certificate");
    let tokens = number(revoked.tokens, "open token");
    let both: Vec<_> = certificates.into_iter().chain(tokens).collect();
    both.join(", ")
}
