//! The API server of the cluster this process runs in, as a pod finds it.

use std::env;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Place};
use crate::material::{Anchors, Token};
use crate::scalar::HostPort;
use crate::upstream::{Credential, Server, Upstream};

/// Where the kubelet puts the pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What a pod is told about its cluster.
#[derive(Clone, Debug)]
pub struct InCluster {
    /// `KUBERNETES_SERVICE_HOST`.
    pub host: Option<String>,
    /// `KUBERNETES_SERVICE_PORT`.
    pub port: Option<String>,
    /// The folder with `token` and `ca.crt`.
    pub service_account: PathBuf,
}

impl InCluster {
    /// What the environment of this process says.
    pub fn from_environment() -> Self {
        Self {
            host: env::var("KUBERNETES_SERVICE_HOST").ok(),
            port: env::var("KUBERNETES_SERVICE_PORT").ok(),
            service_account: Path::new(SERVICE_ACCOUNT).to_owned(),
        }
    }

    /// Not in a cluster at all.
    pub fn absent() -> Self {
        Self {
            host: None,
            port: None,
            service_account: Path::new(SERVICE_ACCOUNT).to_owned(),
        }
    }

    /// The cluster's API server with the pod's own service account.
    ///
    /// # Errors
    /// What a pod has and this process has not.
    pub fn upstream(&self) -> Result<Upstream, Fault> {
        let server = self.server()?;
        let authorities = Anchors::material(self.service_account.join("ca.crt"));
        authorities.read()?;
        let token = Token::material(self.service_account.join("token"));
        token.read()?;
        Ok(Upstream {
            server,
            authorities,
            credential: Credential::TokenFile(token),
        })
    }

    fn server(&self) -> Result<Server, Fault> {
        let fault = |message: &str, remedy: &str| {
            Fault::new(
                &self.service_account,
                Place::WHOLE_FILE,
                "NotInCluster",
                message,
                remedy,
            )
        };
        let (Some(host), Some(port)) = (&self.host, &self.port) else {
            return Err(fault(
                "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not both set",
                "run inside a pod, or name a `kubeconfig`",
            ));
        };
        let port: u16 = port.parse().map_err(|_not_a_port| {
            fault(
                "KUBERNETES_SERVICE_PORT is not a port",
                "set it as a kubelet does, such as `443`",
            )
        })?;
        // A kubelet writes IPv6 addresses without brackets.
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        HostPort::from_parts(&host, port)
            .and_then(|address| Server::new(&address, None))
            .map_err(|complaint| fault(&complaint.message, &complaint.remedy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Workplace, authority_pem};

    fn pod(place: &Workplace) -> InCluster {
        InCluster {
            host: Some("fd00::1".to_owned()),
            port: Some("443".to_owned()),
            service_account: place.root().to_owned(),
        }
    }

    #[test]
    fn a_pod_finds_its_api_server() {
        let place = Workplace::empty();
        place.write("ca.crt", authority_pem("kubernetes"));
        place.write("token", "hunter2");
        let upstream = pod(&place).upstream().unwrap();
        assert_eq!(upstream.server.authority, "[fd00::1]:443");
        assert!(matches!(upstream.credential, Credential::TokenFile(_)));
    }

    #[test]
    fn what_a_pod_lacks_is_named() {
        let place = Workplace::empty();
        let fault = pod(&place).upstream().unwrap_err();
        assert!(fault.file.ends_with("ca.crt"), "{fault}");
        place.write("ca.crt", authority_pem("kubernetes"));
        let fault = pod(&place).upstream().unwrap_err();
        assert!(fault.file.ends_with("token"), "{fault}");
        let fault = InCluster {
            port: None,
            ..pod(&place)
        }
        .upstream()
        .unwrap_err();
        assert_eq!(fault.reason(), "NotInCluster");
        let fault = InCluster {
            port: Some("https".to_owned()),
            ..pod(&place)
        }
        .upstream();
        assert_eq!(fault.unwrap_err().reason(), "NotInCluster");
    }
}
