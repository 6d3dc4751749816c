//! Every bound of the way to the API server, and where its number comes from.

use std::time::Duration;

use gangplank_apiserver::Deadlines;

/// Streams used of one HTTP/2 connection at a time, whatever more the server would allow.
///
/// What kube-apiserver allows by default. A server that allows less is obeyed; one that allows more
/// would put more callers on one TCP connection, where one lost packet stops them all.
pub(super) const STREAMS_PER_CONNECTION: usize = 100;

/// Connections to the API server for ordinary requests: 25,600 streams, more watches than one exit has
/// memory for. Past it requests are refused.
pub(super) const CONNECTIONS: usize = 256;

/// Connections being opened at the same time for ordinary requests: enough for 800 callers who arrive
/// at once, and too few to look like an attack to the API server.
pub(super) const DIALS: usize = 8;

/// Requests that may wait for a connection. They wait 9 s at most; at a thousand requests a second
/// that is what arrives during one dial that fails slowly. Past it requests are refused.
pub(super) const WAITING: usize = 8192;

/// One stream in so many is kept in reserve: when fewer are free, the next connection is opened before
/// anyone has to wait for it.
pub(super) const RESERVE_DIVISOR: usize = 8;

/// How long after a failed dial no further connection is opened merely in advance.
pub(super) const RESERVE_PAUSE: Duration = Duration::from_secs(1);

/// How long a connection without a request is kept. kube-apiserver closes such connections after 90 s;
/// closing them first keeps a request from meeting a closing one.
pub(super) const IDLE: Duration = Duration::from_secs(60);

/// How often a connection looks whether it has been idle for long enough.
pub(super) const IDLE_CHECK: Duration = Duration::from_secs(10);

/// HTTP/1.1 connections for ordinary requests. Each takes a whole one there, watches for as long as they
/// last; a quarter of the 4,096 file descriptors that a small container has. Past it requests are refused.
pub(super) const HTTP1_CONNECTIONS: usize = 1024;

/// HTTP/1.1 connections for plain reads beside the HTTP/2 connections; further reads at the same time go
/// over those. Half as many again as one provider's callers get; each is a descriptor at the API server, whose
/// own default for requests in flight is 600.
pub(super) const READING_CONNECTIONS: usize = 96;

/// Of these, those that the callers of one provider can have at a time: as many as a busy exit has reads under
/// way at a moment. Who reads answers slowly, or never, holds them; the rest is for everybody else.
pub(crate) const READING_CONNECTIONS_OF_ONE: u64 = 64;

/// Connections for plain reads being opened at the same time. Nobody waits for them.
pub(super) const READING_DIALS: usize = 4;

/// In a spell of this length no more than [`READING_CONNECTIONS`] are opened for plain reads; reads that find
/// none share HTTP/2 as ever. A read that is given up takes its connection with it, and a caller may give up
/// thousands a second, each at the price of a TLS handshake of the API server's; ten a second are no burden.
/// After a restart of the API server all can be there again at once.
pub(super) const READING_SPELL: Duration = Duration::from_secs(10);

/// How long what was sent on a connection for plain reads may stay unacknowledged. There is no PING on it
/// that would notice a server whose host is gone; as long as the PINGs of an HTTP/2 connection take.
pub(super) const READING_UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// How long a plain read waits for its answer's head on such a connection. Then it is given up there and asked again
/// over HTTP/2, whose PINGs tell a server that thinks for long from one that was stopped, within 30 s. Few reads of
/// a healthy API server take so long, and none of them longer than its own limit of 60 s.
pub(super) const READING_SILENCE: Duration = Duration::from_secs(15);

/// Receive window of one HTTP/2 stream: what an unread body may hold in memory. The same as
/// kube-apiserver's own; at a round trip of 1 ms it lets 256 MB/s through.
pub(super) const STREAM_WINDOW: u32 = 256 * 1024;

/// Receive window of a whole HTTP/2 connection.
///
/// It must be at least [`STREAM_WINDOW`] × [`STREAMS_PER_CONNECTION`] (25 MiB), so that bodies nobody
/// reads cannot use up the window of those that are read; memory stays bounded by the streams' windows.
/// It is 1 GiB because h2 derives from it (half of it) how many bytes of small, unread DATA frames it
/// puts up with before it calls them an attack and ends the connection: a hundred stalled `logs -f` with
/// lines of 12 bytes fill 100 × 256 KiB × (256 − 12)/12 = 508 MiB of that account, which just fits.
pub(super) const CONNECTION_WINDOW: u32 = 1 << 30;

/// Bytes of one request's body that HTTP/2 may hold back for sending: one stream window of the server.
pub(super) const SEND_BUFFER: usize = 256 * 1024;

/// Size of an answer's headers. Warnings of kube-apiserver are up to 4,096 characters (16 KB) together
/// and aggregated servers add their own; hyper's default of 16 KiB would reset such answers.
pub(super) const HEADER_LIST: u32 = 256 * 1024;

/// Number of headers in an HTTP/1.1 answer. hyper's default of 100 is below what a generous aggregated
/// server sends.
pub(super) const HTTP1_HEADERS: usize = 512;

/// Streams that we cancelled and still recognise, so that what the server sent meanwhile is dropped
/// quietly: ten connections' worth of watches ended at once.
pub(super) const CANCELLED_STREAMS: usize = 1024;

/// Silence after which a PING is sent, also on idle connections, so that no request meets a dead one.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(15);

/// How long the answer to a PING may take. A server that stopped answering is noticed within 30 s.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(15);

/// How often one request is put on a connection before it is given up. Each attempt is free of risk (it
/// was certainly not sent), but a server that refuses every stream must not be asked for ever.
pub(super) const ATTEMPTS: usize = 6;

/// How often one review is put on a connection: once more than the first time, for a connection that was just
/// being closed. Who waits for the review can ask again.
pub(super) const REVIEW_ATTEMPTS: usize = 2;

/// How long the API server may take to answer a request for an upgrade. It asks a kubelet first, whose
/// connect timeout is 30 s; an HTTP/1.1 connection has no PING that would notice a silent server.
pub(super) const UPGRADE_ANSWER_DEADLINE: Duration = Duration::from_secs(40);

/// Connections for upgrades being opened at the same time; further ones wait their turn.
pub(super) const UPGRADE_DIALS: usize = 64;

/// The durations that a test may want shorter; everything else of this file is a constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) dial: Deadlines,
    pub(super) idle: Duration,
    pub(super) idle_check: Duration,
    pub(super) reading_spell: Duration,
    pub(super) reading_silence: Duration,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) upgrade_answer: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            dial: Deadlines::default(),
            idle: IDLE,
            idle_check: IDLE_CHECK,
            reading_spell: READING_SPELL,
            reading_silence: READING_SILENCE,
            ping_interval: PING_INTERVAL,
            ping_timeout: PING_TIMEOUT,
            upgrade_answer: UPGRADE_ANSWER_DEADLINE,
        }
    }
}
