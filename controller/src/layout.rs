//! What a Secret with a kubeconfig looks like to the program that reads it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gangplank_objects::kubeconfig::{Credential, Layout};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::authority::{CERTIFICATE, KEY, bytes};

/// Where the binary finds itself in the caller's image, for exec plugins: on its PATH.
const PLUGIN: &str = "gangplank";

/// All that a kubeconfig is made of.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// What cluster, user and context are called.
    pub(crate) name: String,
    /// The namespace of the context: where the caller is at home.
    pub(crate) namespace: String,
    /// `https://…`.
    pub(crate) server: String,
    /// The authorities of the server, PEM.
    pub(crate) authorities: String,
    /// The client certificate, PEM.
    pub(crate) certificate: String,
    /// Its key, PEM.
    pub(crate) key: String,
    /// Where the Secret is mounted, for what asks for whole paths: a plugin runs in the folder that its caller is in, not
    /// in the kubeconfig's.
    pub(crate) mounted: Option<String>,
}

/// A Secret's entries, and the labels that make it what it is to others.
#[derive(Debug, PartialEq)]
pub(crate) struct Laid {
    pub(crate) entries: BTreeMap<String, ByteString>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Access {
    /// The Secret's content in this layout.
    pub(crate) fn laid(&self, layout: Layout, credential: Credential) -> Laid {
        let mut entries = BTreeMap::new();
        let mut labels = BTreeMap::new();
        let kubeconfig = || self.kubeconfig(credential).to_string();
        match layout {
            Layout::Config => entries.extend([bytes("config", kubeconfig())]),
            Layout::Value => entries.extend([bytes("value", kubeconfig())]),
            Layout::Kubeconfig => entries.extend([bytes("kubeconfig", kubeconfig())]),
            Layout::ArgoCD => {
                labels.insert(
                    "argocd.argoproj.io/secret-type".to_owned(),
                    "cluster".to_owned(),
                );
                entries.extend([
                    bytes("name", self.name.clone()),
                    bytes("server", self.server.clone()),
                    bytes("config", self.argo_cd().to_string()),
                ]);
            }
        }
        if layout != Layout::ArgoCD && credential != Credential::Embedded {
            entries.extend([
                bytes(CERTIFICATE, self.certificate.clone()),
                bytes(KEY, self.key.clone()),
            ]);
        }
        Laid { entries, labels }
    }

    /// A kubeconfig (`v1` `Config`), as JSON, which is YAML.
    fn kubeconfig(&self, credential: Credential) -> Value {
        let user = match credential {
            Credential::Embedded => json!({
                "client-certificate-data": STANDARD.encode(&self.certificate),
                "client-key-data": STANDARD.encode(&self.key),
            }),
            // client-go takes relative paths as lying beside the kubeconfig.
            Credential::Files => json!({
                "client-certificate": CERTIFICATE,
                "client-key": KEY,
            }),
            Credential::Exec => json!({
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": PLUGIN,
                    "args": ["credential", "--certificate", self.path(CERTIFICATE), "--key", self.path(KEY)],
                    "interactiveMode": "Never",
                },
            }),
        };
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": self.name,
                "cluster": {
                    "server": self.server,
                    "certificate-authority-data": STANDARD.encode(&self.authorities),
                },
            }],
            "users": [{ "name": self.name, "user": user }],
            "contexts": [{
                "name": self.name,
                "context": { "cluster": self.name, "user": self.name, "namespace": self.namespace },
            }],
            "current-context": self.name,
        })
    }

    fn path(&self, file: &str) -> String {
        match self
            .mounted
            .as_deref()
            .map(|folder| folder.trim_end_matches('/'))
        {
            Some(folder) => format!("{folder}/{file}"),
            None => file.to_owned(),
        }
    }

    /// The `config` of a cluster Secret of Argo CD (declarative setup, `clusters`).
    fn argo_cd(&self) -> Value {
        json!({
            "tlsClientConfig": {
                "insecure": false,
                "caData": STANDARD.encode(&self.authorities),
                "certData": STANDARD.encode(&self.certificate),
                "keyData": STANDARD.encode(&self.key),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access {
            name: "target-cluster".to_owned(),
            namespace: "namespace-a".to_owned(),
            server: "https://target-cluster.acme.gangplank.example".to_owned(),
            authorities: "CA".to_owned(),
            certificate: "CERT".to_owned(),
            key: "KEY".to_owned(),
            mounted: Some("/var/run/target/".to_owned()),
        }
    }

    fn read(laid: &Laid, key: &str) -> Value {
        serde_json::from_slice(&laid.entries[key].0).expect("JSON")
    }

    #[test]
    fn a_kubeconfig_lies_under_the_key_that_its_reader_looks_at() {
        for (layout, key) in [
            (Layout::Config, "config"),
            (Layout::Value, "value"),
            (Layout::Kubeconfig, "kubeconfig"),
        ] {
            let laid = access().laid(layout, Credential::Embedded);
            let keys: Vec<_> = laid.entries.keys().collect();
            assert_eq!(keys, [key]);
            let written = read(&laid, key);
            assert_eq!(written["users"][0]["user"]["client-key-data"], "S0VZ");
            assert_eq!(
                written["contexts"][0]["context"]["namespace"],
                "namespace-a"
            );
        }
    }

    #[test]
    fn argo_cd_finds_its_cluster_secret() {
        let laid = access().laid(Layout::ArgoCD, Credential::Embedded);
        assert_eq!(laid.labels["argocd.argoproj.io/secret-type"], "cluster");
        assert_eq!(laid.entries["name"].0, b"target-cluster");
        assert_eq!(
            laid.entries["server"].0,
            b"https://target-cluster.acme.gangplank.example"
        );
        assert_eq!(
            read(&laid, "config")["tlsClientConfig"]["certData"],
            "Q0VSVA=="
        );
    }

    #[test]
    fn files_are_referred_to_and_lie_beside() {
        let laid = access().laid(Layout::Config, Credential::Files);
        assert_eq!(
            read(&laid, "config")["users"][0]["user"]["client-key"],
            "tls.key"
        );
        assert_eq!(laid.entries["tls.key"].0, b"KEY");
        assert!(!read(&laid, "config").to_string().contains("S0VZ"));
    }

    #[test]
    fn an_exec_plugin_is_asked_in_the_version_of_today() {
        let laid = access().laid(Layout::Config, Credential::Exec);
        let exec = &read(&laid, "config")["users"][0]["user"]["exec"];
        assert_eq!(exec["apiVersion"], "client.authentication.k8s.io/v1");
        assert_eq!(exec["interactiveMode"], "Never");
        assert_eq!(exec["args"][2], "/var/run/target/tls.crt");
        assert_eq!(exec["args"][4], "/var/run/target/tls.key");
    }
}
