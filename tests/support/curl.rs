//! Real curl as a person runs it.

use std::process::{Command, Stdio};

use super::kubectl::{self, Said};

/// Runs curl to its end: errors are shown, progress is not, nothing of the machine's own configuration counts.
pub(crate) fn run(arguments: &[&str]) -> Said {
    let child = Command::new("curl")
        .args(["--disable", "--silent", "--show-error", "--noproxy", "*"])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("curl starts");
    kubectl::finish(child, &format!("curl {arguments:?}"))
}
