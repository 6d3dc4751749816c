//! Signals to processes.

use std::process::Command;

/// Sends one to a process that is there, as kill(1) names it.
pub(crate) fn send(signal: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(sent.success(), "the signal was delivered");
}
