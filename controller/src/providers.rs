//! `TrustedIdentityProvider`: whether its users are let in stands in its status, and what it was accepted for.
//!
//! Nothing is made for it. It is judged by the reader and the rules of the exits, beside all other providers; what was
//! accepted is written down, so that an exit that starts knows who held what before.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gangplank_config::TrustSource;
use gangplank_config::trust::Standing;
use gangplank_objects::condition::Verdict;
use gangplank_objects::trusted_identity_provider::Claim;
use gangplank_objects::{TrustedIdentityProvider, TrustedIdentityProviderStatus};
use gangplank_pki::clock::Clock;
use gangplank_pki::{Provider, ProviderId, pem};
use kube::ResourceExt;

use crate::drive::{Keeper, Outcome};
use crate::known::told;
use crate::trouble::Trouble;

/// Keeps the statuses of providers.
pub(crate) struct Providers {
    pub(crate) trust: TrustSource,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Keeper for Providers {
    type Kind = TrustedIdentityProvider;

    const MAKES: bool = false;

    async fn make(
        &self,
        object: &TrustedIdentityProvider,
    ) -> Result<Outcome<TrustedIdentityProviderStatus>, Trouble> {
        let id = ProviderId::new(object.namespace().unwrap_or_default(), object.name_any());
        let standings = Arc::clone(&self.trust.standings().borrow());
        let of_this_version =
            |standing: &&Standing| standing.generation == object.metadata.generation;
        let Some(standing) = standings.get(&id).filter(of_this_version) else {
            // It is judged in a moment, and then looked at again.
            return Err(Trouble::Overtaken {
                what: format!("TrustedIdentityProvider {id}"),
            });
        };
        Ok(Outcome {
            verdict: self.verdict(standing),
            status: status(object, standing),
            again: None,
        })
    }
}

impl Providers {
    fn verdict(&self, standing: &Standing) -> Verdict {
        let fault = standing.faults.first();
        let why = fault.map(|fault| format!("{}; {}", fault.message, fault.remedy));
        let Some(provider) = standing.in_force.as_ref().filter(|_| standing.is_current) else {
            let reason = fault.map_or("NotAccepted", |fault| fault.reason());
            let mut message = why.unwrap_or_else(|| "nobody of it is let in".to_owned());
            if standing.in_force.is_some() {
                message.push_str(". The version that was accepted last stays in force");
            }
            return Verdict::unready(reason, message);
        };
        let now = self.clock.now();
        let mut anchors = provider.anchors().iter();
        if let (Some(why), true) = (&why, anchors.all(|anchor| anchor.not_after() < now)) {
            return Verdict::unready("AuthorityExpired", why.clone());
        }
        let mut message = format!(
            "who shows a certificate of it is a user whose name begins with `{}`",
            provider.prefix()
        );
        if let Some(why) = why {
            message.push_str(". But ");
            message.push_str(&why);
        }
        if let Some((first, reason)) = standing.contested.first() {
            message.push_str(". Contested: ");
            message.push_str(&first.to_string());
            let others = standing.contested.len().saturating_sub(1);
            if others > 0 {
                message.push_str(&format!(" and {others} others"));
            }
            message.push_str(&format!(
                " asked for what this one holds, and was refused ({reason})"
            ));
        }
        Verdict::ready("Accepted", message)
    }
}

fn status(object: &TrustedIdentityProvider, standing: &Standing) -> TrustedIdentityProviderStatus {
    let before = object.status.as_ref();
    let shown = standing.wished.as_ref().or(standing.in_force.as_ref());
    let anchors = || shown.into_iter().flat_map(|provider| provider.anchors());
    let refers = object.spec.certificate_authority_data.is_none() && shown.is_some();
    let accepted = match (&standing.in_force, &standing.wished) {
        (Some(provider), _) => Some(claim(provider)),
        // Somebody else has what it wants.
        (None, Some(_)) => None,
        // What it wants cannot be told for the moment.
        (None, None) => before.and_then(|before| before.accepted.clone()),
    };
    TrustedIdentityProviderStatus {
        conditions: Vec::new(),
        certificate_authorities: anchors().map(told).collect(),
        accepted,
        certificate_authority_data: refers.then(|| {
            let text: String = anchors()
                .map(|anchor| pem::encode("CERTIFICATE", anchor.der()))
                .collect();
            STANDARD.encode(text)
        }),
    }
}

fn claim(provider: &Provider) -> Claim {
    let anchors = provider.anchors().iter();
    let mut fingerprints: Vec<String> = anchors
        .map(|anchor| anchor.fingerprint().to_string())
        .collect();
    fingerprints.sort_unstable();
    Claim {
        prefix: provider.prefix().to_string(),
        fingerprints,
        digest: provider.object_digest().to_string(),
    }
}
