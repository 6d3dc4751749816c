//! What kubectl (with an empty discovery cache) and curl print for each refusal is what `docs/refusals.md` says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gangplank_tunnel::wire::CloseCode;
use rcgen::{ExtendedKeyUsagePurpose, SerialNumber};

use crate::support::agent_by_hand::AgentByHand;
use crate::support::certificates::{Moment, Organisation, Papers, leaf_params};
use crate::support::cluster::{self, Cluster};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::kubectl::Kubectl;
use crate::support::manual::Page;
use crate::support::path::{DOMAIN, Site, Way};
use crate::support::{curl, exit_account, wait};

/// A cell that says that this tool cannot come into this situation.
const NOT_APPLICABLE: &str = "–";

/// A cell that says that nothing is printed.
const NOTHING: &str = "*nothing*";

/// The common name of the documentation's caller.
const DEPLOYER: &str = "ns/shop/id/deployer";

/// Someone in one of the situations of the documentation.
struct Situation {
    /// First cell of its row.
    what: &'static str,
    server: String,
    server_name: Option<String>,
    papers: Option<Papers>,
    /// The authority that the client trusts the exit for.
    authority: String,
    /// What kubectl is asked for; nothing where kubectl cannot come into this situation.
    kubectl: &'static [&'static str],
    curl: Curl,
}

/// What curl is asked for.
enum Curl {
    /// The same as kubectl, with further arguments.
    Usual(&'static [&'static str]),
    /// Another address.
    Address(String),
    /// Nothing: curl cannot come into this situation.
    Never,
}

/// The documented texts of one row; nothing where a tool cannot come into this situation.
#[derive(Debug)]
struct Row {
    kubectl: Option<Forms>,
    curl: Option<Forms>,
}

/// What is printed, line by line, in each of its forms.
type Forms = Vec<Vec<String>>;

#[tokio::test(flavor = "multi_thread")]
async fn word_for_word() {
    let stage = Stage::set().await;
    let documented = documented();
    let situations = stage.situations();
    let told: Vec<&str> = situations.iter().map(|situation| situation.what).collect();
    for row in documented.keys() {
        assert!(
            told.contains(&row.as_str()),
            "no test brings about the row `{row}`"
        );
    }
    let differences: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = situations
            .iter()
            .map(|situation| {
                scope.spawn(|| stage.differences(situation, documented.get(situation.what)))
            })
            .collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
            .collect()
    });
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// Everything that the situations need.
struct Stage {
    cluster: &'static Cluster,
    folder: tempfile::TempDir,
    known: Organisation,
    unknown: Organisation,
    site: Site,
    strict: Site,
    away: Site,
    /// Callers may act as others, where RBAC says so.
    lenient: Site,
    /// The same, but for a right that the exit lacks.
    unable: Site,
    /// With another TLS library curl has other words than the page's.
    curl_has_openssl: bool,
    _fake: FakeApiServer,
}

impl Stage {
    #[expect(clippy::print_stderr, reason = "what is skipped is said")]
    async fn set() -> Self {
        let cluster = cluster::shared();
        let (known, unknown) = (Organisation::new("team-a"), Organisation::new("team-b"));
        let site = Site::before(cluster, Way::Tunnel, &[&known]);
        deny(&site, &known);
        let mut strict = Site::before(cluster, Way::Direct, &[&known]);
        demand_certificates(&mut strict);
        let relay = site.relay.as_ref().expect("a relay");
        let agent = AgentByHand::at(relay, "offline.acme").await;
        agent.session.close(CloseCode::Done, "");
        wait::until("the tunnel to be gone", || {
            (!relay.has_tunnel("offline.acme")).then_some(())
        });
        let fake = FakeApiServer::echo().await;
        fake.stop_listening();
        let away = Site::tunnel(relay, "adrift.acme", &fake.kubeconfig(), &[&known]);
        let folder = tempfile::tempdir().expect("a folder");
        let rights = Page::open("operate.md").yaml("Acting as someone else");
        let rights = rights.last().expect("the exit's rights");
        let account =
            exit_account::from_manual(cluster, rights, "gangplank-refusals", folder.path());
        let authorize = "nestedImpersonation: Authorize";
        let lenient = Site::direct(&account, &[&known]).with_exit_line(authorize);
        let unable = Site::before(cluster, Way::Direct, &[&known]).with_exit_line(authorize);
        let curl_has_openssl = curl::run(&["--version"]).text().contains("OpenSSL/3");
        if !curl_has_openssl {
            eprintln!("what curl prints: SKIPPED, this curl has no OpenSSL 3");
        }
        Self {
            curl_has_openssl,
            cluster,
            folder,
            known,
            unknown,
            site,
            strict,
            away,
            lenient,
            unable,
            _fake: fake,
        }
    }

