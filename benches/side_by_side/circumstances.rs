//! What figures are of: the program, the machine, the peers' versions, the day.

use std::process::Command;

use gangplank_pki::clock::{Clock as _, SystemClock, rfc3339};
use serde_json::{Value, json};

/// All of it; it stands before the table and in the JSON.
#[derive(Debug)]
pub(crate) struct Circumstances {
    gangplank: String,
    cores: usize,
    processor: String,
    kernel: String,
    date: String,
    /// What the programs of the stacks say of their versions.
    pub(crate) versions: Vec<String>,
    /// Stacks that could not be had, and why.
    pub(crate) left_out: Vec<String>,
}

impl Circumstances {
    /// Here and now, without a stack yet.
    pub(crate) fn of_now() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let processor = read("/proc/cpuinfo");
        let mut lines = processor.lines().filter_map(|line| line.split_once(':'));
        let model = lines.find(|(name, _)| name.trim() == "model name");
        let model = model.map_or("an unknown processor", |(_, model)| model.trim());
        Self {
            gangplank: format!("{}{}", env!("CARGO_PKG_VERSION"), commit()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            processor: model.to_owned(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            date: rfc3339(SystemClock.now()),
            versions: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// For the table's head.
    pub(crate) fn in_words(&self) -> String {
        let left_out = self.left_out.iter().map(|why| format!("left out: {why}"));
        let versions = self
            .versions
            .iter()
            .map(|version| format!("with {version}"));
        let machine = format!(
            "gangplank {} on {} cores of {}, Linux {}, {}",
            self.gangplank, self.cores, self.processor, self.kernel, self.date
        );
        let lines: Vec<String> = left_out.chain(versions).chain([machine]).collect();
        lines.join("\n")
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        json!({
            "gangplank": self.gangplank,
            "date": self.date,
            "cores": self.cores,
            "processor": self.processor,
            "kernel": self.kernel,
            "versions": self.versions,
            "left_out": self.left_out,
        })
    }
}

/// The commit that was built, where git can tell.
fn commit() -> String {
    let told = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always"])
        .args(["--dirty", "--exclude=*"])
        .output();
    let told = told.ok().filter(|told| told.status.success());
    let told = told.and_then(|told| String::from_utf8(told.stdout).ok());
    told.map_or_else(String::new, |commit| format!(" ({})", commit.trim()))
}
