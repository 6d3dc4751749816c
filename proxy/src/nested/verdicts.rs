//! What the API server said lately.

use std::collections::HashMap;
use std::sync::Arc;

use gangplank_pki::{Fingerprint, Identity};
use tokio::time::Instant;

use super::claim::Claim;
use super::limits::{ALLOWED_FOR, DENIED_FOR, VERDICTS};

/// What the API server says of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Allowed,
    /// With its reason, which may be empty.
    Denied(Arc<str>),
}

/// Who claims what: whoever differs in anything that the API server is told, or in the version of the provider
/// that says so, is another.
///
/// A digest, so that a key has one size whatever callers send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(Fingerprint);

impl Key {
    pub(super) fn of(identity: &Identity, claim: &Claim<'_>) -> Self {
        let provider = identity.provider();
        let names = [
            provider.namespace.as_str(),
            provider.name.as_str(),
            identity.username(),
        ];
        let groups = identity.groups().iter().map(String::as_str);
        let parts = names.into_iter().chain(claim.parts()).chain(groups);
        let mut text = identity.provider_digest().as_bytes().to_vec();
        for part in parts {
            text.extend_from_slice(&part.len().to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        Self(Fingerprint::of(&text))
    }
}

/// Verdicts that are still good, a bounded number of them.
#[derive(Debug, Default)]
pub(super) struct Verdicts(HashMap<Key, (Verdict, Instant)>);

impl Verdicts {
    pub(super) fn find(&self, key: &Key, now: Instant) -> Option<Verdict> {
        let (verdict, good_until) = self.0.get(key)?;
        (now < *good_until).then(|| verdict.clone())
    }

    /// Keeps a verdict that was asked for at `asked`: it is as old as the question.
    pub(super) fn keep(&mut self, key: Key, verdict: Verdict, asked: Instant) {
        if self.0.len() >= VERDICTS && !self.0.contains_key(&key) {
            self.0.retain(|_, (_, good_until)| asked < *good_until);
        }
        if self.0.len() >= VERDICTS && !self.0.contains_key(&key) {
            // All of them good: one makes room, whichever it is. It costs its caller one more review.
            if let Some(any) = self.0.keys().next().copied() {
                self.0.remove(&any);
            }
        }
        let good_for = match verdict {
            Verdict::Allowed => ALLOWED_FOR,
            Verdict::Denied(_) => DENIED_FOR,
        };
        self.0.insert(key, (verdict, asked + good_for));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(number: usize) -> Key {
        Key(Fingerprint::of(&number.to_be_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_yes_is_kept_for_ten_seconds_and_a_no_for_two() {
        let mut verdicts = Verdicts::default();
        let now = Instant::now();
        verdicts.keep(key(1), Verdict::Allowed, now);
        verdicts.keep(key(2), Verdict::Denied("why".into()), now);
        let at = |seconds: f64| now + Duration::from_secs_f64(seconds);
        for (verdict, number, good_for) in [
            (Verdict::Allowed, 1, 10.0),
            (Verdict::Denied("why".into()), 2, 2.0),
        ] {
            let found = verdicts.find(&key(number), at(good_for - 0.001));
            assert_eq!(found, Some(verdict));
            assert_eq!(verdicts.find(&key(number), at(good_for)), None);
        }
        assert_eq!(verdicts.find(&key(3), now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn their_number_is_bounded_and_what_is_over_goes_first() {
        let mut verdicts = Verdicts::default();
        let now = Instant::now();
        for number in 0..VERDICTS {
            verdicts.keep(key(number), Verdict::Denied("".into()), now);
        }
        let later = now + DENIED_FOR;
        verdicts.keep(key(VERDICTS), Verdict::Allowed, later);
        assert_eq!(verdicts.0.len(), 1);
        for number in 0..2 * VERDICTS {
            verdicts.keep(key(number), Verdict::Allowed, later);
        }
        assert_eq!(verdicts.0.len(), VERDICTS);
    }
}
