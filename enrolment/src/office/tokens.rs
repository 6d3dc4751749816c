//! Making tokens: the administrator's part.

use std::time::Duration;

use gangplank_config::Fault;
use gangplank_pki::clock::rfc3339;
use gangplank_pki::{Fingerprint, TunnelName};
use gangplank_tunnel::wire::enrolment::{JoinToken, TOKEN_ID, TOKEN_SECRET};
use rustls_pki_types::UnixTime;

use super::{Office, later};
use crate::register::{RegisterFault, TokenRecord};

/// A token that was just made.
#[derive(Debug)]
pub struct NewToken {
    /// The token, with its secret.
    pub token: JoinToken,
    /// The first moment at which it is of no use any more.
    pub expires: UnixTime,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The register does not work.
    #[error(transparent)]
    Register(#[from] RegisterFault),
    /// The relay's authority cannot be read.
    #[error("the relay's authority cannot be read")]
    Authority(#[source] Fault),
    /// The name is taken.
    #[error(
        "{tunnel} has joined and its certificate is good until {until}: \
         add `--again` if it is to join anew (its present certificate stays good), or revoke it first \
         (`gangplank cluster revoke --config FILE {tunnel}`)"
    )]
    Joined {
        /// The name.
        tunnel: TunnelName,
        /// The last moment of the last certificate.
        until: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

impl Office {
    /// Makes a token for `tunnel` that is good for `lifetime`; a name that has joined gets one only `again`.
    ///
    /// # Errors
    ///
    /// When the name has joined, and when the register or the relay's authority cannot be used.
    pub async fn make_token(
        &self,
        tunnel: &TunnelName,
        lifetime: Duration,
        again: bool,
    ) -> Result<NewToken, TokenError> {
        let now = self.clock.now();
        if !again && let Some(until) = self.good_until(tunnel, now).await? {
            return Err(TokenError::Joined {
                tunnel: tunnel.clone(),
                until: rfc3339(until),
            });
        }
        let authorities = self
            .relay_authorities
            .read()
            .map_err(TokenError::Authority)?;
        let certificates = authorities.certificates();
        let first = certificates.first().map_or(&[][..], |first| first.as_ref());
        let token = JoinToken {
            id: random::<TOKEN_ID>()?,
            secret: random::<TOKEN_SECRET>()?,
            relay_authority: *Fingerprint::of(first).as_bytes(),
            tunnel: tunnel.clone(),
            relay: self.relay.clone(),
        };
        let expires = later(now, lifetime);
        let record = TokenRecord {
            id: token.id,
            secret: Fingerprint::of(&token.secret),
            tunnel: tunnel.clone(),
            created: now,
            expires,
            used: None,
        };
        self.register.keep_token(record).await?;
        Ok(NewToken { token, expires })
    }

    /// Until when the newest certificate of a name is good, if one is.
    async fn good_until(
        &self,
        tunnel: &TunnelName,
        now: UnixTime,
    ) -> Result<Option<UnixTime>, RegisterFault> {
        let certificates = self.register.certificates_of(tunnel.clone()).await?;
        let good = certificates
            .into_iter()
            .filter(|certificate| certificate.revoked.is_none() && certificate.not_after >= now);
        Ok(good.map(|certificate| certificate.not_after).max())
    }
}

fn random<const N: usize>() -> Result<[u8; N], TokenError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_unspecified| TokenError::NoRandomness)?;
    Ok(bytes)
}
