//! The watcher itself: changes on a file system arrive, without anybody looking by hand.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::*;
use crate::wake::Wake;

/// Far above what any change takes, so that only what never comes is late.
const BOUND: Duration = Duration::from_secs(20);

/// A directory that is followed until this is dropped.
struct Followed {
    place: Workplace,
    source: TrustSource,
    shutdown: CancellationToken,
    tasks: TaskTracker,
    _stop: DropGuard,
}

impl Followed {
    /// By events alone: a watch that is lost is not made up for by the poll.
    fn by_events(furnish: impl FnOnce(&Workplace)) -> Self {
        Self::with(furnish, |directory| Wake::events_only([directory]))
    }

    /// By the poll alone, as when inotify has no watches left (F9).
    fn by_polling(furnish: impl FnOnce(&Workplace)) -> Self {
        Self::with(furnish, |directory| Wake::polling_only([directory]))
    }

    /// As the program does it.
    fn as_ever(furnish: impl FnOnce(&Workplace)) -> Self {
        Self::with(furnish, |directory| Wake::new([directory]))
    }

    fn with(furnish: impl FnOnce(&Workplace), wake: impl FnOnce(PathBuf) -> Wake) -> Self {
        let place = Workplace::empty();
        fs::create_dir(place.path("trust")).unwrap();
        furnish(&place);
        let (source, watcher) = open(&place).unwrap();
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(watcher.follow(wake(place.path("trust")), shutdown.clone()));
        let stop = shutdown.clone().drop_guard();
        Self {
            place,
            source,
            shutdown,
            tasks,
            _stop: stop,
        }
    }

    /// Waits for a report.
    async fn until(
        &self,
        what: &str,
        fits: impl Fn(&TrustReport) -> bool + Send + Sync,
    ) -> Arc<TrustReport> {
        let mut reports = self.source.reports();
        let fitting = async {
            let report = reports.wait_for(|report| fits(report)).await;
            report.map(|report| Arc::clone(&report))
        };
        let report = timeout(BOUND, fitting).await;
        report
            .unwrap_or_else(|_| panic!("{what}: {:#?}", self.source.report()))
            .unwrap()
    }

    /// Waits for a generation, and gives the prefixes of its bundle.
    async fn prefixes_of(&self, generation: u64) -> Vec<String> {
        let mut changed = self.source.changed();
        let reached = async { changed.wait_for(|now| *now >= generation).await.is_ok() };
        let waited = timeout(BOUND, reached).await;
        assert!(
            waited.is_ok(),
            "generation {generation}: {:#?}",
            self.source.report()
        );
        assert_eq!(self.source.current().generation(), generation);
        prefixes(&self.source.current())
    }
}

/// F2, first half.
#[tokio::test]
async fn a_file_renamed_into_place_counts() {
    let followed = Followed::by_events(|at| at.write("trust/a.yaml", provider("a")));
    followed
        .place
        .replace("trust/a.yaml", with_prefix("a", "spiffe://b/"));
    assert_eq!(followed.prefixes_of(2).await, ["spiffe://b/"]);
    followed.place.replace("trust/c.yml", provider("c"));
    assert_eq!(
        followed.prefixes_of(3).await,
        ["spiffe://b/", "spiffe://c/"]
    );
    followed.place.remove("trust/a.yaml");
    assert_eq!(followed.prefixes_of(4).await, ["spiffe://c/"]);
}

/// F2, second half.
#[tokio::test]
async fn a_file_written_in_two_halves_counts_only_when_whole() {
    let followed = Followed::by_events(|at| at.write("trust/a.yaml", provider("a")));
    let whole = with_prefix("a", "spiffe://b/");
    let told = |report: &TrustReport, reasons: &[&str]| {
        report
            .faults
            .iter()
            .any(|fault| reasons.contains(&fault.reason()))
    };

    followed.place.write("trust/a.yaml", "");
    let report = followed
        .until("an empty file is told", |report| told(report, &["Empty"]))
        .await;
    assert_eq!((report.generation, report.providers), (1, 1));
    assert_eq!(report.kept[0].provider.to_string(), "namespace-a/a");

    followed
        .place
        .write("trust/a.yaml", whole.split_at(whole.len() / 2).0);
    let half = |report: &TrustReport| told(report, &["NotBase64", "PemNotClosed"]);
    let report = followed.until("half a file is told", half).await;
    assert_eq!((report.generation, report.providers), (1, 1));

    followed.place.write("trust/a.yaml", &whole);
    assert_eq!(followed.prefixes_of(2).await, ["spiffe://b/"]);
    let report = followed
        .until("the fault is mended", |report| report.faults.is_empty())
        .await;
    assert!(report.kept.is_empty());
}

