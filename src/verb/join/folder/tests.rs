use std::collections::BTreeSet;

use gangplank_agent::enrolment::Identity;
use tempfile::TempDir;

use super::*;

fn enrolled(domain: &str) -> Enrolled {
    Enrolled {
        identity_pem: Identity("a key and its chain".to_owned()),
        entrance_domain: domain.to_owned(),
        relay_authorities_pem: "authorities".to_owned(),
    }
}

fn write(folder: Folder, domain: &str) -> Outcome {
    let (enrolled, tunnel) = (enrolled(domain), TunnelName::parse("edge-1.acme").unwrap());
    folder.write(&Joined {
        enrolled: &enrolled,
        tunnel: &tunnel,
        relays: vec![json!({ "address": "relay.example.com:8443" })],
        upstream: json!({ "inCluster": true }),
    })
}

fn files(folder: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    for place in [folder.to_owned(), folder.join("exit-ca")] {
        for entry in fs::read_dir(&place).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(folder).unwrap();
                files.insert(name.display().to_string());
            }
        }
    }
    files
}

#[test]
fn whole_it_is_what_an_agent_runs_from() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("edge-1");
    write(Folder::prepare(&path).unwrap(), "clusters.example.com").unwrap();
    let all = OF_THE_AGENT.iter().chain(&OF_THE_EXIT);
    let all = all.chain([&KEY_OF_THE_AUTHORITY]).copied();
    assert_eq!(files(&path), all.map(str::to_owned).collect());
}

#[test]
fn what_cannot_be_whole_leaves_nothing_behind() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("edge-1");
    write(Folder::prepare(&path).unwrap(), "no domain").unwrap_err();
    assert!(!path.exists());
    for name in ["agent.yaml", "agent.pem", "exit.crt", "exit-ca/ca.crt"] {
        let folder = Folder::prepare(&path).unwrap();
        fs::write(path.join(name), "somebody was quicker").unwrap();
        write(folder, "clusters.example.com").unwrap_err();
        assert_eq!(files(&path), BTreeSet::from([name.to_owned()]));
        fs::remove_file(path.join(name)).unwrap();
    }
    write(Folder::prepare(&path).unwrap(), "clusters.example.com").unwrap();
}

#[test]
fn folders_that_were_made_go_too() {
    let place = TempDir::new().unwrap();
    let path = place.path().join("edge-1");
    let folder = Folder::prepare(&path).unwrap();
    assert!(path.join("trust").is_dir());
    fs::write(path.join("agent.yaml"), "somebody was quicker").unwrap();
    write(folder, "clusters.example.com").unwrap_err();
    assert!(!path.join("trust").exists());
    assert!(!path.join("exit-ca").exists());
    assert!(path.join("agent.yaml").exists());
}

#[test]
fn a_part_of_an_agent_is_told_from_an_agent() {
    for (name, words, not) in [
        ("agent.yaml", "an agent is in", "a part of"),
        ("agent.pem", "a part of an agent is in", "already"),
        ("relay-ca.crt", "move relay-ca.crt away", "already"),
    ] {
        let place = TempDir::new().unwrap();
        fs::write(place.path().join(name), "").unwrap();
        let Err(Failure::Usage(said)) = Folder::prepare(place.path()) else {
            panic!("{name} is in the way")
        };
        assert!(said.contains(words) && !said.contains(not), "{said}");
        assert!(said.contains("the token was not used"), "{said}");
    }
}
