//! chisel: SSH over WebSocket, reverse forwarding.

use super::{Running, command, nginx};
use crate::free_port::free_address;
use crate::site::Site;
use crate::way::Door;

/// Server at the entrance, client at the exit.
pub(super) fn start(site: &Site) -> anyhow::Result<Running> {
    let folder = site.folder("chisel")?;
    let (nginx, exit) = nginx::exit(site, &folder)?;
    let (control, entrance) = (free_address()?, free_address()?);
    let mut server = command("chisel");
    server
        .args([
            "server",
            "--reverse",
            "--auth",
            "bench:bench",
            "--host",
            "127.0.0.1",
        ])
        .args(["--port", &control.port().to_string()]);
    let mut client = command("chisel");
    client
        .args(["client", "--auth", "bench:bench"])
        .arg(format!("http://{control}"))
        .arg(format!("R:{entrance}:{exit}"));
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(entrance)),
        processes: vec![
            site.start(&folder, "server", server)?,
            site.start(&folder, "client", client)?,
            nginx,
        ],
        company: None,
    })
}
