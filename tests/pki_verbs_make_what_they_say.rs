//! `gangplank pki` and `gangplank kubeconfig` make what they say, openssl agrees, and nothing is ever overwritten.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::kubectl::{Kubectl, Said};
use crate::support::{cluster, gangplank};

/// A folder in which verbs run with short, relative names.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn try_verb(&self, line: &str) -> Said {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let child = gangplank::command(&arguments)
            .current_dir(self.path())
            .spawn();
        crate::support::kubectl::finish(child.expect("gangplank starts"), line)
    }

    fn verb(&self, line: &str) -> String {
        self.try_verb(line).expect_success().text()
    }

    /// What openssl has to say.
    fn openssl(&self, line: &str) -> String {
        let output = Command::new("openssl")
            .args(line.split_whitespace())
            .current_dir(self.path())
            .output()
            .expect("openssl starts");
        let text = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .concat();
        assert!(output.status.success(), "openssl {line}: {text}");
        text
    }

    fn mode(&self, file: &str) -> u32 {
        fs::metadata(self.path().join(file))
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    }

    fn inspect(&self, line: &str) -> Value {
        serde_json::from_str(&self.verb(&format!("pki inspect -o json {line}"))).expect("JSON")
    }
}

#[test]
fn authorities_are_authorities() {
    let desk = Desk::new();
    let told = desk.verb("pki init ca/exit --common-name exits --days 30");
    assert!(
        told.contains("ca/exit/ca.crt") && told.contains("keep ca/exit/ca.key secret"),
        "{told}"
    );
    assert_eq!(
        (desk.mode("ca/exit/ca.key"), desk.mode("ca/exit/ca.crt")),
        (0o600, 0o644)
    );
    let text = desk.openssl("x509 -in ca/exit/ca.crt -noout -text -nameopt RFC2253");
    for part in [
        "Subject: CN=exits",
        "Issuer: CN=exits",
        "CA:TRUE",
        "Certificate Sign",
        "Subject Key Identifier",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        !text.contains("Digital Signature"),
        "it signs certificates and nothing else: {text}"
    );
    desk.openssl("x509 -in ca/exit/ca.crt -noout -checkend 2505600");
    let fingerprint = desk.openssl("x509 -in ca/exit/ca.crt -noout -fingerprint -sha256");
    let (_, hex) = fingerprint.trim().split_once('=').expect("a fingerprint");
    let hex = hex.replace(':', "").to_lowercase();
    assert!(
        told.contains(&format!("sha256:{hex}")),
        "the same fingerprint: {told} {hex}"
    );
}

/// One of the four kinds: what is asked for, and what openssl must find.
struct Kind {
    name: &'static str,
    asked: &'static str,
    purpose: &'static str,
    usage: &'static str,
    subject: &'static str,
    names: &'static str,
    /// What nothing but the certificate tells: an exit's and a relay's look alike.
    guessed: &'static str,
}

const CLIENT: (&str, &str) = ("sslclient", "TLS Web Client Authentication");
const SERVER: (&str, &str) = ("sslserver", "TLS Web Server Authentication");

const KINDS: [Kind; 4] = [
    Kind {
        name: "caller",
        asked: "--common-name ns/shop/id/deployer --uri spiffe://a.example/x",
        purpose: CLIENT.0,
        usage: CLIENT.1,
        subject: "CN=ns/shop/id/deployer",
        names: "URI:spiffe://a.example/x",
        guessed: "caller",
    },
    Kind {
        name: "exit",
        asked: "--cluster harbour.acme --domain tunnels.example.com",
        purpose: SERVER.0,
        usage: SERVER.1,
        subject: "CN=kube-mtls-proxy.harbour.acme.tunnels.example.com",
        names: "DNS:kube-mtls-proxy.harbour.acme.tunnels.example.com, DNS:harbour.acme.tunnels.example.com",
        guessed: "server",
    },
    Kind {
        name: "agent",
        asked: "--cluster harbour.acme",
        purpose: CLIENT.0,
        usage: CLIENT.1,
        subject: "CN=harbour.acme",
        names: "DNS:harbour.acme",
        guessed: "agent",
    },
    Kind {
        name: "relay",
        asked: "--host relay.example.com --host 192.0.2.1",
        purpose: SERVER.0,
        usage: SERVER.1,
        subject: "CN=relay.example.com",
        names: "DNS:relay.example.com, IP Address:192.0.2.1",
        guessed: "server",
    },
];

