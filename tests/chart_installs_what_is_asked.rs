//! The chart, the kustomization and the sidecar's manifest are what a real API server takes, for every values file that the manual names; a
//! value that nobody knows is refused.

use std::path::Path;
use std::{env, fs};

use serde_json::Value;

use crate::support::cluster;
use crate::support::helm;
use crate::support::kubectl::Kubectl;

/// Set to write `deploy/base` instead of comparing it.
const WRITE: &str = "GANGPLANK_WRITE_BASE";

/// The arguments that name a values file.
fn with(file: &Path) -> [&str; 2] {
    ["--values", file.to_str().expect("a path in UTF-8")]
}

fn deploy(path: &str) -> String {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    let path = deploy.join(path);
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// A namespace in which the API server says what pod security `restricted` would refuse.
fn restricted(namespace: &str) -> Kubectl {
    let cluster = cluster::shared();
    cluster.namespace(namespace);
    let level = "pod-security.kubernetes.io/warn=restricted";
    cluster.admin(&["label", "namespace", namespace, level]);
    Kubectl::new(&cluster.facts.kubectl, &cluster.facts.admin_kubeconfig)
}

/// What the API server would make of a manifest in this namespace.
fn accepted(admin: &Kubectl, namespace: &str, manifest: &[u8], what: &str) -> Vec<Value> {
    let apply = [
        "-n",
        namespace,
        "apply",
        "--dry-run=server",
        "-o",
        "json",
        "-f",
        "-",
    ];
    let said = admin.with_input(&apply, manifest);
    assert!(said.succeeded(), "{what}: {}", said.err);
    // What the cluster brings with it was not made by kubectl, and need not be: see tests/cluster/.
    let warned = said.err.lines().find(|line| {
        !line.is_empty() && !line.contains("kubectl.kubernetes.io/last-applied-configuration")
    });
    assert_eq!(warned, None, "{what}");
    let mut answer: Value = serde_json::from_slice(&said.out).expect("JSON");
    match answer["items"].take() {
        Value::Array(objects) => objects,
        _one => vec![answer],
    }
}

fn named<'o>(objects: &'o [Value], kind: &str, name: &str) -> &'o Value {
    let found = objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// Whatever has a namespace is in the release's.
fn assert_in(namespace: &str, objects: &[Value]) {
    for object in objects {
        let there = &object["metadata"]["namespace"];
        assert!(there.is_null() || there == namespace, "{object}");
    }
}

#[test]
fn lint_finds_nothing() {
    let chart = helm::chart();
    let chart = chart.to_str().expect("a path in UTF-8");
    helm::run(&["lint", "--strict", chart]).expect_success();
    for file in helm::examples() {
        let mut arguments = vec!["lint", "--strict", chart];
        arguments.extend(with(&file));
        helm::run(&arguments).expect_success();
    }
}

/// With the default values, and with each file of the manual.
#[test]
fn for_each_documented_values_file() {
    let namespace = "chart-documented";
    let admin = restricted(namespace);
    let plain = helm::template(namespace, &[]).expect_success();
    let objects = accepted(&admin, namespace, &plain.out, "default values");
    assert_in(namespace, &objects);
    named(&objects, "ClusterRole", "gangplank-source");
    named(&objects, "ClusterRole", "gangplank-cluster-summary-viewer");
    let deployment = named(&objects, "Deployment", "gangplank-controller");
    assert_eq!(deployment["spec"]["replicas"], 2);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        container["securityContext"]["readOnlyRootFilesystem"], true,
        "{container}"
    );
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubernetes.md"))
        .expect("the manual");
    let examples = helm::examples();
    assert!(examples.len() >= 6, "{examples:?}");
    for file in examples {
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .expect("a name");
        assert!(page.contains(name), "docs/kubernetes.md names {name}");
        let rendered = helm::template(namespace, &with(&file)).expect_success();
        assert_in(namespace, &accepted(&admin, namespace, &rendered.out, name));
    }
}

/// The definitions that the chart installs are those that are generated, and outlive the release.
#[test]
fn with_the_definitions_as_they_are_generated() {
    let rendered =
        helm::template("default", &["--show-only", "templates/crds.yaml"]).expect_success();
    let cluster = cluster::shared();
    let admin = Kubectl::new(&cluster.facts.kubectl, &cluster.facts.admin_kubeconfig);
    let mut installed = accepted(&admin, "default", &rendered.out, "the chart's definitions");
    let generated = admin.ok(&[
        "apply",
        "--dry-run=server",
        "-o",
        "json",
        "-f",
        &deploy("crds"),
    ]);
    let generated: Value = serde_json::from_str(&generated).expect("JSON");
    let generated = generated["items"].as_array().expect("a list");
    assert_eq!(installed.len(), generated.len());
    for (installed, generated) in installed.iter_mut().zip(generated) {
        let annotations = &installed["metadata"]["annotations"];
        assert_eq!(annotations["helm.sh/resource-policy"], "keep");
        assert_eq!(installed["metadata"]["name"], generated["metadata"]["name"]);
        assert_eq!(installed["spec"], generated["spec"]);
    }
}