    fn situations(&self) -> Vec<Situation> {
        let mut situations = self.at_the_exit();
        situations.extend(self.at_the_relay());
        situations.extend(self.at_a_strict_exit());
        situations
    }

    fn valid(&self, from: Moment, until: Moment) -> Papers {
        self.known.authority.caller_valid(DEPLOYER, from, until)
    }

    fn expired(&self) -> Papers {
        self.valid((2020, 1, 1), (2021, 1, 1))
    }

    fn early(&self) -> Papers {
        self.valid((2080, 1, 1), (2081, 1, 1))
    }

    fn at_the_exit(&self) -> Vec<Situation> {
        let (good, stranger) = (self.known.caller(DEPLOYER), self.unknown.caller(DEPLOYER));
        let server = leaf_params(DEPLOYER, ExtendedKeyUsagePurpose::ServerAuth);
        let server = self.known.authority.sign(&server);
        let at = |what, papers: Option<&Papers>| calling(&self.site, what, papers);
        vec![
            Situation {
                curl: Curl::Never,
                ..at("no credential at all", None)
            },
            Situation {
                kubectl: &["get", "pods", "--token=any"],
                ..at("no certificate", None)
            },
            at("unknown authority", Some(&stranger)),
            at("expired", Some(&self.expired())),
            at("not yet valid", Some(&self.early())),
            at("revoked", Some(&denied(&self.known))),
            at("a server's certificate", Some(&server)),
            as_admin(&self.site, "impersonation", &good),
            as_admin(&self.lenient, "impersonation (`Authorize`)", &good),
            Situation {
                kubectl: &[],
                curl: Curl::Usual(&["--header", "Impersonate-Group: admins"]),
                ..as_admin(&self.lenient, "impersonation (without a user)", &good)
            },
            as_admin(&self.unable, "impersonation (the exit may not ask)", &good),
            calling(&self.away, "API server away", Some(&good)),
            at("no right at the cluster", Some(&good)),
            Situation {
                authority: self.unknown.authority.pem(),
                ..at("another exit", Some(&good))
            },
        ]
    }

    fn at_the_relay(&self) -> Vec<Situation> {
        let (good, address) = (self.known.caller(DEPLOYER), self.site.address);
        let at = |what| calling(&self.site, what, Some(&good));
        let named = |what, cluster: &str| Situation {
            server_name: Some(format!("{cluster}.{DOMAIN}")),
            ..at(what)
        };
        vec![
            Situation {
                server_name: None,
                curl: Curl::Address(format!("https://{address}/api")),
                ..at("no server name")
            },
            named("unknown cluster", "nobody.acme"),
            named("offline cluster", "offline.acme"),
            Situation {
                server: format!("http://{address}"),
                server_name: None,
                curl: Curl::Address(format!("http://{address}/api")),
                ..at("plain HTTP")
            },
            Situation {
                kubectl: &[],
                curl: Curl::Address(format!("gopher://{address}/1garbage")),
                ..at("garbage")
            },
        ]
    }

    fn at_a_strict_exit(&self) -> Vec<Situation> {
        let address = self.strict.address;
        let at = |what, papers: Option<&Papers>| calling(&self.strict, what, papers);
        vec![
            Situation {
                kubectl: &["get", "pods", "--token=any"],
                ..at("no certificate (`Require`)", None)
            },
            at(
                "unknown authority (`Require`)",
                Some(&self.unknown.caller(DEPLOYER)),
            ),
            at("expired (`Require`)", Some(&self.expired())),
            at("not yet valid (`Require`)", Some(&self.early())),
            Situation {
                server: format!("http://{address}"),
                server_name: None,
                curl: Curl::Address(format!("http://{address}/api")),
                ..at("plain HTTP (`proxy`)", Some(&self.early()))
            },
        ]
    }

