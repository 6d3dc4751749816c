//! Kubernetes mode: what custom resources ask for is there, and stays there.
//!
//! The installation's own authorities, and what its exit shows, are kept by `installation.rs`.
//! Of an `Identity` it makes a Secret with a certificate (`identities.rs`), of a `Source` bindings (`sources.rs`).
//! What all kinds have in common, the way from a change to the status, is `drive.rs`; how an object that was made is told
//! from somebody else's is `made.rs`.
//!
//! This process alone holds the authority's key and writes Secrets. It listens to nobody but the API server.

mod authority;
mod drive;
mod grant;
mod identities;
mod insight;
mod installation;
mod kind;
mod known;
mod kubeconfigs;
mod layout;
mod leader;
mod made;
mod name;
mod pause;
mod providers;
mod reach;
mod serving;
mod sources;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use gangplank_config::trust::AllowedPrefix;
use gangplank_config::{TrustObjects, TrustRules};
use gangplank_objects::follow::follow;
use gangplank_objects::{KnownCluster, Kubeconfig};
use gangplank_pki::clock::Clock;
use gangplank_pki::{EntranceDomain, TunnelName};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::{ClusterRoleBinding, RoleBinding};
use kube::core::PartialObjectMeta;
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use grant::SourceRoles;
pub use insight::{Count, Insight, Standing};
pub use leader::Leadership;
pub use trouble::Trouble;

use crate::authority::{Authority, Place, Rules};
use crate::drive::{Drive, Outfit, makers};
use crate::identities::Identities;
use crate::installation::Installation;
use crate::known::KnownClusters;
use crate::kubeconfigs::{Kubeconfigs, made_with};
use crate::leader::Replica;
use crate::made::MANAGED_BY;
use crate::providers::Providers;
use crate::serving::Serving;
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
    /// What the exit shows; none where its certificate comes from elsewhere.
    pub exit: Option<ExitSettings>,
    /// How long an authority lives.
    pub authority_lifetime: Duration,
    /// How long its successor is published before it signs.
    pub overlap: Duration,
    /// The SPIFFE trust domain, if identities carry a URI, too.
    pub trust_domain: Option<String>,
    /// The roles of sources; none where something else writes bindings.
    pub sources: Option<SourceRoles>,
    /// How it stands for election among its replicas; none where it is the only one.
    pub leadership: Option<Leadership>,
    /// Which prefixes the providers of a namespace may have, as the exits are told. Empty: any.
    pub allowed_prefixes: Vec<AllowedPrefix>,
}

/// What the exit shows.
#[derive(Clone, Debug)]
pub struct ExitSettings {
    /// The Secret of the authority that signs its certificate.
    pub authority: String,
    /// The Secret of the certificate.
    pub certificate: String,
    /// How long a certificate lives.
    pub lifetime: Duration,
    /// This cluster's tunnel.
    pub tunnel: TunnelName,
    /// The domain of the relay's entrances.
    pub domain: EntranceDomain,
}

/// Works until `stop` is cancelled, whenever it leads.
pub async fn run(
    client: Client,
    settings: Settings,
    clock: Arc<dyn Clock>,
    insight: Insight,
    stop: CancellationToken,
) {
    let client = reach::observed(&client, insight.clone());
    let work = |client: Client| {
        let reporter = Reporter {
            controller: "gangplank.dev/controller".to_owned(),
            instance: None,
        };
        let outfit = Outfit {
            recorder: Recorder::new(client.clone(), reporter),
            client,
            insight: insight.clone(),
            random: pause::random,
        };
        // On the heap: it is large, and there is one.
        Box::pin(work(outfit, &settings, &clock, &stop))
    };
    let Some(leadership) = &settings.leadership else {
        insight.stands(Standing::Alone);
        return work(client).await;
    };
    let replica = Replica::new(client, &settings.namespace, leadership, insight.clone());
    Box::pin(replica.lead(work, &stop)).await;
}