/// A projected volume: the files are links into `..data`, itself a link that is swapped. Who watches a
/// file through it hears of the first swap and of no other.
#[tokio::test]
async fn swaps_of_a_projected_volume_all_count() {
    let populate = |at: &Workplace, version: u64| {
        let folder = format!("trust/..{version}");
        fs::create_dir(at.path(&folder)).unwrap();
        let manifest = with_prefix("a", &format!("spiffe://{version}/"));
        at.write(&format!("{folder}/a.yaml"), manifest);
        std::os::unix::fs::symlink(format!("..{version}"), at.path("trust/..data_tmp")).unwrap();
        fs::rename(at.path("trust/..data_tmp"), at.path("trust/..data")).unwrap();
    };
    let followed = Followed::by_events(|at| {
        populate(at, 0);
        std::os::unix::fs::symlink("..data/a.yaml", at.path("trust/a.yaml")).unwrap();
    });
    for swap in 1..=4 {
        populate(&followed.place, swap);
        fs::remove_dir_all(followed.place.path(&format!("trust/..{}", swap - 1))).unwrap();
        assert_eq!(
            followed.prefixes_of(swap + 1).await,
            [format!("spiffe://{swap}/")]
        );
        assert!(followed.source.report().faults.is_empty(), "swap {swap}");
    }
}

/// F4: renamed away, and another one in its place, which is followed in turn.
#[tokio::test]
async fn a_directory_that_vanished_and_came_back_is_followed_again() {
    let followed = Followed::as_ever(|at| at.write("trust/a.yaml", provider("a")));
    let (trust, elsewhere) = (
        followed.place.path("trust"),
        followed.place.path("elsewhere"),
    );
    fs::rename(&trust, &elsewhere).unwrap();
    let report = followed
        .until("it vanished", |report| report.vanished_since.is_some())
        .await;
    assert_eq!((report.generation, report.providers), (1, 1));
    fs::create_dir(followed.place.path("next")).unwrap();
    followed.place.write("next/b.yaml", provider("b"));
    fs::rename(followed.place.path("next"), &trust).unwrap();
    assert_eq!(followed.prefixes_of(2).await, ["spiffe://b/"]);
    followed
        .until("it is back", |report| report.vanished_since.is_none())
        .await;
    followed
        .place
        .replace("trust/b.yaml", with_prefix("b", "spiffe://c/"));
    assert_eq!(followed.prefixes_of(3).await, ["spiffe://c/"]);
}

/// F9: no inotify watches to be had.
#[tokio::test]
async fn without_file_events_the_poll_finds_changes() {
    let followed = Followed::by_polling(|at| at.write("trust/a.yaml", provider("a")));
    followed
        .place
        .replace("trust/a.yaml", with_prefix("a", "spiffe://b/"));
    assert_eq!(followed.prefixes_of(2).await, ["spiffe://b/"]);
    followed.place.remove("trust/a.yaml");
    assert!(followed.prefixes_of(3).await.is_empty());
}

/// F10: a thousand changes at once are few reloads, and the last one counts.
#[tokio::test]
async fn many_changes_are_few_reloads() {
    let followed = Followed::by_events(|at| at.write("trust/a.yaml", provider("a")));
    let manifest = provider("a");
    for change in 1..=1_000 {
        let changed = manifest.replace("spiffe://a/", &format!("spiffe://{change}/"));
        followed.place.replace("trust/a.yaml", changed);
        tokio::task::yield_now().await;
    }
    let last_counts = |_: &TrustReport| prefixes(&followed.source.current()) == ["spiffe://1000/"];
    let report = followed.until("the last change counts", last_counts).await;
    assert!(
        report.generation < 100,
        "{} reloads for 1,000 changes",
        report.generation
    );
}

/// F10: a thousand edits in a row, over many files, some of them taken away: what counts in the end is
/// what is written in the end.
#[tokio::test]
async fn a_thousand_edits_end_in_what_is_written() {
    let manifests: Vec<String> = (0..20).map(|name| provider(&format!("p{name}"))).collect();
    let followed = Followed::by_events(|_| {});
    for edit in 0..1_000_usize {
        // Seven and twenty have no common divisor, so every file is written 50 times.
        let name = edit * 7 % 20;
        let file = format!("trust/{name}.yaml");
        let prefix = format!("spiffe://p{name}/");
        let changed = manifests[name].replace(&prefix, &format!("{prefix}{edit}/"));
        followed.place.replace(&file, changed);
        if edit % 3 == 0 {
            followed.place.remove(&file);
        }
        if edit % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (fresh, _) = open(&followed.place).unwrap();
    let digests = |bundle: &TrustBundle| -> Vec<_> {
        let providers = bundle.providers().iter();
        providers.map(|provider| provider.digest()).collect()
    };
    let written = digests(&fresh.current());
    assert!((10..20).contains(&written.len()), "{}", written.len());
    let report = followed
        .until("what is written counts", |_| {
            digests(&followed.source.current()) == written
        })
        .await;
    assert!(report.faults.is_empty(), "{report:#?}");
}

#[tokio::test]
async fn the_watcher_ends_when_told() {
    let followed = Followed::as_ever(|_| {});
    followed.shutdown.cancel();
    followed.tasks.close();
    timeout(BOUND, followed.tasks.wait())
        .await
        .expect("the watcher did not end");
}
