//! Authorities and certificates of a run: one authority a purpose, P-256 everywhere, the same for all stacks.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Kind, Request};

/// The cluster that callers reach, and its tunnel's name.
pub(crate) const TUNNEL: &str = "harbour.acme";
/// Where entrances lie.
pub(crate) const DOMAIN: &str = "tunnels.bench.example";
/// The name callers ask for.
pub(crate) const ENTRANCE: &str = "harbour.acme.tunnels.bench.example";
/// The relay's own name.
pub(crate) const RELAY: &str = "relay.bench.example";
/// The upstream's name.
pub(crate) const UPSTREAM: &str = "upstream.bench.example";
/// What every caller's username begins with.
pub(crate) const PREFIX: &str = "spiffe://team-a.example/";
/// The caller's common name.
const CALLER: &str = "ns/shop/id/deployer";

/// A run ends the same day.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The files of a run: `<name>.crt`, `<name>.key` and `<name>-ca.crt` of `upstream`, `relay`, `agent`, `exit`
/// and `caller`; and `agent-ca.key`.
#[derive(Debug, Clone)]
pub(crate) struct Papers {
    folder: PathBuf,
}

impl Papers {
    /// Makes them all.
    pub(crate) fn write(folder: &Path) -> anyhow::Result<Self> {
        let papers = Self {
            folder: folder.to_owned(),
        };
        let host = |name: &str| Kind::Relay {
            hosts: vec![name.to_owned(), "127.0.0.1".to_owned()],
        };
        papers.issue("upstream", host(UPSTREAM))?;
        papers.issue("relay", host(RELAY))?;
        let tunnel = TunnelName::parse(TUNNEL)?;
        papers.issue("agent", Kind::Agent { tunnel })?;
        let dns_names = vec![ENTRANCE.to_owned()];
        papers.issue("exit", Kind::Exit { dns_names })?;
        let caller = Kind::Caller {
            common_name: CALLER.to_owned(),
            uri: None,
        };
        papers.issue("caller", caller)?;
        Ok(papers)
    }

    fn issue(&self, name: &str, kind: Kind) -> anyhow::Result<()> {
        let now = SystemClock.now();
        let authority = CertificateAuthority::create(&format!("bench {name} CA"), 2, now)?;
        let issued = authority.issue(&Request {
            kind,
            lifetime: LIFETIME,
            now,
        })?;
        let files = [
            (self.certificate(name), &issued.cert_pem),
            (self.key(name), &issued.key_pem),
            (self.authority(name), &issued.ca_pem),
        ];
        for (path, text) in files {
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        if name == "agent" {
            // More agents are made while the suite runs.
            let path = self.authority_key(name);
            fs::write(&path, authority.key_pem()).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// A certificate's file.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.crt"))
    }

    /// A key's file.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// The file of the authority that signed a certificate.
    pub(crate) fn authority(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-ca.crt"))
    }

    /// The authority's key; of that of agents alone.
    pub(crate) fn authority_key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}-ca.key"))
    }
}

/// The certificate of an authority that no caller of the run has: one more anchor to have in a bundle.
pub(crate) fn further_authority(number: usize) -> anyhow::Result<String> {
    let name = format!("bench team-{number} CA");
    let authority = CertificateAuthority::create(&name, 2, SystemClock.now())?;
    Ok(authority.certificate_pem().to_owned())
}
