//! A revoked certificate is refused, and what was opened with it ends; its sisters of the same authority go on.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use gangplank_pki::Fingerprint;
use http_body_util::BodyExt as _;
use rcgen::{ExtendedKeyUsagePurpose, SerialNumber};
use time::{Duration, OffsetDateTime};

use crate::support::certificates::{Organisation, Papers, leaf_params};
use crate::support::connection::{Connection, PROTOCOLS, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, WAYS, Way};
use crate::support::{own_answer, wait};

/// The serial number of who is revoked.
const SERIAL: u64 = 0x0a1b_2c3d;

/// Case A57 and contract 4.6: by name here, and by the authority, in the object and beside it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_revoked_them() {
    let fake = FakeApiServer::with_a_watch().await;
    for way in WAYS {
        let organisation = Organisation::new("acme");
        let site = Site::start(way, &fake.kubeconfig(), &[&organisation]);
        let (revoked, sister) = (with_serial(&organisation), organisation.caller("sister"));
        let certificate = Fingerprint::of(&revoked.chain()[0]);
        let causes: [&dyn Fn(); 4] = [
            &|| {
                let denied = "deniedCertificates: [\"serial:0A1B2C3D\"]";
                specify(&site, &organisation, denied);
            },
            &|| {
                let denied = format!("deniedCertificates: [\"{certificate}\"]");
                specify(&site, &organisation, &denied);
            },
            &|| {
                let list = BASE64_STANDARD.encode(list(&organisation, 1, &[SERIAL]));
                let data = format!("certificateRevocationListData: {list}");
                specify(&site, &organisation, &data);
            },
            &|| put(&site, "trust/acme.crl", list(&organisation, 1, &[SERIAL])),
        ];
        for revoke in causes {
            let mut lost = open(&site, &revoked).await;
            let mut kept = open(&site, &sister).await;
            revoke();
            for connection in &mut lost.connections {
                connection.await_close("the revoked certificate").await;
            }
            let ended = lost.watch.into_body().collect();
            drop(wait::within("the end of the revoked watch", ended).await);
            assert_eq!(class(&site, &revoked).await, "Revoked", "{way:?}");
            for connection in &mut kept.connections {
                let answer = connection.fetch("/kept").await;
                assert_eq!(answer.expect("it is kept").0, 200, "{way:?}");
            }
            // Taken back: accepted again.
            site.trust(&organisation);
            let beside = site.folder().join("trust/acme.crl");
            if beside.exists() {
                fs::remove_file(beside).expect("removed");
            }
            wait::until_async("the certificate to be good again", || async {
                (class(&site, &revoked).await == "200").then_some(())
            })
            .await;
        }
    }
}

/// Contract 4.9: what is wrong with a list is told, and takes away neither trust nor revocations.
#[tokio::test(flavor = "multi_thread")]
async fn until_a_good_list_says_otherwise() {
    let fake = FakeApiServer::echo().await;
    let (organisation, namesake) = (Organisation::new("acme"), Organisation::new("acme"));
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&organisation]);
    let (revoked, sister) = (with_serial(&organisation), organisation.caller("sister"));
    put(&site, "trust/any.crl", list(&organisation, 5, &[SERIAL]));
    wait::until_async("the list to be in force", || async {
        (class(&site, &revoked).await == "Revoked").then_some(())
    })
    .await;
    let bundle = &site.exit.status()["exit"]["bundle"];
    let listed = &bundle["providers"][0]["revocationLists"][0];
    assert_eq!(
        (&listed["number"], &listed["revoked"]),
        (&"05".into(), &1.into()),
        "{bundle}"
    );
    let half = list(&organisation, 6, &[]);
    for (reason, content) in [
        ("RevocationListMalformed", half[..half.len() / 2].to_vec()),
        ("RevocationListSignature", list(&namesake, 6, &[])),
        ("RevocationListWentBack", list(&organisation, 4, &[])),
    ] {
        put(&site, "trust/any.crl", content);
        let metric = format!("gangplank_trust_faults{{reason=\"{reason}\"}} ");
        wait::until("the fault to be counted", || {
            (site.exit.metric(&metric) == Some(1.0)).then_some(())
        });
        let faults = site.exit.status()["exit"]["bundle"]["faults"].to_string();
        assert!(faults.contains("any.crl"), "{faults}");
        let log = site.exit.log();
        assert_eq!(log.matches(&format!("\"{reason}\"")).count(), 1, "{log}");
        assert_eq!(class(&site, &revoked).await, "Revoked", "{reason}");
        assert_eq!(class(&site, &sister).await, "200", "{reason}");
    }
    put(&site, "trust/any.crl", list(&organisation, 6, &[]));
    wait::until_async("the newest list to be in force", || async {
        (class(&site, &revoked).await == "200").then_some(())
    })
    .await;
    assert!(!site.exit.metrics().contains("gangplank_trust_faults"));
}

