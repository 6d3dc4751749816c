//! Who a connection's caller is, decided once and doubted whenever trust or the clock moved.
//!
//! `Papers` hold the certificates that a caller proved to have the key of. `Papers::verdict` says
//! whether they are good *now*: a look at two numbers as long as neither the trust bundle's generation
//! nor the clock passed what the last decision was made for; a look into the bundle, without a
//! signature, when it is another one that changed nothing about them; and a new decision otherwise. A
//! connection keeps one identity for its whole life; papers that mean another username by now end it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use gangplank_config::TrustSource;
use gangplank_pki::caller::BundleSource;
use gangplank_pki::clock::Clock;
use gangplank_pki::{Identity, Refusal, TrustBundle, identify};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::sync::watch;

use crate::headers::{HeaderFault, Impersonation};

/// Whom this exit trusts, now and whenever that changes. Cheap to clone.
#[derive(Clone)]
pub struct Trust {
    current: BundleSource,
    changed: watch::Receiver<u64>,
}

impl Trust {
    /// `current` gives the bundle of this moment; `changed` follows its generation and is told after
    /// `current` gives the new one.
    pub fn new(
        current: impl Fn() -> Arc<TrustBundle> + Send + Sync + 'static,
        changed: watch::Receiver<u64>,
    ) -> Self {
        Self {
            current: Arc::new(current),
            changed,
        }
    }

    pub(crate) fn source(&self) -> BundleSource {
        Arc::clone(&self.current)
    }

    pub(crate) fn current(&self) -> Arc<TrustBundle> {
        (self.current)()
    }

    /// A receiver that has seen nothing later than the bundle that [`current`](Self::current) gives
    /// when it is asked after this.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changed.clone();
        changes.mark_unchanged();
        changes
    }
}

impl From<&TrustSource> for Trust {
    fn from(source: &TrustSource) -> Self {
        let (current, changed) = (source.clone(), source.changed());
        Self::new(move || current.current(), changed)
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("generation", &*self.changed.borrow())
            .finish()
    }
}

/// Someone whose certificate is accepted, and how they are announced upstream.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) identity: Identity,
    pub(crate) impersonation: Impersonation,
}

impl Admitted {
    /// Whether requests are made in the same name as `other`'s.
    fn is_same_caller(&self, other: &Self) -> bool {
        let (one, two) = (&self.identity, &other.identity);
        one.username() == two.username()
            && one.groups() == two.groups()
            && one.provider() == two.provider()
    }
}

/// What papers are worth at a moment.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// Good.
    Admitted(Arc<Admitted>),
    /// No good, and why.
    Refused(Arc<Refusal>),
    /// Good, but for a name that no header can carry.
    Unwritable,
    /// They were good when the connection began, for another name or provider than now.
    Changed,
}

/// A verdict with what it was made for.
#[derive(Debug)]
struct Decision {
    generation: u64,
    /// In seconds since 1970: from then on the verdict must be made anew.
    doubtful_from: u64,
    verdict: Verdict,
}

/// The certificates of a connection and the last verdict about them.
#[derive(Debug)]
pub(crate) struct Papers {
    chain: Vec<CertificateDer<'static>>,
    trust: Trust,
    clock: Arc<dyn Clock>,
    /// Who the caller was at the handshake.
    began_as: Option<Arc<Admitted>>,
    last: ArcSwap<Decision>,
}

/// How often at least a connection looks at the clock, so that a clock that is set forward ends what
/// has expired; a look costs nothing.
const CLOCK_LOOK: Duration = Duration::from_secs(60);

/// The shortest time between two looks: an end in whole seconds is seen at most this much late.
const SHORTEST_LOOK: Duration = Duration::from_millis(200);

impl Papers {
    /// Decides for the first time.
    pub(crate) fn examine(
        chain: Vec<CertificateDer<'static>>,
        trust: Trust,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let first = decide(&trust.current(), &chain, clock.now(), None);
        let began_as = match &first.verdict {
            Verdict::Admitted(admitted) => Some(Arc::clone(admitted)),
            _ => None,
        };
        Self {
            chain,
            trust,
            clock,
            began_as,
            last: ArcSwap::from_pointee(first),
        }
    }

    /// Who the caller was at the handshake, if they were let in.
    pub(crate) const fn began_as(&self) -> Option<&Arc<Admitted>> {
        self.began_as.as_ref()
    }

    /// What the papers are worth now. A caller who was not let in at the handshake is not let in
    /// later either: they connect again.
    pub(crate) fn verdict(&self) -> Verdict {
        let last = self.last.load();
        if self.began_as.is_none() {
            return last.verdict.clone();
        }
        let bundle = self.trust.current();
        let now = self.clock.now();
        let is_timely = now.as_secs() < last.doubtful_from;
        if is_timely && last.generation == bundle.generation() {
            return last.verdict.clone();
        }
        // Two requests may decide at once; both come to the same.
        let decision = if is_timely && last.stands_in(&bundle) {
            last.renewed(&bundle)
        } else {
            decide(&bundle, &self.chain, now, self.began_as.as_deref())
        };
        let verdict = decision.verdict.clone();
        self.last.store(Arc::new(decision));
        verdict
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.trust.changes()
    }

