use std::fs;
use std::sync::Arc;

use gangplank_pki::TrustBundle;
use gangplank_pki::clock::{ManualClock, at};

use super::*;
use crate::fixture::{Workplace, authority_pem, provider_yaml};

mod both;
mod following;
mod handed_in;
mod keeping;
mod revoking;
mod sequences;

/// A directory with the writer's state, looked at by hand.
struct Looked {
    place: Workplace,
    clock: Arc<ManualClock>,
    state: State,
}

impl Looked {
    /// An empty directory, looked at once.
    fn empty() -> Self {
        Self::with(|_| {})
    }

    /// A directory that was `furnished` before the first look.
    fn with(furnished: impl FnOnce(&Workplace)) -> Self {
        Self::under(TrustRules::default(), furnished)
    }

    /// The same under rules.
    fn under(rules: TrustRules, furnished: impl FnOnce(&Workplace)) -> Self {
        let place = Workplace::empty();
        fs::create_dir(place.path("trust")).unwrap();
        furnished(&place);
        let clock = Arc::new(ManualClock::new(at(100)));
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let state = State::new(
            Origin::Folder(Folder::new(&place.path("trust"))),
            rules,
            time,
        );
        let mut looked = Self {
            place,
            clock,
            state,
        };
        looked.look();
        looked
    }

    /// The reasons of all that is wrong.
    fn look(&mut self) -> Vec<&'static str> {
        let look = self.state.look();
        let all = look
            .vanished
            .iter()
            .chain(&look.faults)
            .chain(&look.notices);
        all.map(Fault::reason).collect()
    }

    /// The prefixes in use, sorted by the names of their providers.
    fn prefixes(&self) -> Vec<String> {
        prefixes(self.state.bundle())
    }

    fn generation(&self) -> u64 {
        self.state.bundle().generation()
    }

    /// Which providers are kept at an older version, and since when.
    fn kept(&self) -> Vec<(String, u64)> {
        let kept = self.state.report(Vec::new()).kept;
        kept.iter()
            .map(|kept| (kept.provider.to_string(), kept.since.as_secs()))
            .collect()
    }
}

fn prefixes(bundle: &TrustBundle) -> Vec<String> {
    bundle
        .providers()
        .iter()
        .map(|provider| provider.prefix().to_string())
        .collect()
}

/// The manifest of a provider with an authority of its own.
fn provider(name: &str) -> String {
    with_prefix(name, &format!("spiffe://{name}/"))
}

fn with_prefix(name: &str, prefix: &str) -> String {
    provider_yaml(name, prefix, &authority_pem(name))
}

fn open(place: &Workplace) -> Result<(TrustSource, TrustWatcher), Faults> {
    TrustDirectory::open(&place.path("trust"), Arc::new(ManualClock::new(at(100))))
}
