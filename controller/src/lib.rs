//! Kubernetes mode: what custom resources ask for is there, and stays there.
//!
//! Of an `Identity` it makes a Secret with a certificate ([`identities`]), of a `Source` bindings ([`sources`]).
//! What all kinds have in common, the way from a change to the status, is [`drive`]; how an object that was made is told
//! from somebody else's is [`made`].
//!
//! This process alone holds the authority's key and writes Secrets. It listens to nobody but the API server.

mod authority;
mod drive;
mod grant;
mod identities;
mod kind;
mod known;
mod kubeconfigs;
mod layout;
mod made;
mod name;
mod providers;
mod sources;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use gangplank_config::trust::AllowedPrefix;
use gangplank_config::{TrustObjects, TrustRules};
use gangplank_objects::follow::follow;
use gangplank_objects::{KnownCluster, Kubeconfig};
use gangplank_pki::clock::Clock;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use kube::core::PartialObjectMeta;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use grant::SourceRoles;
pub use trouble::Trouble;

use crate::authority::Authority;
use crate::drive::{Drive, makers};
use crate::identities::Identities;
use crate::known::KnownClusters;
use crate::kubeconfigs::{Kubeconfigs, made_with};
use crate::made::MANAGED_BY;
use crate::providers::Providers;
use crate::sources::{ClusterSources, Sources};

/// What the controller needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespace that Gangplank is installed in, where its authority is kept.
    pub namespace: String,
    /// The account that this cluster belongs to.
    pub account: String,
    /// This cluster's name within it.
    pub cluster: String,
    /// The Secret of the authority that signs identities.
    pub identity_authority: String,
    /// How long an identity's certificate lives.
    pub identity_lifetime: Duration,
    /// The SPIFFE trust domain, if identities carry a URI, too.
    pub trust_domain: Option<String>,
    /// The roles of sources; none where something else writes bindings.
    pub sources: Option<SourceRoles>,
    /// Which prefixes the providers of a namespace may have, as the exits are told. Empty: any.
    pub allowed_prefixes: Vec<AllowedPrefix>,
}

/// Works until `stop` is cancelled.
pub async fn run(
    client: Client,
    settings: Settings,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let reporter = Reporter {
        controller: "gangplank.dev/controller".to_owned(),
        instance: None,
    };
    let recorder = Recorder::new(client.clone(), reporter);
    let credentials = credentials(&client, &settings, &clock, &recorder, &stop);
    let sources = sources(&client, settings.sources.clone(), &recorder, &stop);
    // Boxed: all of them in one future are larger than a stack should hold.
    let providers = Box::pin(providers(&client, &settings, &clock, &recorder, &stop));
    tokio::join!(credentials, sources, providers);
}

/// Identities, and the kubeconfigs that are made with them.
async fn credentials(
    client: &Client,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    recorder: &Recorder,
    stop: &CancellationToken,
) {
    let (known, writer) = reflector::store();
    let follow_known = reflector(
        writer,
        watcher(Api::all(client.clone()), watcher::Config::default()),
    )
    .default_backoff()
    .for_each(|_event| std::future::ready(()));
    let identities = Drive::new(
        client.clone(),
        recorder.clone(),
        identities(client, settings, clock),
    );
    let identity_controller = identities.controller();
    let keeper = Kubeconfigs {
        client: client.clone(),
        known: KnownClusters {
            store: known,
            own_account: settings.account.clone(),
        },
        identities: identity_controller.store(),
    };
    let kubeconfigs = Drive::new(client.clone(), recorder.clone(), keeper);
    let kubeconfig_controller = kubeconfigs.controller();
    let (of_kubeconfigs, of_identities) =
        (kubeconfig_controller.store(), identity_controller.store());
    let identity_controller =
        identity_controller.watches(secrets(client), watcher::Config::default(), |secret| {
            makers(&secret)
        });
    let all = kubeconfig_controller.store();
    let kubeconfig_controller = kubeconfig_controller
        .watches(secrets(client), watcher::Config::default(), move |secret| {
            let with = made_with(&of_kubeconfigs, &of_identities, &secret);
            makers(&secret).into_iter().chain(with)
        })
        .watches(
            Api::<KnownCluster>::all(client.clone()),
            watcher::Config::default(),
            move |_known| refer(&all),
        );
    tokio::select! {
        () = follow_known => {}
        _ended = async { tokio::join!(
            identities.run(identity_controller, stop.clone()),
            kubeconfigs.run(kubeconfig_controller, stop.clone()),
        ) } => {}
    }
}

