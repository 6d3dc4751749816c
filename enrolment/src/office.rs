//! Who gets a certificate, and who gets none.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use gangplank_config::role::relay::{self, Relay};
use gangplank_config::{Anchors, Fault, Material};
use gangplank_pki::clock::{Clock, at, rfc3339};
use gangplank_pki::issue::{AgentRequest, CertificateAuthority};
use gangplank_pki::{EntranceDomain, Fingerprint, TunnelName, WithCauses};
use gangplank_tunnel::wire;
use gangplank_tunnel::wire::enrolment::{
    EnrolmentAnswer, EnrolmentQuestion, EnrolmentRefusal, Grant,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::field::display;

use crate::embedded::EmbeddedRegister;
use crate::etcd::EtcdRegister;
use crate::proof::{Accounts, ProofFault};
use crate::register::{
    CertificateRecord, MOST_RENEWALS, Register, RegisterFault, Succession, TokenId,
};

/// How long what has ended is remembered, so that a late question is told what became of its token, and a
/// revoked cluster is not admitted again by its service account.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How often what has ended is forgotten: a register of ten thousand clusters grows by some fifteen thousand
/// certificates a day, of a few hundred bytes each.
const FORGETTING: Duration = Duration::from_secs(12 * 60 * 60);

/// Decides by the register. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Office {
    register: Arc<dyn Register>,
    accounts: Accounts,
    authority: Material<CertificateAuthority>,
    relay_authorities: Material<Anchors>,
    lifetime: Duration,
    grace: Duration,
    domain: EntranceDomain,
    relay: wire::ServerName,
    clock: Arc<dyn Clock>,
}

/// Why a question gets no certificate: the code for the other side, and the words for it.
type Refused = (EnrolmentRefusal, String);

impl Office {
    /// The office of a relay, by its file; none where the file has no `enrolment`.
    ///
    /// # Errors
    ///
    /// When the register cannot be opened.
    pub fn open(relay: &Relay, clock: Arc<dyn Clock>) -> Result<Option<Self>, RegisterFault> {
        let Some(enrolment) = &relay.enrolment else {
            return Ok(None);
        };
        Ok(Some(Self {
            register: open(&enrolment.register)?,
            accounts: Accounts::new(&enrolment.service_accounts),
            authority: enrolment.authority.clone(),
            relay_authorities: enrolment.relay_authorities.clone(),
            lifetime: enrolment.certificate_lifetime,
            grace: enrolment.renewal_grace,
            domain: relay.domain.clone(),
            relay: wire::ServerName::fitting(relay.tunnel.server_name.as_str()),
            clock,
        }))
    }

    /// How long an expired certificate may still be renewed.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// The authorities of the relay's own certificate, for who has only the SHA-256 of one.
    pub fn relay_authorities(&self) -> &Material<Anchors> {
        &self.relay_authorities
    }

    /// The register that it decides by.
    pub fn register(&self) -> &Arc<dyn Register> {
        &self.register
    }

    /// Forgets what ended so long ago that it decides nothing any more, now and again until `shutdown`. A
    /// certificate is remembered longer than it can be renewed, and what is not known is not renewed: forgetting
    /// that it was revoked gives it no right back.
    pub async fn forget_the_ended(self, shutdown: CancellationToken) {
        loop {
            match shutdown.run_until_cancelled(self.forget()).await {
                Some(Ok(())) => {}
                Some(Err(fault)) => tracing::warn!(
                    error = %WithCauses(&fault),
                    "what ended long ago is not forgotten yet"
                ),
                None => return,
            }
            let next = shutdown.run_until_cancelled(sleep(FORGETTING));
            if next.await.is_none() {
                return;
            }
        }
    }

