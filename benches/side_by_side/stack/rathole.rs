//! rathole: a TCP connection a stream, with its three transports.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use gangplank_link::Host;

use super::{Running, command, nginx};
use crate::free_port::{free_address, free_address_of};
use crate::papers::RELAY;
use crate::site::{Site, write};
use crate::way::Door;

/// The PKCS#12 file's password: the file lies beside it.
const PASSWORD: &str = "bench";

/// What each end says about the transport between them.
struct Transport {
    server: String,
    client: String,
}

/// In plain text.
pub(super) fn tcp(site: &Site) -> anyhow::Result<Running> {
    start(site, "tcp", |_folder| {
        let plain = "type = \"tcp\"".to_owned();
        Ok(Transport {
            server: plain.clone(),
            client: plain,
        })
    })
}

/// With the Noise protocol.
pub(super) fn noise(site: &Site) -> anyhow::Result<Running> {
    start(site, "noise", |_folder| {
        let made = command("rathole").arg("--genkey").output()?;
        let made = String::from_utf8(made.stdout)?;
        let mut keys = made
            .lines()
            .map(str::trim)
            .filter(|line| line.ends_with('='));
        let private = keys.next().context("no private key")?;
        let public = keys.next().context("no public key")?;
        Ok(Transport {
            server: format!(
                "type = \"noise\"\n[server.transport.noise]\nlocal_private_key = \"{private}\""
            ),
            client: format!(
                "type = \"noise\"\n[client.transport.noise]\nremote_public_key = \"{public}\""
            ),
        })
    })
}

/// With TLS.
pub(super) fn tls(site: &Site) -> anyhow::Result<Running> {
    start(site, "tls", |folder| {
        let identity = folder.join("relay.p12");
        let made = command("openssl")
            .args(["pkcs12", "-export", "-passout", &format!("pass:{PASSWORD}")])
            .arg("-in")
            .arg(site.papers.certificate("relay"))
            .arg("-inkey")
            .arg(site.papers.key("relay"))
            .arg("-out")
            .arg(&identity)
            .output()?;
        ensure!(
            made.status.success(),
            "openssl: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        Ok(Transport {
            server: format!(
                "type = \"tls\"\n[server.transport.tls]\npkcs12 = \"{}\"\npkcs12_password = \"{PASSWORD}\"",
                identity.display()
            ),
            client: format!(
                "type = \"tls\"\n[client.transport.tls]\ntrusted_root = \"{}\"\nhostname = \"{RELAY}\"",
                site.papers.authority("relay").display()
            ),
        })
    })
}

/// In plain text between two hosts: the server here, at `near`, client and nginx on the other.
pub(crate) fn across(site: &Site, (near, far): (IpAddr, &Host)) -> anyhow::Result<Running> {
    let folder = site.folder("rathole-tcp")?;
    let (nginx, exit) = far.within(|| nginx::exit(site, &folder))??;
    let (control, entrance) = (free_address_of(near)?, free_address_of(near)?);
    let plain = || Transport {
        server: "type = \"tcp\"".to_owned(),
        client: "type = \"tcp\"".to_owned(),
    };
    let [at_entrance, at_exit] = commands(&folder, plain(), (control, entrance, exit))?;
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(entrance)),
        processes: vec![
            site.start(&folder, "server", at_entrance)?,
            far.within(|| site.start(&folder, "client", at_exit))??,
            nginx,
        ],
        company: None,
    })
}

fn start(
    site: &Site,
    name: &str,
    transport: impl FnOnce(&Path) -> anyhow::Result<Transport>,
) -> anyhow::Result<Running> {
    let folder = site.folder(&format!("rathole-{name}"))?;
    let transport = transport(&folder)?;
    let (nginx, exit) = nginx::exit(site, &folder)?;
    let (control, entrance) = (free_address()?, free_address()?);
    let [at_entrance, at_exit] = commands(&folder, transport, (control, entrance, exit))?;
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(entrance)),
        processes: vec![
            site.start(&folder, "server", at_entrance)?,
            site.start(&folder, "client", at_exit)?,
            nginx,
        ],
        company: None,
    })
}

/// What is run at the entrance and at the exit.
fn commands(
    folder: &Path,
    Transport { server, client }: Transport,
    (control, entrance, exit): (SocketAddr, SocketAddr, SocketAddr),
) -> anyhow::Result<[Command; 2]> {
    let server = format!(
        "[server]\nbind_addr = \"{control}\"\ndefault_token = \"bench\"\n\
         [server.services.api]\nbind_addr = \"{entrance}\"\nnodelay = true\n\
         [server.transport]\n{server}\n"
    );
    let client = format!(
        "[client]\nremote_addr = \"{control}\"\ndefault_token = \"bench\"\n\
         [client.services.api]\nlocal_addr = \"{exit}\"\nnodelay = true\n\
         [client.transport]\n{client}\n"
    );
    let mut at_entrance = command("rathole");
    at_entrance
        .arg("--server")
        .arg(write(folder, "server.toml", &server)?);
    let mut at_exit = command("rathole");
    at_exit
        .arg("--client")
        .arg(write(folder, "client.toml", &client)?);
    for rathole in [&mut at_entrance, &mut at_exit] {
        rathole.env("RUST_LOG", "warn");
    }
    Ok([at_entrance, at_exit])
}
