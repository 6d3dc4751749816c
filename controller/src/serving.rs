//! The exit's certificate: in its Secret, which the agent mounts, for the names that callers ask for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gangplank_pki::clock::Clock;
use gangplank_pki::issue::{Held, Kind, Request};
use gangplank_pki::{EntranceDomain, TrustAnchor, TunnelName};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use kube::{Api, Client};

use crate::authority::{
    AUTHORITIES, Authority, CERTIFICATE, KEY, SUCCESSOR, Succession, bundle, bytes,
};
use crate::made::{Found, Maker};
use crate::trouble::Trouble;

/// Keeps the exit's certificate.
pub(crate) struct Serving {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) secret_name: String,
    pub(crate) authority: Arc<Authority>,
    /// The names that callers ask for.
    pub(crate) names: Vec<String>,
    /// How long a certificate lives.
    pub(crate) lifetime: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The entrance of a cluster, and the one that Admiralty's kubeconfigs name.
pub(crate) fn names(domain: &EntranceDomain, tunnel: &TunnelName) -> Vec<String> {
    let entrance = domain.entrance_of(tunnel);
    let prefixed = format!("kube-mtls-proxy.{entrance}");
    vec![entrance, prefixed]
}

impl Serving {
    /// Makes the certificate, or the next one when it is due.
    ///
    /// # Errors
    /// When the Secret cannot be read or written, or is somebody else's.
    pub(crate) async fn keep(&self, succession: &Succession) -> Result<Held, Trouble> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let maker = Maker::installation(&self.namespace);
        let request = Request {
            kind: Kind::Exit {
                dns_names: self.names.clone(),
            },
            lifetime: self.lifetime,
            now: self.clock.now(),
        };
        let there = api.get_opt(&self.secret_name).await?;
        let ours = there.as_ref().filter(|secret| maker.made(*secret));
        let (held, mut data) = match ours.and_then(|secret| good(secret, &request, succession)) {
            Some(good) => good,
            None => issue(&request, succession)?,
        };
        let published = succession.published();
        let published = published.iter().map(TrustAnchor::der);
        data.extend([
            bytes(AUTHORITIES, bundle(published)),
            bytes(SUCCESSOR, bundle(succession.proofs.iter())),
        ]);
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some(self.secret_name.clone()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(data),
            ..Secret::default()
        };
        maker.mark(&mut secret, false);
        match maker.keep(&api, secret).await? {
            Found::Foreign => Err(Trouble::Spoilt {
                what: format!("Secret {}/{}", self.namespace, self.secret_name),
                why: "it is somebody else's".to_owned(),
                remedy: "delete it, or name another one in `serving.certificateSecret`",
            }),
            Found::Written => {
                let fingerprint = held.fingerprint();
                tracing::info!(secret = self.secret_name, %fingerprint, "the exit's certificate was written");
                Ok(held)
            }
            Found::Same => Ok(held),
        }
    }
}

type Entries = BTreeMap<String, ByteString>;

/// What the Secret holds, if it is what would be issued now and not due yet.
fn good(secret: &Secret, request: &Request, succession: &Succession) -> Option<(Held, Entries)> {
    let data = secret.data.as_ref()?;
    let held = Held::parse(&data.get(CERTIFICATE)?.0, &data.get(KEY)?.0).ok()?;
    if held.due() <= request.now || !held.satisfies(request, &succession.published()) {
        return None;
    }
    let kept = [CERTIFICATE, KEY]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), data.get(key)?.clone())));
    Some((held, kept.collect()))
}

fn issue(request: &Request, succession: &Succession) -> Result<(Held, Entries), Trouble> {
    let issued = succession.current.issue(request)?;
    let held = Held::parse(issued.cert_pem.as_bytes(), issued.key_pem.as_bytes())?;
    let entries = [
        bytes(CERTIFICATE, issued.cert_pem),
        bytes(KEY, issued.key_pem),
    ];
    Ok((held, entries.into()))
}