    /// Where what is printed is not what is documented; in the form of a table row, to be looked at and taken over.
    fn differences(&self, situation: &Situation, documented: Option<&Row>) -> Vec<String> {
        let kubectl = (!situation.kubectl.is_empty()).then(|| self.kubectl(situation));
        let curl = (!matches!(situation.curl, Curl::Never)).then(|| self.curl(situation));
        let found = [
            (
                "kubectl",
                kubectl,
                documented.and_then(|row| row.kubectl.as_ref()),
            ),
            ("curl", curl, documented.and_then(|row| row.curl.as_ref())),
        ];
        let differs =
            |printed: &Option<Vec<String>>, documented: Option<&Forms>| match (printed, documented)
            {
                (Some(printed), Some(documented)) => !same(documented, printed),
                (printed, documented) => printed.is_some() != documented.is_some(),
            };
        found
            .into_iter()
            .filter(|(tool, ..)| *tool != "curl" || self.curl_has_openssl)
            .filter(|(_, printed, documented)| differs(printed, *documented))
            .map(|(tool, printed, _)| {
                let spans: Vec<String> = printed
                    .iter()
                    .flatten()
                    .map(|line| format!("`` {line} ``"))
                    .collect();
                format!("| {} | {tool} | {} |", situation.what, spans.join("<br>"))
            })
            .collect()
    }

    fn kubectl(&self, situation: &Situation) -> Vec<String> {
        let said = Kubectl::new(&self.cluster.facts.kubectl, &self.kubeconfig(situation))
            .run(situation.kubectl);
        assert_eq!(
            said.code,
            1,
            "{}: {} {}",
            situation.what,
            said.text(),
            said.err
        );
        let attempts = |line: &&str| line.contains("memcache.go:");
        assert!(
            said.err.lines().filter(attempts).count() <= 5,
            "{}",
            said.err
        );
        said.text()
            .lines()
            .chain(said.err.lines())
            .filter(|line| !attempts(line))
            .map(|line| masked(line, situation))
            .collect()
    }

    fn curl(&self, situation: &Situation) -> Vec<String> {
        let host = situation.server_name.clone().unwrap_or_default();
        let address = situation.server.split("//").last().expect("an address");
        let path = |name: &str| self.file(situation, name).display().to_string();
        fs::write(path("ca.crt"), &situation.authority).expect("written");
        let (ca, to) = (path("ca.crt"), format!("{host}:443:{address}"));
        let mut arguments = vec!["--include".to_owned(), "--cacert".to_owned(), ca];
        if let Some(papers) = &situation.papers {
            fs::write(path("crt"), &papers.certificates).expect("written");
            fs::write(path("key"), &papers.key).expect("written");
            arguments.extend([
                "--cert".to_owned(),
                path("crt"),
                "--key".to_owned(),
                path("key"),
            ]);
        }
        match &situation.curl {
            Curl::Usual(further) => {
                arguments.extend(further.iter().map(|argument| (*argument).to_owned()));
                arguments.extend([
                    "--connect-to".to_owned(),
                    to,
                    format!("https://{host}/api/v1/namespaces/default/pods"),
                ]);
            }
            Curl::Address(whole) => arguments.push(whole.clone()),
            Curl::Never => {}
        }
        let said = curl::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let out = said.text();
        let (head, body) = out.split_once("\r\n\r\n").unwrap_or((&out, ""));
        let mut lines: Vec<String> = head
            .lines()
            .filter(|line| line.starts_with("HTTP/") || line.to_lowercase().starts_with("warning:"))
            .map(|line| masked(line, situation))
            .collect();
        if let Some(warning) = lines.get(1) {
            assert_repeats(body, warning);
        } else if !body.is_empty() {
            let status: serde_json::Value = serde_json::from_str(body).expect("a status");
            lines.push(masked(
                status["message"].as_str().expect("a message"),
                situation,
            ));
        }
        // Of some errors curl prints a page of advice behind the line that counts.
        let errors = said.err.lines().filter(|line| line.starts_with("curl: "));
        lines.extend(errors.map(|line| masked(line, situation)));
        lines
    }

    fn kubeconfig(&self, situation: &Situation) -> PathBuf {
        let mut cluster = serde_json::json!({ "server": situation.server });
        if situation.server.starts_with("https:") {
            cluster["certificate-authority-data"] =
                BASE64_STANDARD.encode(&situation.authority).into();
        }
        if let Some(name) = &situation.server_name {
            cluster["tls-server-name"] = name.as_str().into();
        }
        let mut user = serde_json::json!({});
        if let Some(papers) = &situation.papers {
            user["client-certificate-data"] = BASE64_STANDARD.encode(&papers.certificates).into();
            user["client-key-data"] = BASE64_STANDARD.encode(&papers.key).into();
        }
        let kubeconfig = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{ "name": "here", "cluster": cluster }],
            "users": [{ "name": "here", "user": user }],
            "contexts": [{ "name": "here", "context": { "cluster": "here", "user": "here" } }],
        });
        let file = self.file(situation, "kubeconfig");
        fs::write(&file, kubeconfig.to_string()).expect("written");
        file
    }

    fn file(&self, situation: &Situation, ending: &str) -> PathBuf {
        let name: String = situation
            .what
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        self.folder.path().join(format!("{name}.{ending}"))
    }
}

