//! Objects on their way into a cluster: what is there, what came of each, and what would be written.

use gangplank_objects::manifest::Manifest;
use gangplank_objects::place::{Done, Standing};
use kube::Client;
use serde::Serialize;
use serde_json::json;

use crate::cli::OutputFormat;
use crate::failure::{Failure, Outcome};
use crate::output::{columns, print};
use crate::verb::reach::running;
use crate::verb::register::explain;

/// An object, and what came of it.
#[derive(Serialize)]
pub(crate) struct Placed {
    object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    result: &'static str,
}

/// Objects, and what is there in their places.
pub(super) struct Placing<'m> {
    client: Client,
    manifests: Vec<(&'m Manifest, Standing)>,
}

impl<'m> Placing<'m> {
    /// Looks at all places before anything is written.
    pub(super) async fn look(client: Client, manifests: &'m [Manifest]) -> Result<Self, Failure> {
        let mut standing = Vec::new();
        for manifest in manifests {
            let there = manifest.look(&client).await.map_err(running)?;
            standing.push((manifest, there));
        }
        Ok(Self {
            client,
            manifests: standing,
        })
    }

    /// Says what will be done.
    pub(super) fn announce(&self) {
        let planned = self.manifests.iter().map(|(manifest, standing)| {
            let planned = match standing {
                Standing::Absent => "will be created",
                Standing::Same => "is there",
                Standing::Former { .. } => "will be changed",
            };
            placed(manifest, planned)
        });
        let planned: Vec<Placed> = planned.collect();
        explain(&format!("{}\n", rows(&planned)));
    }

    /// Writes what is not there yet.
    pub(super) async fn bring_about(self) -> Result<Vec<Placed>, Failure> {
        let mut all = Vec::new();
        for (manifest, standing) in &self.manifests {
            let done: Done = manifest
                .place(&self.client, standing)
                .await
                .map_err(running)?;
            all.push(placed(manifest, done.as_str()));
        }
        Ok(all)
    }
}

fn placed(manifest: &Manifest, result: &'static str) -> Placed {
    Placed {
        object: manifest.told(),
        namespace: manifest.namespace().map(str::to_owned),
        result,
    }
}

/// Objects for a person.
pub(super) fn rows(placed: &[Placed]) -> String {
    let titles = ["OBJECT", "NAMESPACE", "RESULT"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = vec![titles];
    rows.extend(placed.iter().map(|placed| {
        let namespace = placed.namespace.clone().unwrap_or_else(|| "-".to_owned());
        vec![placed.object.clone(), namespace, placed.result.to_owned()]
    }));
    columns(&rows)
}

/// Prints what would be sent: the very same objects.
pub(super) fn dry_run(output: OutputFormat, manifests: &[Manifest]) -> Outcome {
    let values = || manifests.iter().map(Manifest::value);
    match output {
        OutputFormat::Table => {
            let placed = manifests.iter().map(|m| placed(m, "not changed (dry run)"));
            print(&rows(&placed.collect::<Vec<_>>()))
        }
        OutputFormat::Json => {
            let items: Vec<_> = values().collect();
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
            let text = serde_json::to_string_pretty(&list);
            print(&text.map_err(|fault| Failure::Running(fault.into()))?)
        }
        OutputFormat::Yaml => {
            let documents = values()
                .map(serde_saphyr::to_string)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|fault| Failure::Running(fault.into()))?;
            print(documents.join("---\n").trim_end())
        }
    }
}