/// No level of the schema takes a key that it does not name, but where Kubernetes says what may stand.
#[test]
fn and_unknown_values_are_refused() {
    for unknown in [
        "controler.enabled=true",
        "controller.replica=1",
        "exit.impersonate.users[0]=*",
        "networkPolicy.enable=false",
        "image.sha=1",
    ] {
        let said = helm::template("default", &["--set", unknown]);
        assert!(
            !said.succeeded() && said.err.contains("additional properties"),
            "{unknown}: {}",
            said.err
        );
    }
    for (bad, told) in [
        (
            "exit.impersonate.groups[0]=system:masters",
            "/exit/impersonate/groups/0",
        ),
        ("account=Not_A_Label", "/account"),
        (
            "controller.identities.lifetime=1d",
            "/controller/identities/lifetime",
        ),
    ] {
        let said = helm::template("default", &["--set", bad]);
        assert!(
            !said.succeeded() && said.err.contains(told),
            "{bad}: {}",
            said.err
        );
    }
    let schema = fs::read_to_string(helm::chart().join("values.schema.json")).expect("the schema");
    let schema: Value = serde_json::from_str(&schema).expect("JSON");
    assert_closed(&schema, "values");
}

fn assert_closed(schema: &Value, place: &str) {
    if let Some(properties) = schema["properties"].as_object() {
        assert_eq!(schema["additionalProperties"], false, "{place}");
        for (key, schema) in properties {
            assert_closed(schema, &format!("{place}.{key}"));
        }
    }
    if schema["items"].is_object() {
        assert_closed(&schema["items"], &format!("{place}[]"));
    }
}

/// The right to impersonate is on users alone, and on what the values name; nothing is open that has a finite list.
#[test]
fn and_impersonation_is_what_the_values_name() {
    let rules_of = |file: &str| {
        let file = helm::chart().join("examples").join(file);
        let rendered = helm::template("chart-rights", &with(&file)).expect_success();
        let cluster = cluster::shared();
        let admin = Kubectl::new(&cluster.facts.kubectl, &cluster.facts.admin_kubeconfig);
        let create = ["create", "--dry-run=client", "-o", "json", "-f", "-"];
        let said = admin.with_input(&create, &rendered.out).expect_success();
        let list = said.text();
        let objects: Vec<Value> = serde_json::Deserializer::from_str(&list)
            .into_iter::<Value>()
            .map(|object| object.expect("JSON"))
            .flat_map(|object| match object["items"].as_array() {
                Some(items) => items.clone(),
                None => vec![object],
            })
            .collect();
        let rules = named(&objects, "ClusterRole", "gangplank-exit")["rules"].clone();
        let rules = rules.as_array().expect("rules").clone();
        rules
            .into_iter()
            .filter(|rule| rule["verbs"].to_string().contains("impersonate"))
            .collect::<Vec<Value>>()
    };
    let plain = rules_of("private-cluster.yaml");
    assert_eq!(plain.len(), 1, "{plain:?}");
    assert_eq!(plain[0]["resources"], serde_json::json!(["users"]));
    let acting = rules_of("acting-as.yaml");
    let open: Vec<&Value> = acting
        .iter()
        .filter(|rule| rule["resourceNames"].is_null())
        .map(|rule| &rule["resources"][0])
        .collect();
    assert_eq!(
        open,
        ["users", "uids", "userextras/gangplank.dev/original-user"]
    );
    let constrained = rules_of("constrained.yaml");
    let verbs: String = constrained
        .iter()
        .map(|rule| rule["verbs"].to_string())
        .collect();
    assert!(!verbs.contains("\"impersonate\""), "{verbs}");
    assert!(
        verbs.contains("impersonate-on:user-info:deletecollection"),
        "{verbs}"
    );
}

/// `kubectl apply -k deploy` installs what the chart does with `deploy/base/values.yaml`.
#[test]
fn and_so_does_the_kustomization() {
    let namespace = "gangplank-system";
    let values = deploy("base/values.yaml");
    let rendered = helm::template(namespace, &["--values", &values]).expect_success();
    // What says that Helm owns an object is not for those whom Helm does not.
    let is_helms = |line: &&str| {
        ["# Source:", "managed-by: Helm", "helm.sh/chart:"]
            .iter()
            .any(|mark| line.contains(mark))
    };
    let text = rendered.text();
    let mut wanted = text
        .lines()
        .filter(|line| !is_helms(line))
        .collect::<Vec<_>>()
        .join("\n");
    wanted.push('\n');
    let file = deploy("base/gangplank.yaml");
    if env::var_os(WRITE).is_some() {
        fs::write(&file, &wanted).expect("written");
    }
    let there = fs::read_to_string(&file).expect("the base");
    assert!(
        there == wanted,
        "{file} is not what the chart says: run `{WRITE}=1 cargo test --test behaviour -- kustomization`"
    );
    let admin = restricted(namespace);
    let built = admin.ok(&["kustomize", &deploy("")]);
    let objects = accepted(&admin, namespace, built.as_bytes(), "the kustomization");
    assert_in(namespace, &objects);
    named(&objects, "Deployment", "gangplank-exit");
    named(
        &objects,
        "CustomResourceDefinition",
        "knownclusters.gangplank.dev",
    );
    let sidecar = fs::read(deploy("sidecar.yaml")).expect("the sidecar");
    let objects = accepted(&admin, namespace, &sidecar, "the sidecar");
    named(&objects, "Pod", "guarded-api-server");
}
