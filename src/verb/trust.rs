//! `gangplank trust`: pins by hand, in a cluster or as files of a trust directory.

mod folder;

use std::path::Path;

use anyhow::anyhow;
use gangplank_config::letter;
use gangplank_objects::known_cluster::Pin;
use gangplank_objects::parting::list as list_objects;
use gangplank_objects::pinning::{Purpose, is_of};
use gangplank_objects::place::pin_by_hand;
use gangplank_objects::{KnownCluster, KnownClusterSpec};
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::{Fingerprint, TunnelName};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use kube::{Api, Client};
use serde::Serialize;

use self::folder::Folder;
use crate::cli::{PinPlace, TrustAddArguments, TrustListArguments, TrustRemoveArguments};
use crate::failure::{Failure, Outcome};
use crate::output::{columns, print, show};
use crate::verb::reach::{authorities_in, installation, on_runtime, running};
use crate::verb::status::span;
use crate::verb::token;

/// Adds pins to what is known of a cluster.
pub(crate) fn add(arguments: &TrustAddArguments) -> Outcome {
    let cluster = token::cluster(&arguments.cluster)?;
    let server = arguments.server.as_deref().map(letter::server).transpose();
    let added = KnownClusterSpec {
        account_name: cluster.account().to_owned(),
        cluster_name: cluster.cluster().to_owned(),
        server: server.map_err(|fault| Failure::Usage(fault.to_string()))?,
        identity: pin(&arguments.identity, arguments.identity_authority.as_deref())?,
        serving: pin(&arguments.serving, arguments.serving_authority.as_deref())?,
    };
    if added.identity.is_none() && added.serving.is_none() {
        return Err(Failure::Usage(
            "nothing to pin: give the authority of the cluster's identities (--identity, --identity-authority), of its exit \
             (--serving, --serving-authority), or both"
                .to_owned(),
        ));
    }
    match &arguments.place.directory {
        Some(directory) => Folder::open(directory)?.add(&cluster, added)?,
        None => on_runtime(add_to_cluster(&arguments.place, &cluster, added))?,
    }
    print(&format!(
        "{cluster} is known; references to it lead to what is pinned"
    ))
}

/// The pin of these fingerprints, with the certificates of a file if there is one.
fn pin(written: &[String], file: Option<&Path>) -> Result<Option<Pin>, Failure> {
    let mut fingerprints = Vec::new();
    for written in written {
        let fingerprint: Fingerprint = written
            .parse()
            .map_err(|fault| Failure::Usage(format!("{written:?}: {fault}")))?;
        fingerprints.push(fingerprint.to_string());
    }
    let Some(file) = file else {
        return Ok((!fingerprints.is_empty()).then_some(Pin {
            fingerprints,
            certificate_authority_data: None,
        }));
    };
    let pin = Pin::of(&authorities_in(file)?);
    let strangers = |one: &[String], other: &[String]| one.iter().any(|f| !other.contains(f));
    if !fingerprints.is_empty()
        && (strangers(&fingerprints, &pin.fingerprints)
            || strangers(&pin.fingerprints, &fingerprints))
    {
        return Err(Failure::Usage(format!(
            "{} holds {}, and not exactly what the given fingerprints say; nothing was changed",
            file.display(),
            pin.fingerprints.join(", ")
        )));
    }
    Ok(Some(pin))
}

async fn add_to_cluster(
    place: &PinPlace,
    cluster: &TunnelName,
    added: KnownClusterSpec,
) -> Outcome {
    let client = installation(&place.access)?.client;
    let known = known(&client, cluster).await?;
    if let [_, _, ..] = known.as_slice() {
        return Err(Failure::Running(anyhow!(
            "there are several KnownClusters for {cluster}; keep one of them"
        )));
    }
    pin_by_hand(&client, known.first(), cluster, added)
        .await
        .map_err(running)?;
    Ok(())
}

/// What the cluster of `client` knows of `cluster`.
async fn known(client: &Client, cluster: &TunnelName) -> Result<Vec<KnownCluster>, Failure> {
    let mut known: Vec<KnownCluster> = list_objects(client).await.map_err(running)?;
    known.retain(|known| is_of(known, cluster));
    Ok(known)
}

