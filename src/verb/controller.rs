//! `gangplank controller`: the reconcilers.

use std::sync::Arc;

use anyhow::Context as _;
use gangplank_config::role;
use gangplank_config::role::controller::Sources;
use gangplank_config::upstream::InCluster;
use gangplank_controller::{ExitSettings, Insight, Leadership, Settings, SourceRoles, Standing};
use gangplank_objects::client::client;
use gangplank_pki::TunnelName;
use gangplank_pki::clock::SystemClock;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::Observed;
use crate::cli::RoleArguments;
use crate::failure::{Failure, Outcome};
use crate::role::{Stage, announce, bind_admin, run_on_runtime, start_log};
use crate::signals;
use crate::status::{CertificateStatus, ControllerStatus, ObjectsStatus, Status, of_certificate};

/// Loads the file and keeps the objects of its cluster until it was told to end.
pub(crate) fn run(arguments: &RoleArguments) -> Outcome {
    let mut config = role::controller::load(&arguments.config, &InCluster::from_environment())?;
    config.admin = arguments.overrides.admin_listen.or(config.admin);
    start_log(config.log, &arguments.overrides)?;
    run_on_runtime(|stage| keep(config, stage))
}

async fn keep(config: role::controller::Controller, stage: Stage) -> Outcome {
    let shutdown = signals::listen(&stage)?;
    let admin = bind_admin(config.admin)?;
    let client = client(&config.upstream, &config.namespace)
        .context("requests cannot be addressed to the configured API server")?;
    let mut metrics = Registry::with_prefix("gangplank");
    let insight = Insight::new();
    insight.register(&mut metrics);
    let observed = ObservedController {
        insight: insight.clone(),
        ending: shutdown.drain.clone(),
        since: Instant::now(),
    };
    announce(&stage, None, admin, Arc::new(observed), metrics);
    let settings = settings(config)?;
    let clock = Arc::new(SystemClock);
    gangplank_controller::run(client, settings, clock, insight, shutdown.drain).await;
    Ok(())
}

fn settings(config: role::controller::Controller) -> Result<Settings, Failure> {
    let exit = config.domain.map(|domain| {
        let tunnel = format!("{}.{}", config.cluster, config.account);
        let tunnel = TunnelName::parse(&tunnel)
            .map_err(|fault| Failure::Usage(format!("cluster and account: {fault}")))?;
        Ok::<_, Failure>(ExitSettings {
            authority: config.serving.authority_secret,
            certificate: config.serving.certificate_secret,
            lifetime: config.serving.lifetime,
            tunnel,
            domain,
        })
    });
    Ok(Settings {
        namespace: config.namespace,
        account: config.account,
        cluster: config.cluster,
        identity_authority: config.identities.authority_secret,
        identity_lifetime: config.identities.lifetime,
        exit: exit.transpose()?,
        authority_lifetime: config.authorities.lifetime,
        overlap: config.authorities.overlap,
        trust_domain: config.identities.trust_domain,
        leadership: config.lease.map(|lease| {
            // The kubelet sets it to the pod's name.
            let host = std::env::var("HOSTNAME").unwrap_or_else(|_none| "controller".to_owned());
            Leadership::on(&host, lease)
        }),
        allowed_prefixes: config.allowed_prefixes,
        sources: match config.sources {
            Sources::LeftAlone => None,
            Sources::Bound {
                role,
                summary_viewer_role,
            } => Some(SourceRoles {
                source: role,
                summary_viewer: summary_viewer_role,
            }),
        },
    })
}

/// A running controller for the admin endpoint.
struct ObservedController {
    insight: Insight,
    ending: CancellationToken,
    since: Instant,
}

impl Observed for ObservedController {
    /// One that stands by is ready: it takes over by itself.
    fn unready(&self) -> Vec<String> {
        if self.ending.is_cancelled() {
            return vec!["ending: this controller is about to end".to_owned()];
        }
        self.insight.unready()
    }

    fn summary(&self) -> String {
        match self.insight.standing() {
            Standing::Leading | Standing::Alone => "keeps its objects".to_owned(),
            Standing::Following(holder) => format!("stands by, {holder} leads"),
            Standing::Candidate => "stands by, nobody is known to lead".to_owned(),
        }
    }

    fn certificates(&self) -> Vec<CertificateStatus> {
        let held = self.insight.certificates();
        let shown = held
            .iter()
            .map(|(name, certificate)| of_certificate(name, certificate));
        shown.flatten().collect()
    }

    fn status(&self) -> Status {
        let (standing, leader) = match self.insight.standing() {
            Standing::Leading => ("leads", None),
            Standing::Alone => ("alone", None),
            Standing::Following(holder) => ("stands by", Some(holder)),
            Standing::Candidate => ("stands by", None),
        };
        let objects = self.insight.objects().into_iter();
        Status {
            controller: Some(ControllerStatus {
                standing: standing.to_owned(),
                leader,
                objects: objects
                    .map(|(kind, count)| ObjectsStatus {
                        kind,
                        ready: count.ready,
                        unready: count.unready,
                        failing: count.failing,
                    })
                    .collect(),
            }),
            certificates: self.certificates(),
            ..Status::of_role("controller", self.since, self.unready())
        }
    }
}
