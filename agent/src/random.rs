//! Random numbers, which are handed in: tests choose them.

use gangplank_pki::crypto;

/// Where they come from.
pub(crate) type Random = fn() -> u64;

/// Sixty-four random bits. Without any the longest wait is the safe one.
pub(crate) fn draw() -> u64 {
    let mut bytes = [0; 8];
    let drawn = crypto::provider().secure_random.fill(&mut bytes);
    drawn.map_or(u64::MAX, |()| u64::from_be_bytes(bytes))
}
