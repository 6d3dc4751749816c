//! The keys of a relay's endpoint that outlive the process.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{hkdf, hmac, rand};
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig};

use super::limits;

/// The one secret from which a relay derives its endpoint's keys. A relay that starts with the same
/// secret can tell the agents of its previous life at once that their sessions are gone.
#[derive(Clone)]
pub struct RelaySecret([u8; 32]);

impl RelaySecret {
    /// Takes 32 bytes that nobody else knows.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key that signs stateless resets (RFC 9000 §10.3).
    fn reset_key(&self) -> hmac::Key {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let derived = hmac::sign(&secret, b"gangplank quic stateless reset");
        hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
    }

    /// The key that seals Retry tokens (RFC 9000 §8.1).
    pub(super) fn token_key(&self) -> hkdf::Prk {
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"gangplank quic address validation").extract(&self.0)
    }
}

impl fmt::Debug for RelaySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelaySecret")
    }
}

/// Connection ids of eight random bytes.
///
/// The library's own generator signs its ids with a key of the process and drops packets with an
/// id that it did not make, unanswered: after a restart no old agent would ever get its reset.
#[derive(Debug)]
struct RandomConnectionIds;

/// Bytes of a connection id: enough that two of a million tunnels hardly ever draw the same.
const CONNECTION_ID_LENGTH: usize = 8;

impl ConnectionIdGenerator for RandomConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_LENGTH];
        // The system's random numbers do not fail once it runs; should they, the endpoint finds an
        // id that is taken already and refuses the connection.
        if rand::fill(&mut id).is_err() {
            tracing::warn!("no random numbers for a connection id");
        }
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_LENGTH
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}

/// An endpoint whose resets are signed with the secret's key.
pub(super) fn endpoint_config(secret: &RelaySecret) -> Result<EndpointConfig, quinn::ConfigError> {
    let mut config = EndpointConfig::new(Arc::new(secret.reset_key()));
    config
        .cid_generator(|| Box::new(RandomConnectionIds))
        .min_reset_interval(limits::RESET_INTERVAL)
        .grease_quic_bit(true)
        .max_udp_payload_size(limits::MAX_UDP_PAYLOAD)?;
    Ok(config)
}
