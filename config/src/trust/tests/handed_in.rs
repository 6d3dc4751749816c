//! Objects of an API server: when they count, who comes first, and what is said about them.

use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::both::{Handed, json as read};
use super::*;
use crate::object::Kind;

const PROVIDERS: Kind = Kind::TrustedIdentityProvider;

/// An object as the API server has it, with what it adds.
fn object(manifest: &str, created: &str) -> serde_json::Value {
    let mut object = read(manifest);
    object["metadata"]["creationTimestamp"] = json!(created);
    object["metadata"]["generation"] = json!(1);
    object["metadata"]["somethingOfTomorrow"] = json!({ "a": 1 });
    object["somethingElse"] = json!(true);
    object
}

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-01-02T00:00:00Z";

#[test]
fn nothing_counts_before_every_kind_was_read_as_a_whole() {
    let mut handed = Handed::nothing_yet(TrustRules::default());
    let a = object(&provider("a"), EARLY);
    handed.feed.set(PROVIDERS, &a);
    assert_eq!(handed.look(), ["NotListedYet"]);
    handed.feed.replace(PROVIDERS, vec![a]);
    assert_eq!(handed.look(), ["NotListedYet"]);
    assert!(handed.prefixes().is_empty());
    assert!(handed.state.report(Vec::new()).awaited);
    handed.feed.interrupt(Kind::KnownCluster, "404");
    assert_eq!(handed.look(), ["NotFollowed"]);
    assert!(handed.prefixes().is_empty());
    handed.feed.replace(Kind::KnownCluster, Vec::new());
    assert!(handed.look().is_empty());
    assert_eq!(handed.prefixes(), ["spiffe://a/"]);
    assert!(!handed.state.report(Vec::new()).awaited);
}

#[test]
fn an_api_server_that_is_away_takes_nothing_away_and_says_since_when() {
    let mut handed = Handed::empty(TrustRules::default());
    handed.feed.set(PROVIDERS, &object(&provider("a"), EARLY));
    assert!(handed.look().is_empty());
    handed.clock.set(at(200));
    handed.feed.interrupt(PROVIDERS, "connection refused");
    assert_eq!(handed.look(), ["NotFollowed"]);
    handed.clock.set(at(300));
    assert_eq!(handed.look(), ["NotFollowed"]);
    assert_eq!(handed.prefixes(), ["spiffe://a/"]);
    let report = handed.state.report(Vec::new());
    assert_eq!(
        (report.vanished_since, report.awaited),
        (Some(at(200)), false)
    );
    // While it was away, one went and one came.
    let b = object(&provider("b"), EARLY);
    handed.feed.replace(PROVIDERS, vec![b]);
    assert!(handed.look().is_empty());
    assert_eq!(handed.prefixes(), ["spiffe://b/"]);
    assert_eq!(handed.state.report(Vec::new()).vanished_since, None);
}

/// What was heard before the watch broke counts, a deletion above all.
#[test]
fn what_was_heard_before_it_broke_counts() {
    let mut handed = Handed::empty(TrustRules::default());
    let a = object(&provider("a"), EARLY);
    handed.feed.set(PROVIDERS, &a);
    handed.look();
    handed.feed.remove(PROVIDERS, &a);
    handed.feed.interrupt(PROVIDERS, "gone");
    assert_eq!(handed.look(), ["NotFollowed"]);
    assert!(handed.prefixes().is_empty());
}

/// Case A4 (c): at a cold start the API server's own record decides.
#[test]
fn at_a_cold_start_the_older_is_taken_and_before_it_the_accepted() {
    let (a, b) = (
        object(&with_prefix("a", "spiffe://x/"), LATE),
        object(&with_prefix("b", "spiffe://x/y/"), EARLY),
    );
    let mut handed = Handed::empty(TrustRules::default());
    handed.feed.replace(PROVIDERS, vec![a.clone(), b.clone()]);
    assert_eq!(handed.look(), ["PrefixConflict"]);
    assert_eq!(handed.prefixes(), ["spiffe://x/y/"]);

    let mut first = Handed::empty(TrustRules::default());
    first.feed.set(PROVIDERS, &a);
    first.look();
    let digest = first.state.bundle().providers()[0].object_digest();
    let mut accepted = a;
    accepted["status"] = json!({ "accepted": { "digest": digest.to_string() } });
    let mut restarted = Handed::empty(TrustRules::default());
    restarted
        .feed
        .replace(PROVIDERS, vec![accepted.clone(), b.clone()]);
    assert_eq!(restarted.look(), ["PrefixConflict"]);
    assert_eq!(restarted.prefixes(), ["spiffe://x/"]);

    // The record is of another version than this one.
    accepted["spec"]["prefix"] = json!("spiffe://x/y/z/");
    let mut edited = Handed::empty(TrustRules::default());
    edited.feed.replace(PROVIDERS, vec![accepted, b]);
    edited.look();
    assert_eq!(edited.prefixes(), ["spiffe://x/y/"]);
}

#[test]
fn both_objects_of_a_conflict_have_a_standing_that_says_so() {
    let mut handed = Handed::empty(TrustRules::default());
    handed.feed.replace(
        PROVIDERS,
        vec![
            object(&with_prefix("old", "spiffe://x/"), EARLY),
            object(&with_prefix("young", "spiffe://x/y/"), LATE),
            object(&provider("faulty").replace("prefix", "prefx"), EARLY),
        ],
    );
    let look = handed.state.look();
    let faults: Vec<Fault> = look.faults.into_iter().chain(look.notices).collect();
    let standings = handed.state.standings(&faults).unwrap();
    let of = |name: &str| &standings[&ProviderId::new("namespace-a", name)];
    let (old, young, faulty) = (of("old"), of("young"), of("faulty"));
    assert!(old.in_force.is_some() && old.faults.is_empty());
    let contested = (ProviderId::new("namespace-a", "young"), "PrefixConflict");
    assert_eq!(old.contested, [contested]);
    assert!(young.in_force.is_none() && young.wished.is_some());
    assert_eq!(young.faults[0].reason(), "PrefixConflict");
    assert!(young.faults[0].to_string().contains("namespace-a/old"));
    assert!(faulty.wished.is_none());
    assert_eq!(faulty.faults[0].reason(), "UnknownKey");
    assert_eq!(old.generation, Some(1));
}

/// The watcher itself: changes that are handed in arrive without anybody looking by hand.
#[tokio::test]
async fn what_is_handed_in_arrives() {
    let bound = Duration::from_secs(20);
    let clock = Arc::new(ManualClock::new(at(100)));
    let (source, watcher, feed) = TrustObjects::open(TrustRules::default(), clock);
    assert!(source.report().awaited && source.current().providers().is_empty());
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(watcher.run(stop.clone()));
    let mut changed = source.changed();
    let mut standings = source.standings();
    let a = object(&provider("a"), EARLY);
    for kind in TrustFeed::KINDS {
        feed.replace(kind, Vec::new());
    }
    feed.set(PROVIDERS, &a);
    timeout(bound, changed.changed()).await.unwrap().unwrap();
    assert_eq!(prefixes(&source.current()), ["spiffe://a/"]);
    timeout(bound, standings.wait_for(|all| all.len() == 1))
        .await
        .unwrap()
        .unwrap();
    feed.remove(PROVIDERS, &a);
    timeout(bound, changed.changed()).await.unwrap().unwrap();
    assert!(source.current().providers().is_empty());
    stop.cancel();
    tasks.close();
    timeout(bound, tasks.wait()).await.unwrap();
}
