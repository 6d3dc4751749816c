//! The API server behind the exit, as the agent's file will name it.

use anyhow::Context as _;
use gangplank_config::upstream::{InCluster, Upstream};
use serde_json::{Value, json};

use crate::cli::JoinArguments;
use crate::failure::Failure;

/// What every refusal of this page ends with.
const TOKEN_IS_GOOD: &str =
    "the token was not used: mend this and run the same command again, with the same token";

/// The `upstream` block, after it was read as the agent will: a token is not spent on a folder that no agent can
/// run from.
pub(super) fn upstream(arguments: &JoinArguments) -> Result<Value, Failure> {
    let Some(kubeconfig) = &arguments.kubeconfig else {
        return pod(arguments);
    };
    if !kubeconfig.is_file() {
        return Err(Failure::Usage(format!(
            "there is no kubeconfig at {}: name the one of the exit's account with `--kubeconfig FILE`, or leave it out in a pod; {TOKEN_IS_GOOD}",
            kubeconfig.display()
        )));
    }
    let kubeconfig = std::path::absolute(kubeconfig)
        .with_context(|| format!("{} has no absolute path", kubeconfig.display()))?;
    let context = arguments.context.as_deref();
    Upstream::of_kubeconfig(&kubeconfig, context)
        .map_err(|faults| Failure::Usage(format!("{faults}\n{TOKEN_IS_GOOD}")))?;
    Ok(match context {
        Some(context) => json!({ "kubeconfig": kubeconfig, "context": context }),
        None => json!({ "kubeconfig": kubeconfig }),
    })
}

fn pod(arguments: &JoinArguments) -> Result<Value, Failure> {
    let inside = InCluster::from_environment();
    if !arguments.in_cluster {
        Upstream::of_cluster(&inside).map_err(|faults| {
            Failure::Usage(format!(
                "this is no pod whose account the exit could use: {faults}\n\
                 outside a pod name the kubeconfig of the exit's account with `--kubeconfig FILE`; if only the agent will run \
                 in a pod, say so with `--in-cluster`; {TOKEN_IS_GOOD}"
            ))
        })?;
    }
    Ok(json!({ "inCluster": true }))
}
