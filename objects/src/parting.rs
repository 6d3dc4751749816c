//! Parting from another cluster: what `gangplank accept` made for it goes, and nothing else.
//!
//! What grants goes first. What several namespaces share, the pin and the provider, goes with the last of them.

use std::fmt::Debug;
use std::time::Duration;

use gangplank_pki::TunnelName;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::ApiResource;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::halves::refers_to;
use crate::manifest::told;
use crate::pinning::{Purpose, is_of};
use crate::place::{MANAGER, PlaceFault, is_marked};
use crate::{KnownCluster, Kubeconfig, Source, TrustedIdentityProvider};

/// From whom, and where.
#[derive(Clone, Debug)]
pub struct Parting {
    /// The other cluster.
    pub cluster: TunnelName,
    /// One namespace of this cluster; all of them if there is none.
    pub namespace: Option<String>,
    /// This cluster's own account, which is meant where a reference names none.
    pub own_account: Option<String>,
}

/// An object, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// As kubectl calls it.
    pub object: String,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parted {
    /// What is deleted.
    pub deleted: Vec<Named>,
    /// What was changed and stays, with what was taken from it.
    pub reduced: Vec<(Named, &'static str)>,
    /// What has to do with that cluster and is still there, with the reason.
    pub left: Vec<(Named, &'static str)>,
}

/// Everything that may have to do with the other cluster.
struct Found {
    sources: Vec<Source>,
    kubeconfigs: Vec<Kubeconfig>,
    providers: Vec<TrustedIdentityProvider>,
    known: Vec<KnownCluster>,
}

const NOT_OURS: &str = "not made by `gangplank accept`";
const STILL_USED: &str = "still used by other namespaces";

impl Parting {
    /// Deletes what was made.
    ///
    /// # Errors
    /// When the API server does not tell what there is, or does not do it.
    pub async fn bring_about(&self, client: &Client) -> Result<Parted, PlaceFault> {
        let found = self.find(client).await?;
        let mut parted = Parted::default();
        let (sources, sources_left) = self.divide(&found.sources);
        let (kubeconfigs, kubeconfigs_left) = self.divide(&found.kubeconfigs);
        for source in sources {
            remove(client, source, &mut parted).await?;
        }
        for kubeconfig in kubeconfigs {
            remove(client, kubeconfig, &mut parted).await?;
        }
        for provider in &found.providers {
            if !is_marked(provider, &self.cluster) {
                continue;
            }
            if sources_left {
                parted.left.push((Named::of(provider), STILL_USED));
            } else {
                remove(client, provider, &mut parted).await?;
            }
        }
        for known in &found.known {
            if is_marked(known, &self.cluster) {
                let stays = (sources_left, kubeconfigs_left);
                reduce(client, known, stays, &mut parted).await?;
            }
        }
        self.tell_of_others(&found, &mut parted);
        Ok(parted)
    }

    /// Those made for the cluster that are to go, and whether any stay.
    fn divide<'f, O: Resource>(&self, found: &'f [O]) -> (Vec<&'f O>, bool) {
        let ours = found
            .iter()
            .filter(|object| is_marked(*object, &self.cluster));
        let (go, stay): (Vec<_>, Vec<_>) = ours.partition(|object| match &self.namespace {
            None => true,
            Some(namespace) => object.namespace().as_ref() == Some(namespace),
        });
        (go, !stay.is_empty())
    }

    /// What others have made and means that cluster.
    fn tell_of_others(&self, found: &Found, parted: &mut Parted) {
        let own = self.own_account.as_deref();
        let means = |reference| refers_to(reference, &self.cluster, own);
        let mut others = Vec::new();
        for known in &found.known {
            if is_of(known, &self.cluster) && !is_marked(known, &self.cluster) {
                others.push(Named::of(known));
            }
        }
        let mut prefixes = vec![format!("spiffe://{}/", self.cluster)];
        for provider in &found.providers {
            if provider
                .spec
                .admiralty_reference
                .as_ref()
                .is_some_and(means)
            {
                prefixes.push(provider.spec.prefix.clone());
                if !is_marked(provider, &self.cluster) {
                    others.push(Named::of(provider));
                }
            }
        }
        for kubeconfig in &found.kubeconfigs {
            let reference = kubeconfig.spec.cluster.admiralty_reference.as_ref();
            if reference.is_some_and(means) && !is_marked(kubeconfig, &self.cluster) {
                others.push(Named::of(kubeconfig));
            }
        }
        for source in &found.sources {
            let user = source.spec.user_name.as_deref().unwrap_or_default();
            let named = prefixes.iter().any(|prefix| user.starts_with(prefix));
            if named && !is_marked(source, &self.cluster) {
                others.push(Named::of(source));
            }
        }
        let others = others.into_iter().map(|named| (named, NOT_OURS));
        parted.left.extend(others);
    }

    async fn find(&self, client: &Client) -> Result<Found, PlaceFault> {
        Ok(Found {
            sources: list(client).await?,
            kubeconfigs: list(client).await?,
            providers: list(client).await?,
            known: list(client).await?,
        })
    }
}

/// All objects of a kind, of all namespaces.
///
/// # Errors
/// When the API server does not tell.
pub async fn list<O>(client: &Client) -> Result<Vec<O>, PlaceFault>
where
    O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<O> = Api::all(client.clone());
    let mut tries = TRIES;
    loop {
        tries -= 1;
        match api.list(&ListParams::default()).await {
            Ok(list) => return Ok(list.items),
            // A kind that is not defined has no objects.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Vec::new()),
            Err(kube::Error::Api(status)) if status.code == 429 && tries > 0 => {
                sleep(PAUSE).await;
            }
            Err(fault) => return Err(PlaceFault::of(O::plural(&()).into_owned(), fault)),
        }
    }
}