    /// The clock is believed only as far as the register bears it out: agents renew, so the newest certificate
    /// ends in the future. One relay whose clock runs ahead would otherwise forget for all of them what is good
    /// and what is revoked.
    async fn forget(&self) -> Result<(), RegisterFault> {
        let last = self.register.last_end().await?;
        let now = self.clock.now().as_secs();
        let now = last.map_or(now, |last| last.as_secs().min(now));
        let remembered = REMEMBERED.max(self.grace);
        let before = at(now.saturating_sub(remembered.as_secs()));
        self.register.forget(before).await
    }

    /// Answers who came without a certificate.
    pub async fn answer_join(&self, question: &EnrolmentQuestion) -> EnrolmentAnswer {
        let mut visitor = Visitor::default();
        let outcome = match question {
            EnrolmentQuestion::Join {
                id,
                secret,
                request,
            } => {
                visitor.token = Some(*id);
                self.join((*id, secret), request, &mut visitor).await
            }
            EnrolmentQuestion::Vouched {
                tunnel,
                token,
                request,
            } => {
                self.join_vouched(tunnel, token, request, &mut visitor)
                    .await
            }
            _ => Err(misplaced()),
        };
        told("join", &visitor, outcome)
    }

    /// Answers who came with the certificate that it wants another for. `shown` was verified: that it leads
    /// to an authority of agents, and that its time is not over for longer than the grace.
    pub async fn answer_renewal(
        &self,
        shown: &CertificateDer<'_>,
        question: &EnrolmentQuestion,
    ) -> EnrolmentAnswer {
        let visitor = Visitor {
            cluster: TunnelName::from_agent_certificate(shown).ok(),
            shown: Some(Fingerprint::of(shown)),
            token: None,
        };
        let outcome = match question {
            EnrolmentQuestion::Renew { request } => self.renew(shown, request).await,
            _ => Err(misplaced()),
        };
        told("renewal", &visitor, outcome)
    }

    async fn join(
        &self,
        (id, secret): (TokenId, &[u8]),
        request: &[u8],
        visitor: &mut Visitor,
    ) -> Result<(TunnelName, Grant), Refused> {
        let now = self.clock.now();
        let kept = self.register.token(id).await.map_err(unavailable)?;
        visitor.cluster = kept.as_ref().map(|kept| kept.tunnel.clone());
        // Compared without one too, so that the time says little about which tokens there are.
        let hash = Fingerprint::of(secret);
        let held = kept
            .as_ref()
            .map_or([0; 32], |kept| *kept.secret.as_bytes());
        let right = verify_slices_are_equal(hash.as_bytes(), &held).is_ok();
        let Some(token) = kept.filter(|_| right) else {
            let message = "this relay does not know the token; make a new one there: `gangplank token create --config FILE --cluster NAME`";
            return Err((EnrolmentRefusal::TokenUnknown, message.to_owned()));
        };
        if token.used.is_some() {
            return Err(used(&token.tunnel));
        }
        if now >= token.expires {
            let message = format!(
                "the token expired at {}; make a new one at the relay: `gangplank token create --config FILE --cluster {}`",
                rfc3339(token.expires),
                token.tunnel
            );
            return Err((EnrolmentRefusal::TokenExpired, message));
        }
        let (grant, record) = self.certify(request, &token.tunnel, now).await?;
        match self.register.redeem(id, record).await {
            Ok(true) => Ok((token.tunnel, grant)),
            Ok(false) => Err(used(&token.tunnel)),
            Err(fault) => Err(unavailable(fault)),
        }
    }

