//! Go's verdicts, from the program in `tests/x509`.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

use super::world::{Case, World};
use crate::fixture::NOW;

/// What Go says of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Refused(String),
    /// The common name, and where each path ends: the anchor's position and the path's last second.
    Accepted(String, Vec<(usize, u64)>),
}

/// The program, built.
pub(super) struct Peer {
    folder: TempDir,
}

impl Peer {
    /// Builds it with the Go that the tests of the real cluster need, too; Go keeps what it built.
    pub(super) fn build() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/x509");
        let folder = tempfile::tempdir().unwrap();
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(folder.path().join("x509"))
            .arg(".")
            .current_dir(source)
            .env("GOFLAGS", "-mod=readonly")
            .status();
        let built = built.expect("Go, which CONTRIBUTING.md asks for, builds the second opinion");
        assert!(built.success(), "tests/x509 cannot be built");
        Self { folder }
    }

    /// Asks about the chains of some worlds, in order.
    pub(super) fn ask(&self, worlds: &[(World, Vec<Case>)]) -> Vec<Said> {
        let mut questions = Vec::new();
        for (world, cases) in worlds {
            let anchors: Vec<_> = world.anchors.iter().map(|(der, _)| der).collect();
            for case in cases {
                questions.extend(NOW.to_be_bytes());
                list(&anchors, &mut questions);
                list(&case.chain.iter().collect::<Vec<_>>(), &mut questions);
            }
        }
        let path = self.folder.path().join("questions");
        fs::write(&path, questions).unwrap();
        let answered = Command::new(self.folder.path().join("x509"))
            .stdin(File::open(&path).unwrap())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(answered.status.success());
        let text = String::from_utf8(answered.stdout).unwrap();
        text.lines().map(read).collect()
    }
}

fn list(certificates: &[&CertificateDer<'_>], questions: &mut Vec<u8>) {
    let number = |number: usize| u32::try_from(number).unwrap().to_be_bytes();
    questions.extend(number(certificates.len()));
    for der in certificates {
        questions.extend(number(der.len()));
        questions.extend_from_slice(der);
    }
}

fn read(line: &str) -> Said {
    if let Some(why) = line.strip_prefix("refused ") {
        return Said::Refused(why.to_owned());
    }
    let mut words = line.strip_prefix("accepted ").unwrap().split(' ');
    let hex = words.next().unwrap().as_bytes();
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let name = String::from_utf8(hex.chunks(2).map(digits).collect()).unwrap();
    let path = |word: &str| {
        let (anchor, until) = word.split_once(':').unwrap();
        (anchor.parse().unwrap(), until.parse().unwrap())
    };
    Said::Accepted(name, words.map(path).collect())
}
