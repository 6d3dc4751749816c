//! What a test measured.

use std::io::{Write as _, stderr};

/// Says it past the harness, which keeps to itself what a test prints that holds.
pub(crate) fn tell(line: &str) {
    // A terminal that is gone is no reason to fail.
    drop(writeln!(stderr(), "{line}"));
}
