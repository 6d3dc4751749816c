//! A folder with every role's file and all that they name, good, for one fault to be planted in.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::support::certificates::{Authority, Organisation};

/// A secret that no message may repeat.
pub(super) const TOKEN: &str = "hunter2";

const RELAY: &str = "\
listen: \"127.0.0.1:8443\"
domain: tunnels.test
tunnel:
  serverName: relay.test
  certificateFile: relay.crt
  keyFile: relay.key
  clientCAFile: agents-ca.crt
admin: { listen: \"127.0.0.1:9090\" }
log: { format: json, level: info }
drain: { settle: 2s, limit: 60s }
";

const AGENT: &str = "\
relays:
  - { address: \"relay.test:8443\", caFile: relay-ca.crt }
  - { address: \"127.0.0.1:443\", serverName: relay.test, caFile: relay-ca.crt }
tunnel: { certificateFile: agent.crt, keyFile: agent.key }
exit:
  servingCertificate: { certificateFile: exit.crt, keyFile: exit.key }
  trust: { directory: trust }
  clientAuth: Request
  upstream: { kubeconfig: upstream.kubeconfig }
  audit: { sink: stderr, whenFull: Drop }
";

const PROXY: &str = "\
listen: \"127.0.0.1:8444\"
exit:
  servingCertificate: { certificateFile: exit.crt, keyFile: exit.key }
  trust: { directory: trust }
  upstream: { kubeconfig: upstream.kubeconfig }
";

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: here
clusters:
  - name: kubernetes
    cluster:
      server: https://127.0.0.1:6443
      certificate-authority: api-ca.crt
users:
  - name: exit
    user:
      token: hunter2
contexts:
  - name: here
    context: { cluster: kubernetes, user: exit }
";

/// What is in the folder, made once.
pub(super) struct Furniture {
    files: Vec<(String, String)>,
}

impl Furniture {
    pub(super) fn new() -> Self {
        let mut files: Vec<(String, String)> = [
            ("relay.yaml", RELAY),
            ("agent.yaml", AGENT),
            ("proxy.yaml", PROXY),
            ("upstream.kubeconfig", KUBECONFIG),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
        let known = Organisation::new("known");
        let of_relay = Authority::new("relay CA");
        let (of_agents, of_exits) = (Authority::new("agents CA"), Authority::new("exits CA"));
        for (name, papers) in [
            ("relay", of_relay.relay("relay.test")),
            ("agent", of_agents.agent("harbour.acme")),
            ("exit", of_exits.exit("harbour.acme", "tunnels.test")),
            ("caller", known.caller("a")),
        ] {
            files.push((format!("{name}.crt"), papers.certificates));
            files.push((format!("{name}.key"), papers.key));
        }
        for (name, authority) in [
            ("relay", &of_relay),
            ("agents", &of_agents),
            ("exits", &of_exits),
            ("known", &known.authority),
            ("api", &Authority::new("API server CA")),
            ("namesake", &Authority::new("known CA")),
        ] {
            files.push((format!("{name}-ca.crt"), authority.pem()));
        }
        for (name, authority) in [
            ("known", &known.authority),
            ("namesake", &Authority::new("known CA")),
        ] {
            let list = authority.revocation_list(1, &[7]).pem().expect("a list");
            files.push((format!("{name}-list.pem"), list));
        }
        files.push(("trust/known.yaml".to_owned(), known.provider()));
        Self { files }
    }

    /// A new folder with all of it.
    pub(super) fn set_out(&self) -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        fs::create_dir(folder.file("trust")).expect("a folder");
        for (name, text) in &self.files {
            folder.write(name, text);
        }
        folder
    }
}

/// A folder to plant a fault in.
pub(super) struct Folder(TempDir);

impl Folder {
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).expect("it is there")
    }

    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.file(name), text).expect("written");
    }

    pub(super) fn append(&self, name: &str, text: &str) {
        self.write(name, self.read(name) + text);
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.file(name)).expect("removed");
    }

    /// Replaces text that must be there.
    pub(super) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no {from}");
        self.write(name, text.replacen(from, to, 1));
    }

    /// The first half of a file.
    pub(super) fn half(&self, name: &str) -> String {
        let mut text = self.read(name);
        text.truncate(text.len() / 2);
        text
    }

    /// Has the provider trust this in place of its authority.
    pub(super) fn trust_in_place(&self, pem: &str) {
        let text = self.read("trust/known.yaml");
        let (before, _) = text
            .split_once("certificateAuthorityData: ")
            .expect("it is there");
        let data = BASE64_STANDARD.encode(pem);
        self.write(
            "trust/known.yaml",
            format!("{before}certificateAuthorityData: {data}\n"),
        );
    }

    /// Adds a line to the provider's specification.
    pub(super) fn specify(&self, line: &str) {
        self.append("trust/known.yaml", &format!("  {line}\n"));
    }
}
