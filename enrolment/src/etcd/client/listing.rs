//! What lies below a prefix, page by page.

use std::time::Duration;

use tokio::time::Instant;

use super::AttemptFault;
use crate::etcd::wire::{KeyValue, RangeRequest, RangeResponse, end_of};

/// Keys of a page: few enough to be answered at once, a few hundred KiB.
const PAGE: i64 = 1000;

/// Keys and bytes of a listing, and its time. A thousand clusters with certificates of an hour, which are kept for a month, have
/// 1.1 million of 200 bytes each; a page takes some ten milliseconds. Whoever has more names than that, or answers
/// so slowly, is no etcd of relays, and may never come to an end.
pub(super) const MOST_KEYS: usize = 2_000_000;
pub(super) const MOST_BYTES: usize = 512 * 1024 * 1024;
pub(super) const LISTING: Duration = Duration::from_secs(120);

/// All keys that begin alike, as of one revision, page by page.
#[derive(Debug)]
pub(in crate::etcd) struct Listing {
    pub(super) below: String,
    pub(super) next: Option<RangeRequest>,
    /// As of which revision; 0 before the first page.
    pub(in crate::etcd) revision: i64,
    keys: usize,
    bytes: usize,
    /// None for one that is as long as it is.
    by: Option<Instant>,
}

impl Listing {
    pub(in crate::etcd) fn of(prefix: &str) -> Self {
        let question = RangeRequest {
            range_end: end_of(prefix),
            limit: PAGE,
            ..RangeRequest::of(prefix)
        };
        Self {
            below: prefix.to_owned(),
            next: Some(question),
            revision: 0,
            keys: 0,
            bytes: 0,
            by: Some(Instant::now() + LISTING),
        }
    }

    /// The same however long it is, for who keeps nothing of it; each page as of the moment when it is asked for, since the first
    /// one's revision may be compacted meanwhile.
    pub(in crate::etcd) fn without_end(prefix: &str) -> Self {
        let by = None;
        Self {
            by,
            ..Self::of(prefix)
        }
    }

    /// What a page has, in the order of its keys, and the question for the next.
    pub(super) fn take(
        &mut self,
        mut question: RangeRequest,
        answer: RangeResponse,
    ) -> Result<Vec<KeyValue>, AttemptFault> {
        let page = answer.kvs;
        let bytes = page.iter().map(|pair| pair.key.len() + pair.value.len());
        self.bytes = self.bytes.saturating_add(bytes.sum());
        self.keys = self.keys.saturating_add(page.len());
        let begins = page.first().is_none_or(|pair| pair.key >= question.key);
        let ends = page.last().is_none_or(|pair| pair.key < question.range_end);
        let ascends = page.is_sorted_by(|one, other| one.key < other.key);
        if !(begins && ends && ascends) || (answer.more && page.is_empty()) {
            return Err(AttemptFault::Astray);
        }
        if self.by.is_some() && (self.bytes > MOST_BYTES || self.keys > MOST_KEYS) {
            return Err(AttemptFault::Endless);
        }
        if self.revision == 0 {
            self.revision = answer.header.unwrap_or_default().revision;
        }
        if let (true, Some(last)) = (answer.more, page.last()) {
            if self.by.is_some_and(|by| Instant::now() >= by) {
                return Err(AttemptFault::Slow);
            }
            question.key.clone_from(&last.key);
            question.key.push(0);
            if self.by.is_some() {
                question.revision = self.revision;
            }
            self.next = Some(question);
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ATTEMPT;
    use super::*;

    /// A page of one key, after which there is always another.
    fn one_of_many(listing: &mut Listing, value: usize) -> Result<Vec<KeyValue>, AttemptFault> {
        let question = listing.next.take().expect("there are more");
        let pair = KeyValue {
            key: question.key.clone(),
            value: vec![0; value],
            ..KeyValue::default()
        };
        let answer = RangeResponse {
            kvs: vec![pair],
            more: true,
            ..RangeResponse::default()
        };
        // Else the key grows with each page.
        let question = RangeRequest {
            key: b"/a/".to_vec(),
            ..question
        };
        listing.take(question, answer)
    }

    #[test]
    fn a_listing_comes_to_an_end() {
        const PIECE: usize = 4 * 1024 * 1024;
        let mut listing = Listing::of("/a/");
        let pages = (0..).find_map(|page| one_of_many(&mut listing, PIECE).err().map(|_| page));
        assert_eq!(pages, Some(MOST_BYTES / PIECE - 1));
        let mut listing = Listing::of("/a/");
        listing.keys = MOST_KEYS - 1;
        assert!(one_of_many(&mut listing, 1).is_ok());
        let fault = one_of_many(&mut listing, 1).unwrap_err().to_string();
        assert!(fault.contains("is the prefix the relays' own"), "{fault}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_listing_has_its_time() {
        let mut listing = Listing::of("/a/");
        tokio::time::advance(LISTING - ATTEMPT).await;
        assert!(one_of_many(&mut listing, 1).is_ok());
        tokio::time::advance(ATTEMPT).await;
        let fault = one_of_many(&mut listing, 1).unwrap_err().to_string();
        assert!(fault.starts_with("it has listed for 120 s"), "{fault}");
    }

    /// Else what makes the register smaller could not run when it is too large.
    #[tokio::test(start_paused = true)]
    async fn who_forgets_comes_to_the_end_of_any_listing() {
        let mut listing = Listing::without_end("/a/");
        (listing.keys, listing.bytes, listing.revision) = (MOST_KEYS, MOST_BYTES, 7);
        tokio::time::advance(LISTING).await;
        assert!(one_of_many(&mut listing, 1).is_ok());
        let next = listing.next.expect("there are more");
        assert_eq!(next.revision, 0, "it may be compacted");
    }

    #[test]
    fn a_page_has_what_was_asked_for() {
        let answered = |keys: &[&str], more| {
            let pair = |key: &&str| KeyValue {
                key: key.as_bytes().to_vec(),
                ..KeyValue::default()
            };
            let mut listing = Listing::of("/a/");
            let question = listing.next.take().expect("the first");
            let answer = RangeResponse {
                kvs: keys.iter().map(pair).collect(),
                more,
                ..RangeResponse::default()
            };
            listing.take(question, answer)
        };
        assert!(answered(&["/a/1", "/a/2"], true).is_ok());
        assert!(answered(&[], false).is_ok());
        for (keys, more) in [
            (&["/a"][..], false),
            (&["/b/1"], false),
            (&["/a/2", "/a/1"], false),
            (&["/a/1", "/a/1"], false),
            // There are more, but nobody could ask for them: what is known would look whole.
            (&[], true),
        ] {
            let fault = answered(keys, more).unwrap_err();
            assert!(matches!(fault, AttemptFault::Astray), "{keys:?}");
        }
    }
}