/// Contract 4.9: a list that is not renewed in time goes on to count, and shuts out where that was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn when_a_strict_exit_lacks_the_next_list() {
    let fake = FakeApiServer::echo().await;
    let (strict, lenient) = (Organisation::new("strict"), Organisation::new("lenient"));
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&strict, &lenient]);
    let until = OffsetDateTime::now_utc() + Duration::seconds(8);
    let generation = site.generation();
    for organisation in [&strict, &lenient] {
        let authority = &organisation.authority;
        let list = authority.revocation_list_until(until, 1, &[SERIAL]);
        put(
            &site,
            &format!("trust/{}.crl", organisation.name),
            list.der(),
        );
    }
    specify(&site, &strict, "crl: Strict");
    wait::until_async("both lists to be in force", || async {
        let strict = class(&site, &with_serial(&strict)).await == "Revoked";
        let lenient = class(&site, &with_serial(&lenient)).await == "Revoked";
        (strict && lenient && site.generation() > generation).then_some(())
    })
    .await;
    let (ending, lasting) = (strict.caller("a"), lenient.caller("b"));
    let mut open = Vec::new();
    for protocol in PROTOCOLS {
        let mut lost = Connection::open(&site, Some(&ending), protocol).await;
        assert_eq!(lost.fetch("/lost").await.expect("an answer").0, 200);
        let mut kept = Connection::open(&site, Some(&lasting), protocol).await;
        assert_eq!(kept.fetch("/kept").await.expect("an answer").0, 200);
        open.push((lost, kept));
    }
    for (lost, kept) in &mut open {
        lost.await_close("the strict organisation").await;
        assert_eq!(kept.fetch("/kept").await.expect("it is kept").0, 200);
    }
    assert_eq!(class(&site, &ending).await, "RevocationUnknown");
    assert_eq!(class(&site, &with_serial(&lenient)).await, "Revoked");
    wait::until("both late lists to be counted", || {
        let late = "gangplank_trust_faults{reason=\"RevocationListLate\"} ";
        (site.exit.metric(late) == Some(2.0)).then_some(())
    });
    put(&site, "trust/strict.crl", list(&strict, 2, &[]));
    wait::until_async("the next list to let them in", || async {
        (class(&site, &ending).await == "200").then_some(())
    })
    .await;
}

/// What one caller holds.
struct Open {
    connections: Vec<Connection>,
    watch: http::Response<hyper::body::Incoming>,
    /// What the watch runs on.
    _watching: Connection,
}

async fn open(site: &Site, papers: &Papers) -> Open {
    let mut connections = Vec::new();
    for protocol in PROTOCOLS {
        let mut connection = Connection::open(site, Some(papers), protocol).await;
        assert_eq!(connection.fetch("/open").await.expect("an answer").0, 200);
        connections.push(connection);
    }
    let mut watching = Connection::open(site, Some(papers), Protocol::Two).await;
    let watch = watching.get("/watch").await.expect("an answer");
    Open {
        connections,
        watch,
        _watching: watching,
    }
}

/// What is said on a new connection: 200, or the class of the refusal.
async fn class(site: &Site, papers: &Papers) -> String {
    let mut connection = Connection::open(site, Some(papers), Protocol::Two).await;
    let answer = connection.get("/new").await.expect("an answer");
    if answer.status() == 200 {
        return "200".to_owned();
    }
    own_answer::read(answer).await.class
}

fn with_serial(organisation: &Organisation) -> Papers {
    let mut params = leaf_params("revoked", ExtendedKeyUsagePurpose::ClientAuth);
    params.serial_number = Some(SerialNumber::from(SERIAL));
    organisation.authority.sign(&params)
}

fn list(organisation: &Organisation, number: u64, serials: &[u64]) -> Vec<u8> {
    let list = organisation.authority.revocation_list(number, serials);
    list.der().to_vec()
}

/// Adds a line to the specification of the organisation's object.
fn specify(site: &Site, organisation: &Organisation, line: &str) {
    let manifest = format!("{}  {line}\n", organisation.provider());
    let name = site.trust_file(organisation);
    let name = name.strip_prefix(site.folder()).expect("below the folder");
    put(site, &name.display().to_string(), manifest);
}

/// Renames a file into place.
fn put(site: &Site, name: &str, content: impl AsRef<[u8]>) {
    let beside = site.folder().join("beside");
    fs::write(&beside, content).expect("written");
    fs::rename(beside, site.folder().join(name)).expect("renamed");
}
