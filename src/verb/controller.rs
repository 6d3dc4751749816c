//! `gangplank controller`: the reconcilers.

use std::sync::Arc;

use anyhow::Context as _;
use gangplank_config::role;
use gangplank_config::role::controller::Sources;
use gangplank_config::upstream::InCluster;
use gangplank_controller::{Settings, SourceRoles};
use gangplank_objects::client::client;
use gangplank_pki::clock::SystemClock;
use prometheus_client::registry::Registry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::Observed;
use crate::cli::RoleArguments;
use crate::failure::Outcome;
use crate::role::{Stage, announce, bind_admin, run_on_runtime, start_log};
use crate::signals;
use crate::status::{CertificateStatus, Status};

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
    let metrics = Registry::with_prefix("gangplank");
    let observed = ObservedController {
        ending: shutdown.drain.clone(),
        since: Instant::now(),
    };
    announce(&stage, None, admin, Arc::new(observed), metrics);
    let settings = settings(config);
    gangplank_controller::run(client, settings, Arc::new(SystemClock), shutdown.drain).await;
    Ok(())
}

fn settings(config: role::controller::Controller) -> Settings {
    Settings {
        namespace: config.namespace,
        account: config.account,
        cluster: config.cluster,
        identity_authority: config.identities.authority_secret,
        identity_lifetime: config.identities.lifetime,
        trust_domain: config.identities.trust_domain,
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
    }
}

/// A running controller for the admin endpoint.
struct ObservedController {
    ending: CancellationToken,
    since: Instant,
}

impl Observed for ObservedController {
    fn unready(&self) -> Vec<String> {
        if self.ending.is_cancelled() {
            return vec!["ending: this controller is about to end".to_owned()];
        }
        Vec::new()
    }

    fn summary(&self) -> String {
        "ready".to_owned()
    }

    fn certificates(&self) -> Vec<CertificateStatus> {
        Vec::new()
    }

    fn status(&self) -> Status {
        Status::of_role("controller", self.since, self.unready())
    }
}
