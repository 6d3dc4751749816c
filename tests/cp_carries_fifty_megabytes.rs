//! `kubectl cp` carries a large file both ways and it arrives whole, over WebSocket and over SPDY.

use std::fs;

use aws_lc_rs::digest::{SHA256, digest};

use crate::support::certificates::Organisation;
use crate::support::path::{Site, WAYS};
use crate::support::{cluster, pod};

/// What a person copies when it is large.
const LENGTH: usize = 50 << 20;

#[test]
fn both_ways() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("copiers");
    cluster.namespace("cp");
    cluster.make_namespace_admin(&organisation.username("a"), "cp");
    pod::run(cluster, "cp", "box");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (sent, back) = (
        folder.path().join("parcel"),
        folder.path().join("parcel.back"),
    );
    // Random enough that no two blocks are alike: multiples of a large odd number.
    let content: Vec<u8> = (0..LENGTH / 8)
        .flat_map(|number| {
            u64::try_from(number)
                .expect("small")
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .to_le_bytes()
        })
        .collect();
    fs::write(&sent, &content).expect("written");
    for way in WAYS {
        let site = Site::before(cluster, way, &[&organisation]);
        let kubectl = site.kubectl(&organisation.caller("a"));
        for (name, kubectl) in [
            ("WebSocket", kubectl.clone()),
            ("SPDY", kubectl.over_spdy()),
        ] {
            let directory =
                kubectl.ok(&["-n", "cp", "exec", "box", "--", "sh", "-c", "echo $POD_DIR"]);
            let there = format!("box:{}/parcel", directory.trim());
            kubectl.ok(&["-n", "cp", "cp", &sent.display().to_string(), &there]);
            kubectl.ok(&["-n", "cp", "cp", &there, &back.display().to_string()]);
            let returned = fs::read(&back).expect("it came back");
            let same = digest(&SHA256, &returned).as_ref() == digest(&SHA256, &content).as_ref();
            assert!(
                same,
                "{way:?} {name}: {} of {LENGTH} bytes came back",
                returned.len()
            );
            fs::remove_file(&back).expect("removed");
        }
    }
}
