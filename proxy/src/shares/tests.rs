use super::*;

const LIMITS: Limits = Limits {
    requests_per_second: 1,
    request_burst: 2,
    requests_at_once: 3,
    upgrades: 2,
    connections: 2,
    provider_connections: 2,
};

fn provider(number: usize) -> ProviderId {
    ProviderId::new("default", format!("provider-{number}"))
}

fn refused(shares: &Shares, limit: Limit) -> u64 {
    shares.refused.get_or_create(&LimitLabels { limit }).get()
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_provider_share_its_requests_and_nobody_elses() {
    let shares = Shares::new(LIMITS, Refused::default());
    let (one, same, other) = (
        shares.of_provider(&provider(1)),
        shares.of_provider(&provider(1)),
        shares.of_provider(&provider(2)),
    );
    assert!(one.request().is_ok() && same.request().is_ok());
    assert!(one.request().is_err() && same.request().is_err());
    assert!(other.request().is_ok());
    assert_eq!(refused(&shares, Limit::Requests), 2);
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(same.request().is_ok() && one.request().is_err());
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_has_no_more_than_before() {
    let shares = Shares::new(LIMITS, Refused::default());
    let first = shares.of_provider(&provider(0));
    assert!(first.request().is_ok() && first.request().is_ok());
    drop(first);
    for number in 1..4 * NOT_WORTH_A_LOOK {
        drop(shares.of_provider(&provider(number)));
    }
    assert!(shares.of_provider(&provider(0)).request().is_err());
}

#[tokio::test(start_paused = true)]
async fn shares_that_nobody_uses_are_forgotten() {
    let shares = Shares::new(LIMITS, Refused::default());
    let kept = shares.of_provider(&provider(0));
    for number in 1..100_000 {
        let share = shares.of_provider(&provider(number));
        assert!(share.request().is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let held = shares.providers.lock().shares.len();
    assert!(held <= NOT_WORTH_A_LOOK, "{held}");
    assert!(Arc::ptr_eq(&kept, &shares.of_provider(&provider(0))));
}

#[tokio::test]
async fn upgrades_give_their_place_back() {
    let shares = Shares::new(LIMITS, Refused::default());
    let share = shares.of_provider(&provider(1));
    let (one, two) = (share.upgrade(), share.upgrade());
    assert!(one.is_some() && two.is_some());
    assert!(share.upgrade().is_none());
    assert_eq!(refused(&shares, Limit::Upgrades), 1);
    drop(one);
    assert!(share.upgrade().is_some());
}

#[tokio::test]
async fn connections_are_counted_by_certificate_and_leave_nothing_behind() {
    let shares = Shares::new(LIMITS, Refused::default());
    let [one, other] = [&b"one"[..], b"two"].map(Fingerprint::of);
    let first = shares.connect(one);
    let second = shares.connect(one);
    assert!(first.is_some() && second.is_some());
    assert!(shares.connect(one).is_none());
    assert_eq!(refused(&shares, Limit::Connections), 1);
    let theirs = shares.connect(other);
    assert!(theirs.is_some());
    drop(first);
    assert!(shares.connect(one).is_some());
    drop((second, theirs));
    assert!(shares.callers.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_give_their_place_back_and_none_is_left_behind_by_one_that_was_refused() {
    let limits = Limits {
        requests_per_second: u64::MAX,
        request_burst: u64::MAX,
        requests_at_once: 2,
        ..LIMITS
    };
    let shares = Shares::new(limits, Refused::default());
    let share = shares.of_provider(&provider(1));
    let (one, two) = (share.request(), share.request());
    assert!(one.is_ok() && two.is_ok());
    for _ in 0..3 {
        assert_eq!(share.request().err(), Some(TooMany::AtOnce));
    }
    assert_eq!(refused(&shares, Limit::RequestsAtOnce), 3);
    assert!(shares.of_provider(&provider(2)).request().is_ok());
    drop(one);
    assert!(share.request().is_ok());
    drop(two);
    assert_eq!(share.running.taken(), 0);

    let share = Shares::new(LIMITS, Refused::default()).of_provider(&provider(1));
    for _ in 0..5 {
        drop(share.request());
    }
    assert_eq!(share.running.taken(), 0, "of late");
}

#[tokio::test]
async fn one_provider_reads_alone_so_often_and_no_more() {
    let limits = Limits {
        requests_at_once: u64::MAX,
        request_burst: u64::MAX,
        ..LIMITS
    };
    let shares = Shares::new(limits, Refused::default());
    let share = shares.of_provider(&provider(1));
    let mut reading = Vec::new();
    loop {
        let mut place = share.request().unwrap();
        if !place.may_read_alone() {
            break;
        }
        assert!(place.may_read_alone(), "it has its turn already");
        reading.push(place);
    }
    assert_eq!(u64::try_from(reading.len()), Ok(READING_CONNECTIONS_OF_ONE));
    let mut other = shares.of_provider(&provider(2)).request().unwrap();
    assert!(other.may_read_alone());
    drop(reading.pop());
    assert!(share.request().unwrap().may_read_alone());
    drop(reading);
    assert_eq!(share.reading.taken(), 0);
}

/// Whoever has a CA makes as many certificates as they like.
#[tokio::test]
async fn connections_are_counted_by_provider_too() {
    let shares = Shares::new(LIMITS, Refused::default());
    let share = shares.of_provider(&provider(1));
    let (one, two) = (share.connection(), share.connection());
    assert!(one.is_some() && two.is_some());
    assert!(share.connection().is_none());
    assert_eq!(refused(&shares, Limit::ProviderConnections), 1);
    assert!(shares.of_provider(&provider(2)).connection().is_some());
    drop(one);
    assert!(share.connection().is_some());
    drop(two);
    assert_eq!(share.connections.taken(), 0);
}