    /// How long until the clock may have changed the verdict.
    pub(crate) fn until_doubtful(&self) -> Duration {
        // The clock shows whole seconds, so the moment may be up to a second nearer than it seems:
        // wait for the second before it, then look often.
        let last_good = self.last.load().doubtful_from.saturating_sub(1);
        let left = last_good.saturating_sub(self.clock.now().as_secs());
        Duration::from_secs(left).clamp(SHORTEST_LOOK, CLOCK_LOOK)
    }
}

impl Decision {
    /// Is it none that a change of trust since then concerns?
    fn stands_in(&self, bundle: &TrustBundle) -> bool {
        match &self.verdict {
            Verdict::Admitted(admitted) => bundle.upholds(&admitted.identity),
            Verdict::Refused(_) | Verdict::Unwritable | Verdict::Changed => false,
        }
    }

    /// The same, for another bundle.
    fn renewed(&self, bundle: &TrustBundle) -> Self {
        Self {
            generation: bundle.generation(),
            doubtful_from: self.doubtful_from,
            verdict: self.verdict.clone(),
        }
    }
}

fn decide(
    bundle: &TrustBundle,
    chain: &[CertificateDer<'static>],
    now: UnixTime,
    began_as: Option<&Admitted>,
) -> Decision {
    let generation = bundle.generation();
    let (verdict, doubtful_from) = match identify(bundle, chain, now) {
        Ok(identity) => admit(identity, began_as),
        // A refusal may be about the clock in either direction, and a refused connection does not
        // live long: it is good for this second.
        Err(refusal) => (
            Verdict::Refused(Arc::new(refusal)),
            now.as_secs().saturating_add(1),
        ),
    };
    Decision {
        generation,
        doubtful_from,
        verdict,
    }
}

fn admit(identity: Identity, began_as: Option<&Admitted>) -> (Verdict, u64) {
    let doubtful_from = identity.valid_until().as_secs().saturating_add(1);
    let verdict = match Impersonation::of(&identity) {
        Ok(impersonation) => {
            let admitted = Admitted {
                identity,
                impersonation,
            };
            if began_as.is_none_or(|first| first.is_same_caller(&admitted)) {
                Verdict::Admitted(Arc::new(admitted))
            } else {
                Verdict::Changed
            }
        }
        Err(HeaderFault::Identity | HeaderFault::Impersonation { .. } | HeaderFault::TooMany) => {
            Verdict::Unwritable
        }
    };
    (verdict, doubtful_from)
}

#[cfg(test)]
mod tests {
    use gangplank_pki::bundle::assemble;
    use gangplank_pki::clock::{ManualClock, at};
    use gangplank_pki::issue::{CertificateAuthority, Kind, Request};
    use gangplank_pki::{Prefix, Provider, ProviderId, Revocations, UsernameFrom, pem};

    use super::*;

    fn now() -> UnixTime {
        at(1_900_000_000)
    }

    fn provider(name: &str, authority: &CertificateAuthority) -> Provider {
        let id = ProviderId::new("default", name);
        let prefix = Prefix::parse(&format!("{name}:")).unwrap();
        let anchors = vec![authority.anchor().clone()];
        Provider::new(id, prefix, anchors, UsernameFrom::CommonName, vec![]).unwrap()
    }

    /// A new decision would make a new identity; the same one was only looked at.
    #[test]
    fn a_change_that_does_not_concern_them_costs_no_signature() {
        let made = |name| CertificateAuthority::create(name, 365, now()).unwrap();
        let (mine, other) = (made("mine"), made("other"));
        let kind = Kind::Caller {
            common_name: "alice".to_owned(),
            uri: None,
        };
        let request = Request {
            kind,
            lifetime: Duration::from_secs(3600),
            now: now(),
        };
        let issued = mine.issue(&request).unwrap();
        let chain = pem::certificates(issued.cert_pem.as_bytes()).unwrap();
        let bundle = Arc::new(ArcSwap::from_pointee(TrustBundle::empty()));
        let trust = |providers: Vec<Provider>| {
            bundle.store(Arc::new(assemble(&bundle.load(), providers).bundle));
        };
        trust(vec![provider("mine", &mine)]);
        let (_changed, changes) = watch::channel(0);
        let current = Arc::clone(&bundle);
        let clock = Arc::new(ManualClock::new(now()));
        let watched: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let trusted = Trust::new(move || current.load_full(), changes);
        let papers = Papers::examine(chain, trusted, watched);
        let first = Arc::clone(papers.began_as().unwrap());
        let is_the_first = || match papers.verdict() {
            Verdict::Admitted(admitted) => Some(Arc::ptr_eq(&admitted, &first)),
            _ => None,
        };
        assert_eq!(is_the_first(), Some(true));
        trust(vec![provider("mine", &mine), provider("other", &other)]);
        assert_eq!(is_the_first(), Some(true), "nothing about them changed");
        let denied = Revocations {
            denied: vec!["serial:01".parse().unwrap()],
            ..Revocations::default()
        };
        trust(vec![provider("mine", &mine).with_revocations(denied)]);
        assert_eq!(is_the_first(), Some(false), "decided anew, and good");
        trust(vec![provider("other", &other)]);
        assert_eq!(is_the_first(), None);
        trust(vec![provider("mine", &mine)]);
        clock.advance(Duration::from_secs(3601));
        trust(vec![provider("mine", &mine), provider("other", &other)]);
        assert_eq!(is_the_first(), None, "over, whatever the bundle says");
    }
}
