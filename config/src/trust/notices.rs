//! What a person should know of good objects: they contradict one another, or a part of them is over.

use gangplank_pki::bundle::Conflict;
use gangplank_pki::clock::rfc3339;
use gangplank_pki::{LateList, Provider};
use rustls_pki_types::UnixTime;

use crate::fault::Fault;
use crate::pem::told;
use crate::trust::holding::Held;
use crate::trust::lists::Lists;

pub(super) fn conflict(held: &Held, provider: &Provider, conflict: &Conflict) -> Fault {
    let (message, remedy) = told(
        conflict,
        "change or remove one of the two; what was accepted first stays in use",
    );
    let message = format!("{} is refused: {message}", provider.id());
    Fault::new(&held.file, held.place, conflict.reason(), message, remedy)
}

/// An expired authority accepts nobody, but those beside it do: no reason not to start.
pub(super) fn expired_authorities(
    held: &Held,
    provider: &Provider,
    now: UnixTime,
) -> impl Iterator<Item = Fault> {
    let anchors = provider.anchors().iter();
    let expired = anchors.filter(move |anchor| anchor.not_after() < now);
    expired.map(|anchor| {
        let (subject, end) = (anchor.subject_text(), rfc3339(anchor.not_after()));
        let message = format!("the CA `{subject}` of {} expired at {end}", provider.id());
        let remedy = "remove it, and add its successor";
        Fault::new(&held.file, held.place, "AuthorityExpired", message, remedy)
    })
}

/// A list whose successor should be there.
pub(super) fn late_lists(
    held: &Held,
    in_use: &Provider,
    lists: &Lists,
    now: UnixTime,
) -> impl Iterator<Item = Fault> {
    let late = in_use.lists().iter();
    let late = late.filter(move |list| list.next_update() < now);
    late.map(|list| {
        let (file, place) = match lists.place_of(list) {
            Some(beside) => (&beside.file, beside.place),
            None => (&held.file, held.place),
        };
        let (issuer, due) = (list.issuer_text(), rfc3339(list.next_update()));
        let meanwhile = match in_use.late_list() {
            LateList::Keep => "it goes on to count",
            LateList::Strict => "nobody of this CA is let in",
        };
        let message = format!(
            "the revocation list of `{issuer}` ({}) was to be renewed by {due}; {meanwhile}",
            in_use.id()
        );
        let remedy = "fetch the CA's current list";
        Fault::new(file, place, "RevocationListLate", message, remedy)
    })
}

/// Who is strict about lists expects them.
pub(super) fn missing_lists(held: &Held, in_use: &Provider) -> impl Iterator<Item = Fault> {
    let strict = in_use.late_list() == LateList::Strict;
    let missing = in_use.anchors_without_list().filter(move |_| strict);
    missing.map(|anchor| {
        let message = format!(
            "{} says `crl: Strict`, but its CA `{}` has no revocation list, so none of its certificates counts as \
             revoked",
            in_use.id(),
            anchor.subject_text()
        );
        let remedy = "add the list, under `certificateRevocationListData` or as a file that ends in `.crl`";
        Fault::new(&held.file, held.place, "RevocationListMissing", message, remedy)
    })
}
