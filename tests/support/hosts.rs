//! Hosts of a test's own, where the machine lets tests have them.

use std::sync::LazyLock;

use gangplank_link::{Host, lack};

/// What this machine lacks, with its causes.
static LACK: LazyLock<Option<String>> = LazyLock::new(|| lack().map(|fault| told(&fault)));

/// Whether this machine lets tests have hosts and links. Where it does not, the output says which test is
/// skipped and why; continuous integration has to.
pub(crate) fn can_be_made(test: &str) -> bool {
    let Some(lack) = &*LACK else {
        return true;
    };
    assert!(
        std::env::var_os("CI").is_none(),
        "continuous integration cannot run {test}: {lack}"
    );
    super::measured::tell(&format!("{test}: SKIPPED, {lack}"));
    false
}

/// Does something within a host, or here.
pub(crate) fn at<T: Send>(host: Option<&Host>, work: impl FnOnce() -> T + Send) -> T {
    match host {
        Some(host) => host.within(work).expect("a host that is there"),
        None => work(),
    }
}

fn told(fault: &dyn std::error::Error) -> String {
    let mut told = fault.to_string();
    let mut cause = fault.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}
