//! Waiting on a predicate, with a bound: the only way a test waits.

use std::thread::sleep;
use std::time::Duration;

use tokio::time::Instant;

/// How long anything may take on a loaded machine with two cores before the test gives up. It is a bound
/// against hanging, not a promise of speed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often the predicate is asked.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until `probe` answers something; panics with `what` after [`PATIENCE`].
pub(crate) fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    up_to(PATIENCE, probe).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain for: {what}"))
}

/// Waits until `probe` answers something, for so long at the most.
pub(crate) fn up_to<T>(patience: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = probe() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        sleep(INTERVAL);
    }
}

/// As [`until`], inside a runtime.
pub(crate) async fn until_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut probe: impl FnMut() -> F,
) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for: {what}"
        );
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Awaits what must come to an end; panics with `what` after [`PATIENCE`].
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("waited {PATIENCE:?} in vain for: {what}"),
    }
}
