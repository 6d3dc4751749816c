#![expect(
    clippy::significant_drop_tightening,
    reason = "the tests say themselves when a berth or a registration ends"
)]

use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> TunnelName {
    TunnelName::parse(text).unwrap()
}

fn slot(instance: u128, slot: u16, epoch: u64) -> Slot {
    Slot {
        instance,
        slot,
        epoch,
    }
}

fn chosen(registry: &Registry<&'static str>, tunnel: &str) -> Option<&'static str> {
    match registry.choose(&name(tunnel), &[], Instant::now()) {
        Choice::Berth(berth) => Some(*berth.tunnel().session()),
        Choice::Full | Choice::None => None,
    }
}

fn berth<S: std::fmt::Debug>(choice: Choice<S>) -> Berth<S> {
    match choice {
        Choice::Berth(berth) => berth,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn newer_epoch_supersedes_only_within_its_instance_and_slot() {
    let registry = Registry::default();
    let c = || name("c.acme");
    let first = registry.register(c(), slot(1, 0, 1), "first").unwrap();
    let sibling = registry.register(c(), slot(1, 1, 1), "sibling").unwrap();
    let replica = registry.register(c(), slot(2, 0, 1), "replica").unwrap();
    let other = registry
        .register(name("d.acme"), slot(1, 0, 1), "other")
        .unwrap();
    let second = registry.register(c(), slot(1, 0, 2), "second").unwrap();
    assert!(first.superseded().is_cancelled());
    for untouched in [&sibling, &replica, &other, &second] {
        assert!(!untouched.superseded().is_cancelled());
    }
    let sessions: HashSet<_> = registry
        .tunnels()
        .iter()
        .map(|tunnel| *tunnel.session())
        .collect();
    assert_eq!(
        sessions,
        HashSet::from(["sibling", "replica", "other", "second"])
    );
}

#[tokio::test]
async fn older_epoch_is_refused_and_the_same_epoch_taken() {
    let registry = Registry::default();
    let c = || name("c.acme");
    let held = registry.register(c(), slot(1, 0, 5), "held").unwrap();
    let refused = registry.register(c(), slot(1, 0, 4), "late").unwrap_err();
    assert_eq!(
        refused,
        RegisterError::Outdated {
            held: 5,
            offered: 4
        }
    );
    assert!(!held.superseded().is_cancelled());
    let again = registry.register(c(), slot(1, 0, 5), "again").unwrap();
    assert!(held.superseded().is_cancelled());
    assert!(!again.superseded().is_cancelled());
}

#[tokio::test]
async fn superseded_session_that_ends_late_leaves_its_successor_alone() {
    let registry = Registry::default();
    let first = registry
        .register(name("c.acme"), slot(1, 0, 1), "first")
        .unwrap();
    let second = registry
        .register(name("c.acme"), slot(1, 0, 2), "second")
        .unwrap();
    drop(first);
    assert_eq!(chosen(&registry, "c.acme"), Some("second"));
    drop(second);
    assert_eq!(chosen(&registry, "c.acme"), None);
    assert_eq!(registry.standing(&name("c.acme")), Standing::Offline);
    assert_eq!(registry.standing(&name("x.acme")), Standing::Unknown);
    assert_eq!(registry.names.lock().tunnels, 0);
}

#[tokio::test]
async fn tunnel_with_the_fewest_open_streams_is_chosen_and_equals_take_turns() {
    let registry = Registry::default();
    let c = name("c.acme");
    let _a = registry.register(c.clone(), slot(1, 0, 1), "a").unwrap();
    let _b = registry.register(c.clone(), slot(2, 0, 1), "b").unwrap();
    let turns: Vec<_> = (0..4).filter_map(|_| chosen(&registry, "c.acme")).collect();
    assert!(
        turns == ["a", "b", "a", "b"] || turns == ["b", "a", "b", "a"],
        "{turns:?}"
    );
    let now = Instant::now();
    let held: Vec<_> = (0..6)
        .map(|_| berth(registry.choose(&c, &[], now)))
        .collect();
    assert!(
        registry
            .tunnels()
            .iter()
            .all(|tunnel| tunnel.open_streams() == 3)
    );
    drop(
        held.into_iter()
            .filter(|berth| *berth.tunnel().session() == "a")
            .collect::<Vec<_>>(),
    );
    assert!(
        registry
            .tunnels()
            .iter()
            .all(|tunnel| tunnel.open_streams() == 0)
    );
}

#[tokio::test]
async fn tunnel_in_doubt_comes_last_until_it_answers_or_time_passes() {
    let registry = Registry::default();
    let c = name("c.acme");
    let _a = registry.register(c.clone(), slot(1, 0, 1), "a").unwrap();
    let now = Instant::now();
    let failed = berth(registry.choose(&c, &[], now));
    failed.doubt(now);
    let _b = registry.register(c.clone(), slot(2, 0, 1), "b").unwrap();
    drop(failed);
    let crowd: Vec<_> = (0..5)
        .map(|_| berth(registry.choose(&c, &[], now)))
        .collect();
    assert!(crowd.iter().all(|berth| *berth.tunnel().session() == "b"));
    let only_doubted = berth(registry.choose(&c, &[crowd[0].tunnel().id()], now));
    assert_eq!(
        *only_doubted.tunnel().session(),
        "a",
        "better a doubtful one than none"
    );
    let later = now + Duration::from_secs(15);
    assert_eq!(
        *berth(registry.choose(&c, &[], later)).tunnel().session(),
        "a"
    );
    only_doubted.accepted();
    assert_eq!(
        *berth(registry.choose(&c, &[], now)).tunnel().session(),
        "a"
    );
}

#[tokio::test]
async fn tunnels_that_were_tried_are_passed_over() {
    let registry = Registry::default();
    let c = name("c.acme");
    let a = registry.register(c.clone(), slot(1, 0, 1), "a").unwrap();
    let choice = registry.choose(&c, &[a.tunnel().id()], Instant::now());
    assert!(matches!(choice, Choice::None));
}

#[tokio::test]
async fn gangway_is_bounded_and_those_on_board_do_not_block_it() {
    let registry = Registry::default();
    let c = name("c.acme");
    let _a = registry.register(c.clone(), slot(1, 0, 1), "a").unwrap();
    let now = Instant::now();
    let boarding: Vec<_> = std::iter::from_fn(|| match registry.choose(&c, &[], now) {
        Choice::Berth(berth) => Some(berth),
        Choice::Full | Choice::None => None,
    })
    .collect();
    assert_eq!(boarding.len(), 256);
    assert!(matches!(registry.choose(&c, &[], now), Choice::Full));
    boarding[0].accepted();
    let next = berth(registry.choose(&c, &[], now));
    assert!(matches!(registry.choose(&c, &[], now), Choice::Full));
    drop(next);
    assert!(matches!(registry.choose(&c, &[], now), Choice::Berth(_)));
}

#[tokio::test]
async fn bounds_hold_but_a_renewal_always_finds_its_place() {
    let registry = Registry::default();
    let c = || name("c.acme");
    let most = u16::try_from(MOST_OF_ONE_NAME).unwrap();
    let held: Vec<_> = (0..most)
        .map(|place| registry.register(c(), slot(1, place, 1), "x").unwrap())
        .collect();
    let refused = registry.register(c(), slot(1, most, 1), "x").unwrap_err();
    assert_eq!(refused, RegisterError::TooManyOfOneName);
    let renewed = registry.register(c(), slot(1, 0, 2), "y").unwrap();
    drop(held);
    assert_eq!(registry.tunnels().len(), 1);
    drop(renewed);
}

#[tokio::test]
async fn withdrawn_tunnels_are_looked_after_until_they_are_gone_and_bounded() {
    let registry = Registry::default();
    let c = || name("c.acme");
    let other = registry
        .register(name("d.acme"), slot(1, 0, 1), "other")
        .unwrap();
    // Each is superseded by the next and kept, as one that carries callers is.
    let epochs = u64::try_from(MOST_DEPARTING_OF_ONE_NAME).unwrap() + 2;
    let mut held: Vec<_> = (1..=epochs)
        .map(|epoch| registry.register(c(), slot(1, 0, epoch), "x").unwrap())
        .collect();
    assert_eq!(registry.tunnels().len(), 2);
    assert_eq!(registry.tunnels_and_departing().len(), held.len() + 1);
    let cut: Vec<_> = held
        .iter()
        .filter(|held| held.tunnel().cut_short().is_cancelled())
        .map(|held| held.tunnel().slot().epoch)
        .collect();
    assert_eq!(cut, [1], "the one that left first, and no other");
    assert!(!other.tunnel().cut_short().is_cancelled());
    held.clear();
    assert_eq!(registry.tunnels_and_departing().len(), 1);
}

#[tokio::test]
async fn who_waits_for_a_tunnel_hears_of_it() {
    let registry = Registry::default();
    let mut arrivals = registry.arrivals();
    assert!(!arrivals.has_changed().unwrap());
    let _a = registry
        .register(name("c.acme"), slot(1, 0, 1), "a")
        .unwrap();
    arrivals.changed().await.unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Register {
        name: usize,
        instance: u128,
        slot: u16,
        epoch: u64,
    },
    End(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_usize, 0..2_u128, 0..2_u16, 0..4_u64).prop_map(
            |(name, instance, slot, epoch)| Step::Register { name, instance, slot, epoch }
        ),
        1 => any::<prop::sample::Index>().prop_map(Step::End),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes and goes, there is at most one tunnel a slot, it is the newest of those that
    /// live, and every registration that was not superseded is registered.
    #[test]
    fn slots_hold_one_tunnel_each_and_nobody_is_lost(
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let names = [name("c.acme"), name("d.acme")];
        let registry = Registry::default();
        let mut live: Vec<Registration<()>> = Vec::new();
        for step in steps {
            match step {
                Step::Register { name, instance, slot: place, epoch } => {
                    let wanted = slot(instance, place, epoch);
                    if let Ok(registration) = registry.register(names[name].clone(), wanted, ()) {
                        live.push(registration);
                    }
                }
                Step::End(index) if !live.is_empty() => {
                    live.swap_remove(index.index(live.len()));
                }
                Step::End(_) => {}
            }
            let tunnels = registry.tunnels();
            let registered: HashSet<_> = tunnels.iter().map(|tunnel| tunnel.id()).collect();
            let current: HashSet<_> = live
                .iter()
                .filter(|registration| !registration.superseded().is_cancelled())
                .map(|registration| registration.tunnel().id())
                .collect();
            prop_assert_eq!(&registered, &current);
            prop_assert_eq!(registry.names.lock().tunnels, registered.len());
            let places: HashSet<_> = tunnels
                .iter()
                .map(|tunnel| (tunnel.name().clone(), tunnel.slot().instance, tunnel.slot().slot))
                .collect();
            prop_assert_eq!(places.len(), tunnels.len());
        }
    }
}
