//! The certificates of a run, an authority a purpose.

use std::fs;
use std::path::Path;
use std::time::Duration;

use gangplank_pki::TunnelName;
use gangplank_pki::clock::{Clock as _, SystemClock};
use gangplank_pki::issue::{CertificateAuthority, Issued, Kind, Request};

use crate::site::{ENTRANCE, RELAY, TUNNEL};

/// The gate takes a minute.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Certificates, keys and authorities.
#[derive(Debug)]
pub(crate) struct Papers {
    /// The API server's.
    pub(crate) api_server: Issued,
    /// The exit's, which callers see.
    pub(crate) exit: Issued,
    /// The caller's.
    pub(crate) caller: Issued,
    relay: Issued,
    agent: Issued,
}

impl Papers {
    /// Makes them all.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub(crate) fn issue() -> anyhow::Result<Self> {
        let host = |name: &str| Kind::Relay {
            hosts: vec![name.to_owned()],
        };
        Ok(Self {
            api_server: issue(host("127.0.0.1"))?,
            exit: issue(Kind::Exit {
                dns_names: vec![ENTRANCE.to_owned()],
            })?,
            caller: issue(Kind::Caller {
                common_name: "ns/shop/id/deployer".to_owned(),
                uri: None,
            })?,
            relay: issue(host(RELAY))?,
            agent: issue(Kind::Agent {
                tunnel: TunnelName::parse(TUNNEL)?,
            })?,
        })
    }

    /// Writes `<name>.crt`, `<name>.key` and `<name>-ca.crt` of each part.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written to.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let named = [
            ("api-server", &self.api_server),
            ("exit", &self.exit),
            ("caller", &self.caller),
            ("relay", &self.relay),
            ("agent", &self.agent),
        ];
        for (name, issued) in named {
            fs::write(folder.join(format!("{name}.crt")), &issued.cert_pem)?;
            fs::write(folder.join(format!("{name}.key")), &issued.key_pem)?;
            fs::write(folder.join(format!("{name}-ca.crt")), &issued.ca_pem)?;
        }
        Ok(())
    }
}

fn issue(kind: Kind) -> anyhow::Result<Issued> {
    let now = SystemClock.now();
    let authority = CertificateAuthority::create("work CA", 1, now)?;
    Ok(authority.issue(&Request {
        kind,
        lifetime: LIFETIME,
        now,
    })?)
}
