//! OpenSSH's `ssh -R`: a server of our own on loopback, with keys of its own.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::{Running, command, nginx};
use crate::free_port::free_address;
use crate::site::{Site, write};
use crate::way::Door;

/// Where sshd wants an empty folder when root starts it; Debian makes it at boot.
const EMPTY: &str = "/run/sshd";

/// sshd is the entrance, ssh carries to nginx.
pub(super) fn start(site: &Site) -> anyhow::Result<Running> {
    let folder = site.folder("ssh")?;
    let (nginx, exit) = nginx::exit(site, &folder)?;
    let (control, entrance) = (free_address()?, free_address()?);
    for key in ["host", "client"] {
        generate(&folder.join(key))?;
    }
    let user = user()?;
    if user == "root" {
        std::fs::create_dir_all(EMPTY).context("sshd wants /run/sshd")?;
    }
    let config = format!(
        "ListenAddress {control}\nHostKey {folder}/host\nPidFile none\nAuthorizedKeysFile {folder}/client.pub\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
         PermitRootLogin prohibit-password\nAllowTcpForwarding remote\nPrintMotd no\nLogLevel ERROR\n",
        folder = folder.display()
    );
    let mut sshd = command("sshd");
    sshd.args(["-D", "-e", "-f"])
        .arg(write(&folder, "sshd_config", &config)?);
    let host = std::fs::read_to_string(folder.join("host.pub"))?;
    let known = format!("[{}]:{} {host}", control.ip(), control.port());
    let known = write(&folder, "known_hosts", &known)?;
    let sshd = site.start(&folder, "sshd", sshd)?;
    await_listener(control)?;
    let mut ssh = command("ssh");
    ssh.args(["-N", "-T", "-F", "none", "-o", "BatchMode=yes"])
        .args(["-o", "ExitOnForwardFailure=yes", "-o", "IdentitiesOnly=yes"])
        .args(["-o", &format!("UserKnownHostsFile={}", known.display())])
        .arg("-i")
        .arg(folder.join("client"))
        .args(["-p", &control.port().to_string()])
        .args(["-R", &format!("{entrance}:{exit}")])
        .arg(format!("{user}@{}", control.ip()));
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(entrance)),
        processes: vec![sshd, site.start(&folder, "ssh", ssh)?, nginx],
        company: None,
    })
}

fn generate(key: &Path) -> anyhow::Result<()> {
    let made = command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(key)
        .output()?;
    ensure!(made.status.success(), "ssh-keygen failed");
    Ok(())
}

/// Who we are, which is who logs in.
fn user() -> anyhow::Result<String> {
    let said = command("id").arg("-un").output()?;
    Ok(String::from_utf8(said.stdout)?.trim().to_owned())
}

/// ssh tries once: the server must listen before.
fn await_listener(address: std::net::SocketAddr) -> anyhow::Result<()> {
    for _ in 0..500 {
        if std::net::TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    anyhow::bail!("sshd does not listen")
}