    async fn join_vouched(
        &self,
        tunnel: &str,
        token: &[u8],
        request: &[u8],
        visitor: &mut Visitor,
    ) -> Result<(TunnelName, Grant), Refused> {
        let now = self.clock.now();
        let tunnel = TunnelName::parse(tunnel).map_err(|fault| {
            let message = format!("that is no cluster's name: {fault}");
            (EnrolmentRefusal::ProofRefused, message)
        })?;
        visitor.cluster = Some(tunnel.clone());
        let (accounts, name, proof) = (self.accounts.clone(), tunnel.clone(), token.to_vec());
        let proving = tokio::task::spawn_blocking(move || accounts.prove(&name, &proof));
        match proving.await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                if let ProofFault::Keys(fault) = &fault {
                    tracing::error!(cluster = %tunnel, %fault, "no service account can join");
                }
                let message = format!(
                    "the service account's token was refused: {fault}; look at `enrolment.serviceAccounts` at the relay"
                );
                return Err((EnrolmentRefusal::ProofRefused, message));
            }
            Err(_ended) => return Err(not_now()),
        }
        let (grant, record) = self.certify(request, &tunnel, now).await?;
        match self.register.admit(record).await {
            Ok(true) => Ok((tunnel, grant)),
            Ok(false) => Err(not_renewable("the cluster was revoked", tunnel.as_str())),
            Err(fault) => Err(unavailable(fault)),
        }
    }

    async fn renew(
        &self,
        shown: &CertificateDer<'_>,
        request: &[u8],
    ) -> Result<(TunnelName, Grant), Refused> {
        let now = self.clock.now();
        let fingerprint = Fingerprint::of(shown);
        let named = TunnelName::from_agent_certificate(shown).ok();
        let known = match &named {
            Some(tunnel) => self.register.certificate(tunnel.clone(), fingerprint).await,
            None => Ok(None),
        };
        let name = named.as_ref().map_or("NAME", TunnelName::as_str);
        let not_renewable = |why| not_renewable(why, name);
        let Some(predecessor) = known.map_err(unavailable)? else {
            return Err(not_renewable("this relay did not issue the certificate"));
        };
        if predecessor.revoked.is_some() {
            return Err(not_renewable("the certificate was revoked"));
        }
        if now > later(predecessor.not_after, self.grace) {
            return Err(not_renewable("the certificate expired too long ago"));
        }
        let (grant, record) = self.certify(request, &predecessor.tunnel, now).await?;
        match self.register.succeed(fingerprint, record).await {
            Ok(Succession::Written) => Ok((predecessor.tunnel, grant)),
            Ok(Succession::NoRight) => Err(not_renewable("the certificate was revoked")),
            Ok(Succession::TooMany) => Err(renewed_too_often(name)),
            Err(fault) => Err(unavailable(fault)),
        }
    }

    /// Issues for a request, without writing it down yet.
    async fn certify(
        &self,
        request: &[u8],
        tunnel: &TunnelName,
        now: UnixTime,
    ) -> Result<(Grant, CertificateRecord), Refused> {
        let wanted = AgentRequest::read(request, tunnel).map_err(|fault| {
            let message = format!(
                "the certificate request was refused: {fault}; it may name {tunnel} and nothing else"
            );
            (EnrolmentRefusal::RequestRefused, message)
        })?;
        let (authority, relay) = self.read_authorities().await?;
        let issued = authority.certify(&wanted, self.lifetime, now);
        let certificate = issued.map_err(|fault| {
            tracing::error!(error = %WithCauses(&fault), "the agents' authority issues nothing");
            not_now()
        })?;
        let end = later(now, self.lifetime).min(authority.anchor().not_after());
        let record = CertificateRecord {
            fingerprint: Fingerprint::of(&certificate),
            tunnel: tunnel.clone(),
            issued: now,
            not_after: end,
            revoked: None,
        };
        let relay_authorities = relay.certificates();
        let grant = Grant {
            entrance_domain: wire::EntranceDomain::fitting(self.domain.as_str()),
            chain: vec![certificate.to_vec()],
            relay_authorities: relay_authorities.iter().map(|der| der.to_vec()).collect(),
        };
        Ok((grant, record))
    }

    /// Read for each: it happens seldom, and what was renewed is so in use at once.
    async fn read_authorities(&self) -> Result<(CertificateAuthority, Anchors), Refused> {
        let (authority, relay) = (self.authority.clone(), self.relay_authorities.clone());
        let read = tokio::task::spawn_blocking(move || Ok((authority.read()?, relay.read()?)));
        match read.await {
            Ok(Ok(both)) => Ok(both),
            Ok(Err(fault)) => {
                let fault: Fault = fault;
                tracing::error!(%fault, "enrolment cannot read its authorities");
                Err(not_now())
            }
            Err(_ended) => Err(not_now()),
        }
    }
}

