//! The API server behind an exit, and the one credential that is used towards it.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls_pki_types::ServerName;

use crate::fault::Faults;
use crate::material::{Anchors, KeyPair, Material, Token};
use crate::scalar::{Complaint, HostPort};
use crate::section::Section;

pub use in_cluster::InCluster;

mod in_cluster;
mod kubeconfig;

/// Where requests are forwarded to, and as whom.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The API server.
    pub server: Server,
    /// The authorities its certificate may come from. System-wide ones are never used.
    pub authorities: Material<Anchors>,
    /// The proxy's own credential, exactly one.
    pub credential: Credential,
}

impl Upstream {
    /// What `kubeconfig` and `context` in a role's file would mean; without a context the current one.
    ///
    /// # Errors
    /// All faults of the kubeconfig and of the files it names.
    pub fn of_kubeconfig(file: &Path, context: Option<&str>) -> Result<Self, Faults> {
        kubeconfig::read(file, context)
    }

    /// What `inCluster: true` in a role's file would mean.
    ///
    /// # Errors
    /// What this process lacks of a pod.
    pub fn of_cluster(in_cluster: &InCluster) -> Result<Self, Faults> {
        in_cluster.upstream().map_err(Faults::from)
    }
}

/// The API server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// DNS name or IP address, without brackets.
    pub host: String,
    /// TCP port; 443 when none was written.
    pub port: u16,
    /// `host:port` as the `Host` header and `:authority` say it.
    pub authority: String,
    /// The name its certificate must carry: `tls-server-name`, or the host.
    pub tls_server_name: ServerName<'static>,
}

impl Server {
    /// The server at `address`, whose certificate carries `tls_server_name` or else its host.
    pub(crate) fn new(
        address: &HostPort,
        tls_server_name: Option<ServerName<'static>>,
    ) -> Result<Self, Complaint> {
        let tls_server_name = match tls_server_name {
            Some(name) => name,
            None => address.server_name()?,
        };
        Ok(Self {
            host: address.host().to_owned(),
            port: address.port(),
            authority: address.to_string(),
            tls_server_name,
        })
    }
}

/// How the proxy proves who it is to the API server.
#[derive(Clone)]
pub enum Credential {
    /// With a certificate of its own, in the handshake.
    ClientCertificate(Material<KeyPair>),
    /// With a bearer token that does not change.
    Token(Token),
    /// With a bearer token that is re-read as it rotates.
    TokenFile(Material<Token>),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientCertificate(files) => {
                f.debug_tuple("ClientCertificate").field(files).finish()
            }
            Self::Token(token) => f.debug_tuple("Token").field(token).finish(),
            Self::TokenFile(file) => f.debug_tuple("TokenFile").field(file).finish(),
        }
    }
}

const KEYS: &[&str] = &["kubeconfig", "context", "inCluster"];

/// The `upstream` block: a context of a kubeconfig, or the cluster this process runs in.
pub(crate) fn read(exit: &Section<'_>, in_cluster: &InCluster) -> Option<Upstream> {
    let section = exit.required_section("upstream", KEYS)?;
    let inside = section.flag("inCluster", false)?;
    let kubeconfig = section.optional("kubeconfig");
    match (inside, kubeconfig) {
        (true, Some(kubeconfig)) => {
            let message = "an upstream is either `inCluster` or a `kubeconfig`, not both";
            section.sheet.fault(
                kubeconfig.place,
                "TwoUpstreams",
                message,
                "remove one of the two",
            );
            None
        }
        (true, None) => {
            if let Some(context) = section.optional("context") {
                let message = "`context` says nothing about `inCluster`";
                section
                    .sheet
                    .fault(context.place, "UselessKey", message, "remove it");
            }
            let place = section
                .optional("inCluster")
                .map_or(section.place, |node| node.place);
            section
                .sheet
                .accept_referenced(place, in_cluster.upstream())
        }
        (false, Some(_)) => {
            let written = section.optional_text("kubeconfig")?;
            let context = section.optional_text("context").map(|context| context.text);
            let path: PathBuf = section.sheet.resolve(written.text);
            let read = kubeconfig::read(&path, context);
            section.sheet.accept_all_referenced(written.place, read)
        }
        (false, None) => {
            let message = "`upstream` says neither `kubeconfig` nor `inCluster`";
            let remedy = "write `kubeconfig: FILE`, or `inCluster: true` inside a pod";
            section
                .sheet
                .fault(section.place, "MissingKey", message, remedy);
            None
        }
    }
}
