//! The ground that all stacks of a run stand on: a folder, papers, the upstream.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::Context as _;
use tempfile::TempDir;

use crate::free_port::free_address;
use crate::papers::{ENTRANCE, Papers, UPSTREAM};
use crate::process::Process;
use crate::watchdog::Watchdog;
use crate::way::{Door, Way};

/// What every exit shows the upstream.
pub(crate) const TOKEN: &str = "the-exits-own-token";

/// The ground.
#[derive(Debug)]
pub(crate) struct Site {
    /// Certificates and keys.
    pub(crate) papers: Papers,
    /// Where the upstream listens.
    pub(crate) upstream: SocketAddr,
    upstream_process: Process,
    folder: PathBuf,
    watchdog: Watchdog,
    /// Removed at the end, unless a folder was named.
    _throwaway: Option<TempDir>,
}

impl Site {
    /// Makes folder and papers and starts the upstream. The child is the watchdog.
    pub(crate) fn prepare(named: Option<&Path>) -> anyhow::Result<(Self, Child)> {
        let (folder, throwaway) = if let Some(named) = named {
            (std::path::absolute(named)?, None)
        } else {
            let folder = tempfile::Builder::new()
                .prefix("gangplank-bench-")
                .tempdir()?;
            (folder.path().to_owned(), Some(folder))
        };
        fs::create_dir_all(&folder)?;
        let papers = Papers::write(&folder)?;
        let (watchdog, dog) = Watchdog::start()?;
        let upstream = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["upstream", "--listen", &upstream.to_string()])
            .arg("--certificate")
            .arg(papers.certificate("upstream"))
            .arg("--key")
            .arg(papers.key("upstream"));
        let log = folder.join("upstream.log");
        let upstream_process = Process::start("upstream", command, &log, &watchdog)?;
        let site = Self {
            papers,
            upstream,
            upstream_process,
            folder,
            watchdog,
            _throwaway: throwaway,
        };
        Ok((site, dog))
    }

    /// The upstream's process.
    pub(crate) fn upstream_pid(&self) -> u32 {
        self.upstream_process.pid()
    }

    /// A new, empty folder for a stack.
    pub(crate) fn folder(&self, stack: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.join(stack);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Starts a program of a stack; its log lies in the stack's folder.
    pub(crate) fn start(
        &self,
        folder: &Path,
        name: &str,
        command: Command,
    ) -> anyhow::Result<Process> {
        let log = folder.join(format!("{name}.log"));
        Process::start(name, command, &log, &self.watchdog)
    }

    /// The way to the upstream without a hop.
    pub(crate) fn way_to_upstream(&self) -> Way {
        self.way(Door::Tcp(self.upstream), UPSTREAM, "upstream")
    }

    /// A caller's way to an exit behind `address`.
    pub(crate) fn way_to_exit(&self, door: Door) -> Way {
        self.way(door, ENTRANCE, "exit")
    }

    /// A caller's way with TLS to a server of these papers.
    pub(crate) fn way(&self, door: Door, server_name: &str, papers: &str) -> Way {
        Way {
            door,
            server_name: server_name.to_owned(),
            authority: self.papers.authority(papers),
            papers: (self.papers.certificate("caller"), self.papers.key("caller")),
        }
    }
}

/// Writes a configuration.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}
