//! Kubernetes' own: proxy-server where the API server would dial from, proxy-agent in the cluster.
//!
//! Its entrance is no port but a socket that is asked by CONNECT; the generator does that.

use std::path::Path;
use std::process::Command;

use super::{Running, command, nginx};
use crate::free_port::free_address;
use crate::site::Site;
use crate::way::Door;

/// proxy-server, proxy-agent, nginx.
pub(super) fn start(site: &Site) -> anyhow::Result<Running> {
    let folder = site.folder("konnectivity")?;
    let (nginx, exit) = nginx::exit(site, &folder)?;
    let socket = folder.join("konnectivity.sock");
    let control = free_address()?.port();
    let server = server(site, &socket, control)?;
    let agent = agent(site, control)?;
    Ok(Running {
        way: site.way_to_exit(Door::Asked {
            socket,
            target: exit,
        }),
        processes: vec![
            site.start(&folder, "proxy-server", server)?,
            site.start(&folder, "proxy-agent", agent)?,
            nginx,
        ],
        company: None,
    })
}

fn server(site: &Site, socket: &Path, control: u16) -> anyhow::Result<Command> {
    let papers = &site.papers;
    let mut server = command("proxy-server");
    server
        .args([
            "--mode=http-connect",
            "--server-port=0",
            "--logtostderr=true",
        ])
        .args([
            "--agent-bind-address=127.0.0.1",
            "--admin-bind-address=127.0.0.1",
        ])
        .arg(format!("--uds-name={}", socket.display()))
        .arg(format!("--agent-port={control}"))
        .arg(format!("--admin-port={}", free_address()?.port()))
        .arg(format!("--health-port={}", free_address()?.port()))
        .arg(format!(
            "--cluster-cert={}",
            papers.certificate("relay").display()
        ))
        .arg(format!("--cluster-key={}", papers.key("relay").display()))
        .arg(format!(
            "--cluster-ca-cert={}",
            papers.authority("agent").display()
        ));
    Ok(server)
}

fn agent(site: &Site, control: u16) -> anyhow::Result<Command> {
    let papers = &site.papers;
    let mut agent = command("proxy-agent");
    agent
        .args(["--logtostderr=true", "--proxy-server-host=127.0.0.1"])
        .arg(format!("--proxy-server-port={control}"))
        .arg(format!("--admin-server-port={}", free_address()?.port()))
        .arg(format!("--health-server-port={}", free_address()?.port()))
        .arg(format!("--ca-cert={}", papers.authority("relay").display()))
        .arg(format!(
            "--agent-cert={}",
            papers.certificate("agent").display()
        ))
        .arg(format!("--agent-key={}", papers.key("agent").display()));
    Ok(agent)
}