/// Someone who calls a site with papers, or none.
fn calling(site: &Site, what: &'static str, papers: Option<&Papers>) -> Situation {
    Situation {
        what,
        server: format!("https://{}", site.address),
        server_name: Some(site.entrance.clone()),
        papers: papers.cloned(),
        authority: site.authority().pem(),
        kubectl: &["get", "pods"],
        curl: Curl::Usual(&[]),
    }
}

/// Someone who asks to be taken for another.
fn as_admin(site: &Site, what: &'static str, papers: &Papers) -> Situation {
    Situation {
        kubectl: &["get", "pods", "--as=admin"],
        curl: Curl::Usual(&["--header", "Impersonate-User: admin"]),
        ..calling(site, what, Some(papers))
    }
}

/// A caller whose serial number is denied.
fn denied(organisation: &Organisation) -> Papers {
    let mut params = leaf_params(DEPLOYER, ExtendedKeyUsagePurpose::ClientAuth);
    params.serial_number = Some(SerialNumber::from(0x0bad_u64));
    organisation.authority.sign(&params)
}

fn deny(site: &Site, organisation: &Organisation) {
    let generation = site.generation();
    let denying = "  deniedCertificates: [\"serial:0bad\"]\n";
    let manifest = format!("{}{denying}", organisation.provider());
    fs::write(site.trust_file(organisation), manifest).expect("written");
    wait::until("the denial to be in force", || {
        (site.generation() > generation).then_some(())
    });
}

fn demand_certificates(site: &mut Site) {
    site.exit.terminate();
    let file = site.folder().join("proxy.yaml");
    let text = fs::read_to_string(&file).expect("its file");
    fs::write(
        &file,
        text.replace("exit:\n", "exit:\n  clientAuth: Require\n"),
    )
    .expect("written");
    site.restart_exit();
}

/// The rows of the documentation's tables by their first cell.
fn documented() -> BTreeMap<String, Row> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/refusals.md");
    let text = fs::read_to_string(file).expect("the page");
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|')
            .split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    text.lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| refused because"))
        .map(|line| {
            let cells = cells(line);
            assert_eq!(cells.len(), 5, "five cells: {line}");
            assert!(
                cells.iter().all(|cell| !cell.is_empty()),
                "each says something: {line}"
            );
            (
                cells[0].clone(),
                Row {
                    kubectl: texts(&cells[1]),
                    curl: texts(&cells[2]),
                },
            )
        })
        .collect()
}

/// What a cell documents.
fn texts(cell: &str) -> Option<Forms> {
    if cell == NOT_APPLICABLE {
        return None;
    }
    let text = |span: &str| span.trim_matches('`').trim().to_owned();
    let lines = |form: &str| form.split("<br>").map(text).collect();
    Some(match cell.strip_prefix(NOTHING) {
        Some("") => vec![Vec::new()],
        Some(or_else) => vec![Vec::new(), lines(or_else.trim_start_matches(" or "))],
        None => cell.split("` or `").map(lines).collect(),
    })
}

/// The body's message is what the warning says behind its class.
fn assert_repeats(body: &str, warning: &str) {
    let status: serde_json::Value =
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let message = status["message"].as_str().expect("a message");
    let said = warning.replace("\\\"", "\"");
    assert!(said.contains(message), "{warning} and {message}");
}

fn masked(line: &str, situation: &Situation) -> String {
    let address = situation.server.split("//").last().expect("an address");
    line.trim().replace(address, "<address>")
}

fn same(documented: &Forms, printed: &[String]) -> bool {
    documented.iter().any(|form| {
        let lines = form.iter().zip(printed);
        form.len() == printed.len() && lines.into_iter().all(|(line, printed)| fits(line, printed))
    })
}

/// Whether a line is as documented, `…` standing for anything.
fn fits(documented: &str, printed: &str) -> bool {
    let Some((before, behind)) = documented.split_once('…') else {
        return documented == printed;
    };
    let Some(rest) = printed.strip_prefix(before) else {
        return false;
    };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts
        .into_iter()
        .any(|at| fits(behind, rest.split_at(at).1))
}

#[test]
fn an_ellipsis_stands_for_anything_and_the_rest_for_itself() {
    assert!(
        fits("a…c", "abc")
            && fits("a…", "abc")
            && fits("abc", "abc")
            && fits("…error: …x", "curl: error: 1x")
    );
    assert!(!fits("a…d", "abc") && !fits("ab", "abc") && !fits("b…", "abc"));
}
