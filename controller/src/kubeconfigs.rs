//! `Kubeconfig`: its Secret holds a kubeconfig that is up to date, or the last one that was.

use std::sync::Arc;

use gangplank_objects::condition::Verdict;
use gangplank_objects::{Identity, IdentitySpec, Kubeconfig, KubeconfigStatus};
use gangplank_pki::issue::Held;
use gangplank_pki::pem;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PartialObjectMeta, PostParams};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Client, ResourceExt};

use crate::authority::{CERTIFICATE, KEY};
use crate::drive::{Keeper, Outcome};
use crate::identities::time;
use crate::known::{Believed, KnownClusters, anchors, told};
use crate::layout::Access;
use crate::made::{Found, Maker};
use crate::trouble::Trouble;

/// The Identity that callers are who name none.
const DEFAULT_IDENTITY: &str = "default";

/// The Secret of a default Identity that is made here.
const DEFAULT_SECRET: &str = "default-identity-certificate";

/// Keeps kubeconfigs.
pub(crate) struct Kubeconfigs {
    pub(crate) client: Client,
    pub(crate) known: KnownClusters,
    pub(crate) identities: Store<Identity>,
}

impl Keeper for Kubeconfigs {
    type Kind = Kubeconfig;

    async fn make(&self, kubeconfig: &Kubeconfig) -> Result<Outcome<KubeconfigStatus>, Trouble> {
        let maker = Maker::of(kubeconfig);
        let namespace = kubeconfig.namespace().unwrap_or_default();
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        self.leave_former(&maker, &secrets, kubeconfig).await?;
        let secret_name = self.certificate_secret(kubeconfig, &namespace).await?;
        let cluster = match self.cluster(kubeconfig) {
            Ok(cluster) => cluster,
            Err(verdict) => return Ok(kept(kubeconfig, verdict)),
        };
        let certificate = secrets.get_opt(&secret_name).await?;
        let (access, held) = match access(kubeconfig, &cluster, &secret_name, certificate.as_ref())
        {
            Ok(whole) => whole,
            Err(verdict) => return Ok(kept(kubeconfig, verdict)),
        };
        let spec = &kubeconfig.spec;
        let laid = access.laid(
            spec.layout.unwrap_or_default(),
            spec.credential.unwrap_or_default(),
        );
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some(spec.secret_name.clone()),
                namespace: Some(namespace),
                labels: Some(laid.labels),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            data: Some(laid.entries),
            ..Secret::default()
        };
        maker.mark(&mut secret, true);
        if maker.keep(&secrets, secret).await? == Found::Foreign {
            return Ok(kept(kubeconfig, taken(&spec.secret_name)));
        }
        Ok(Outcome {
            verdict: Verdict::ready("Written", format!("in Secret {}", spec.secret_name)),
            status: KubeconfigStatus {
                server: cluster.server,
                certificate_authorities: cluster.told,
                not_after: time(held.not_after()),
                secret_name: Some(spec.secret_name.clone()),
                ..KubeconfigStatus::default()
            },
            again: None,
        })
    }

    async fn unmake(&self, kubeconfig: &Kubeconfig) -> Result<(), Trouble> {
        let maker = Maker::of(kubeconfig);
        let namespace = kubeconfig.namespace().unwrap_or_default();
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        self.leave_former(&maker, &secrets, kubeconfig).await?;
        maker.remove(&secrets, &kubeconfig.spec.secret_name).await
    }
}

impl Kubeconfigs {
    /// Removes the Secret that was written before another one was named.
    async fn leave_former(
        &self,
        maker: &Maker,
        secrets: &Api<Secret>,
        kubeconfig: &Kubeconfig,
    ) -> Result<(), Trouble> {
        let status = kubeconfig.status.as_ref();
        match status.and_then(|status| status.secret_name.as_deref()) {
            Some(former) if former != kubeconfig.spec.secret_name => {
                maker.remove(secrets, former).await
            }
            _ => Ok(()),
        }
    }

