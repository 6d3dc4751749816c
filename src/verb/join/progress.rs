//! What a person reads on standard error while a relay is waited for.

use std::pin::pin;
use std::time::Duration;

use gangplank_agent::enrolment::{DEADLINE, Steps};
use tokio::time::{Instant, sleep};

use crate::verb::register::explain;

/// Between two lines. A relay that is well answers within a few round trips, before the first of them.
const PAUSE: Duration = Duration::from_secs(3);

/// Says what is begun, and then now and again what is waited for, until `work` is done.
pub(super) async fn told<T>(title: &str, steps: &Steps, work: impl Future<Output = T>) -> T {
    explain(&format!("{title} ..."));
    let begun = Instant::now();
    let mut work = pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = sleep(PAUSE) => explain(&format!(
                "still waiting for {} after {} s (at most {} s)",
                *steps.borrow(),
                begun.elapsed().as_secs(),
                DEADLINE.as_secs()
            )),
        }
    }
}
