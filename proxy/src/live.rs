//! The watch over a connection that was let in: it ends when its caller's right does.
//!
//! A request asks for the verdict when it comes; a watch, an exec or a port-forward came long ago.
//! So each connection waits for the next change of trust and for the end of its own certificate, one
//! receiver and one timer, and looks again. Nothing happens to a connection whose caller is still
//! who they were.

use crate::authenticate::{Papers, Verdict};

/// Waits until the papers are no longer those of the caller that the connection began with, and gives
/// the reason's class.
pub(crate) async fn until_right_ends(papers: &Papers) -> &'static str {
    let mut changes = papers.changes();
    let mut follows = true;
    loop {
        match papers.verdict() {
            Verdict::Admitted(_) => {}
            Verdict::Refused(refusal) => return refusal.class(),
            Verdict::Changed => return "TrustChanged",
            Verdict::Unwritable => return "UnusableName",
        }
        tokio::select! {
            change = changes.changed(), if follows => follows = change.is_ok(),
            () = tokio::time::sleep(papers.until_doubtful()) => {}
        }
    }
}
