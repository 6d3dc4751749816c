//! nginx as an mTLS reverse proxy: alone, and at the exit of others' tunnels.
//!
//! Set up as someone would for an API server: connections to it are kept, watches pass at once
//! (`proxy_buffering off`, with a buffer of a whole TLS record), upgrades pass, nothing times out, no access log.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::{Running, command};
use crate::free_port::free_address;
use crate::papers::{PREFIX, UPSTREAM};
use crate::process::Process;
use crate::site::{Site, TOKEN, write};
use crate::way::Door;

/// The configuration, with `@…@` for what differs from run to run.
const TEMPLATE: &str = include_str!("nginx.conf");

/// One hop, no tunnel.
pub(super) fn alone(site: &Site) -> anyhow::Result<Running> {
    let folder = site.folder("nginx")?;
    let (nginx, listen) = exit(site, &folder)?;
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(listen)),
        processes: vec![nginx],
        company: None,
    })
}

/// An exit in a stack's folder, and where it listens.
pub(super) fn exit(site: &Site, folder: &Path) -> anyhow::Result<(Process, SocketAddr)> {
    let listen = free_address()?;
    let config = write(folder, "nginx.conf", &config(site, folder, listen))?;
    let mut nginx = command("nginx");
    nginx
        .arg("-p")
        .arg(folder)
        .arg("-e")
        .arg("stderr")
        .arg("-c")
        .arg(config);
    Ok((site.start(folder, "nginx", nginx)?, listen))
}

fn config(site: &Site, folder: &Path, listen: SocketAddr) -> String {
    let papers = &site.papers;
    let file = |path: PathBuf| path.display().to_string();
    [
        ("@folder@", file(folder.to_owned())),
        ("@listen@", listen.to_string()),
        ("@certificate@", file(papers.certificate("exit"))),
        ("@key@", file(papers.key("exit"))),
        ("@callers@", file(papers.authority("caller"))),
        ("@upstream@", site.upstream.to_string()),
        ("@authority@", file(papers.authority("upstream"))),
        ("@UPSTREAM@", UPSTREAM.to_owned()),
        ("@TOKEN@", TOKEN.to_owned()),
        ("@PREFIX@", PREFIX.to_owned()),
    ]
    .into_iter()
    .fold(TEMPLATE.to_owned(), |text, (mark, value)| {
        text.replace(mark, &value)
    })
}
