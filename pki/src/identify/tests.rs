mod chains;
mod constraints;
mod grounds;
mod names;
mod revoked;
mod scale;
mod verdicts;

use rustls_pki_types::CertificateDer;

use super::*;
use crate::fixture::{Ca, bundle, now, provider};

/// What `identify` says of a chain to one CA of the prefix `p:`.
fn asked(ca: &Ca, chain: &[CertificateDer<'_>]) -> Result<Identity, Refusal> {
    identify(&bundle(vec![provider("p", "p:", &[ca])]), chain, now())
}

/// The same, as username or class of refusal.
fn verdict(ca: &Ca, chain: &[CertificateDer<'_>]) -> String {
    said(asked(ca, chain))
}

fn said(answer: Result<Identity, Refusal>) -> String {
    match answer {
        Ok(identity) => identity.username().to_owned(),
        Err(refusal) => {
            assert!(!refusal.remedy().is_empty());
            refusal.class().to_owned()
        }
    }
}
