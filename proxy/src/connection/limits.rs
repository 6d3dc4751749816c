//! Every limit of callers' HTTP, with its reason. None is left to a library's default.

use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;

use super::Streams;

/// A request's line and headers. kube-apiserver takes 1 MiB, but its own clients stay far below: the
/// longest are label selectors in a query (60 KiB, more is refused as a URI) and as much again in
/// headers.
const HEADER_BYTES: usize = 128 * 1024;

/// The same for HTTP/2, where each field counts 32 bytes more (RFC 9113 §6.5.2).
const HEADER_LIST_BYTES: u32 = 192 * 1024;

/// Header lines: a client behind a few gateways sends some dozens, one that impersonates a member of two
/// hundred groups as many more. hyper makes room for all of them with every request.
const HEADER_LINES: usize = 256;

/// For a whole head of an HTTP/1.1 request, from its first bytes: kube-apiserver's ReadHeaderTimeout.
pub(super) const HEAD: Duration = Duration::from_secs(32);

/// For the next head on an HTTP/1.1 connection, while nothing comes: kube-apiserver's IdleTimeout. If we gave up
/// earlier, clients that keep connections for a minute or more would meet closed ones.
const IDLE: Duration = Duration::from_secs(90);

/// What HTTP/1.1 buffers in each direction; a head must fit, and a caller who does not read holds no
/// more than this.
const BUFFER_BYTES: usize = HEADER_BYTES;

/// Requests at once on an HTTP/2 connection: what kube-apiserver allowed until it went to 100. Go's
/// client opens another connection when they are used up.
const STREAMS: u32 = 250;

/// What a caller may send on a stream before the API server took it: kube-apiserver's own figure.
const STREAM_WINDOW: u32 = 256 * 1024;

/// As much as all streams together, so that uploads that stand still stop nobody else's.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS;

/// What is kept for a stream whose caller does not read; beyond it the API server is not read either.
const SEND_BUFFER: usize = 256 * 1024;

/// The smallest that the protocol allows to announce; a larger one lets one upload hold the
/// connection longer.
const FRAME_BYTES: u32 = 16 * 1024;

/// Requests reset before we looked at them (rapid reset, CVE-2023-44487): h2's own figure.
const UNSEEN_RESETS: usize = 20;

/// Streams that we reset because of the caller's mistakes (MadeYouReset, CVE-2025-8671): a client that
/// errs this often on one connection is none.
const OUR_RESETS: usize = 256;

/// Requests taken back before they were answered, at once: all streams of the connection, twice. A program that
/// ends, or gives everything up and begins anew, does that.
pub(super) const RESETS_AT_ONCE: u64 = 500;

/// The same in the long run. Whoever gives up fifty requests a second on one connection gets none answered.
pub(super) const RESETS_A_SECOND: u64 = 50;

/// HPACK's table: the protocol's default, 4 KiB a connection.
const HEADER_TABLE: u32 = 4096;

/// An HTTP/2 caller who says nothing is asked whether they are there: as often as Go's client asks
/// kube-apiserver.
const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How long they have to answer; Go's figure too.
const PING_ANSWER: Duration = Duration::from_secs(15);

/// A refused caller's connection lives this long at most: a handful of discovery calls with their
/// 401s.
pub(super) const REFUSED_LIFE: Duration = Duration::from_secs(10);

/// Between a 401 and the GOAWAY that follows it. hyper's client (kube-rs) asks once more whether its
/// connection is ready after it sent a request, and reports a GOAWAY that is there by then instead of the
/// answer; a hundredth of a second is enough, five leave room for a loaded machine.
pub(super) const GOAWAY_AFTER_ANSWER: Duration = Duration::from_millis(50);

/// After the end of a caller's right: for resets and the GOAWAY to go out, then it is cut.
pub(super) const REVOKED_LIFE: Duration = Duration::from_millis(250);

/// After a caller has taken back too many requests: for the GOAWAY to go out.
pub(super) const FLOODING_LIFE: Duration = REVOKED_LIFE;

/// After a caller has left who had sent requests ahead: for the answers to short ones, should it read
/// them after all; what runs longer is cut then.
pub(super) const LEFT_LIFE: Duration = Duration::from_secs(1);

pub(super) fn http1() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // It counts from the end of the last answer; `Attentive` ends a head that takes too long.
        .header_read_timeout(IDLE)
        .max_headers(HEADER_LINES)
        .max_header_size(HEADER_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .keep_alive(true)
        // A caller who closes their half has left, but `Attentive` hears that: hyper would keep 8 KiB
        // for each request only to hear it, too.
        .half_close(true)
        .ignore_invalid_headers(false)
        .allow_multiple_spaces_in_request_line_delimiters(false)
        .auto_date_header(true)
        .pipeline_flush(false);
    http
}

pub(super) fn http2(streams: Streams) -> http2::Builder<Streams> {
    let mut http = http2::Builder::new(streams);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .adaptive_window(false)
        .max_frame_size(FRAME_BYTES)
        .max_header_list_size(HEADER_LIST_BYTES)
        .header_table_size(HEADER_TABLE)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(UNSEEN_RESETS)
        .max_local_error_reset_streams(OUR_RESETS)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_ANSWER)
        .auto_date_header(true);
    http
}
