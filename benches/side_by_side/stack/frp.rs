//! frp: frps at the entrance, frpc at the exit, over TCP or QUIC.

use super::{Running, command, nginx};
use crate::free_port::free_address;
use crate::site::{Site, write};
use crate::way::Door;

/// Streams of one TCP connection, frp's default.
pub(super) fn tcp(site: &Site) -> anyhow::Result<Running> {
    start(site, "tcp")
}

/// Streams of QUIC.
pub(super) fn quic(site: &Site) -> anyhow::Result<Running> {
    start(site, "quic")
}

fn start(site: &Site, protocol: &str) -> anyhow::Result<Running> {
    let folder = site.folder(&format!("frp-{protocol}"))?;
    let (nginx, exit) = nginx::exit(site, &folder)?;
    let (control, entrance) = (free_address()?, free_address()?);
    // TLS between the two is frp's default.
    let server = format!(
        "bindAddr = \"127.0.0.1\"\nbindPort = {port}\nquicBindPort = {port}\nproxyBindAddr = \"127.0.0.1\"\n\
         auth.token = \"bench\"\nlog.level = \"warn\"\n",
        port = control.port()
    );
    let client = format!(
        "serverAddr = \"127.0.0.1\"\nserverPort = {}\nauth.token = \"bench\"\nlog.level = \"warn\"\n\
         transport.protocol = \"{protocol}\"\n\n[[proxies]]\nname = \"api\"\ntype = \"tcp\"\n\
         localIP = \"127.0.0.1\"\nlocalPort = {}\nremotePort = {}\n",
        control.port(),
        exit.port(),
        entrance.port()
    );
    let mut frps = command("frps");
    frps.arg("-c").arg(write(&folder, "frps.toml", &server)?);
    let mut frpc = command("frpc");
    frpc.arg("-c").arg(write(&folder, "frpc.toml", &client)?);
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(entrance)),
        processes: vec![
            site.start(&folder, "frps", frps)?,
            site.start(&folder, "frpc", frpc)?,
            nginx,
        ],
        company: None,
    })
}
