//! HAProxy as an mTLS reverse proxy.

use std::fs;

use super::{Running, command};
use crate::free_port::free_address;
use crate::papers::{PREFIX, UPSTREAM};
use crate::site::{Site, TOKEN, write};
use crate::way::Door;

/// One hop, no tunnel; upstream connections are kept and shared.
pub(super) fn start(site: &Site) -> anyhow::Result<Running> {
    let folder = site.folder("haproxy")?;
    let papers = &site.papers;
    let listen = free_address()?;
    let both = [papers.certificate("exit"), papers.key("exit")].map(fs::read_to_string);
    let [certificate, key] = both;
    let pem = write(&folder, "exit.pem", &format!("{}{}", certificate?, key?))?;
    let config = format!(
        r#"global
  maxconn 4096
  ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets
defaults
  mode http
  http-reuse always
  option http-no-delay
  timeout connect 5s
  timeout client 24h
  timeout server 24h
  timeout tunnel 24h
frontend callers
  bind {listen} ssl crt {pem} ca-file {callers} verify required alpn h2,http/1.1
  http-request set-header Host {UPSTREAM}
  http-request set-header Authorization "Bearer {TOKEN}"
  http-request set-header Impersonate-User "{PREFIX}%[ssl_c_s_dn(CN)]"
  default_backend api
backend api
  server api {upstream} ssl verify required ca-file {authority} sni str({UPSTREAM}) alpn http/1.1
"#,
        pem = pem.display(),
        callers = papers.authority("caller").display(),
        authority = papers.authority("upstream").display(),
        upstream = site.upstream,
    );
    let config = write(&folder, "haproxy.cfg", &config)?;
    let mut haproxy = command("haproxy");
    haproxy.arg("-db").arg("-f").arg(config);
    Ok(Running {
        way: site.way_to_exit(Door::Tcp(listen)),
        processes: vec![site.start(&folder, "haproxy", haproxy)?],
        company: None,
    })
}