/// All that is kept.
async fn work(
    outfit: Outfit,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
    stop: &CancellationToken,
) {
    let of_identities = Arc::new(authority_of_identities(&outfit.client, settings, clock));
    let installation = Installation {
        outfit: outfit.clone(),
        namespace: settings.namespace.clone(),
        clock: Arc::clone(clock),
        identities: Arc::clone(&of_identities),
        serving: settings
            .exit
            .as_ref()
            .map(|exit| serving(&outfit.client, settings, exit, clock)),
    };
    let identities = Identities {
        client: outfit.client.clone(),
        authority: of_identities,
        clock: Arc::clone(clock),
        lifetime: settings.identity_lifetime,
        trust_domain: settings.trust_domain.clone(),
    };
    let credentials = credentials(&outfit, settings, identities, stop);
    let sources = sources(&outfit, settings.sources.clone(), stop);
    // Boxed: all of them in one future are larger than a stack should hold.
    let providers = Box::pin(providers(&outfit, settings, clock, stop));
    tokio::join!(installation.keep(stop), credentials, sources, providers);
}

fn authority_of_identities(
    client: &Client,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Authority {
    let place = Place {
        namespace: settings.namespace.clone(),
        secret_name: settings.identity_authority.clone(),
        rules: Rules {
            common_name: format!("{}.{} identities", settings.cluster, settings.account),
            lifetime: settings.authority_lifetime,
            overlap: settings.overlap,
            longest: settings.identity_lifetime,
        },
    };
    Authority::new(client.clone(), place, Arc::clone(clock))
}

fn serving(
    client: &Client,
    settings: &Settings,
    exit: &ExitSettings,
    clock: &Arc<dyn Clock>,
) -> Serving {
    let place = Place {
        namespace: settings.namespace.clone(),
        secret_name: exit.authority.clone(),
        rules: Rules {
            common_name: format!("{}.{} exit", settings.cluster, settings.account),
            lifetime: settings.authority_lifetime,
            overlap: settings.overlap,
            longest: exit.lifetime,
        },
    };
    Serving {
        client: client.clone(),
        namespace: settings.namespace.clone(),
        secret_name: exit.certificate.clone(),
        authority: Arc::new(Authority::new(client.clone(), place, Arc::clone(clock))),
        names: serving::names(&exit.domain, &exit.tunnel),
        lifetime: exit.lifetime,
        clock: Arc::clone(clock),
    }
}

/// Identities, and the kubeconfigs that are made with them.
async fn credentials(
    outfit: &Outfit,
    settings: &Settings,
    identities: Identities,
    stop: &CancellationToken,
) {
    let client = &outfit.client;
    let authority = identities.authority.changes();
    let (known, writer) = reflector::store();
    let follow_known = reflector(
        writer,
        watcher(Api::all(client.clone()), watcher::Config::default()),
    )
    .default_backoff()
    .for_each(|_event| std::future::ready(()));
    let identities = Drive::new(outfit, identities);
    let identity_controller = identities.controller();
    let keeper = Kubeconfigs {
        client: client.clone(),
        known: KnownClusters {
            store: known,
            own_account: settings.account.clone(),
        },
        identities: identity_controller.store(),
    };
    let kubeconfigs = Drive::new(outfit, keeper);
    let kubeconfig_controller = kubeconfigs.controller();
    let (of_kubeconfigs, of_identities) =
        (kubeconfig_controller.store(), identity_controller.store());
    let identity_controller = identity_controller
        .watches(secrets(client), watcher::Config::default(), |secret| {
            makers(&secret)
        })
        .reconcile_all_on(changes(authority));
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

/// Once for each change of an authority.
fn changes<T: Clone + Send + Sync + 'static>(
    authority: watch::Receiver<T>,
) -> impl Stream<Item = ()> + Send + 'static {
    stream::unfold(authority, |mut authority| async {
        authority.changed().await.ok()?;
        Some(((), authority))
    })
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
    outfit: &Outfit,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
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
    let drive = Drive::new(outfit, keeper);
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
        () = follow(outfit.client.clone(), feed) => {}
        () = watcher.run(CancellationToken::new()) => {}
        () = tell => {}
        () = drive.run(controller, stop.clone()) => {}
    }
}

async fn sources(outfit: &Outfit, roles: Option<SourceRoles>, stop: &CancellationToken) {
    let client = &outfit.client;
    let Some(roles) = roles else {
        return;
    };
    let sources = || Sources {
        client: client.clone(),
        roles: roles.clone(),
    };
    let bindings = || Api::<RoleBinding>::all(client.clone());
    let whole = || Api::<ClusterRoleBinding>::all(client.clone());
    let drive = Drive::new(outfit, sources());
    let controller = drive
        .controller()
        .watches(bindings(), made(), |binding| makers(&binding))
        .watches(whole(), made(), |binding| makers(&binding));
    let of_cluster = Drive::new(outfit, ClusterSources(sources()));
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
