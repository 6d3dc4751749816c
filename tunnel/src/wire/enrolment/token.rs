//! A join token, as a person carries it from the relay to the cluster.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gangplank_pki::{Fingerprint, TunnelName};

use crate::wire::ServerName;

/// Bytes by which the relay finds a token: as many as keep a million of them apart by chance.
pub const TOKEN_ID: usize = 16;

/// Bytes that prove that one has a token: beyond guessing, so that a plain SHA-256 is enough to keep.
pub const TOKEN_SECRET: usize = 32;

/// Bytes of the SHA-256 of the relay's authority.
const PIN: usize = 32;

/// What a token begins with: for people, and for those who look for secrets in files.
const MARK: &str = "gangplank-join-1.";

/// Between the two names, in neither of which it can be.
const SEPARATOR: u8 = b'@';

/// Longest text of a token that is looked at: mark, base64 of its three numbers and of the longest names.
const LONGEST: usize = 1024;

/// The right to join as one cluster, once, at a relay that is known by its authority.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Which token it is. No secret.
    pub id: [u8; TOKEN_ID],
    /// That one has it. Secret.
    pub secret: [u8; TOKEN_SECRET],
    /// SHA-256 of the certificate (DER) of the authority that issued the relay's own: so the first contact
    /// is with the right relay.
    pub relay_authority: [u8; PIN],
    /// The cluster that it makes one.
    pub tunnel: TunnelName,
    /// The relay's own name, which its certificate carries.
    pub relay: ServerName,
}

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinTokenFault {
    /// It begins otherwise.
    #[error(
        "it does not begin with `{MARK}`; copy the whole line that `gangplank token create` printed"
    )]
    NoToken,
    /// Something is missing, or other letters came in.
    #[error("it is not whole; copy the whole line that `gangplank token create` printed")]
    NotWhole,
}

impl JoinToken {
    /// The token as it is printed. Secret.
    pub fn text(&self) -> String {
        let mut bytes = Vec::with_capacity(TOKEN_ID + TOKEN_SECRET + PIN);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.secret);
        bytes.extend_from_slice(&self.relay_authority);
        bytes.extend_from_slice(self.tunnel.as_str().as_bytes());
        bytes.push(SEPARATOR);
        bytes.extend_from_slice(self.relay.as_bytes());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        format!("{MARK}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// Bytes at the end against what gets lost in copying; not against anybody.
const CHECKSUM: usize = 4;

/// The first bytes of the SHA-256.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Fingerprint::of(bytes);
    let [a, b, c, d, ..] = *digest.as_bytes();
    [a, b, c, d]
}

impl FromStr for JoinToken {
    type Err = JoinTokenFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let letters = text
            .strip_prefix(MARK)
            .filter(|_| text.len() <= LONGEST)
            .ok_or(JoinTokenFault::NoToken)?;
        let whole = JoinTokenFault::NotWhole;
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(letters)
            .map_err(|_undecodable| whole)?;
        let (bytes, sum) = bytes.split_last_chunk().ok_or(whole)?;
        if *sum != checksum(bytes) {
            return Err(whole);
        }
        let (id, rest) = bytes.split_first_chunk().ok_or(whole)?;
        let (secret, rest) = rest.split_first_chunk().ok_or(whole)?;
        let (relay_authority, names) = rest.split_first_chunk().ok_or(whole)?;
        let mut names = names.splitn(2, |byte| *byte == SEPARATOR);
        let (tunnel, relay) = (names.next().ok_or(whole)?, names.next().ok_or(whole)?);
        let tunnel = std::str::from_utf8(tunnel).map_err(|_no_text| whole)?;
        Ok(Self {
            id: *id,
            secret: *secret,
            relay_authority: *relay_authority,
            tunnel: TunnelName::parse(tunnel).map_err(|_no_name| whole)?,
            relay: ServerName::parse(relay, "token.relay").map_err(|_no_name| whole)?,
        })
    }
}

impl fmt::Debug for JoinToken {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("tunnel", &self.tunnel)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            id: [1; TOKEN_ID],
            secret: [2; TOKEN_SECRET],
            relay_authority: [3; PIN],
            tunnel: TunnelName::parse("edge-1.acme").unwrap(),
            relay: ServerName::fitting("relay.example.com"),
        }
    }

    #[test]
    fn a_token_comes_back_as_it_went_and_does_not_show_its_secret() {
        let text = token().text();
        assert_eq!(format!(" {text}\n").parse(), Ok(token()));
        assert!(!format!("{:?}", token()).contains('2'), "{:?}", token());
    }

    #[test]
    fn what_got_lost_in_copying_is_noticed() {
        let text = token().text();
        for cut in 0..text.len() {
            let (kept, _lost) = text.split_at(cut);
            assert!(kept.parse::<JoinToken>().is_err(), "{cut}");
        }
        for extra in ["A", ".", "AAAA", "=", " x"] {
            assert!(
                format!("{text}{extra}").parse::<JoinToken>().is_err(),
                "{extra}"
            );
        }
        assert_eq!("".parse::<JoinToken>(), Err(JoinTokenFault::NoToken));
        let long = format!("{MARK}{}", "A".repeat(LONGEST));
        assert_eq!(long.parse::<JoinToken>(), Err(JoinTokenFault::NoToken));
    }
}