/// One extended key usage each, the names that were asked for, a chain that openssl verifies, a key that fits.
#[test]
fn certificates_are_of_their_kind() {
    let desk = Desk::new();
    desk.verb("pki init ca --common-name all");
    for kind in KINDS {
        let (name, asked) = (kind.name, kind.asked);
        let told = desk.verb(&format!(
            "pki issue --for {name} --ca ca --out {name} --hours 2 {asked}"
        ));
        assert_eq!(told, format!("issued {name}.crt, keep {name}.key secret\n"));
        let modes = [
            desk.mode(&format!("{name}.key")),
            desk.mode(&format!("{name}.crt")),
        ];
        assert_eq!(modes, [0o600, 0o644], "{name}");
        assert_is_of_kind(&desk, &kind);
        let public = [
            format!("x509 -in {name}.crt -noout -pubkey"),
            format!("pkey -in {name}.key -pubout"),
        ];
        let [certificates, keys] = public.map(|line| desk.openssl(&line));
        assert_eq!(certificates, keys, "{name}: the key is the certificate's");
        let inspected = desk.inspect(&format!("{name}.crt"));
        let shown = &inspected["certificates"][0];
        assert_eq!(shown["kind"], kind.guessed, "{shown}");
        let serial = desk
            .openssl(&format!("x509 -in {name}.crt -noout -serial"))
            .to_lowercase();
        let shown = shown["serial"].as_str().expect("a serial").replace(':', "");
        assert!(
            serial.trim().ends_with(shown.trim_start_matches('0')),
            "{serial} {shown}"
        );
    }
}

fn assert_is_of_kind(desk: &Desk, kind: &Kind) {
    let Kind { name, purpose, .. } = kind;
    desk.openssl(&format!(
        "verify -x509_strict -purpose {purpose} -CAfile ca/ca.crt {name}.crt"
    ));
    desk.openssl(&format!("x509 -in {name}.crt -noout -checkend 7000"));
    let text = desk.openssl(&format!(
        "x509 -in {name}.crt -noout -text -nameopt RFC2253"
    ));
    let after = |title: &str| {
        let mut lines = text.lines().skip_while(|line| !line.contains(title));
        lines.nth(1).unwrap_or_default().trim().to_owned()
    };
    assert_eq!(
        after("X509v3 Extended Key Usage"),
        kind.usage,
        "{name}: one and no other"
    );
    assert_eq!(
        after("X509v3 Subject Alternative Name"),
        kind.names,
        "{name}"
    );
    assert_eq!(after("X509v3 Basic Constraints"), "CA:FALSE", "{name}");
    assert!(
        text.contains(&format!("Subject: {}\n", kind.subject)),
        "{name}: {text}"
    );
    assert!(text.contains("Authority Key Identifier"), "{name}: {text}");
}

#[test]
fn inspecting_says_who_a_certificate_would_be() {
    let desk = Desk::new();
    desk.verb("pki init team-a --common-name team-a");
    desk.verb("pki init team-b --common-name team-b");
    for team in ["team-a", "team-b"] {
        desk.verb(&format!(
            "pki issue --for caller --ca {team} --common-name ns/shop/id/x --out {team}"
        ));
    }
    fs::create_dir(desk.path().join("trust")).expect("a folder");
    let authority = desk.openssl("base64 -A -in team-a/ca.crt");
    let provider = format!(
        "apiVersion: multicluster.admiralty.io/v1alpha1\nkind: TrustedIdentityProvider\nmetadata: {{ name: team-a }}\n\
         spec:\n  prefix: \"spiffe://team-a.example/\"\n  certificateAuthorityData: {authority}\n"
    );
    fs::write(desk.path().join("trust/team-a.yaml"), provider).expect("written");
    let here = |line: &str| desk.inspect(line)["here"].clone();
    assert_eq!(
        here("team-a.crt --trust trust")["username"],
        "spiffe://team-a.example/ns/shop/id/x"
    );
    let refused = here("team-b.crt --trust trust")["refused"].to_string();
    assert!(
        refused.contains("UnknownIssuer: ") && refused.contains("team-b"),
        "{refused}"
    );
    let table = desk.verb("pki inspect team-a.crt --trust trust");
    assert!(
        table.contains("Here: spiffe://team-a.example/ns/shop/id/x (provider default/team-a)"),
        "{table}"
    );
}

const KUBECONFIG: &str = "kubeconfig --cluster harbour.acme --domain tunnels.example.com --certificate-authority ca/ca.crt \
                          --client-certificate a.crt --client-key a.key";

