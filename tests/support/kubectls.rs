//! kubectls of several ages, and what each can do.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use super::cluster;

/// A kubectl.
#[derive(Debug, Clone)]
pub(crate) struct Age {
    /// Its minor version, or `current`.
    pub(crate) version: String,
    /// The program.
    pub(crate) program: PathBuf,
}

impl Age {
    /// `auth whoami` came with 1.26.
    pub(crate) fn has_whoami(&self) -> bool {
        self.version != "1.20"
    }

    /// Exec and its like over WebSocket came with 1.29, and are what it does by itself from 1.31 on.
    pub(crate) fn has_websockets(&self) -> bool {
        self.version != "1.20"
    }
}

/// The current one, 1.33, and Debian's 1.20 where it is to be had.
pub(crate) static AGES: LazyLock<Vec<Age>> = LazyLock::new(fetch);

#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn fetch() -> Vec<Age> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/kubectls.sh");
    let fetched = Command::new(script)
        .stderr(Stdio::inherit())
        .output()
        .expect("tests/cluster/kubectls.sh starts");
    assert!(
        fetched.status.success(),
        "tests/cluster/kubectls.sh failed; its messages are above"
    );
    let mut ages = vec![Age {
        version: "current".to_owned(),
        program: cluster::shared().facts.kubectl.clone(),
    }];
    let printed = String::from_utf8(fetched.stdout).expect("paths");
    ages.extend(printed.lines().map(|line| {
        let (version, program) = line.split_once(' ').expect("a version and a path");
        Age {
            version: version.to_owned(),
            program: program.into(),
        }
    }));
    assert!(ages.iter().any(|age| age.version == "1.33"), "{ages:?}");
    if !ages.iter().any(|age| age.version == "1.20") {
        eprintln!("kubectl 1.20: SKIPPED, Debian 12's package cannot be had here");
    }
    ages
}
