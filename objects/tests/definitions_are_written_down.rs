//! The checked-in custom resource definitions are those of the Rust types.

use std::path::Path;
use std::{env, fs};

use gangplank_objects::definitions;

/// Set to write the files instead of comparing them.
const WRITE: &str = "GANGPLANK_WRITE_CRDS";

#[test]
fn the_checked_in_definitions_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    for definition in definitions::all() {
        let name = definition.metadata.name.clone().expect("a name");
        let file = folder.join(format!("{name}.yaml"));
        let wanted = serde_saphyr::to_string(&definition).expect("YAML");
        if env::var_os(WRITE).is_some() {
            fs::write(&file, &wanted).expect("written");
        }
        let there = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            there == wanted,
            "{} is not what the types say: run `{WRITE}=1 cargo test -p gangplank-objects`",
            file.display()
        );
    }
}
