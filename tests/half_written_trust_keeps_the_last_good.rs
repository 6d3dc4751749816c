//! While a trust file is being written, what it said before holds; when it is whole, what it says now does.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Site, Way};
use crate::support::wait;

/// How often the exit is asked in each half-written state: some seconds, longer than any debounce or poll.
const ASKED: usize = 25;

/// Case F2: truncated, then half, then whole; then the same at once, by renaming.
#[tokio::test(flavor = "multi_thread")]
async fn truncated_and_written_in_halves() {
    let fake = FakeApiServer::echo().await;
    let (mut changing, other) = (Organisation::new("changing"), Organisation::new("other"));
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[&changing, &other]);
    let (before, file) = (changing.caller("a"), site.trust_file(&changing));
    let old = fs::read_to_string(&file).expect("readable");
    changing.authority = crate::support::certificates::Authority::new("the next CA");
    let (next, whole) = (changing.caller("a"), changing.provider());
    fs::write(&file, "").expect("truncated");
    assert_kept(&site, &[&before, &other.caller("b")]).await;
    fs::write(&file, &whole.as_bytes()[..whole.len() / 2]).expect("written");
    wait::until("the half to be reported", || {
        let status = site.exit.status();
        status["exit"]["bundle"]["faults"]
            .to_string()
            .contains("changing")
            .then_some(())
    });
    assert_kept(&site, &[&before, &other.caller("b")]).await;
    assert_eq!(ask(&site, &next).await, 401);
    fs::write(&file, &whole).expect("written");
    await_answer(&site, &next, 200).await;
    assert_eq!(
        ask(&site, &before).await,
        401,
        "the old authority is replaced"
    );
    let renamed = site.folder().join("renamed");
    fs::write(&renamed, old).expect("written");
    fs::rename(renamed, &file).expect("renamed");
    await_answer(&site, &before, 200).await;
    assert_eq!(ask(&site, &next).await, 401, "and back");
}

/// Case F2, as Kubernetes writes volumes: a link `..data` is renamed onto the next version, again and again.
#[tokio::test(flavor = "multi_thread")]
async fn projected_volumes_are_followed() {
    let fake = FakeApiServer::echo().await;
    let mut organisation = Organisation::new("projected");
    let site = Site::start(Way::Direct, &fake.kubeconfig(), &[]);
    let trust = site.folder().join("trust");
    for version in 0..4 {
        let before = organisation.caller("a");
        organisation.authority = crate::support::certificates::Authority::new("a CA");
        project(&trust, version, &organisation.provider());
        await_answer(&site, &organisation.caller("a"), 200).await;
        assert_eq!(
            ask(&site, &before).await,
            401,
            "version {version} replaced the one before"
        );
    }
}

fn project(trust: &Path, version: usize, object: &str) {
    let folder = format!("..version-{version}");
    fs::create_dir(trust.join(&folder)).expect("a folder");
    fs::write(trust.join(&folder).join("provider.yaml"), object).expect("written");
    symlink(&folder, trust.join("..data_tmp")).expect("linked");
    fs::rename(trust.join("..data_tmp"), trust.join("..data")).expect("renamed");
    if version == 0 {
        symlink("..data/provider.yaml", trust.join("provider.yaml")).expect("linked");
    } else {
        fs::remove_dir_all(trust.join(format!("..version-{}", version - 1))).expect("removed");
    }
}

async fn assert_kept(site: &Site, callers: &[&Papers]) {
    for _ in 0..ASKED {
        for papers in callers {
            assert_eq!(ask(site, papers).await, 200, "who was trusted still is");
        }
        // Spreads the requests over the time in which the exit may look at the file.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

async fn ask(site: &Site, papers: &Papers) -> u16 {
    let mut connection = Connection::open(site, Some(papers), Protocol::Two).await;
    connection.fetch("/").await.expect("an answer").0
}

async fn await_answer(site: &Site, papers: &Papers, status: u16) {
    wait::until_async(&format!("an answer {status}"), || async {
        (ask(site, papers).await == status).then_some(())
    })
    .await;
}
