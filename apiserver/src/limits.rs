//! Every bound of a dial and of a credential, and where its number comes from.

use std::time::Duration;

/// How long finding the address and connecting may take, all addresses together.
///
/// A SYN that is lost three times is sent again after 1, 3 and 7 s; two losses in a row are rare, and a
/// caller must have its answer within 10 s when the API server is away.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How long the TLS handshake and the server's first HTTP/2 SETTINGS may take after connecting.
///
/// Together with [`CONNECT_DEADLINE`] just under the 10 s after which a caller wants an answer.
pub(super) const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(4);

/// How many addresses of one name are tried. More of them would only make each one's share of the
/// deadline too short for a handshake across an ocean.
pub(super) const ADDRESSES_TRIED: usize = 8;

/// How old a token read from a file may be when it is used. A projected token is replaced minutes before
/// its end, client-go reads it again every minute; a read costs 20 µs.
pub(super) const TOKEN_AGE: Duration = Duration::from_secs(1);

/// How long reading a token file may take; file systems over a network can hang.
pub(super) const TOKEN_READ_DEADLINE: Duration = Duration::from_secs(2);

/// How often a token file without a token in it is read again before that counts, and how long between:
/// what a writer needs who truncates the file and then writes it.
pub(super) const TOKEN_READS: usize = 3;
/// See [`TOKEN_READS`].
pub(super) const TOKEN_READ_PAUSE: Duration = Duration::from_millis(20);

/// The durations that a test may want shorter; everything else of this file is a constant.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// For finding the address and connecting, all addresses together.
    pub connect: Duration,
    /// For what comes before the first request on a connection.
    pub handshake: Duration,
    /// How old a token read from a file may be when it is used.
    pub token_age: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: CONNECT_DEADLINE,
            handshake: HANDSHAKE_DEADLINE,
            token_age: TOKEN_AGE,
        }
    }
}
