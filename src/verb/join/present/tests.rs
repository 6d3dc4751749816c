use std::os::unix::fs::{MetadataExt as _, chown};

use gangplank_agent::enrolment::Identity;
use tempfile::TempDir;

use super::*;
use crate::verb::join::relays::Relays;

const AS_JOINED: &str = "
relays: [{ address: 'relay.example.com:8443', caFile: relay-ca.crt }]
tunnel: { identityFile: agent.pem }
";

fn cluster() -> TunnelName {
    TunnelName::parse("edge-1.acme").unwrap()
}

fn relay_at(address: &str) -> RelayPlace {
    Relays::read(&[address.to_owned()]).unwrap().first
}

fn enrolled() -> Enrolled {
    Enrolled {
        identity_pem: Identity("a new key".to_owned()),
        entrance_domain: "clusters.example.com".to_owned(),
        relay_authorities_pem: "new authorities".to_owned(),
    }
}

#[test]
fn what_is_replaced_is_what_the_agent_reads() {
    let relay = "relay.example.com:8443";
    let place = TempDir::new().unwrap();
    let here = place.path().display().to_string();
    for (from, to, words) in [
        ("agent.pem", "agent.pem", None),
        ("agent.pem", "./agent.pem", None),
        ("agent.pem", &format!("{here}/agent.pem"), None),
        ("agent.pem", "../agent.pem", Some("does not name agent.pem")),
        (
            "agent.pem",
            "old/agent.pem",
            Some("does not name agent.pem"),
        ),
        (
            "agent.pem",
            "agent.pem.old",
            Some("does not name agent.pem"),
        ),
        (
            "{ identityFile: agent.pem }",
            "{} # agent.pem",
            Some("does not name agent.pem"),
        ),
        ("relay-ca.crt", "./relay-ca.crt", None),
        ("relay-ca.crt", "other-ca.crt", Some("by relay-ca.crt")),
        ("8443", "8444", Some("without relay.example.com:8443 among")),
        ("relay.example.com", "RELAY.example.com", None),
        ("relays:", "- :", Some("is no YAML")),
    ] {
        fs::write(
            place.path().join(CONFIGURATION),
            AS_JOINED.replace(from, to),
        )
        .unwrap();
        let looked = PresentAgent::of(place.path(), &cluster(), &relay_at(relay));
        match (looked.map_err(|failure| failure.describe()), words) {
            (Ok(_present), None) => {}
            (Err(said), Some(words)) => assert!(said.contains(words), "{said}"),
            (looked, _) => panic!("{from} as {to}: {:?}", looked.err()),
        }
    }
}

#[test]
fn what_a_joining_left_that_was_cut_off_is_in_nobodys_way() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join(CONFIGURATION), AS_JOINED).unwrap();
    for name in ["agent.pem.joined", "relay-ca.crt.joined"] {
        fs::write(place.path().join(name), "half").unwrap();
    }
    let relay = relay_at("relay.example.com:8443");
    let present = PresentAgent::of(place.path(), &cluster(), &relay).unwrap();
    present.replace(&enrolled()).unwrap();
    let held = |name: &str| fs::read_to_string(place.path().join(name)).ok();
    assert_eq!(held(IDENTITY).as_deref(), Some("a new key"));
    assert_eq!(held(AUTHORITIES).as_deref(), Some("new authorities"));
    assert_eq!(held("agent.pem.joined"), None);
}

#[test]
fn neither_is_replaced_when_one_cannot_be_written() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join(CONFIGURATION), AS_JOINED).unwrap();
    fs::write(place.path().join(AUTHORITIES), "old authorities").unwrap();
    let relay = relay_at("relay.example.com:8443");
    let present = PresentAgent::of(place.path(), &cluster(), &relay).unwrap();
    fs::create_dir(place.path().join("agent.pem.joined")).unwrap();
    present.replace(&enrolled()).unwrap_err();
    let held = fs::read_to_string(place.path().join(AUTHORITIES)).unwrap();
    assert_eq!(held, "old authorities");
    assert!(!place.path().join("relay-ca.crt.joined").exists());
}

/// Only root can give a file away: for another user all files are of one owner anyway.
#[test]
fn replaced_files_keep_their_owner() {
    let place = TempDir::new().unwrap();
    fs::write(place.path().join(CONFIGURATION), AS_JOINED).unwrap();
    fs::write(place.path().join(IDENTITY), "old").unwrap();
    let owner = |name: &str| {
        let metadata = fs::metadata(place.path().join(name)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    let mut expected = owner(IDENTITY);
    if expected.0 == 0 {
        expected = (61_184, 61_185);
        for name in [CONFIGURATION, IDENTITY] {
            chown(place.path().join(name), Some(expected.0), Some(expected.1)).unwrap();
        }
    }
    let relay = relay_at("relay.example.com:8443");
    let present = PresentAgent::of(place.path(), &cluster(), &relay).unwrap();
    present.replace(&enrolled()).unwrap();
    assert_eq!(owner(IDENTITY), expected);
    assert_eq!(owner(AUTHORITIES), expected, "as agent.yaml is");
}
