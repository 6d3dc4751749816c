//! HTTP/2 frames that bring nothing and cost an answer, counted as they are read.
//!
//! h2 answers each SETTINGS and PING and counts none (CVE-2019-9512, CVE-2019-9515). Such a frame costs the exit more than
//! it costs who sends it, so four connections that sent nothing else kept the exit's thread to themselves. A
//! connection that talks too much of the wire itself is ended.

use tokio::time::Instant;

use crate::shares::Bucket;

/// Frames a second that only want an answer or mean nothing here: SETTINGS, PING, PRIORITY and those of no known type.
/// Clients that measure the way by pings (hyper's and gRPC's windows) send one a round trip while they read.
const FRAMES_A_SECOND: u64 = 500;

/// The same at once: ten seconds of it.
const FRAMES_AT_ONCE: u64 = 5_000;

/// Window updates that are free.
const UPDATES_AT_ONCE: u64 = 20_000;

/// Bytes sent for which one more window update is taken. Go's client sends one for every 4 KiB that it has read, and one
/// for the connection beside it.
const BYTES_AN_UPDATE: u64 = 1024;

/// What an HTTP/2 client begins with (RFC 9113 §3.4).
const PREFACE: usize = 24;

/// A frame's header (RFC 9113 §4.1).
const HEADER: usize = 9;

/// Reads along.
#[derive(Debug)]
pub(super) struct Talk {
    /// Bytes until the next header begins.
    ahead: usize,
    header: [u8; HEADER],
    /// Bytes of it that are there.
    known: usize,
    began: Instant,
    allowed: Bucket,
    updates: u64,
    sent: u64,
}

/// The caller sends too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many HTTP/2 frames that ask for nothing")]
pub(super) struct TooMuch;

impl Talk {
    pub(super) fn new() -> Self {
        Self {
            ahead: PREFACE,
            header: [0; HEADER],
            known: 0,
            began: Instant::now(),
            allowed: Bucket::new(FRAMES_A_SECOND, FRAMES_AT_ONCE),
            updates: 0,
            sent: 0,
        }
    }

    /// The exit has written so many bytes.
    pub(super) fn wrote(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.sent = self.sent.saturating_add(bytes);
    }

    /// The caller has sent these.
    ///
    /// # Errors
    ///
    /// When it has sent too many frames that ask for nothing.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), TooMuch> {
        while !bytes.is_empty() {
            let passed = self.ahead.min(bytes.len());
            self.ahead -= passed;
            bytes = bytes.get(passed..).unwrap_or_default();
            for byte in bytes.iter().take(HEADER - self.known) {
                if let Some(place) = self.header.get_mut(self.known) {
                    *place = *byte;
                }
                self.known += 1;
                bytes = bytes.get(1..).unwrap_or_default();
            }
            if self.known == HEADER {
                self.known = 0;
                let [a, b, c, kind, ..] = self.header;
                self.ahead =
                    usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
                self.weigh(kind)?;
            }
        }
        Ok(())
    }

    fn weigh(&mut self, kind: u8) -> Result<(), TooMuch> {
        match kind {
            // DATA, HEADERS, RST_STREAM, GOAWAY and CONTINUATION: h2 bounds them, each in its way.
            0x0 | 0x1 | 0x3 | 0x7 | 0x9 => Ok(()),
            0x8 => {
                self.updates = self.updates.saturating_add(1);
                let allowed = UPDATES_AT_ONCE.saturating_add(self.sent / BYTES_AN_UPDATE);
                (self.updates <= allowed).then_some(()).ok_or(TooMuch)
            }
            _ => {
                let taken = self.allowed.take(self.began.elapsed());
                taken.map_err(|_empty| TooMuch)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0, 0, 0, 0, 0];
        frame.resize(HEADER + payload, 0xff);
        frame
    }

    fn begun() -> Talk {
        let mut talk = Talk::new();
        assert_eq!(talk.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Ok(()));
        talk
    }

    /// Whether so many of these are taken, all at once.
    fn takes(talk: &mut Talk, count: usize, frame: &[u8]) -> bool {
        (0..count).all(|_| talk.read(frame).is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_only_want_an_answer_are_taken_at_their_pace() {
        for (kind, payload) in [(0x4, 0), (0x4, 36), (0x6, 8), (0x2, 5), (0xb, 100)] {
            let mut talk = begun();
            let frame = frame(kind, payload);
            assert!(takes(&mut talk, 5_000, &frame), "{kind}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(takes(&mut talk, 500, &frame), "{kind}");
            assert_eq!(talk.read(&frame), Err(TooMuch), "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_carries_something_is_not_counted() {
        let mut talk = begun();
        for kind in [0x0, 0x1, 0x3, 0x9] {
            assert!(takes(&mut talk, 100_000, &frame(kind, 4)), "{kind}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn window_updates_go_with_what_was_sent() {
        let mut talk = begun();
        assert!(takes(&mut talk, 20_000, &frame(0x8, 4)));
        talk.wrote(1 << 20);
        assert!(takes(&mut talk, 1024, &frame(0x8, 4)));
        assert_eq!(talk.read(&frame(0x8, 4)), Err(TooMuch));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_found_in_any_cut_and_payloads_are_not_looked_into() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // A payload that looks like a thousand SETTINGS.
        bytes.extend(frame(0x0, 9_000));
        bytes.truncate(PREFACE + HEADER);
        bytes.extend([0, 0, 0, 4, 0, 0, 0, 0, 0].repeat(1_000));
        bytes.extend(frame(0x6, 8));
        for cut in [1, 2, 7, 8, 9, 10, 33, 4096] {
            let mut talk = Talk::new();
            for piece in bytes.chunks(cut) {
                assert_eq!(talk.read(piece), Ok(()), "{cut}");
            }
            assert!(takes(&mut talk, 4_999, &frame(0x6, 8)), "{cut}");
            assert_eq!(talk.read(&frame(0x6, 8)), Err(TooMuch), "{cut}");
        }
    }
}
