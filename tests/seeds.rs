//! Each fuzz target takes its seeds: the functions of `fuzz/`, on the files of `fuzz/seeds/`.
//!
//! What fuzzing found lies among the seeds, under a name that says what it was.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets the unexpected has failed, and says where"
)]

#[expect(unreachable_pub, reason = "in fuzz/ it is a library")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use targets::TARGETS;

fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.expect("an entry").file_name();
        name.into_string().expect("a name")
    };
    entries.map(name).collect()
}

#[test]
fn each_target_takes_its_seeds() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (target, parse) in TARGETS {
        let folder = seeds.join(target);
        let files = names(&folder);
        assert!(!files.is_empty(), "{target} has no seeds");
        for file in files {
            let bytes = fs::read(folder.join(&file)).expect("a seed");
            // Whole, and cut off anywhere, as a connection may be.
            for end in (0..=bytes.len())
                .rev()
                .step_by(bytes.len().div_ceil(64).max(1))
            {
                parse(bytes.get(..end).unwrap_or_default());
            }
        }
    }
}

#[test]
fn each_target_is_a_program_of_libfuzzer() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let programs = names(&fuzz.join("fuzz_targets"));
    let targets = TARGETS.map(|(target, _)| format!("{target}.rs"));
    assert_eq!(programs, BTreeSet::from(targets));
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest");
    for (target, _) in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target}"
        );
    }
}
