//! The faults: of role files, of what they name, of kubeconfigs, of providers, of revocation lists.

use std::fs;
use std::os::unix::fs::symlink;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::furniture::Folder;

/// How a fault is planted.
#[derive(Clone, Copy)]
pub(super) enum Plant {
    /// In this file this text is replaced by that.
    Edit(&'static str, &'static str, &'static str),
    /// Anything else.
    Change(fn(&Folder)),
}

use Plant::{Change, Edit};

impl Plant {
    pub(super) fn into(self, folder: &Folder) {
        match self {
            Edit(file, from, to) => folder.edit(file, from, to),
            Change(change) => change(folder),
        }
    }
}

/// Faults of a file as a whole.
pub(super) const WITHOUT_A_LINE: [&str; 3] = [
    "its file is missing",
    "its file is empty",
    "a revocation list that is empty",
];

/// What is wrong, the role that is started, and how it is planted.
pub(super) const FAULTS: [(&str, &str, Plant); 56] = [
    // Role files.
    (
        "its file is missing",
        "relay",
        Change(|at| at.remove("relay.yaml")),
    ),
    (
        "its file is empty",
        "agent",
        Change(|at| at.write("agent.yaml", "")),
    ),
    (
        "no YAML",
        "relay",
        Edit("relay.yaml", "listen: \"", "listen: \"\""),
    ),
    (
        "a second document",
        "proxy",
        Edit("proxy.yaml", "exit:", "---\nexit:"),
    ),
    (
        "a key misspelt",
        "relay",
        Edit("relay.yaml", "domain:", "domian:"),
    ),
    (
        "a key misspelt, deep down",
        "agent",
        Edit("agent.yaml", "servingCertificate", "servingCertificates"),
    ),
    (
        "a key twice",
        "proxy",
        Change(|at| at.append("proxy.yaml", "listen: \"127.0.0.1:1\"\n")),
    ),
    (
        "a key that is missing",
        "agent",
        Edit("agent.yaml", ", caFile: relay-ca.crt }", " }"),
    ),
    (
        "a number for a name",
        "relay",
        Edit("relay.yaml", "tunnels.test", "17"),
    ),
    (
        "a name to listen on",
        "relay",
        Edit("relay.yaml", "127.0.0.1:8443", "localhost:8443"),
    ),
    (
        "a relay within its own entrance domain",
        "relay",
        Edit("relay.yaml", "relay.test", "relay.tunnels.test"),
    ),
    (
        "a duration without a unit",
        "relay",
        Edit("relay.yaml", "60s", "\"60\""),
    ),
    (
        "an unknown level of the log",
        "relay",
        Edit("relay.yaml", "info", "verbose"),
    ),
    (
        "an unknown word",
        "agent",
        Edit("agent.yaml", "Request", "Demand"),
    ),
    (
        "a relay without a port",
        "agent",
        Edit("agent.yaml", "relay.test:8443", "relay.test"),
    ),
    (
        "a relay twice",
        "agent",
        Edit("agent.yaml", "127.0.0.1:443", "relay.test:8443"),
    ),
    (
        "two upstreams",
        "agent",
        Edit(
            "agent.yaml",
            "{ kubeconfig",
            "{ inCluster: true, kubeconfig",
        ),
    ),
    (
        "a trust directory that is missing",
        "agent",
        Edit("agent.yaml", "directory: trust", "directory: tryst"),
    ),
    (
        "an unknown sink",
        "agent",
        Edit("agent.yaml", "stderr", "syslog"),
    ),
    (
        "a webhook without a place",
        "agent",
        Edit("agent.yaml", "sink: stderr", "sink: webhook"),
    ),
    // Certificates and keys that they name.
    (
        "a file that is missing",
        "relay",
        Edit("relay.yaml", "relay.crt", "relais.crt"),
    ),
    (
        "a certificate that is cut off",
        "relay",
        Change(|at| at.write("relay.crt", at.half("relay.crt"))),
    ),
    (
        "a key that is none",
        "relay",
        Change(|at| at.write("relay.key", "none\n")),
    ),
    (
        "another's key",
        "relay",
        Change(|at| at.write("relay.key", at.read("agent.key"))),
    ),
    (
        "a link that leads to itself",
        "relay",
        Change(|at| {
            at.remove("relay.key");
            symlink(at.file("relay.key"), at.file("relay.key")).expect("a link");
        }),
    ),
    (
        "a folder in a file's place",
        "relay",
        Change(|at| {
            at.remove("agents-ca.crt");
            fs::create_dir(at.file("agents-ca.crt")).expect("a folder");
        }),
    ),
    (
        "a private key among authorities",
        "relay",
        Change(|at| {
            at.write(
                "agents-ca.crt",
                at.read("agent.key") + &at.read("agents-ca.crt"),
            );
        }),
    ),
    (
        "a leaf among authorities",
        "relay",
        Edit("relay.yaml", "agents-ca.crt", "agent.crt"),
    ),
    (
        "a certificate for another name",
        "relay",
        Edit("relay.yaml", "relay.test", "gateway.test"),
    ),
    (
        "a caller's certificate in an agent's place",
        "agent",
        Edit(
            "agent.yaml",
            "{ certificateFile: agent.crt, keyFile: agent.key }",
            "{ certificateFile: caller.crt, keyFile: caller.key }",
        ),
    ),
    (
        "an exit's certificate for clients",
        "proxy",
        Edit(
            "proxy.yaml",
            "{ certificateFile: exit.crt, keyFile: exit.key }",
            "{ certificateFile: agent.crt, keyFile: agent.key }",
        ),
    ),
    // The kubeconfig.
    (
        "no kubeconfig",
        "proxy",
        Change(|at| at.remove("upstream.kubeconfig")),
    ),
    (
        "a kubeconfig that is no YAML",
        "proxy",
        Edit("upstream.kubeconfig", "clusters:", "clusters: ["),
    ),
    (
        "a context that is not there",
        "proxy",
        Edit(
            "upstream.kubeconfig",
            "current-context: here",
            "current-context: her",
        ),
    ),
    (
        "an API server without TLS",
        "proxy",
        Edit("upstream.kubeconfig", "https://", "http://"),
    ),
    (
        "an API server that is not verified",
        "proxy",
        Edit(
            "upstream.kubeconfig",
            "certificate-authority: api-ca.crt",
            "certificate-authority: api-ca.crt\n      insecure-skip-tls-verify: true",
        ),
    ),
    (
        "a program for credentials",
        "proxy",
        Edit(
            "upstream.kubeconfig",
            "token: hunter2",
            "exec: { command: aws }",
        ),
    ),
    (
        "a kubeconfig that impersonates",
        "proxy",
        Edit(
            "upstream.kubeconfig",
            "token: hunter2",
            "token: hunter2\n      as: admin",
        ),
    ),
    (
        "a token with a blank",
        "proxy",
        Edit(
            "upstream.kubeconfig",
            "token: hunter2",
            "token: hunter2 too",
        ),
    ),
    (
        "a token's file that is missing",
        "proxy",
        Edit("upstream.kubeconfig", "token: hunter2", "tokenFile: token"),
    ),
    (
        "a client certificate with another's key",
        "proxy",
        Edit(
            "upstream.kubeconfig",
            "token: hunter2",
            "client-certificate: caller.crt\n      client-key: agent.key",
        ),
    ),
    // Providers.
    (
        "a kind that is not read",
        "proxy",
        Edit("trust/known.yaml", "TrustedIdentityProvider", "Identity"),
    ),
    (
        "a kind misspelt",
        "proxy",
        Edit(
            "trust/known.yaml",
            "TrustedIdentityProvider",
            "TrustedIdentityProviders",
        ),
    ),
    (
        "a key of an object misspelt",
        "proxy",
        Edit("trust/known.yaml", "prefix:", "prefx:"),
    ),
    (
        "a reserved prefix",
        "proxy",
        Edit("trust/known.yaml", "spiffe://known.example/", "system:"),
    ),
    (
        "a reserved group",
        "proxy",
        Change(|at| at.specify("groups: [\"system:masters\"]")),
    ),
    (
        "an unknown source of names",
        "proxy",
        Change(|at| at.specify("usernameFrom: Email")),
    ),
    (
        "an authority in PEM",
        "proxy",
        Edit(
            "trust/known.yaml",
            "certificateAuthorityData: ",
            "certificateAuthorityData: \"-----BEGIN CERTIFICATE-----\" # ",
        ),
    ),
    (
        "a leaf for an authority",
        "proxy",
        Change(|at| at.trust_in_place(&at.read("caller.crt"))),
    ),
    (
        "a private key beside the authority",
        "proxy",
        Change(|at| at.trust_in_place(&(at.read("caller.key") + &at.read("known-ca.crt")))),
    ),
    (
        "a denied certificate that is none",
        "proxy",
        Change(|at| at.specify("deniedCertificates: [\"4711\"]")),
    ),
    (
        "an object twice",
        "proxy",
        Change(|at| {
            at.append(
                "trust/known.yaml",
                &format!("---\n{}", at.read("trust/known.yaml")),
            );
        }),
    ),
    // Revocation lists.
    (
        "a revocation list that is empty",
        "proxy",
        Change(|at| at.write("trust/known.crl", "")),
    ),
    (
        "a revocation list that is cut off",
        "proxy",
        Change(|at| at.write("trust/known.crl", at.half("known-list.pem"))),
    ),
    (
        "a namesake's revocation list",
        "proxy",
        Change(|at| at.write("trust/known.crl", at.read("namesake-list.pem"))),
    ),
    (
        "a revocation list that is a certificate",
        "proxy",
        Change(|at| {
            let data = BASE64_STANDARD.encode(at.read("known-ca.crt"));
            at.specify(&format!("certificateRevocationListData: {data}"));
        }),
    ),
];
