//! The answer: who will call, and what had been offered to them.

use gangplank_pki::{TrustAnchor, TunnelName};
use serde::{Deserialize, Serialize};

use super::field::{self, FieldFault};
use super::{ANSWER, Invitation, LetterFault, Offer};

/// Says which identity of which cluster will call, and whose certificate it shows.
#[derive(Clone, Debug)]
pub struct Answer {
    cluster: TunnelName,
    authorities: Vec<TrustAnchor>,
    namespace: String,
    identity: String,
    inviter: TunnelName,
    offer: Offer,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenAnswer {
    gangplank: String,
    cluster: String,
    certificates: Vec<String>,
    namespace: String,
    identity: String,
    inviter: String,
    offer: Offer,
}

impl Answer {
    /// The answer of `cluster` to `invitation`: its Identity `identity` in `namespace` will call, with a certificate of
    /// one of `authorities`.
    ///
    /// # Errors
    /// When a name is none, or there are no authorities, or too many.
    pub fn to(
        invitation: &Invitation,
        cluster: TunnelName,
        authorities: Vec<TrustAnchor>,
        (namespace, identity): (&str, &str),
    ) -> Result<Self, FieldFault> {
        Ok(Self {
            cluster,
            authorities: field::checked(authorities)?,
            namespace: field::namespace(namespace)?,
            identity: field::object_name(identity)?,
            inviter: invitation.cluster().clone(),
            offer: invitation.offer().clone(),
        })
    }

    /// Which cluster it is.
    pub fn cluster(&self) -> &TunnelName {
        &self.cluster
    }

    /// Who signs the certificates of its identities.
    pub fn authorities(&self) -> &[TrustAnchor] {
        &self.authorities
    }

    /// The namespace of the Identity.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The Identity's name.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The common name that stands for the Identity; other clusters put their prefix before it.
    pub fn common_name(&self) -> String {
        format!("ns/{}/id/{}", self.namespace, self.identity)
    }

    /// Whose invitation is answered.
    pub fn inviter(&self) -> &TunnelName {
        &self.inviter
    }

    /// What that offered, as the answer has it: it is for the inviter to know what they offered.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }
}

impl From<&Answer> for WrittenAnswer {
    fn from(answer: &Answer) -> Self {
        Self {
            gangplank: ANSWER.to_owned(),
            cluster: answer.cluster.to_string(),
            certificates: field::encoded(&answer.authorities),
            namespace: answer.namespace.clone(),
            identity: answer.identity.clone(),
            inviter: answer.inviter.to_string(),
            offer: answer.offer.clone(),
        }
    }
}

impl TryFrom<WrittenAnswer> for Answer {
    type Error = LetterFault;

    fn try_from(written: WrittenAnswer) -> Result<Self, LetterFault> {
        Ok(Self {
            cluster: field::cluster("cluster", &written.cluster)?,
            authorities: field::authorities(&written.certificates)?,
            namespace: field::namespace(&written.namespace)?,
            identity: field::object_name(&written.identity)?,
            inviter: field::cluster("inviter", &written.inviter)?,
            offer: Offer::new(written.offer.namespace(), written.offer.roles())?,
        })
    }
}
