//! Which TCP connections processes hold, as the kernel lists them.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use super::{all_stats, family};

/// TCP_ESTABLISHED in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

/// How many connections to a server the processes, and all that they started, have open.
pub(crate) fn connections_to(server: SocketAddr, pids: &[u32]) -> usize {
    let own: BTreeSet<String> = family(pids, &all_stats())
        .into_iter()
        .flat_map(socket_inodes)
        .collect();
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = format!(":{:04X}", server.port());
    let held = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // Its peer's address, its state and its inode: fields 3, 4 and 10.
        let (peer, state, inode) = (fields.get(2), fields.get(3), fields.get(9));
        peer.is_some_and(|peer| peer.ends_with(&port))
            && state == Some(&ESTABLISHED)
            && inode.is_some_and(|inode| own.contains(*inode))
    });
    held.count()
}

/// The sockets of a process by number; none when we may not look.
fn socket_inodes(pid: u32) -> Vec<String> {
    let files = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let targets = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    targets
        .filter_map(|target| {
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            Some(inode.strip_suffix(']')?.to_owned())
        })
        .collect()
}