    /// The Secret of the caller's certificate. A default Identity is made where one is needed and there is none.
    async fn certificate_secret(
        &self,
        kubeconfig: &Kubeconfig,
        namespace: &str,
    ) -> Result<String, Trouble> {
        if let Some(user) = &kubeconfig.spec.user {
            return Ok(user.certificate_secret_name.clone());
        }
        let known = ObjectRef::new(DEFAULT_IDENTITY).within(namespace);
        if let Some(identity) = self.identities.get(&known) {
            return Ok(identity.spec.secret_name.clone());
        }
        let spec = IdentitySpec {
            secret_name: DEFAULT_SECRET.to_owned(),
        };
        let identity = Identity::new(DEFAULT_IDENTITY, spec);
        let api: Api<Identity> = Api::namespaced(self.client.clone(), namespace);
        match api.create(&PostParams::default(), &identity).await {
            Ok(_created) => Ok(DEFAULT_SECRET.to_owned()),
            // Somebody made one of their own meanwhile: theirs counts.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                Ok(api.get(DEFAULT_IDENTITY).await?.spec.secret_name)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Where the other cluster is, and whom its server's certificate must come from.
    fn cluster(&self, kubeconfig: &Kubeconfig) -> Result<Believed, Verdict> {
        let cluster = &kubeconfig.spec.cluster;
        if let Some(reference) = &cluster.admiralty_reference {
            let believed = self.known.serving(reference)?;
            if believed.server.is_none() {
                let message =
                    "the cluster is known, but not where it is: give its KnownCluster a server";
                return Err(Verdict::unready("ServerUnknown", message));
            }
            return Ok(believed);
        }
        let incomplete = || {
            let message =
                "spec.cluster: give an admiraltyReference, or server and certificateAuthorityData";
            Verdict::unready("ClusterIncomplete", message)
        };
        let (server, data) = cluster
            .server
            .as_ref()
            .zip(cluster.certificate_authority_data.as_ref())
            .ok_or_else(incomplete)?;
        let anchors = anchors(data).map_err(|why| {
            Verdict::unready("BadCertificateAuthority", format!("spec.cluster: {why}"))
        })?;
        Ok(Believed {
            server: Some(server.clone()),
            authorities: anchors
                .iter()
                .map(|anchor| pem::encode("CERTIFICATE", anchor.der()))
                .collect(),
            told: anchors.iter().map(told).collect(),
        })
    }
}

/// All that the kubeconfig is made of, or what is missing.
fn access(
    kubeconfig: &Kubeconfig,
    cluster: &Believed,
    secret_name: &str,
    secret: Option<&Secret>,
) -> Result<(Access, Held), Verdict> {
    let missing = |why: &str| {
        Verdict::unready(
            "CertificateNotReady",
            format!("Secret {secret_name} of the client certificate {why}"),
        )
    };
    let secret = secret.ok_or_else(|| missing("is not there yet"))?;
    let text = |key: &str| {
        let data = secret.data.as_ref().and_then(|data| data.get(key));
        let bytes = data.ok_or_else(|| missing(&format!("has no `{key}`")))?;
        String::from_utf8(bytes.0.clone())
            .map_err(|_bytes| missing(&format!("holds no PEM in `{key}`")))
    };
    let (certificate, key) = (text(CERTIFICATE)?, text(KEY)?);
    let held = Held::parse(certificate.as_bytes(), key.as_bytes())
        .map_err(|fault| missing(&format!("cannot be used: {fault}")))?;
    let access = Access {
        name: kubeconfig.name_any(),
        namespace: kubeconfig.namespace().unwrap_or_default(),
        server: cluster.server.clone().unwrap_or_default(),
        authorities: cluster.authorities.clone(),
        certificate,
        key,
        mounted: kubeconfig.spec.mount_path.clone(),
    };
    Ok((access, held))
}

/// The last good Secret stays as it is.
fn kept(kubeconfig: &Kubeconfig, verdict: Verdict) -> Outcome<KubeconfigStatus> {
    Outcome {
        verdict,
        status: kubeconfig.status.clone().unwrap_or_default(),
        again: None,
    }
}

fn taken(secret_name: &str) -> Verdict {
    let message = format!(
        "Secret {secret_name} is there and was not made for this object; delete it, or name another one in secretName"
    );
    Verdict::unready("SecretTaken", message)
}

/// The Kubeconfigs that are made with the Secret `certificate`.
pub(crate) fn made_with(
    kubeconfigs: &Store<Kubeconfig>,
    identities: &Store<Identity>,
    certificate: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<Kubeconfig>> {
    let (namespace, name) = (certificate.namespace(), certificate.name_any());
    let namespace = namespace.as_deref().unwrap_or_default();
    let of_default = identities
        .get(&ObjectRef::new(DEFAULT_IDENTITY).within(namespace))
        .map(|identity| identity.spec.secret_name.clone());
    let uses = |kubeconfig: &Arc<Kubeconfig>| {
        let named = kubeconfig.spec.user.as_ref();
        let named = named.map(|user| &user.certificate_secret_name);
        kubeconfig.namespace().as_deref() == Some(namespace)
            && named.or(of_default.as_ref()) == Some(&name)
    };
    let state = kubeconfigs.state();
    let used = state.iter().filter(|kubeconfig| uses(kubeconfig));
    used.map(|kubeconfig| ObjectRef::from_obj(&**kubeconfig))
        .collect()
}
