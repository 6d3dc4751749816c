//! The proxy's file: an exit on a TCP listener, without a tunnel.

use std::net::SocketAddr;
use std::path::Path;

use crate::fault::Faults;
use crate::role::exit::Exit;
use crate::role::{Drain, Log, blocks, exit};
use crate::section::Section;
use crate::sheet::Sheet;
use crate::upstream::InCluster;

/// What the proxy is to do.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Where callers connect.
    pub listen: SocketAddr,
    /// The exit behind the listener.
    pub exit: Exit,
    /// Where metrics, probes and status are served, if at all.
    pub admin: Option<SocketAddr>,
    /// How to log.
    pub log: Log,
    /// How to end.
    pub drain: Drain,
}

const KEYS: &[&str] = &["listen", "exit", "admin", "log", "drain"];

/// Loads a proxy's file.
///
/// # Errors
/// All faults of the file and of the files it names.
pub fn load(path: &Path, in_cluster: &InCluster) -> Result<Proxy, Faults> {
    Sheet::load(path, |sheet, root| {
        let section = sheet.section(root, "the proxy's file", KEYS)?;
        proxy(&section, in_cluster)
    })
}

fn proxy(section: &Section<'_>, in_cluster: &InCluster) -> Option<Proxy> {
    let listen = section.listen_address("listen");
    let exit = exit::exit(section, in_cluster);
    let admin = blocks::admin(section);
    let log = blocks::log(section);
    let drain = blocks::drain(section);
    Some(Proxy {
        listen: listen?,
        exit: exit?,
        admin,
        log: log?,
        drain: drain?,
    })
}
