//! What is wrong with a configuration is told, a line a fault: which file, where, what, and what to do. The program ends before it
//! listens anywhere.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use crate::support::certificates::Organisation;
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank;
use crate::support::kubectl::Said;
use crate::support::path::{Prepared, Relay};

mod furniture;
mod planted;

use furniture::Furniture;

/// Case F6: whichever role, and whichever of its files.
#[test]
fn each_of_fifty_planted_faults() {
    let furniture = Furniture::new();
    // The port is taken for as long as this runs: a program that tried to listen would end with another exit code.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let mut told = String::new();
    for (what, role, plant) in planted::FAULTS {
        let folder = furniture.set_out();
        plant.into(&folder);
        let port: &[&str] = if role == "agent" {
            &["--admin-listen", &taken]
        } else {
            &["--listen", &taken]
        };
        let said = run(role, folder.path(), port);
        assert_eq!(said.code, 2, "{what}: {}", said.err);
        assert!(!said.err.contains("\"listening\""), "{what}: {}", said.err);
        let lines = lines_of(&said, folder.path());
        for line in lines.lines() {
            assert_names_place_and_remedy(what, line);
        }
        told += &format!("# {role}: {what}\n{lines}\n");
    }
    assert!(planted::FAULTS.len() >= 50);
    insta::assert_snapshot!(told);
}

/// The same folder with nothing planted in it is no fault.
#[test]
fn but_nothing_where_nothing_is_wrong() {
    let furniture = Furniture::new();
    for role in ["relay", "agent", "proxy"] {
        let folder = furniture.set_out();
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = taken.local_addr().expect("an address").to_string();
        let said = run(role, folder.path(), &["--admin-listen", &taken]);
        assert_eq!(said.code, 1, "the port is taken, no more: {}", said.err);
        assert!(said.err.contains(&taken), "{}", said.err);
    }
}

/// The world is at fault, not the file: another exit code, and the same care for what to do.
#[tokio::test(flavor = "multi_thread")]
async fn ports_that_are_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let tcp = taken.local_addr().expect("an address");
    let taken_by_udp = udp_without_tcp();
    let udp = taken_by_udp.local_addr().expect("an address");
    let relay = Relay::start();
    relay.process.kill();
    let (fake, known) = (FakeApiServer::echo().await, Organisation::new("known"));
    let prepared = Prepared::proxy("127.0.0.1:0", &fake.kubeconfig(), &[&known]);
    for (what, role, folder, flag, address) in [
        ("callers' port", "relay", relay.folder(), "--listen", tcp),
        ("agents' port", "relay", relay.folder(), "--listen", udp),
        ("admin port", "relay", relay.folder(), "--admin-listen", tcp),
        ("callers' port", "proxy", prepared.folder(), "--listen", tcp),
        (
            "admin port",
            "proxy",
            prepared.folder(),
            "--admin-listen",
            tcp,
        ),
    ] {
        let said = run(role, folder, &[flag, &address.to_string()]);
        let lines: Vec<&str> = said
            .err
            .lines()
            .filter(|line| !line.starts_with('{'))
            .collect();
        assert_eq!(
            (said.code, lines.len()),
            (1, 1),
            "{role}, {what}: {}",
            said.err
        );
        assert!(
            lines[0].starts_with("gangplank: ") && lines[0].contains(&address.to_string()),
            "{role}, {what}: {}",
            lines[0]
        );
        assert!(
            !said.err.contains("\"listening\""),
            "{role}, {what}: {}",
            said.err
        );
    }
}

/// The command line is told by its own rules, with the same exit code as a file.
#[test]
fn command_lines_that_cannot_be_meant() {
    for (arguments, named) in [
        (&["relay"][..], "--config"),
        (
            &["relay", "--config", "x", "--listen", "nowhere"],
            "--listen",
        ),
        (
            &["relay", "--config", "x", "--lisen", "127.0.0.1:0"],
            "--listen",
        ),
        (&["sail"], "sail"),
        (&[], "Usage"),
    ] {
        let said = gangplank::run(arguments);
        assert_eq!(said.code, 2, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(named), "{arguments:?}: {}", said.err);
    }
}

fn run(role: &str, folder: &Path, further: &[&str]) -> Said {
    let config = folder.join(format!("{role}.yaml")).display().to_string();
    gangplank::run(&[&[role, "--config", &config], further].concat())
}

/// What is said, a line a fault, without who says it and without the folder.
fn lines_of(said: &Said, folder: &Path) -> String {
    let said = said.err.replace(&format!("{}/", folder.display()), "");
    let lines = said.lines().map(|line| {
        let line = line.strip_prefix("gangplank: ").expect("who says it");
        format!("{line}\n")
    });
    let lines: String = lines.collect();
    assert!(!lines.is_empty(), "nothing is said");
    lines
}

/// `FILE:LINE:COLUMN: what is wrong; what to do`; where there is no line to name, the file alone.
fn assert_names_place_and_remedy(what: &str, line: &str) {
    let (place, message) = line.split_once(": ").expect("a place");
    let mut place = place.split(':');
    let file = Path::new(place.next().expect("a file"));
    let written = ["yaml", "kubeconfig", "crl"];
    let extension = file.extension().and_then(|name| name.to_str());
    assert!(
        extension.is_some_and(|name| written.contains(&name)),
        "{what}: {line}"
    );
    let number = place.next().map(str::parse::<u32>);
    assert!(
        matches!(number, Some(Ok(1..))) || planted::WITHOUT_A_LINE.contains(&what),
        "{what}: {line}"
    );
    let (_, remedy) = message.rsplit_once("; ").expect("a remedy");
    assert!(remedy.contains(' '), "{what}: {line}");
    for secret in ["MII", "MIG", "TUlJ", "TUlH", furniture::TOKEN] {
        assert!(!line.contains(secret), "{what}: a secret is told: {line}");
    }
}

/// A UDP port whose TCP neighbour is free.
fn udp_without_tcp() -> UdpSocket {
    let free = |address: SocketAddr| TcpListener::bind(address).is_ok();
    let taken = (0..32).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let mut taken = taken.filter(|socket| free(socket.local_addr().expect("an address")));
    taken.next().expect("one of them")
}
