//! The architecture's arrows: a crate imports only crates of lower layers, and roles never one another.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// What each crate may import, in the order of the layers.
const MAY_IMPORT: [(&str, &[&str]); 13] = [
    ("gangplank-pki", &[]),
    ("gangplank-tcp", &[]),
    // Of tests and benchmarks: nothing imports it.
    ("gangplank-link", &[]),
    ("gangplank-tunnel", &["gangplank-pki", "gangplank-tcp"]),
    ("gangplank-config", &["gangplank-pki"]),
    (
        "gangplank-apiserver",
        &["gangplank-pki", "gangplank-tcp", "gangplank-config"],
    ),
    (
        "gangplank-enrolment",
        &["gangplank-pki", "gangplank-config", "gangplank-tunnel"],
    ),
    (
        "gangplank-relay",
        &[
            "gangplank-pki",
            "gangplank-tcp",
            "gangplank-config",
            "gangplank-enrolment",
            "gangplank-tunnel",
        ],
    ),
    (
        "gangplank-agent",
        &["gangplank-pki", "gangplank-config", "gangplank-tunnel"],
    ),
    (
        "gangplank-proxy",
        &[
            "gangplank-pki",
            "gangplank-tcp",
            "gangplank-config",
            "gangplank-apiserver",
        ],
    ),
    (
        "gangplank-objects",
        &["gangplank-pki", "gangplank-config", "gangplank-apiserver"],
    ),
    (
        "gangplank-controller",
        &["gangplank-pki", "gangplank-config", "gangplank-objects"],
    ),
    (
        "gangplank",
        &[
            "gangplank-pki",
            "gangplank-tcp",
            "gangplank-tunnel",
            "gangplank-config",
            "gangplank-enrolment",
            "gangplank-relay",
            "gangplank-agent",
            "gangplank-proxy",
            "gangplank-objects",
            "gangplank-controller",
        ],
    ),
];

fn metadata() -> Value {
    let said = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    serde_json::from_slice(&said.stdout).expect("cargo metadata prints JSON")
}

#[test]
fn each_crate_imports_only_what_lies_below() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.into_iter().collect();
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(
        packages.len(),
        allowed.len(),
        "a new crate needs its place in the layers: add it to this table"
    );
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let below = allowed
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no layer"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let imported = dependency["name"].as_str().expect("a name");
            // What a crate's own tests import is not part of the product.
            if imported.starts_with("gangplank") && dependency["kind"].is_null() {
                assert!(
                    below.contains(&imported),
                    "{name} must not import {imported}: its layer is not below"
                );
            }
        }
    }
}

#[test]
fn one_crypto_provider_is_linked() {
    let said = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--workspace",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--offline",
            "--locked",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let tree = String::from_utf8(said.stdout).expect("UTF-8");
    let linked = |name: &str| {
        tree.lines()
            .any(|line| line.split(' ').next() == Some(name))
    };
    assert!(
        linked("aws-lc-rs"),
        "the provider is there: {}",
        String::from_utf8_lossy(&said.stderr)
    );
    for other in [
        "ring",
        "openssl",
        "boring",
        "rustls-rustcrypto",
        "graviola",
        "native-tls",
    ] {
        assert!(!linked(other), "{other} is linked beside aws-lc-rs");
    }
}
