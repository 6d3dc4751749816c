//! What a provider's object says about certificates that are no longer good.

use std::sync::Arc;

use gangplank_pki::{
    Authorities, Denied, DeniedFault, LateList, RevocationList, Revocations, TrustAnchor,
};

use crate::encoding;
use crate::pem::{self, fault_of_list};
use crate::scalar::{Complaint, quoted};
use crate::section::{Section, Written};

pub(super) const LISTS: &str = "certificateRevocationListData";
pub(super) const LATE: &str = "crl";
pub(super) const DENIED: &str = "deniedCertificates";

/// `anchors` are the authorities beside them; without good ones nothing can be said about their lists.
pub(super) fn read(spec: &Section<'_>, anchors: Option<&[TrustAnchor]>) -> Option<Revocations> {
    let lists = lists(spec, anchors);
    let words = [("Keep", LateList::Keep), ("Strict", LateList::Strict)];
    let late = spec.word(LATE, &words, LateList::Keep);
    let denied = denied(spec);
    Some(Revocations {
        lists: lists?,
        late: late?,
        denied: denied?,
    })
}

/// The lists, each proven by one of the authorities beside it.
fn lists(spec: &Section<'_>, anchors: Option<&[TrustAnchor]>) -> Option<Vec<Arc<RevocationList>>> {
    if spec.optional(LISTS).is_none() {
        return Some(Vec::new());
    }
    let written = spec.optional_text(LISTS)?;
    let accept = |complaint: Complaint| {
        spec.sheet.accept::<()>(written.place, Err(complaint));
    };
    let bytes = spec
        .sheet
        .accept(written.place, encoding::base64(LISTS, written.text))?;
    let lists = pem::lists(&bytes)
        .map_err(|complaint| accept(complaint.inside(LISTS)))
        .ok()?;
    let authorities = Authorities::over(anchors?);
    lists
        .iter()
        .map(|found| {
            let proven = found.list.prove(&authorities);
            proven
                .map(Arc::new)
                .map_err(|fault| accept(fault_of_list(found.line, &fault).inside(LISTS)))
                .ok()
        })
        .collect()
}

/// Whether this can be read at all, while the authorities that prove lists are not known yet.
pub(super) fn is_readable(spec: &Section<'_>) -> Option<()> {
    let words = [("Keep", LateList::Keep), ("Strict", LateList::Strict)];
    let late = spec.word(LATE, &words, LateList::Keep);
    let denied = denied(spec);
    if spec.optional(LISTS).is_some() {
        let written = spec.optional_text(LISTS)?;
        let bytes = spec
            .sheet
            .accept(written.place, encoding::base64(LISTS, written.text))?;
        let lists = pem::lists(&bytes).map_err(|complaint| complaint.inside(LISTS));
        spec.sheet.accept(written.place, lists)?;
    }
    late.and(denied).map(|_read| ())
}

fn denied(spec: &Section<'_>) -> Option<Vec<Denied>> {
    if spec.optional(DENIED).is_none() {
        return Some(Vec::new());
    }
    let items = spec.optional_list(DENIED)?;
    let read: Vec<_> = items
        .iter()
        .map(|item| {
            let written = spec.text(DENIED, item)?;
            let named = written.text.parse();
            spec.sheet
                .accept(written.place, named.map_err(|fault| wrong(written, &fault)))
        })
        .collect();
    read.into_iter().collect()
}

fn wrong(written: Written<'_>, fault: &DeniedFault) -> Complaint {
    Complaint {
        reason: fault.reason(),
        message: format!("{} names no certificate: {fault}", quoted(written.text)),
        remedy: "write what `gangplank pki inspect` or the exit's audit trail shows, such as \
                 `serial:0a1b2c` or `sha256:` and 64 digits"
            .to_owned(),
    }
}