/// An API server whose storage for a kind is being set up, or that is busy, asks to come again in a second (429); one that is
/// so for ten has trouble that a person should hear of.
const TRIES: u32 = 10;
/// See [`TRIES`].
const PAUSE: Duration = Duration::from_secs(1);

/// The pin of a purpose goes when nothing that was made needs it any more, and the object with the last one.
async fn reduce(
    client: &Client,
    known: &KnownCluster,
    (identity_stays, serving_stays): (bool, bool),
    parted: &mut Parted,
) -> Result<(), PlaceFault> {
    if !identity_stays && !serving_stays {
        return remove(client, known, parted).await;
    }
    let superfluous = match (identity_stays, serving_stays) {
        (false, _) if known.spec.identity.is_some() => Some(Purpose::Identity),
        (_, false) if known.spec.serving.is_some() => Some(Purpose::Serving),
        _ => None,
    };
    let Some(superfluous) = superfluous else {
        parted.left.push((Named::of(known), STILL_USED));
        return Ok(());
    };
    let name = known.name_any();
    let change = json!({
        "metadata": { "uid": known.uid() },
        "spec": { superfluous.field(): Value::Null },
    });
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let api: Api<KnownCluster> = Api::all(client.clone());
    let changed = api.patch(&name, &parameters, &Patch::Merge(&change)).await;
    changed.map_err(|fault| PlaceFault::of(Named::of(known).object, fault))?;
    parted.reduced.push((Named::of(known), superfluous.field()));
    Ok(())
}

/// Deletes exactly this object, not a successor of the same name.
async fn remove<O>(client: &Client, object: &O, parted: &mut Parted) -> Result<(), PlaceFault>
where
    O: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Sync,
{
    let named = Named::of(object);
    let resource = ApiResource::erase::<O>(&());
    let api: Api<kube::core::DynamicObject> = match &named.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let exactly = DeleteParams::default().preconditions(Preconditions {
        uid: object.uid(),
        resource_version: None,
    });
    match api.delete(&object.name_any(), &exactly).await {
        Ok(_deleted) => {
            parted.deleted.push(named);
            Ok(())
        }
        // It went meanwhile, or another one took its place.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        Err(fault) => Err(PlaceFault::of(named.object, fault)),
    }
}

impl Named {
    /// How `object` is named.
    pub fn of<O: Resource<DynamicType = ()>>(object: &O) -> Self {
        Self {
            object: told(&ApiResource::erase::<O>(&()), &object.name_any()),
            namespace: object.namespace(),
        }
    }
}
