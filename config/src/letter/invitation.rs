//! The invitation: who the cluster is that may be called, and what is offered there.

use gangplank_pki::{TrustAnchor, TunnelName};
use serde::{Deserialize, Serialize};

use super::field::{self, FieldFault};
use super::{INVITATION, LetterFault};

/// Says where a cluster's API is, whose certificate is shown there, and what is offered.
#[derive(Clone, Debug)]
pub struct Invitation {
    cluster: TunnelName,
    server: String,
    authorities: Vec<TrustAnchor>,
    offer: Offer,
}

/// What somebody may do, if the cluster's administrator lets them: some roles in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offer {
    namespace: String,
    roles: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenInvitation {
    gangplank: String,
    cluster: String,
    server: String,
    certificates: Vec<String>,
    offer: Offer,
}

impl Offer {
    /// These ClusterRoles in that namespace.
    ///
    /// # Errors
    /// When a name is none, or there are no roles, or too many.
    pub fn new(namespace: &str, roles: &[String]) -> Result<Self, FieldFault> {
        Ok(Self {
            namespace: field::namespace(namespace)?,
            roles: field::roles(roles)?,
        })
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The ClusterRoles, sorted.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }
}

impl Invitation {
    /// An invitation of `cluster`, whose API is at `server` with a certificate of one of `authorities`.
    ///
    /// # Errors
    /// When the server is no address, or there are no authorities, or too many.
    pub fn new(
        cluster: TunnelName,
        server: &str,
        authorities: Vec<TrustAnchor>,
        offer: Offer,
    ) -> Result<Self, FieldFault> {
        Ok(Self {
            cluster,
            server: field::server(server)?,
            authorities: field::checked(authorities)?,
            offer,
        })
    }

    /// Which cluster it is.
    pub fn cluster(&self) -> &TunnelName {
        &self.cluster
    }

    /// Where its API is reached.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Who signs the certificate of its exit.
    pub fn authorities(&self) -> &[TrustAnchor] {
        &self.authorities
    }

    /// What is offered.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }
}

impl From<&Invitation> for WrittenInvitation {
    fn from(invitation: &Invitation) -> Self {
        Self {
            gangplank: INVITATION.to_owned(),
            cluster: invitation.cluster.to_string(),
            server: invitation.server.clone(),
            certificates: field::encoded(&invitation.authorities),
            offer: invitation.offer.clone(),
        }
    }
}

impl TryFrom<WrittenInvitation> for Invitation {
    type Error = LetterFault;

    fn try_from(written: WrittenInvitation) -> Result<Self, LetterFault> {
        let offer = Offer::new(&written.offer.namespace, &written.offer.roles)?;
        Ok(Self::new(
            field::cluster("cluster", &written.cluster)?,
            &written.server,
            field::authorities(&written.certificates)?,
            offer,
        )?)
    }
}
