//! Every limit of the HTTP/2 transport, with the reason of its number. Keepalive and idle time are
//! QUIC's: [`KEEPALIVE_INTERVAL`], [`IDLE_TIMEOUT`].

use std::time::Duration;

use h2::{client, server};

pub use crate::quic::limits::KEEPALIVE_INTERVAL;

/// Connections that an agent holds to a relay while it cannot use QUIC: a lost packet stops every stream of
/// its connection until it was sent again, and so a quarter of the callers.
pub const CONNECTIONS: u16 = 4;

/// What one stream may hold that its reader has not taken: 256 KiB. One stream then moves 50 Mbit/s at
/// 40 ms of round trip; four times less than with QUIC, for a way that is meant to be a detour.
pub const STREAM_WINDOW: u32 = 256 << 10;

/// Streams of one connection at a time, which are 4,096 callers on the four of an agent.
pub const STREAMS: u32 = 1024;

/// What all streams of a connection may hold together: the windows of all that can be open, 256 MiB, as much
/// as with QUIC. However many callers stop reading, the connection's window is never used up, and the others
/// keep their speed. It is also the most memory that one connection can ever take for bytes nobody reads.
pub const SESSION_WINDOW: u32 = STREAMS * STREAM_WINDOW;

/// Bytes of one stream that wait to be written: four frames, so that the connection always has the next one
/// at hand while writers are woken. 64 MiB in all at the very worst.
pub const SEND_BUFFER: usize = 64 << 10;

/// What the kernel may hold unsent: what waits there goes before everything that is said later, a keystroke
/// behind a download's megabytes. 128 KiB are 10 ms at 100 Mbit/s.
pub(super) const UNSENT: u32 = 128 << 10;

/// What is read of a peer at a time before others have their turn: four TLS records, two milliseconds of the
/// cheapest frames. SETTINGS and PING cost nothing but an answer, and who sends nothing else would otherwise keep
/// a thread for as long as there is more of it.
pub(super) const TURN: usize = 64 << 10;

/// One frame: HTTP/2's own least. Small streams take turns with large ones frame by frame.
const FRAME: u32 = 16 << 10;

/// The headers of a request are four words of ours.
const HEADERS: u32 = 2 << 10;

/// Streams that were reset here and whose late frames are still told apart from an attack, and streams that the
/// peer has reset before they were accepted here: as many as can be open. When the callers of a relay vanish all
/// at once it takes back what it has just opened, and that must not end the others' tunnel.
const RESET_STREAMS: usize = 1024;

/// How long late frames may take: three round trips around the world.
const RESET_MEMORY: Duration = Duration::from_secs(3);

/// Faults of streams in the life of a session, each of which costs it a reset, beyond which it ends: a peer that
/// makes so many is at fault itself. The library's own 1,024 would end tunnels that stand for months.
const STREAM_FAULTS: usize = 64 << 10;

/// Silence after which the peer counts as dead.
pub const IDLE_TIMEOUT: Duration = Duration::from_millis(IDLE_MS);

#[expect(
    clippy::as_conversions,
    reason = "widening, in a constant, where `From` cannot be called"
)]
const IDLE_MS: u64 = crate::quic::limits::IDLE_TIMEOUT_MS as u64;

/// How often a relay measures the round trip; it does not depend on the answer.
pub(super) const MEASURING_INTERVAL: Duration = IDLE_TIMEOUT;

/// How long the last words may take to leave: what does not go in this time meets a peer that does not read.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long the socket stays open behind them. Closing it while bytes of the peer are under way would make
/// the kernel take back the last words.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// What the relay's side is set to.
pub(super) fn relay() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(SESSION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .header_table_size(0) // nothing to remember between requests
        .max_send_buffer_size(SEND_BUFFER)
        .initial_max_send_streams(0) // none before the agent has said how many
        .max_concurrent_streams(0) // an agent opens nothing
        .enable_push(false)
        .max_local_error_reset_streams(Some(STREAM_FAULTS))
        .max_concurrent_reset_streams(RESET_STREAMS)
        .reset_stream_duration(RESET_MEMORY);
    builder
}

/// What the agent's side is set to.
pub(super) fn agent() -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(SESSION_WINDOW)
        .max_frame_size(FRAME)
        .max_header_list_size(HEADERS)
        .header_table_size(0)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_streams(STREAMS + 1) // and the control stream
        .enable_connect_protocol()
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(Some(STREAM_FAULTS))
        .max_concurrent_reset_streams(RESET_STREAMS)
        .reset_stream_duration(RESET_MEMORY);
    builder
}
