//! How one authority follows another: prepared and published, used, the old one retired. Decided without input or output;
//! the time is an argument.
//!
//! What is published is what others are told to trust. A successor is published for the whole *overlap* before it signs, and
//! a predecessor stays published until the last certificate of it has ended and the overlap has passed once more: so
//! whoever trusts what was published an overlap ago can verify everything that is in use now.

use std::time::Duration;

use gangplank_pki::TrustAnchor;
use gangplank_pki::clock::at;
use gangplank_pki::issue::{CertificateAuthority, IssueFault};
use rustls_pki_types::{CertificateDer, UnixTime};

/// Predecessors that are published at a time: who asks for a new authority each day waits until the oldest has retired,
/// and nobody's bundle grows beyond measure.
const PREDECESSORS: usize = 4;

/// Proofs that are kept: for years of rotations, for a peer who was away for as long.
const PROOFS: usize = 8;

/// What rotation goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The common name that a new authority gets.
    pub(crate) common_name: String,
    /// How long an authority lives.
    pub(crate) lifetime: Duration,
    /// How long a successor is published before it signs.
    pub(crate) overlap: Duration,
    /// How long the certificates live that it signs.
    pub(crate) longest: Duration,
}

/// The authority that signs, and those before and after it.
#[derive(Debug)]
pub(crate) struct Succession {
    /// The one that signs.
    pub(crate) current: CertificateAuthority,
    /// The one that will.
    pub(crate) next: Option<Next>,
    /// Those that did, and are still published.
    pub(crate) previous: Vec<Previous>,
    /// Cross certificates, newest first: what predecessors signed of their successors.
    pub(crate) proofs: Vec<CertificateDer<'static>>,
}

/// A successor.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) authority: CertificateAuthority,
    /// Since when others can know of it.
    pub(crate) published: UnixTime,
}

/// A predecessor.
#[derive(Clone, Debug)]
pub(crate) struct Previous {
    pub(crate) anchor: TrustAnchor,
    /// When it is published no longer.
    pub(crate) until: UnixTime,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A successor was prepared and published.
    Published,
    /// The successor signs.
    Used,
    /// A predecessor is published no longer.
    Retired,
}

impl Succession {
    /// The first authority of an installation.
    pub(crate) fn begin(rules: &Rules, now: UnixTime) -> Result<Self, IssueFault> {
        Ok(Self {
            current: new(rules, now)?,
            next: None,
            previous: Vec::new(),
            proofs: Vec::new(),
        })
    }

    /// What others are told to trust; the one that signs is the first.
    pub(crate) fn published(&self) -> Vec<TrustAnchor> {
        let current = self.current.anchor();
        let next = self.next.as_ref().map(|next| next.authority.anchor());
        let previous = self.previous.iter().map(|previous| &previous.anchor);
        let all = std::iter::once(current).chain(next).chain(previous);
        all.cloned().collect()
    }

    /// Does all that is due. `asked` says that somebody wants a new authority now.
    pub(crate) fn advance(
        &mut self,
        rules: &Rules,
        now: UnixTime,
        asked: bool,
    ) -> Result<Vec<Step>, IssueFault> {
        let mut steps = Vec::new();
        let before = self.previous.len();
        self.previous.retain(|previous| now <= previous.until);
        if self.previous.len() < before {
            steps.push(Step::Retired);
        }
        if self.next.is_none() && (now >= self.prepare_at() || (asked && self.may_be_asked())) {
            self.prepare(rules, now)?;
            steps.push(Step::Published);
        }
        if let Some(next) = self
            .next
            .take_if(|next| now >= use_at(next, &self.current, rules))
        {
            self.succeed(next.authority, rules, now);
            steps.push(Step::Used);
        }
        Ok(steps)
    }

    /// Can a successor be had on request? Not while one is on its way, nor while too many predecessors are published.
    pub(crate) fn may_be_asked(&self) -> bool {
        self.next.is_none() && self.previous.len() < PREDECESSORS
    }

    /// When the next step is due.
    pub(crate) fn due(&self, rules: &Rules) -> UnixTime {
        let turn = match &self.next {
            Some(next) => use_at(next, &self.current, rules),
            None => self.prepare_at(),
        };
        let retire = self
            .previous
            .iter()
            .map(|previous| after(previous.until, 1));
        retire.fold(turn, UnixTime::min)
    }

    /// When the successor will sign, if there is one.
    pub(crate) fn turn(&self, rules: &Rules) -> Option<UnixTime> {
        let next = self.next.as_ref()?;
        Some(use_at(next, &self.current, rules))
    }

    /// With two thirds of its life behind it.
    fn prepare_at(&self) -> UnixTime {
        let anchor = self.current.anchor();
        let (begin, end) = (anchor.not_before().as_secs(), anchor.not_after().as_secs());
        at(begin.saturating_add(end.saturating_sub(begin) / 3 * 2))
    }

    fn prepare(&mut self, rules: &Rules, now: UnixTime) -> Result<(), IssueFault> {
        let authority = new(rules, now)?;
        // One whose time is over can prove nothing any more: others have to be told by hand.
        if now <= self.current.anchor().not_after() {
            let proof = self.current.certify_successor(&authority, now)?;
            self.proofs.insert(0, proof);
            self.proofs.truncate(PROOFS);
        }
        self.next = Some(Next {
            authority,
            published: now,
        });
        Ok(())
    }

    fn succeed(&mut self, authority: CertificateAuthority, rules: &Rules, now: UnixTime) {
        let before = std::mem::replace(&mut self.current, authority);
        let anchor = before.anchor().clone();
        let last = after(now, rules.longest.as_secs()).min(anchor.not_after());
        let until = after(last, rules.overlap.as_secs());
        self.previous.insert(0, Previous { anchor, until });
    }
}

/// An overlap after it was published, or at once when the present one is over.
fn use_at(next: &Next, current: &CertificateAuthority, rules: &Rules) -> UnixTime {
    let over = after(current.anchor().not_after(), 1);
    after(next.published, rules.overlap.as_secs()).min(over)
}

fn new(rules: &Rules, now: UnixTime) -> Result<CertificateAuthority, IssueFault> {
    CertificateAuthority::create_for(&rules.common_name, rules.lifetime, now)
}

fn after(moment: UnixTime, seconds: u64) -> UnixTime {
    at(moment.as_secs().saturating_add(seconds))
}

#[cfg(test)]
mod tests;