fn identities(client: &Client, settings: &Settings, clock: &Arc<dyn Clock>) -> Identities {
    let authority = Authority {
        client: client.clone(),
        namespace: settings.namespace.clone(),
        secret_name: settings.identity_authority.clone(),
        common_name: format!("{}.{} identities", settings.cluster, settings.account),
        clock: Arc::clone(clock),
    };
    Identities {
        client: client.clone(),
        authority,
        clock: Arc::clone(clock),
        lifetime: settings.identity_lifetime,
        trust_domain: settings.trust_domain.clone(),
    }
}

/// What is known of all Secrets without their content: whose they are, and that they changed.
fn secrets(client: &Client) -> Api<PartialObjectMeta<Secret>> {
    Api::all(client.clone())
}

/// The kubeconfigs that refer to a cluster by its names.
fn refer(kubeconfigs: &Store<Kubeconfig>) -> Vec<ObjectRef<Kubeconfig>> {
    let state = kubeconfigs.state();
    let referring = state
        .iter()
        .filter(|kubeconfig| kubeconfig.spec.cluster.admiralty_reference.is_some());
    referring
        .map(|kubeconfig| ObjectRef::from_obj(&**kubeconfig))
        .collect()
}

/// The statuses of providers, which are judged as exits judge them.
async fn providers(
    client: &Client,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    recorder: &Recorder,
    stop: &CancellationToken,
) {
    let rules = TrustRules {
        account: Some(settings.account.clone()),
        allowed_prefixes: settings.allowed_prefixes.clone(),
    };
    let (trust, watcher, feed) = TrustObjects::open(rules, Arc::clone(clock));
    let mut standings = trust.standings();
    let keeper = Providers {
        trust,
        clock: Arc::clone(clock),
    };
    let drive = Drive::new(client.clone(), recorder.clone(), keeper);
    // One place: a judgement that waits to be looked at already says everything.
    let (judged, mut judgements) = mpsc::channel(1);
    let controller = drive
        .controller()
        .reconcile_all_on(stream::poll_fn(move |context| {
            judgements.poll_recv(context)
        }));
    let tell = async {
        while standings.changed().await.is_ok() {
            if judged.send(()).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = follow(client.clone(), feed) => {}
        () = watcher.run(CancellationToken::new()) => {}
        () = tell => {}
        () = drive.run(controller, stop.clone()) => {}
    }
}

async fn sources(
    client: &Client,
    roles: Option<SourceRoles>,
    recorder: &Recorder,
    stop: &CancellationToken,
) {
    let Some(roles) = roles else {
        return;
    };
    let sources = || Sources {
        client: client.clone(),
        roles: roles.clone(),
    };
    let bindings = || Api::<RoleBinding>::all(client.clone());
    let whole = || Api::<ClusterRoleBinding>::all(client.clone());
    let drive = Drive::new(client.clone(), recorder.clone(), sources());
    let controller = drive
        .controller()
        .watches(bindings(), made(), |binding| makers(&binding))
        .watches(whole(), made(), |binding| makers(&binding));
    let of_cluster = Drive::new(client.clone(), recorder.clone(), ClusterSources(sources()));
    let cluster_controller = of_cluster
        .controller()
        .watches(bindings(), made(), |binding| makers(&binding))
        .watches(whole(), made(), |binding| makers(&binding));
    tokio::join!(
        drive.run(controller, stop.clone()),
        of_cluster.run(cluster_controller, stop.clone())
    );
}

/// What the controller has made.
fn made() -> watcher::Config {
    watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1))
}