#[test]
fn kubeconfigs_are_what_clients_read() {
    let desk = Desk::new();
    desk.verb("pki init ca --common-name all");
    desk.verb("pki issue --for caller --ca ca --common-name a --out a");
    desk.verb("pki issue --for caller --ca ca --common-name b --out b");
    let told = desk.verb(&format!("{KUBECONFIG} --out out"));
    assert_eq!(told, "wrote out: kubectl --kubeconfig out auth whoami\n");
    assert_eq!(desk.mode("out"), 0o600, "there is a key in it");
    let written = fs::read_to_string(desk.path().join("out")).expect("a file");
    assert_eq!(desk.verb(KUBECONFIG).trim_end(), written.trim_end());

    let whole = as_kubectl_reads(&desk, "out");
    let cluster = &whole["clusters"][0]["cluster"];
    assert_eq!(
        cluster["server"],
        "https://harbour.acme.tunnels.example.com"
    );
    assert_eq!(whole["current-context"], "harbour.acme");
    let further = "--reference-files --connect 192.0.2.1:8443 --namespace shop --out named";
    desk.verb(&format!("{KUBECONFIG} {further}"));
    let named = as_kubectl_reads(&desk, "named");
    let cluster = &named["clusters"][0]["cluster"];
    assert_eq!(cluster["server"], "https://192.0.2.1:8443");
    assert_eq!(
        cluster["tls-server-name"],
        "harbour.acme.tunnels.example.com"
    );
    assert_eq!(named["contexts"][0]["context"]["namespace"], "shop");
    assert_eq!(
        named["users"], whole["users"],
        "the files named are those embedded"
    );

    let mixed = desk.try_verb(&KUBECONFIG.replace("a.key", "b.key"));
    assert_eq!(mixed.code, 2);
    assert!(
        mixed.err.contains("a.crt") && mixed.err.contains("b.key"),
        "{}",
        mixed.err
    );
}

fn as_kubectl_reads(desk: &Desk, file: &str) -> Value {
    let kubectl = Kubectl::new(&cluster::shared().facts.kubectl, &desk.path().join(file));
    let shown = kubectl.ok(&[
        "config",
        "view",
        "--raw",
        "--flatten",
        "--minify",
        "-o",
        "json",
    ]);
    serde_json::from_str(&shown).expect("JSON")
}

#[test]
fn existing_files_stay_as_they_are() {
    let desk = Desk::new();
    desk.verb("pki init ca --common-name all");
    let (caller, agent) = (
        "pki issue --for caller --ca ca --common-name a --out a",
        "pki issue --for agent --ca ca --cluster harbour.acme --out a",
    );
    desk.verb(caller);
    let line = &format!("{KUBECONFIG} --out a.kubeconfig");
    desk.verb(line);
    let files = ["ca/ca.crt", "ca/ca.key", "a.crt", "a.key", "a.kubeconfig"];
    let content = || files.map(|file| fs::read(desk.path().join(file)).expect("it is there"));
    let before = content();
    for again in ["pki init ca --common-name other", caller, agent, line] {
        let said = desk.try_verb(again);
        assert_eq!(said.code, 2, "{again}");
        assert!(
            said.err.contains("exists and is never overwritten"),
            "{again}: {}",
            said.err
        );
        assert!(content() == before, "{again} touched a file");
    }
    // Half of a pair is as good as both: nothing of the new one may be left beside it.
    for (kept, new) in [
        ("ca/ca.crt", "ca/ca.key"),
        ("ca/ca.key", "ca/ca.crt"),
        ("a.crt", "a.key"),
        ("a.key", "a.crt"),
    ] {
        fs::remove_file(desk.path().join(new)).expect("removed");
        let again = if kept.starts_with("ca/") {
            "pki init ca --common-name other"
        } else {
            caller
        };
        let kept_before = fs::read(desk.path().join(kept)).expect("it is there");
        assert_eq!(desk.try_verb(again).code, 2, "{kept} is there");
        assert!(
            !desk.path().join(new).exists(),
            "{new} was left beside a foreign {kept}"
        );
        assert!(
            fs::read(desk.path().join(kept)).expect("it is there") == kept_before,
            "{kept}"
        );
        fs::write(
            desk.path().join(new),
            &before[files.iter().position(|file| *file == new).expect("listed")],
        )
        .expect("put back");
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let desk = Desk::new();
    desk.verb("pki init ca --common-name all");
    for (line, named) in [
        ("pki issue --for caller --ca ca --out x", "--common-name"),
        (
            "pki issue --for exit --ca ca --cluster harbour.acme --out x",
            "--domain",
        ),
        (
            "pki issue --for agent --ca ca --cluster harbour --out x",
            "--cluster harbour",
        ),
        (
            "pki issue --for agent --ca ca --cluster *.acme --out x",
            "--cluster *.acme",
        ),
        ("pki issue --for relay --ca ca --out x", "--host"),
        (
            "pki issue --for caller --ca nowhere --common-name a --out x",
            "nowhere",
        ),
        ("pki issue --for pirate --ca ca --out x", "pirate"),
        (
            "pki issue --for caller --ca ca --common-name a --hours 0 --out x",
            "--hours",
        ),
        ("pki init other --days 0", "--days"),
    ] {
        let said = desk.try_verb(line);
        assert_eq!(said.code, 2, "{line}: {}", said.err);
        assert!(said.err.contains(named), "{line}: {}", said.err);
        assert!(
            !desk.path().join("x.key").exists() && !desk.path().join("other").exists(),
            "{line}"
        );
    }
}
