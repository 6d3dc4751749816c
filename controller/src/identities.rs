//! `Identity`: its certificate is in its Secret, and is replaced with two thirds of its life behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gangplank_objects::condition::Verdict;
use gangplank_objects::{Identity, IdentityStatus};
use gangplank_pki::TrustAnchor;
use gangplank_pki::clock::Clock;
use gangplank_pki::issue::{Held, Kind, Request};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::ObjectMeta;
use kube::{Api, Client, ResourceExt};
use rustls_pki_types::UnixTime;

use crate::authority::{AUTHORITIES, Authority, CERTIFICATE, KEY, Succession, bundle, bytes};
use crate::drive::{Keeper, Outcome};
use crate::made::{Found, Maker};
use crate::trouble::Trouble;

/// Keeps the certificates of identities.
pub(crate) struct Identities {
    pub(crate) client: Client,
    pub(crate) authority: Arc<Authority>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a certificate lives.
    pub(crate) lifetime: Duration,
    /// The SPIFFE trust domain of the installation, if it has one: then certificates carry the identity as a URI, too.
    pub(crate) trust_domain: Option<String>,
}

impl Keeper for Identities {
    type Kind = Identity;

    async fn make(&self, identity: &Identity) -> Result<Outcome<IdentityStatus>, Trouble> {
        let maker = Maker::of(identity);
        let namespace = identity.namespace().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        self.leave_former(&maker, &api, identity).await?;
        let common_name = common_name(&namespace, &identity.name_any());
        let authority = self.authority.current().await?;
        let wanted = self.wanted(&common_name);
        let there = api.get_opt(&identity.spec.secret_name).await?;
        let held = there
            .as_ref()
            .filter(|secret| maker.made(*secret))
            .and_then(|secret| Self::good(secret, &wanted, &authority));
        let (held, mut secret) = match held {
            Some(held) => held,
            None => Self::issue(&wanted, &authority)?,
        };
        secret.metadata = ObjectMeta {
            name: Some(identity.spec.secret_name.clone()),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        };
        maker.mark(&mut secret, true);
        let found = maker.keep(&api, secret).await?;
        Ok(self.outcome(identity, found, &common_name, &held))
    }

    async fn unmake(&self, identity: &Identity) -> Result<(), Trouble> {
        let maker = Maker::of(identity);
        let namespace = identity.namespace().unwrap_or_default();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        self.leave_former(&maker, &api, identity).await?;
        maker.remove(&api, &identity.spec.secret_name).await
    }
}

/// The common name that stands for an Identity.
pub(crate) fn common_name(namespace: &str, name: &str) -> String {
    format!("ns/{namespace}/id/{name}")
}

impl Identities {
    /// Removes the Secret that was written before another one was named.
    async fn leave_former(
        &self,
        maker: &Maker,
        api: &Api<Secret>,
        identity: &Identity,
    ) -> Result<(), Trouble> {
        let former = identity
            .status
            .as_ref()
            .and_then(|status| status.secret_name.as_deref());
        match former {
            Some(former) if former != identity.spec.secret_name => maker.remove(api, former).await,
            _ => Ok(()),
        }
    }

    fn wanted(&self, common_name: &str) -> Request {
        let uri = self
            .trust_domain
            .as_ref()
            .map(|domain| format!("spiffe://{domain}/{common_name}"));
        Request {
            kind: Kind::Caller {
                common_name: common_name.to_owned(),
                uri,
            },
            lifetime: self.lifetime,
            now: self.clock.now(),
        }
    }

    /// What the Secret holds, if it is what would be issued now and not due yet. A certificate of an authority that
    /// signs no more stays until it is due: the authority is published longer than that.
    fn good(secret: &Secret, wanted: &Request, authority: &Succession) -> Option<(Held, Secret)> {
        let data = secret.data.as_ref()?;
        let held = Held::parse(&data.get(CERTIFICATE)?.0, &data.get(KEY)?.0).ok()?;
        if held.due() <= wanted.now || !held.satisfies(wanted, &authority.published()) {
            return None;
        }
        let kept = [CERTIFICATE, KEY]
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), data.get(key)?.clone())));
        Some((held, tls(kept.collect(), authority)))
    }

    fn issue(wanted: &Request, authority: &Succession) -> Result<(Held, Secret), Trouble> {
        let issued = authority.current.issue(wanted)?;
        let held = Held::parse(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes())?;
        let entries = [
            bytes(CERTIFICATE, issued.cert_pem),
            bytes(KEY, issued.key_pem),
        ];
        Ok((held, tls(entries.into(), authority)))
    }

    fn outcome(
        &self,
        identity: &Identity,
        found: Found,
        common_name: &str,
        held: &Held,
    ) -> Outcome<IdentityStatus> {
        let secret_name = &identity.spec.secret_name;
        if found == Found::Foreign {
            let message = format!(
                "Secret {secret_name} is there and was not made for this object; delete it, or name another one in secretName"
            );
            return Outcome {
                verdict: Verdict::unready("SecretTaken", message),
                status: IdentityStatus::default(),
                again: None,
            };
        }
        let (renewal, now) = (held.due(), self.clock.now());
        Outcome {
            verdict: Verdict::ready("Issued", format!("{common_name} in Secret {secret_name}")),
            status: IdentityStatus {
                common_name: Some(common_name.to_owned()),
                not_after: time(held.not_after()),
                renewal_time: time(renewal),
                fingerprint: Some(held.fingerprint().to_string()),
                secret_name: Some(secret_name.clone()),
                ..IdentityStatus::default()
            },
            again: Some(Duration::from_secs(
                renewal.as_secs().saturating_sub(now.as_secs()).max(1),
            )),
        }
    }
}

/// A Secret of a certificate, with all the authorities that are published.
fn tls(mut entries: BTreeMap<String, ByteString>, authority: &Succession) -> Secret {
    let published = authority.published();
    let published = bundle(published.iter().map(TrustAnchor::der));
    entries.extend([bytes(AUTHORITIES, published)]);
    Secret {
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(entries),
        ..Secret::default()
    }
}

/// A moment as Kubernetes writes it.
pub(crate) fn time(moment: UnixTime) -> Option<Time> {
    let seconds = i64::try_from(moment.as_secs()).ok()?;
    Timestamp::from_second(seconds).ok().map(Time)
}
