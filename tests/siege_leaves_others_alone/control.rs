//! The same CPU time, used by nobody of Gangplank: what a victim would wait for on this machine whoever took it.

use std::time::Duration;

use rustix::process::setpriority_process;
use tokio::time::Instant;

/// How a thread takes its share: in pieces shorter than what the scheduler gives at a time.
const PERIOD: Duration = Duration::from_millis(2);

/// What a process or an attacker used of a core.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) of_a_core: f64,
    pub(super) yields: bool,
}

/// Uses these shares, each on a thread of its own, for so long.
pub(super) fn burn(shares: &[Share], lasts: Duration) {
    let until = Instant::now() + lasts;
    std::thread::scope(|scope| {
        for share in shares {
            scope.spawn(move || {
                if share.yields {
                    setpriority_process(None, 19).expect("everybody may yield");
                }
                let busy = PERIOD.mul_f64(share.of_a_core.clamp(0.0, 1.0));
                while Instant::now() < until {
                    let begun = Instant::now();
                    while begun.elapsed() < busy {
                        std::hint::spin_loop();
                    }
                    std::thread::sleep(PERIOD.saturating_sub(begun.elapsed()));
                }
            });
        }
    });
}
