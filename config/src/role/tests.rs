use std::fs;
use std::time::Duration;

use crate::fault::Faults;
use crate::fixture::{Workplace, agent, authority, exit, issued};
use crate::role::exit::{ClientAuth, Trust};
use crate::role::{
    CongestionControl, Drain, LogFormat, LogLevel, agent as agent_role, proxy, relay,
};
use crate::trust::{AllowedPrefix, TrustRules};
use crate::upstream::{Credential, InCluster};

/// What is planted, the text that is replaced, and what by.
type Edit = (&'static str, &'static str, &'static str);

/// What is planted, and the change to a furnished folder that plants it.
type Planted = (&'static str, fn(&Workplace));

/// All that is said after each edit of `file`, one paragraph an edit.
fn said_of_edits<T>(
    edits: &[Edit],
    file: &str,
    load: impl Fn(&Workplace) -> Result<T, Faults>,
) -> String {
    let paragraphs = edits.iter().map(|(what, from, to)| {
        let place = Workplace::furnished();
        place.edit(file, from, to);
        paragraph(what, &place, load(&place))
    });
    paragraphs.collect()
}

/// All that is said about each planted fault, one paragraph a fault.
fn said<T>(planted: &[Planted], load: impl Fn(&Workplace) -> Result<T, Faults>) -> String {
    let paragraphs = planted.iter().map(|(what, plant)| {
        let place = Workplace::furnished();
        plant(&place);
        paragraph(what, &place, load(&place))
    });
    paragraphs.collect()
}

fn paragraph<T>(what: &str, place: &Workplace, loaded: Result<T, Faults>) -> String {
    let faults = loaded
        .err()
        .unwrap_or_else(|| panic!("nothing said about: {what}"));
    let said = place.told(&faults);
    assert!(!said.contains("MII"), "key or certificate told: {said}");
    format!("# {what}\n{said}\n\n")
}

fn load_agent(place: &Workplace) -> Result<agent_role::Agent, Faults> {
    agent_role::load(&place.path("agent.yaml"), &InCluster::absent())
}

/// Text of the `enrolment` block that is replaced.
const EDITS_OF_ENROLMENT: &[Edit] = &[
    ("a key misspelt", "renewalGrace", "renewalgrace"),
    ("no register", "  register: { file: enrolment.db }\n", ""),
    ("a register without a file", "file: enrolment.db", ""),
    (
        "a register of another kind",
        "file: enrolment.db",
        "consul: x",
    ),
    ("an etcd that is a word", "file: enrolment.db", "etcd: x"),
    (
        "two registers",
        "file: enrolment.db",
        "file: enrolment.db, etcd: {}",
    ),
    (
        "an etcd of which nothing is said",
        "file: enrolment.db",
        "etcd: {}",
    ),
    (
        "endpoints that cannot be meant",
        "file: enrolment.db",
        "etcd: { endpoints: [\"http://etcd-0.example.com:2379\", etcd-1, \"https://a:b@etcd-2:1\"], caFile: relay-ca.crt, \
         certificateFile: agent.crt, keyFile: agent.key }",
    ),
    (
        "no endpoints, and a prefix without an end",
        "file: enrolment.db",
        "etcd: { endpoints: [], prefix: /gangplank, caFile: relay-ca.crt, certificateFile: agent.crt, keyFile: agent.key }",
    ),
    (
        "another's key, and a leaf for an authority",
        "file: enrolment.db",
        "etcd: { endpoints: [\"a:1\"], caFile: relay.crt, certificateFile: agent.crt, keyFile: relay.key }",
    ),
    (
        "an authority that did not issue the relay's certificate",
        "relayCAFile: relay-ca.crt",
        "relayCAFile: exit-ca.crt",
    ),
    ("a lifetime of a moment", "12h", "1s"),
    ("a lifetime of ages", "12h", "99999h"),
    ("a grace without a unit", "48h", "\"48\""),
    ("a key of another authority", "agent-ca.key", "relay-ca.key"),
    (
        "a certificate where the key should be",
        "agent-ca.key",
        "agent-ca.crt",
    ),
    (
        "an authority that is none",
        "agent-ca.crt\n  keyFile: agent-ca.key",
        "agent.crt\n  keyFile: agent.key",
    ),
    (
        "an authority that the relay does not believe",
        "agent-ca.crt\n  keyFile: agent-ca.key",
        "exit-ca.crt\n  keyFile: exit-ca.key",
    ),
    (
        "a leaf for the relay's authority",
        "relayCAFile: relay-ca.crt",
        "relayCAFile: relay.crt",
    ),
];

#[test]
fn faults_of_enrolment() {
    let paragraphs = EDITS_OF_ENROLMENT.iter().map(|(what, from, to)| {
        let place = Workplace::enrolling();
        place.edit("relay.yaml", from, to);
        paragraph(what, &place, relay::load(&place.path("relay.yaml")))
    });
    insta::assert_snapshot!(paragraphs.collect::<String>());
}

/// Agents' authorities of an account, as they are added to the `tunnel` block.
const OF_ACCOUNTS: &str = "  clientCAFile: agent-ca.crt\n  authorities:\n  - { caFile: exit-ca.crt, accounts: [acme, zenith] }\n";

#[test]
fn authorities_of_accounts() {
    let place = Workplace::furnished();
    place.edit("relay.yaml", "  clientCAFile: agent-ca.crt\n", OF_ACCOUNTS);
    let tunnel = relay::load(&place.path("relay.yaml")).unwrap().tunnel;
    let [own] = tunnel.account_authorities.as_slice() else {
        panic!("one entry");
    };
    assert!(own.accounts.iter().eq(["acme", "zenith"]));
    let edits: &[Edit] = &[
        ("a key misspelt", "accounts:", "account:"),
        ("no accounts", "[acme, zenith]", "[]"),
        ("one account and no list", "[acme, zenith]", "acme"),
        ("a cluster for an account", "zenith", "\"edge.zenith\""),
        ("an account in upper case", "zenith", "Zenith"),
        ("a leaf", "exit-ca.crt", "exit.crt"),
        ("no file", "exit-ca.crt", "none.crt"),
    ];
    let paragraphs = edits.iter().map(|(what, from, to)| {
        let place = Workplace::furnished();
        place.edit("relay.yaml", "  clientCAFile: agent-ca.crt\n", OF_ACCOUNTS);
        place.edit("relay.yaml", from, to);
        paragraph(what, &place, relay::load(&place.path("relay.yaml")))
    });
    insta::assert_snapshot!(paragraphs.collect::<String>());
}

#[test]
fn an_etcd_as_it_is_meant() {
    let place = Workplace::enrolling();
    place.edit(
        "relay.yaml",
        "file: enrolment.db",
        "etcd: { endpoints: [\"https://etcd-0.example.com:2379/\", \"[2001:db8::1]:2379\"], caFile: relay-ca.crt, \
         certificateFile: agent.crt, keyFile: agent.key }",
    );
    let loaded = relay::load(&place.path("relay.yaml")).unwrap();
    let register = loaded.enrolment.unwrap().register;
    let relay::Register::Etcd(etcd) = register else {
        panic!("{register:?}");
    };
    let members: Vec<_> = etcd
        .endpoints
        .iter()
        .map(|member| (&*member.authority, member.port))
        .collect();
    assert_eq!(
        members,
        [
            ("etcd-0.example.com:2379", 2379),
            ("[2001:db8::1]:2379", 2379)
        ]
    );
    assert_eq!(etcd.prefix, "/gangplank/");
    assert!(etcd.key_pair.read().is_ok() && etcd.authorities.read().is_ok());
}

#[test]
fn enrolment_as_it_is_meant() {
    let place = Workplace::enrolling();
    let loaded = relay::load(&place.path("relay.yaml")).unwrap();
    let enrolment = loaded.enrolment.unwrap();
    let relay::Register::File(file) = &enrolment.register else {
        panic!("a file");
    };
    assert_eq!(*file, place.path("enrolment.db"));
    assert_eq!(
        enrolment.certificate_lifetime,
        Duration::from_secs(12 * 3600)
    );
    assert_eq!(enrolment.renewal_grace, Duration::from_secs(48 * 3600));
    assert!(enrolment.authority.read().is_ok());
    place.edit(
        "relay.yaml",
        "  certificateLifetime: 12h\n  renewalGrace: 48h\n",
        "",
    );
    let enrolment = relay::load(&place.path("relay.yaml"))
        .unwrap()
        .enrolment
        .unwrap();
    assert_eq!(
        enrolment.certificate_lifetime,
        Duration::from_secs(24 * 3600)
    );
    assert_eq!(enrolment.renewal_grace, Duration::from_secs(7 * 24 * 3600));
}

/// The agent's certificate in one file, that it renews.
const ONE_FILE: &str = "tunnel: { identityFile: agent.pem, renewal: Automatic }";
const TWO_FILES: &str = "tunnel: { certificateFile: agent.crt, keyFile: agent.key }";

fn agent_of_one_file() -> Workplace {
    let place = Workplace::furnished();
    place.edit("agent.yaml", TWO_FILES, ONE_FILE);
    let read = |name| fs::read_to_string(place.path(name)).unwrap();
    place.write("agent.pem", read("agent.key") + &read("agent.crt"));
    place
}

#[test]
fn one_file_holds_certificate_and_key() {
    let place = agent_of_one_file();
    let loaded = load_agent(&place).unwrap();
    assert_eq!(loaded.tunnel.read().unwrap().chain().len(), 1);
    assert_eq!(loaded.renewal, Some(place.path("agent.pem")));
    place.edit("agent.yaml", "renewal: Automatic", "renewal: Off");
    assert_eq!(load_agent(&place).unwrap().renewal, None);
    assert_eq!(load_agent(&Workplace::furnished()).unwrap().renewal, None);
}

#[test]
fn faults_of_one_file() {
    let edits: &[Edit] = &[
        (
            "renewal of two files",
            ONE_FILE,
            "tunnel: { certificateFile: agent.crt, keyFile: agent.key, renewal: Automatic }",
        ),
        (
            "one file and two",
            "renewal: Automatic",
            "keyFile: agent.key",
        ),
        ("a word for renewal", "Automatic", "automatic"),
        ("the certificate alone", "agent.pem", "agent.crt"),
        ("the key alone", "agent.pem", "agent.key"),
        ("a certificate of a relay", "agent.pem", "relay.pem"),
        ("no file", "agent.pem", "other.pem"),
    ];
    let paragraphs = edits.iter().map(|(what, from, to)| {
        let place = agent_of_one_file();
        let read = |name| fs::read_to_string(place.path(name)).unwrap();
        place.write("relay.pem", read("relay.key") + &read("relay.crt"));
        place.edit("agent.yaml", from, to);
        paragraph(what, &place, load_agent(&place))
    });
    insta::assert_snapshot!(paragraphs.collect::<String>());
}

/// Text of `relay.yaml` that is replaced.
const EDITS_OF_RELAY: &[Edit] = &[
    ("not YAML", "listen: \"", "listen: \"\""),
    ("a second document", "log:", "---\nlog:"),
    ("a key misspelt", "listen:", "lisen:"),
    (
        "a key of another case, deep down",
        "clientCAFile",
        "clientCaFile",
    ),
    ("a key nobody knows", "hideNames", "workers"),
    (
        "a key twice",
        "hideNames: true",
        "domain: other.example.com",
    ),
    (
        "a network that is none",
        "hideNames: true",
        "proxyProtocolFrom: [balancer.example.com]",
    ),
    (
        "a network with too many bits",
        "hideNames: true",
        "proxyProtocolFrom: [10.0.0.7, 10.0.0.7/8]",
    ),
    ("a number for a name", "tunnels.example.com", "17"),
    ("a word for true or false", "true", "\"yes\""),
    ("a key without a value", "tunnels.example.com", ""),
    ("no port", "[::]:8443", "0.0.0.0"),
    ("a name to listen on", "[::]:8443", "localhost:8443"),
    ("no address to listen on", "[::]:8443", ":8443"),
    (
        "a domain that is none",
        "tunnels.example.com",
        "\"*.example.com\"",
    ),
    (
        "the own name below the domain",
        "relay.example.com",
        "relay.tunnels.example.com",
    ),
    (
        "an own name that is an address",
        "relay.example.com",
        "10.0.0.1",
    ),
    ("a duration without a unit", "500ms", "\"500\""),
    ("a duration that is a number", "500ms", "500"),
    ("an unknown log format", "json", "jsn"),
    ("an unknown log level", "level: debug", "level: verbose"),
    (
        "a certificate where the key should be",
        "relay.key",
        "relay.crt",
    ),
    (
        "a certificate for another name",
        "relay.example.com",
        "gateway.example.com",
    ),
    (
        "a leaf in the authorities' bundle",
        "agent-ca.crt",
        "agent.crt",
    ),
];

/// Other changes to what `relay.yaml` says or names.
const CHANGES_OF_RELAY: &[Planted] = &[
    ("the file is missing", |at| at.remove("relay.yaml")),
    ("the file is empty", |at| {
        at.write("relay.yaml", "# nothing yet\n");
    }),
    ("not a mapping", |at| at.write("relay.yaml", "- listen\n")),
    ("a certificate file that is missing", |at| {
        at.remove("relay.crt");
    }),
    ("a key file that is a directory", |at| {
        at.remove("relay.key");
        fs::create_dir(at.path("relay.key")).unwrap();
    }),
    ("a key of another certificate", |at| {
        let other = issued(&authority("other"), agent());
        at.write("relay.key", &other.key_pem);
    }),
    ("a certificate for clients", |at| {
        at.edit("relay.yaml", "relay.crt", "agent.crt");
        at.edit("relay.yaml", "relay.key", "agent.key");
    }),
    ("a private key in the authorities' bundle", |at| {
        let bundle = fs::read_to_string(at.path("agent-ca.crt")).unwrap();
        let key = fs::read_to_string(at.path("agent.key")).unwrap();
        at.write("agent-ca.crt", format!("# our agents\n{key}{bundle}"));
    }),
    ("a bundle that is cut off", |at| {
        let bundle = fs::read_to_string(at.path("agent-ca.crt")).unwrap();
        let (half, _) = bundle.split_at(bundle.len() / 2);
        at.write("agent-ca.crt", format!("# our agents\n{half}"));
    }),
    ("a bundle with nothing in it", |at| {
        at.write("agent-ca.crt", "");
    }),
    ("several faults at once", |at| {
        at.edit("relay.yaml", "hideNames", "hideName");
        at.edit("relay.yaml", "8443", "eight");
        at.remove("agent-ca.crt");
    }),
];

#[test]
fn faults_of_a_relay() {
    let load = |place: &Workplace| relay::load(&place.path("relay.yaml"));
    let edited = said_of_edits(EDITS_OF_RELAY, "relay.yaml", load);
    insta::assert_snapshot!(edited + &said(CHANGES_OF_RELAY, load));
}

/// Text of `agent.yaml` that is replaced.
const EDITS_OF_AGENT: &[Edit] = &[
    (
        "a relay without a port",
        "relay.example.com:8443",
        "relay.example.com",
    ),
    ("a relay twice", "10.0.0.7:443", "relay.example.com:8443"),
    (
        "a relay without authorities",
        ", caFile: relay-ca.crt }",
        " }",
    ),
    (
        "a server name that is none",
        "serverName: relay.example.com",
        "serverName: \"relay:443\"",
    ),
    (
        "a transport that is none",
        ", caFile: relay-ca.crt }",
        ", caFile: relay-ca.crt, transport: Udp }",
    ),
    (
        "a proxy that is asked over TLS",
        ", caFile: relay-ca.crt }",
        ", caFile: relay-ca.crt, httpProxy: \"https://me:secret@proxy:3128\" }",
    ),
    ("no exit", "exit:", "exits:"),
    (
        "a trust directory that is missing",
        "directory: trust",
        "directory: tryst",
    ),
    (
        "trust from two places",
        "{ directory",
        "{ cluster: true, directory",
    ),
    (
        "trust from nowhere",
        "{ directory: trust }",
        "{ account: acme }",
    ),
    (
        "an account that is no name, and a namespace without a prefix",
        "directory: trust",
        "cluster: true, account: Acme, allowedPrefixes: [{ namespace: a }]",
    ),
    ("a word of another case", "Request", "request"),
    ("no upstream at all", "kubeconfig: upstream.kubeconfig", ""),
    (
        "two upstreams",
        "{ kubeconfig",
        "{ inCluster: true, kubeconfig",
    ),
    (
        "in no cluster",
        "kubeconfig: upstream.kubeconfig",
        "inCluster: true",
    ),
];

/// Other changes to what `agent.yaml` says or names.
const CHANGES_OF_AGENT: &[Planted] = &[
    ("no relays", |at| {
        let text = "relays: []\n";
        let whole = fs::read_to_string(at.path("agent.yaml")).unwrap();
        let rest = whole.split_at(whole.find("tunnel:").unwrap()).1;
        at.write("agent.yaml", text.to_owned() + rest);
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
];

#[test]
fn faults_of_an_agent() {
    let edited = said_of_edits(EDITS_OF_AGENT, "agent.yaml", load_agent);
    insta::assert_snapshot!(edited + &said(CHANGES_OF_AGENT, load_agent));
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
fn congestion_control_is_set_at_each_end() {
    for (word, meant) in [
        ("DeliveryRate", Some(CongestionControl::DeliveryRate)),
        ("Cubic", Some(CongestionControl::Cubic)),
        ("Bbr", Some(CongestionControl::Bbr)),
        ("cubic", None),
    ] {
        let place = Workplace::furnished();
        let line = format!("  congestionControl: {word}\nhideNames");
        place.edit("relay.yaml", "hideNames", &line);
        let key = format!("keyFile: agent.key, congestionControl: {word}");
        place.edit("agent.yaml", "keyFile: agent.key", &key);
        let relay = relay::load(&place.path("relay.yaml")).ok();
        let agent = load_agent(&place).ok();
        let read = relay.map(|relay| relay.tunnel.congestion_control);
        assert_eq!(read, meant, "{word}");
        let read = agent.map(|agent| agent.congestion_control);
        assert_eq!(read, meant, "{word}");
    }
    let agent = load_agent(&Workplace::furnished()).unwrap();
    assert_eq!(agent.congestion_control, CongestionControl::default());
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
    let Trust::Directory(directory, _rules) = agent.exit.trust else {
        panic!("{:?}", agent.exit.trust)
    };
    assert_eq!(directory, place.path("trust"));
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
fn trust_from_the_cluster_is_what_its_file_says() {
    let place = Workplace::furnished();
    place.edit(
        "proxy.yaml",
        "{ directory: trust }",
        "{ cluster: true, account: acme, allowedPrefixes: [{ namespace: a, prefix: \"spiffe://a/\" }] }",
    );
    let proxy = proxy::load(&place.path("proxy.yaml"), &InCluster::absent()).unwrap();
    let allowed = AllowedPrefix {
        namespace: "a".to_owned(),
        prefix: "spiffe://a/".to_owned(),
    };
    let rules = TrustRules {
        account: Some("acme".to_owned()),
        allowed_prefixes: vec![allowed],
    };
    assert_eq!(proxy.exit.trust, Trust::Cluster(rules));
}

#[test]
fn every_key_of_a_role_file_is_known_by_its_exact_name_only() {
    let place = Workplace::furnished();
    for file in ["relay.yaml", "agent.yaml", "proxy.yaml"] {
        let good = fs::read_to_string(place.path(file)).unwrap();
        for (end, _) in good.match_indices(": ") {
            let (before, behind) = good.split_at(end);
            let start = before.rfind([' ', '\n', '{']).map_or(0, |blank| blank + 1);
            let broken = format!("{}unheardOf{behind}", before.split_at(start).0);
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
