use std::time::Duration;

use crate::fault::Faults;
use crate::fixture::{Workplace, agent, authority, exit, issued};
use crate::role::exit::ClientAuth;
use crate::role::{Drain, LogFormat, LogLevel, agent as agent_role, proxy, relay};
use crate::upstream::{Credential, InCluster};

/// What is planted, and the change to a furnished folder that plants it.
type Planted = (&'static str, fn(&Workplace));

/// All that is said about each planted fault, one paragraph a fault.
fn said<T>(planted: &[Planted], load: impl Fn(&Workplace) -> Result<T, Faults>) -> String {
    let paragraphs = planted.iter().map(|(what, plant)| {
        let place = Workplace::furnished();
        plant(&place);
        let faults = load(&place)
            .err()
            .unwrap_or_else(|| panic!("nothing said about: {what}"));
        format!("# {what}\n{}\n", place.told(&faults))
    });
    paragraphs.collect::<Vec<_>>().join("\n")
}

fn load_agent(place: &Workplace) -> Result<agent_role::Agent, Faults> {
    agent_role::load(&place.path("agent.yaml"), &InCluster::absent())
}

#[test]
fn faults_of_a_relay() {
    const FILE: &str = "relay.yaml";
    let planted: &[Planted] = &[
        ("the file is missing", |at| at.remove(FILE)),
        ("the file is empty", |at| at.write(FILE, "# nothing yet\n")),
        ("not YAML", |at| at.edit(FILE, "listen: \"", "listen: \"\"")),
        ("not a mapping", |at| at.write(FILE, "- listen\n")),
        ("a second document", |at| at.edit(FILE, "log:", "---\nlog:")),
        ("a key misspelt", |at| at.edit(FILE, "listen:", "lisen:")),
        ("a key of another case, deep down", |at| {
            at.edit(FILE, "clientCAFile", "clientCaFile")
        }),
        ("a key nobody knows", |at| {
            at.edit(FILE, "hideNames", "workers")
        }),
        ("a key twice", |at| {
            at.edit(FILE, "hideNames: true", "domain: other.example.com")
        }),
        ("a number for a name", |at| {
            at.edit(FILE, "tunnels.example.com", "17")
        }),
        ("a word for true or false", |at| {
            at.edit(FILE, "true", "\"yes\"")
        }),
        ("a key without a value", |at| {
            at.edit(FILE, "tunnels.example.com", "")
        }),
        ("no port", |at| at.edit(FILE, "[::]:8443", "0.0.0.0")),
        ("a name to listen on", |at| {
            at.edit(FILE, "[::]:8443", "localhost:8443")
        }),
        ("no address to listen on", |at| {
            at.edit(FILE, "[::]:8443", ":8443")
        }),
        ("a domain that is none", |at| {
            at.edit(FILE, "tunnels.example.com", "\"*.example.com\"")
        }),
        ("the own name below the domain", |at| {
            at.edit(FILE, "relay.example.com", "relay.tunnels.example.com");
        }),
        ("an own name that is an address", |at| {
            at.edit(FILE, "relay.example.com", "10.0.0.1")
        }),
        ("a duration without a unit", |at| {
            at.edit(FILE, "500ms", "\"500\"")
        }),
        ("a duration that is a number", |at| {
            at.edit(FILE, "500ms", "500")
        }),
        ("an unknown log format", |at| at.edit(FILE, "json", "jsn")),
        ("an unknown log level", |at| {
            at.edit(FILE, "level: debug", "level: verbose")
        }),
        ("a certificate file that is missing", |at| {
            at.remove("relay.crt")
        }),
        ("a key file that is a directory", |at| {
            at.remove("relay.key");
            std::fs::create_dir(at.path("relay.key")).unwrap();
        }),
        ("a key of another certificate", |at| {
            let other = issued(&authority("other"), agent());
            at.write("relay.key", &other.key_pem);
        }),
        ("a certificate where the key should be", |at| {
            at.edit(FILE, "relay.key", "relay.crt")
        }),
        ("a certificate for clients", |at| {
            at.edit(FILE, "relay.crt", "agent.crt");
            at.edit(FILE, "relay.key", "agent.key");
        }),
        ("a certificate for another name", |at| {
            at.edit(FILE, "relay.example.com", "gateway.example.com");
        }),
        ("a private key in the authorities' bundle", |at| {
            let bundle = std::fs::read_to_string(at.path("agent-ca.crt")).unwrap();
            let key = std::fs::read_to_string(at.path("agent.key")).unwrap();
            at.write("agent-ca.crt", bundle + &key);
        }),
        ("a leaf in the authorities' bundle", |at| {
            at.edit(FILE, "agent-ca.crt", "agent.crt")
        }),
        ("a bundle that is cut off", |at| {
            let bundle = std::fs::read_to_string(at.path("agent-ca.crt")).unwrap();
            let comment = "# our agents\n".to_owned();
            at.write("agent-ca.crt", comment + &bundle[..bundle.len() / 2]);
        }),
        ("a bundle with nothing in it", |at| {
            at.write("agent-ca.crt", "")
        }),
        ("several faults at once", |at| {
            at.edit(FILE, "hideNames", "hideName");
            at.edit(FILE, "8443", "eight");
            at.remove("agent-ca.crt");
        }),
    ];
    insta::assert_snapshot!(said(planted, |place| relay::load(&place.path(FILE))));
}

#[test]
fn faults_of_an_agent() {
    const FILE: &str = "agent.yaml";
    let planted: &[Planted] = &[
        ("no relays", |at| {
            let text = "relays: []\n";
            let whole = std::fs::read_to_string(at.path(FILE)).unwrap();
            let rest = &whole[whole.find("tunnel:").unwrap()..];
            at.write(FILE, text.to_owned() + rest);
        }),
        ("a relay without a port", |at| {
            at.edit(FILE, "relay.example.com:8443", "relay.example.com")
        }),
        ("a relay twice", |at| {
            at.edit(FILE, "10.0.0.7:443", "relay.example.com:8443")
        }),
        ("a relay without authorities", |at| {
            at.edit(FILE, ", caFile: relay-ca.crt }", " }")
        }),
        ("a server name that is none", |at| {
            at.edit(
                FILE,
                "serverName: relay.example.com",
                "serverName: \"relay:443\"",
            );
        }),
        ("a certificate with two DNS names", |at| {
            let two = rcgen_leaf(
                &["one.acme", "two.acme"],
                rcgen::ExtendedKeyUsagePurpose::ClientAuth,
            );
            at.write("agent.crt", two.0);
            at.write("agent.key", two.1);
        }),
        ("a certificate whose name is no tunnel's", |at| {
            let leaf = rcgen_leaf(&["one"], rcgen::ExtendedKeyUsagePurpose::ClientAuth);
            at.write("agent.crt", leaf.0);
            at.write("agent.key", leaf.1);
        }),
        ("a certificate for servers", |at| {
            let leaf = issued(&authority("agents"), exit());
            at.write("agent.crt", leaf.cert_pem);
            at.write("agent.key", leaf.key_pem);
        }),
        ("an exit certificate without a name", |at| {
            let leaf = rcgen_leaf(&[], rcgen::ExtendedKeyUsagePurpose::ServerAuth);
            at.write("exit.crt", leaf.0);
            at.write("exit.key", leaf.1);
        }),
        ("an exit certificate that is an authority's", |at| {
            let authority = authority("exits");
            at.write("exit.crt", authority.certificate_pem());
            at.write("exit.key", authority.key_pem());
        }),
        ("an exit certificate for clients", |at| {
            let leaf = issued(&authority("exits"), agent());
            at.write("exit.crt", leaf.cert_pem);
            at.write("exit.key", leaf.key_pem);
        }),
        ("no exit", |at| at.edit(FILE, "exit:", "exits:")),
        ("a trust directory that is missing", |at| {
            at.edit(FILE, "directory: trust", "directory: tryst")
        }),
        ("a word of another case", |at| {
            at.edit(FILE, "Request", "request")
        }),
        ("no upstream at all", |at| {
            at.edit(FILE, "kubeconfig: upstream.kubeconfig", "")
        }),
        ("two upstreams", |at| {
            at.edit(FILE, "{ kubeconfig", "{ inCluster: true, kubeconfig")
        }),
        ("in no cluster", |at| {
            at.edit(FILE, "kubeconfig: upstream.kubeconfig", "inCluster: true");
        }),
    ];
    insta::assert_snapshot!(said(planted, load_agent));
}

/// A self-signed leaf with these DNS names: certificate and key, PEM.
fn rcgen_leaf(names: &[&str], usage: rcgen::ExtendedKeyUsagePurpose) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![usage];
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn a_relay_is_what_its_file_says() {
    let place = Workplace::furnished();
    let relay = relay::load(&place.path("relay.yaml")).unwrap();
    assert_eq!(relay.listen.to_string(), "[::]:8443");
    assert_eq!(relay.domain.as_str(), "tunnels.example.com");
    assert_eq!(relay.tunnel.server_name.as_str(), "relay.example.com");
    assert_eq!(relay.tunnel.key_pair.read().unwrap().chain().len(), 1);
    assert_eq!(
        relay
            .tunnel
            .agent_authorities
            .read()
            .unwrap()
            .certificates()
            .len(),
        1
    );
    assert!(relay.hide_names);
    assert_eq!(relay.admin.unwrap().port(), 9091);
    assert_eq!(
        (relay.log.format, relay.log.level),
        (LogFormat::Json, LogLevel::Debug)
    );
    let drain = Drain {
        settle: Duration::from_millis(500),
        limit: Duration::from_secs(90),
    };
    assert_eq!(relay.drain, drain);
}

#[test]
fn an_agent_is_what_its_file_says() {
    let place = Workplace::furnished();
    let agent = load_agent(&place).unwrap();
    let shown: Vec<String> = agent
        .relays
        .iter()
        .map(|relay| format!("{} as {}", relay.address, relay.server_name.to_str()))
        .collect();
    let expected = [
        "relay.example.com:8443 as relay.example.com",
        "10.0.0.7:443 as relay.example.com",
    ];
    assert_eq!(shown, expected);
    assert_eq!(agent.exit.trust_directory, place.path("trust"));
    assert_eq!(agent.exit.client_auth, ClientAuth::Request);
    assert!(matches!(
        agent.exit.upstream.credential,
        Credential::Token(_)
    ));
    assert_eq!((agent.admin, agent.drain), (None, Drain::default()));
}

#[test]
fn a_proxy_is_what_its_file_says() {
    let place = Workplace::furnished();
    let proxy = proxy::load(&place.path("proxy.yaml"), &InCluster::absent()).unwrap();
    assert_eq!(proxy.listen.to_string(), "127.0.0.1:8444");
    assert_eq!(proxy.exit.client_auth, ClientAuth::Require);
    assert_eq!(proxy.exit.upstream.server.authority, "10.0.0.1:6443");
}

#[test]
fn every_key_of_a_role_file_is_known_by_its_exact_name_only() {
    let place = Workplace::furnished();
    for file in ["relay.yaml", "agent.yaml", "proxy.yaml"] {
        let good = std::fs::read_to_string(place.path(file)).unwrap();
        let keys = good.match_indices(": ").map(|(end, _)| {
            let start = good[..end]
                .rfind([' ', '\n', '{'])
                .map_or(0, |before| before + 1);
            (start, end)
        });
        for (start, end) in keys {
            let broken = format!("{}unheardOf{}", &good[..start], &good[end..]);
            place.write(file, &broken);
            let faults = match file {
                "relay.yaml" => relay::load(&place.path(file)).err(),
                "agent.yaml" => load_agent(&place).err(),
                _ => proxy::load(&place.path(file), &InCluster::absent()).err(),
            };
            let reasons: Vec<_> = faults.iter().flatten().map(crate::Fault::reason).collect();
            assert!(reasons.contains(&"UnknownKey"), "{broken}: {reasons:?}");
        }
        place.write(file, &good);
    }
}