fn open(register: &relay::Register) -> Result<Arc<dyn Register>, RegisterFault> {
    Ok(match register {
        relay::Register::File(file) => Arc::new(EmbeddedRegister::open(file)?),
        relay::Register::Etcd(etcd) => Arc::new(EtcdRegister::new(etcd.clone())),
    })
}

/// Who asks, as far as it is known: for the log, which must not say a secret.
#[derive(Debug, Default)]
struct Visitor {
    /// The cluster that the token, the service account or the certificate is of.
    cluster: Option<TunnelName>,
    /// The token's public part.
    token: Option<TokenId>,
    /// The certificate that is to be renewed.
    shown: Option<Fingerprint>,
}

/// Says in the log what became of a question, and makes the answer.
fn told(
    kind: &'static str,
    visitor: &Visitor,
    outcome: Result<(TunnelName, Grant), Refused>,
) -> EnrolmentAnswer {
    let token = visitor.token.map(|id| display(hex(&id)));
    match outcome {
        Ok((tunnel, grant)) => {
            let certificate = grant.chain.first().map_or(&[][..], Vec::as_slice);
            let fingerprint = Fingerprint::of(certificate);
            tracing::info!(cluster = %tunnel, kind, token, certificate = %fingerprint, "certificate issued to an agent");
            EnrolmentAnswer::Granted(grant)
        }
        Err((code, message)) => {
            tracing::info!(
                cluster = visitor.cluster.as_ref().map(display),
                kind,
                token,
                certificate = visitor.shown.as_ref().map(display),
                reason = code.reason(),
                "no certificate for an agent: {message}"
            );
            EnrolmentAnswer::refused(code, &message)
        }
    }
}

/// A token's public part as `gangplank token list` prints it.
fn hex(id: &TokenId) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn misplaced() -> Refused {
    let message = "this question is not answered here; update the older side";
    (EnrolmentRefusal::Malformed, message.to_owned())
}

fn used(tunnel: &TunnelName) -> Refused {
    let message = format!(
        "the token was used before, and works once; make a new one at the relay: \
         `gangplank token create --config FILE --again --cluster {tunnel}`, and if you did not use it, revoke the cluster"
    );
    (EnrolmentRefusal::TokenUsed, message)
}

fn not_renewable(why: &str, tunnel: &str) -> Refused {
    let message = format!(
        "{why}; join again: at the relay `gangplank token create --config FILE --again --cluster {tunnel}`, then at the cluster \
         `gangplank join RELAY --token-file FILE --again --directory DIR`"
    );
    (EnrolmentRefusal::NotRenewable, message)
}

fn renewed_too_often(tunnel: &str) -> Refused {
    let message = format!(
        "{MOST_RENEWALS} renewals of this name are good, and no more are given until one ends; are they not your agents', \
         revoke them at the relay and join again: `gangplank cluster revoke --config FILE {tunnel}`"
    );
    (EnrolmentRefusal::NotRenewable, message)
}

fn not_now() -> Refused {
    let message = "the relay cannot issue now, its log says why; try again later";
    (EnrolmentRefusal::Unavailable, message.to_owned())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is the argument of `map_err`"
)]
fn unavailable(fault: RegisterFault) -> Refused {
    tracing::error!(error = %WithCauses(&fault), "enrolment cannot use its register");
    not_now()
}

fn later(moment: UnixTime, by: Duration) -> UnixTime {
    at(moment.as_secs().saturating_add(by.as_secs()))
}

mod tokens;

pub use tokens::{NewToken, TokenError};

#[cfg(test)]
mod tests;
