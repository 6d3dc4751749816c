//! `gangplank revoke`: what `gangplank accept` made for another cluster goes, and nothing else.

use gangplank_config::letter;
use gangplank_objects::parting::{Named, Parted, Parting};
use serde::Serialize;

use crate::cli::{OwnNames, RevokeArguments};
use crate::failure::{Failure, Outcome};
use crate::output::{columns, show};
use crate::verb::reach::{Own, installation, on_runtime, running};
use crate::verb::register::explain;
use crate::verb::token;

/// What came of it, for programs.
#[derive(Serialize)]
struct Shown {
    cluster: String,
    objects: Vec<ShownObject>,
}

#[derive(Serialize)]
struct ShownObject {
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    result: String,
}

/// Parts from the cluster, as far as this side goes.
pub(crate) fn run(arguments: &RevokeArguments) -> Outcome {
    let cluster = token::cluster(&arguments.cluster)?;
    let namespace = arguments.namespace.as_deref().map(letter::namespace);
    let namespace = namespace
        .transpose()
        .map_err(|fault| Failure::Usage(fault.to_string()))?;
    let parted = on_runtime(async {
        let names = OwnNames {
            cluster: None,
            certificate_authority: None,
        };
        let own = Own {
            access: &arguments.access,
            names: &names,
        };
        // It only tells what of others' objects is meant; who may not read it may still revoke.
        let facts = own.facts(true).await.unwrap_or_default();
        let parting = Parting {
            cluster: cluster.clone(),
            namespace,
            own_account: facts.account,
        };
        let client = installation(&arguments.access)?.client;
        parting.bring_about(&client).await.map_err(running)
    })?;
    let shown = Shown {
        cluster: cluster.to_string(),
        objects: shown(&parted),
    };
    show(&shown, arguments.output, table)?;
    explain(&format!(
        "\nWhat was made for this cluster at {cluster}, its administrator takes away: gangplank revoke there.\n"
    ));
    Ok(())
}

fn shown(parted: &Parted) -> Vec<ShownObject> {
    let object = |named: &Named, result: String| ShownObject {
        object: named.object.clone(),
        namespace: named.namespace.clone(),
        result,
    };
    let deleted = parted.deleted.iter();
    let deleted = deleted.map(|named| object(named, "deleted".to_owned()));
    let reduced = parted.reduced.iter();
    let reduced = reduced.map(|(named, part)| object(named, format!("without its {part} pin")));
    let left = parted.left.iter();
    let left = left.map(|(named, why)| object(named, format!("still there: {why}")));
    deleted.chain(reduced).chain(left).collect()
}

fn table(shown: &Shown) -> String {
    if shown.objects.is_empty() {
        return format!("nothing here has to do with {}", shown.cluster);
    }
    let titles = ["OBJECT", "NAMESPACE", "RESULT"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = vec![titles];
    rows.extend(shown.objects.iter().map(|object| {
        let namespace = object.namespace.clone().unwrap_or_else(|| "-".to_owned());
        vec![object.object.clone(), namespace, object.result.clone()]
    }));
    columns(&rows)
}
