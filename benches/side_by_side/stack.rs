//! What is measured: Gangplank, what its user would take instead, and no hop at all.
//!
//! All of them end the same mutual TLS, put the caller's name and the same token into each request, and reach the
//! same upstream with its certificate verified. A tunnel of others is the tunnel and nginx at its exit.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::flotilla::Flotilla;
use crate::process::Process;
use crate::site::Site;
use crate::way::Way;

mod chisel;
mod frp;
pub(crate) mod gangplank;
mod haproxy;
mod konnectivity;
mod nginx;
mod openssh;
pub(crate) mod rathole;

/// With whom a stack is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No hop: the limit.
    Direct,
    /// Gangplank's tunnel.
    Tunnel,
    /// A peer's tunnel.
    TunnelPeer,
    /// Gangplank's proxy without a tunnel.
    Hop,
    /// A peer's.
    HopPeer,
    /// Gangplank's tunnel with so many trust anchors.
    Anchors,
    /// Gangplank's tunnel among so many others on its relay.
    Company,
}

/// A stack that can be started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stack {
    /// Its name in the table.
    pub(crate) name: &'static str,
    /// With whom it is compared.
    pub(crate) kind: Kind,
    /// Whether a quick run has it.
    pub(crate) quick: bool,
    /// Its programs, with the argument that makes them tell their version.
    pub(crate) programs: &'static [(&'static str, &'static str)],
    /// Starts it.
    pub(crate) start: fn(&Site) -> anyhow::Result<Running>,
}

/// A stack that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// How a caller gets in.
    pub(crate) way: Way,
    /// Its processes; of a tunnel, the first is the entrance.
    pub(crate) processes: Vec<Process>,
    /// Further agents of its entrance, which are no part of the path.
    pub(crate) company: Option<Flotilla>,
}

const NGINX: (&str, &str) = ("nginx", "-v");
pub(crate) const RATHOLE: &[(&str, &str)] = &[("rathole", "--version"), NGINX];
const FRP: &[(&str, &str)] = &[("frps", "--version"), ("frpc", "--version"), NGINX];

/// All of them, in the order of their turns.
pub(crate) const STACKS: &[Stack] = &[
    stack("direct", Kind::Direct, true, &[], direct),
    stack("gangplank", Kind::Tunnel, true, &[], gangplank::tunnel::<1>),
    stack("rathole-tcp", Kind::TunnelPeer, true, RATHOLE, rathole::tcp),
    stack(
        "rathole-noise",
        Kind::TunnelPeer,
        false,
        RATHOLE,
        rathole::noise,
    ),
    stack(
        "rathole-tls",
        Kind::TunnelPeer,
        false,
        RATHOLE,
        rathole::tls,
    ),
    stack(
        "ssh",
        Kind::TunnelPeer,
        true,
        &[("sshd", "-V"), ("ssh", "-V"), NGINX],
        openssh::start,
    ),
    stack("frp-tcp", Kind::TunnelPeer, true, FRP, frp::tcp),
    stack("frp-quic", Kind::TunnelPeer, true, FRP, frp::quic),
    stack(
        "chisel",
        Kind::TunnelPeer,
        true,
        &[("chisel", "--version"), NGINX],
        chisel::start,
    ),
    stack(
        "konnectivity",
        Kind::TunnelPeer,
        true,
        &[
            ("proxy-server", "--version"),
            ("proxy-agent", "--version"),
            NGINX,
        ],
        konnectivity::start,
    ),
    stack("gangplank-proxy", Kind::Hop, true, &[], gangplank::proxy),
    stack("nginx", Kind::HopPeer, true, &[NGINX], nginx::alone),
    stack(
        "haproxy",
        Kind::HopPeer,
        true,
        &[("haproxy", "-v")],
        haproxy::start,
    ),
    stack(
        "anchors-1",
        Kind::Anchors,
        true,
        &[],
        gangplank::tunnel::<1>,
    ),
    stack(
        "anchors-10",
        Kind::Anchors,
        true,
        &[],
        gangplank::tunnel::<10>,
    ),
    stack(
        "anchors-100",
        Kind::Anchors,
        true,
        &[],
        gangplank::tunnel::<100>,
    ),
    stack(
        "anchors-1000",
        Kind::Anchors,
        true,
        &[],
        gangplank::tunnel::<1000>,
    ),
    stack(
        "company-1",
        Kind::Company,
        true,
        &[],
        gangplank::in_company::<1>,
    ),
    stack(
        "company-100",
        Kind::Company,
        true,
        &[],
        gangplank::in_company::<100>,
    ),
    stack(
        "company-10000",
        Kind::Company,
        false,
        &[],
        gangplank::in_company::<10_000>,
    ),
];

const fn stack(
    name: &'static str,
    kind: Kind,
    quick: bool,
    programs: &'static [(&'static str, &'static str)],
    start: fn(&Site) -> anyhow::Result<Running>,
) -> Stack {
    Stack {
        name,
        kind,
        quick,
        programs,
        start,
    }
}

impl Stack {
    /// Its programs' versions, or the program that is missing.
    pub(crate) fn versions(&self) -> Result<Vec<String>, &'static str> {
        let programs = self.programs.iter();
        programs
            .map(|(name, argument)| {
                let path = program(name).ok_or(*name)?;
                Ok(version(&path, argument))
            })
            .collect()
    }
}

impl Running {
    /// The processes' numbers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(Process::pid).collect()
    }
}

/// Straight to the upstream.
fn direct(site: &Site) -> anyhow::Result<Running> {
    Ok(Running {
        way: site.way_to_upstream(),
        processes: Vec::new(),
        company: None,
    })
}

/// Where the Makefile installs peers.
const INSTALLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.cache/tools/bin");

/// Finds a program: on PATH, among the installed peers, or where Debian keeps servers.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let further = [PathBuf::from(INSTALLED), PathBuf::from("/usr/sbin")];
    let mut folders = std::env::split_paths(&path).chain(further);
    folders.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()))
}

/// A command of a program that `versions` found.
fn command(name: &str) -> Command {
    Command::new(program(name).unwrap_or_else(|| PathBuf::from(name)))
}

/// What a program says of its version: the line that speaks of one, or the first that has a number in it.
fn version(path: &Path, argument: &str) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let Ok(said) = Command::new(path).arg(argument).output() else {
        return name.into_owned();
    };
    let said = [said.stdout, said.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let numbered = |line: &&str| line.contains('.') && line.contains(|c: char| c.is_ascii_digit());
    let lines = || said.lines().map(str::trim).filter(numbered);
    let line = lines()
        .find(|line| line.contains("ersion"))
        .or_else(|| lines().next());
    format!("{name}: {}", line.unwrap_or("version not told"))
}
