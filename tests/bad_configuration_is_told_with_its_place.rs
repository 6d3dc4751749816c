//! What is wrong with a configuration is told in one line: which file, where, what, and what to do.

use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;

use crate::support::certificates::{Authority, Organisation};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank;
use crate::support::kubectl::Said;
use crate::support::path::{Prepared, Relay};

/// What is done to a folder, and the one line that is then told, without the folder's name.
type Fault = (&'static str, fn(&Path), &'static str);

const OF_RELAYS: [Fault; 10] = [
    (
        "a wrong key",
        |at| edit(at, "relay.yaml", "domain:", "domian:"),
        "relay.yaml:2:1: the relay's file has no key `domian`; did you mean `domain`?",
    ),
    (
        "a wrong type",
        |at| edit(at, "relay.yaml", "tunnels.test", "17"),
        "relay.yaml:2:9: ",
    ),
    (
        "a wrong path",
        |at| edit(at, "relay.yaml", "relay.crt", "relais.crt"),
        "relay.yaml:5:20: relais.crt: there is no such file; create it, or correct the path; paths are relative to \
         the file that names them",
    ),
    (
        "a missing file",
        |at| fs::remove_file(at.join("relay.yaml")).expect("removed"),
        "relay.yaml: there is no such file; ",
    ),
    (
        "PEM that is cut off",
        |at| cut_off(at, "relay.crt"),
        "relay.yaml:5:20: relay.crt:1: ",
    ),
    (
        "PEM that is none",
        |at| fs::write(at.join("relay.key"), "none\n").expect("written"),
        "relay.yaml:6:12: relay.key",
    ),
    (
        "another's key",
        |at| another_key(at, "relay.key"),
        "relay.yaml:6:12: relay.key: ",
    ),
    (
        "a private key among authorities",
        |at| add_key(at, "agents-ca.crt"),
        "relay.yaml:7:17: agents-ca.crt:",
    ),
    (
        "a link that leads nowhere",
        |at| link_to_itself(at, "relay.key"),
        "relay.yaml:6:12: relay.key: this symbolic link ",
    ),
    (
        "a folder in a file's place",
        |at| folder_for(at, "agents-ca.crt"),
        "relay.yaml:7:17: agents-ca.crt: this is a directory; ",
    ),
];

const OF_PROXIES: [Fault; 5] = [
    (
        "a private key among an organisation's authorities",
        |at| trust_with_key(at),
        "trust/known.yaml:7:29: ",
    ),
    (
        "a trust directory that is missing",
        |at| fs::rename(at.join("trust"), at.join("tryst")).expect("renamed"),
        "proxy.yaml:",
    ),
    (
        "a wrong word",
        |at| edit(at, "proxy.yaml", "exit:\n", "exit:\n  clientAuth: Demand\n"),
        "proxy.yaml:3:15: ",
    ),
    (
        "an insecure upstream",
        |at| edit(at, "upstream.kubeconfig", "https://", "http://"),
        "proxy.yaml:5:27: upstream.kubeconfig:4:43: the server `http://",
    ),
    (
        "an upstream that is not there",
        |at| fs::remove_file(at.join("upstream.kubeconfig")).expect("removed"),
        "proxy.yaml:",
    ),
];

#[test]
fn of_relays() {
    for (what, spoil, told) in OF_RELAYS {
        let relay = Relay::start();
        relay.process.kill();
        spoil(relay.folder());
        assert_told(
            what,
            relay.folder(),
            &run("relay", relay.folder(), &[]),
            told,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_exits() {
    let (fake, known) = (FakeApiServer::echo().await, Organisation::new("known"));
    for (what, spoil, told) in OF_PROXIES {
        let prepared = Prepared::proxy("127.0.0.1:0", &fake.kubeconfig(), &[&known]);
        spoil(prepared.folder());
        assert_told(
            what,
            prepared.folder(),
            &run("proxy", prepared.folder(), &[]),
            told,
        );
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

fn assert_told(what: &str, folder: &Path, said: &Said, told: &str) {
    assert_eq!(said.code, 2, "{what}: {}", said.err);
    let line = said
        .err
        .trim_end()
        .replace(&format!("{}/", folder.display()), "");
    assert_eq!(line.lines().count(), 1, "{what}: {line}");
    let line = line.strip_prefix("gangplank: ").expect("who says it");
    assert!(line.starts_with(told), "{what}: {line}");
    let (_, remedy) = line
        .rsplit_once("; ")
        .unwrap_or_else(|| panic!("{what}: no remedy in: {line}"));
    assert!(remedy.contains(' '), "{what}: {line}");
    assert!(!line.contains("MIG"), "{what}: a key is told: {line}");
}

/// A UDP port whose TCP neighbour is free.
fn udp_without_tcp() -> UdpSocket {
    let free = |address: SocketAddr| TcpListener::bind(address).is_ok();
    let taken = (0..32).map(|_| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let mut taken = taken.filter(|socket| free(socket.local_addr().expect("an address")));
    taken.next().expect("one of them")
}

fn edit(folder: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(folder.join(file)).expect("readable");
    assert!(text.contains(from), "{file} has no {from}");
    fs::write(folder.join(file), text.replacen(from, to, 1)).expect("written");
}

fn cut_off(folder: &Path, file: &str) {
    let text = fs::read_to_string(folder.join(file)).expect("readable");
    fs::write(folder.join(file), text.split_at(text.len() / 2).0).expect("written");
}

fn another_key(folder: &Path, file: &str) {
    fs::write(
        folder.join(file),
        Authority::new("another").relay("relay.test").key,
    )
    .expect("written");
}

fn add_key(folder: &Path, file: &str) {
    let text = fs::read_to_string(folder.join(file)).expect("readable");
    let key = Authority::new("another").relay("relay.test").key;
    fs::write(folder.join(file), format!("{text}{key}")).expect("written");
}

fn link_to_itself(folder: &Path, file: &str) {
    fs::remove_file(folder.join(file)).expect("removed");
    std::os::unix::fs::symlink(folder.join(file), folder.join(file)).expect("a link");
}

fn folder_for(folder: &Path, file: &str) {
    fs::remove_file(folder.join(file)).expect("removed");
    fs::create_dir(folder.join(file)).expect("a folder");
}

fn trust_with_key(folder: &Path) {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    let organisation = Organisation::new("known");
    let papers = organisation.caller("a");
    let both = format!("{}{}", organisation.authority.pem(), papers.key);
    let object = organisation.provider();
    let (before, _) = object
        .split_once("certificateAuthorityData: ")
        .expect("it is there");
    let text = format!(
        "{before}certificateAuthorityData: {}\n",
        BASE64_STANDARD.encode(both)
    );
    fs::write(folder.join("trust/known.yaml"), text).expect("written");
}
