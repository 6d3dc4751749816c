//! The ground that all stacks of a run stand on: a folder, papers, the upstream.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::Context as _;
use gangplank_link::Host;
use tempfile::TempDir;

use crate::free_port::{free_address, free_address_of};
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
        let log = folder.join("upstream.log");
        let upstream_process = start_upstream(&papers, (upstream, None), &log, &watchdog)?;
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

    /// A site beside this one, with the same papers, whose upstream is on another host, with that congestion control.
    pub(crate) fn with_upstream_on(
        &self,
        host: &Host,
        congestion: Option<&str>,
    ) -> anyhow::Result<Self> {
        let folder = self.folder(&format!("afar-{}", congestion.unwrap_or("usual")))?;
        let log = folder.join("upstream.log");
        let (upstream, upstream_process) = host.within(|| {
            let upstream = free_address_of(Ipv4Addr::UNSPECIFIED.into())?;
            let listening = (upstream, congestion);
            let process = start_upstream(&self.papers, listening, &log, &self.watchdog)?;
            anyhow::Ok((upstream, process))
        })??;
        Ok(Self {
            papers: self.papers.clone(),
            // For exits, which are on the same host.
            upstream: (Ipv4Addr::LOCALHOST, upstream.port()).into(),
            upstream_process,
            folder,
            watchdog: self.watchdog.clone(),
            _throwaway: None,
        })
    }

    /// The way to the upstream from another host, for which it is at this address.
    pub(crate) fn way_to_upstream_at(&self, address: IpAddr) -> Way {
        let door = Door::Tcp((address, self.upstream.port()).into());
        self.way(door, UPSTREAM, "upstream")
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

fn start_upstream(
    papers: &Papers,
    (listen, congestion): (SocketAddr, Option<&str>),
    log: &Path,
    watchdog: &Watchdog,
) -> anyhow::Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["upstream", "--listen", &listen.to_string()])
        .arg("--certificate")
        .arg(papers.certificate("upstream"))
        .arg("--key")
        .arg(papers.key("upstream"));
    if let Some(name) = congestion {
        command.args(["--congestion", name]);
    }
    Process::start("upstream", command, log, watchdog)
}

/// Writes a configuration.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = folder.join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}