/// What is known of a cluster, with its age in seconds.
type Aged = (Option<u64>, KnownCluster);

/// A pin, for programs and people.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    account: String,
    cluster: String,
    purpose: &'static str,
    fingerprints: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
}

/// Lists pins.
pub(crate) fn list(arguments: &TrustListArguments) -> Outcome {
    let known = match &arguments.place.directory {
        Some(directory) => Folder::open(directory)?.known()?,
        None => on_runtime(known_in_cluster(&arguments.place))?,
    };
    let mut shown: Vec<Shown> = known
        .iter()
        .flat_map(|(age, known)| shown(*age, known))
        .collect();
    shown.sort_by(|one, other| (&one.account, &one.cluster).cmp(&(&other.account, &other.cluster)));
    show(&shown, arguments.output, |shown| table(shown))
}

async fn known_in_cluster(place: &PinPlace) -> Result<Vec<Aged>, Failure> {
    let client = installation(&place.access)?.client;
    let known: Vec<KnownCluster> = list_objects(&client).await.map_err(running)?;
    Ok(known
        .into_iter()
        .map(|known| (age(&known), known))
        .collect())
}

/// How old an object is, in seconds.
fn age(known: &KnownCluster) -> Option<u64> {
    let created = known.creation_timestamp()?.0.as_second();
    let created = u64::try_from(created).ok()?;
    Some(SystemClock.now().as_secs().saturating_sub(created))
}

fn shown(age_seconds: Option<u64>, known: &KnownCluster) -> Vec<Shown> {
    let spec = &known.spec;
    let pins = [Purpose::Identity, Purpose::Serving].into_iter();
    let pins = pins.filter_map(|purpose| {
        let pin = purpose.of(spec)?;
        Some(Shown {
            account: spec.account_name.clone(),
            cluster: spec.cluster_name.clone(),
            purpose: purpose.field(),
            fingerprints: pin.fingerprints.clone(),
            server: spec.server.clone(),
            age_seconds,
        })
    });
    pins.collect()
}

fn table(pins: &[Shown]) -> String {
    if pins.is_empty() {
        return "no cluster is known".to_owned();
    }
    let titles = ["ACCOUNT", "CLUSTER", "PINNED", "AGE", "FINGERPRINT"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    rows.extend(pins.iter().flat_map(|pin| {
        pin.fingerprints.iter().map(|fingerprint| {
            vec![
                pin.account.clone(),
                pin.cluster.clone(),
                pin.purpose.to_owned(),
                pin.age_seconds.map_or_else(|| "-".to_owned(), span),
                fingerprint.clone(),
            ]
        })
    }));
    columns(&rows)
}

/// Forgets what is pinned of a cluster.
pub(crate) fn remove(arguments: &TrustRemoveArguments) -> Outcome {
    let cluster = token::cluster(&arguments.cluster)?;
    let removed = match &arguments.place.directory {
        Some(directory) => Folder::open(directory)?.remove(&cluster)?,
        None => on_runtime(remove_from_cluster(&arguments.place, &cluster))?,
    };
    if removed.is_empty() {
        return Err(Failure::Usage(format!(
            "nothing is known of {cluster}: `gangplank trust list` shows which clusters are"
        )));
    }
    print(&format!(
        "removed {}: references to {cluster} lead nowhere now",
        removed.join(", ")
    ))
}

async fn remove_from_cluster(
    place: &PinPlace,
    cluster: &TunnelName,
) -> Result<Vec<String>, Failure> {
    let client = installation(&place.access)?.client;
    let api: Api<KnownCluster> = Api::all(client.clone());
    let mut removed = Vec::new();
    for known in known(&client, cluster).await? {
        let name = known.name_any();
        let exactly = DeleteParams::default().preconditions(kube::api::Preconditions {
            uid: known.uid(),
            resource_version: None,
        });
        api.delete(&name, &exactly).await.map_err(running)?;
        removed.push(format!("knowncluster.gangplank.dev/{name}"));
    }
    Ok(removed)
}
