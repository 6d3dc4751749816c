//! What an informer does for ten minutes: list, watch with bookmarks, and watch again from where it was.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::certificates::Organisation;
use crate::support::cluster;
use crate::support::connection::{Connection, Protocol};
use crate::support::measured::tell;
use crate::support::path::{Site, Way};

const NAMESPACE: &str = "informer-ten-minutes";

/// As the case says.
const LENGTH: Duration = Duration::from_secs(600);

/// Between two objects that come into being.
const BETWEEN: Duration = Duration::from_secs(4);

/// How long one watch lasts: the API server ends it, and the next begins where it ended. It sends a bookmark a minute
/// and one before the end.
const SPELL: u64 = 150;

/// Case C39: every object is told once and in order, over the ends of watches too; and client-go's own informer, in
/// `kubectl wait`, hears at the end of it of the one object that it waits for.
pub(super) async fn ten_minutes() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("patient");
    cluster.namespace(NAMESPACE);
    cluster.make_namespace_admin(&organisation.username("a"), NAMESPACE);
    let site = Site::before(cluster, Way::Tunnel, &[&organisation]);
    let papers = organisation.caller("a");
    cluster.admin(&["-n", NAMESPACE, "create", "configmap", "awaited"]);
    let mut waiting = site.kubectl(&papers).start(&[
        "-n",
        NAMESPACE,
        "wait",
        "--for=jsonpath={.data.state}=ready",
        "--timeout=700s",
        "configmap/awaited",
    ]);
    let end = Instant::now() + LENGTH;
    let made = tokio::spawn(make_objects(end));
    let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
    let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    let (status, listed) = connection.fetch(&path).await.expect("a list");
    assert_eq!(status, 200, "{listed}");
    let mut known = Known::of_list(&listed);
    while Instant::now() < end {
        let version = known.version.clone();
        known
            .follow(
                &mut connection,
                &format!("{path}?resourceVersion={version}"),
            )
            .await;
    }
    let made = made.await.expect("they were made");
    // The last of them may have come after the last watch.
    let version = known.version.clone();
    let rest = format!("{path}?resourceVersion={version}&timeoutSeconds=5");
    known.follow(&mut connection, &rest).await;
    assert_eq!(known.names, made, "each of them once, in their order");
    // One before the end of each, but for the last, which is too short to have one.
    assert!(known.bookmarks + 1 >= known.watches, "{}", known.bookmarks);
    waiting.await_out("configmap/awaited condition met");
    assert_eq!(waiting.await_end(), 0);
    tell(&format!(
        "informer: {} objects in {LENGTH:?} by {} watches with {} bookmarks",
        made.len(),
        known.watches,
        known.bookmarks
    ));
}

/// Makes objects until then, and answers their names.
async fn make_objects(end: Instant) -> Vec<String> {
    let (mut made, mut every) = (Vec::new(), tokio::time::interval(BETWEEN));
    while Instant::now() < end {
        every.tick().await;
        let name = format!("made-{}", made.len());
        let creating = name.clone();
        let created = tokio::task::spawn_blocking(move || {
            cluster::shared().admin(&["-n", NAMESPACE, "create", "configmap", &creating])
        });
        created.await.expect("no panic");
        made.push(name);
    }
    let ready = r#"{"data":{"state":"ready"}}"#;
    let patch = ["-n", NAMESPACE, "patch", "configmap", "awaited"];
    cluster::shared().admin(&[&patch[..], &["--type=merge", "-p", ready]].concat());
    made
}

/// What the informer knows.
struct Known {
    version: String,
    names: Vec<String>,
    bookmarks: usize,
    watches: usize,
}

impl Known {
    fn of_list(listed: &str) -> Self {
        let list: Value = serde_json::from_str(listed).expect("JSON");
        let mut known = Self {
            version: text(&list["metadata"]["resourceVersion"]),
            names: Vec::new(),
            bookmarks: 0,
            watches: 0,
        };
        for item in list["items"].as_array().expect("items") {
            known.note_name(&item["metadata"]["name"]);
        }
        known
    }

    fn note_name(&mut self, name: &Value) {
        let name = text(name);
        if name.starts_with("made-") {
            self.names.push(name);
        }
    }

    /// Watches until the API server ends the watch, which must look like an end.
    async fn follow(&mut self, connection: &mut Connection, path: &str) {
        use http_body_util::BodyExt as _;
        let limit = if path.contains("timeoutSeconds") {
            String::new()
        } else {
            format!("&timeoutSeconds={SPELL}")
        };
        let path = format!("{path}{limit}&watch=1&allowWatchBookmarks=true");
        let mut watch = connection.get(&path).await.expect("an answer").into_body();
        let mut unread = Vec::new();
        while let Some(frame) = watch.frame().await {
            let frame = frame.expect("it ends cleanly");
            unread.extend_from_slice(frame.data_ref().expect("data"));
            while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = unread.drain(..=end).collect();
                self.note(&serde_json::from_slice(&line).expect("an event"));
            }
        }
        assert!(unread.is_empty(), "it ends between two events");
        self.watches += 1;
    }

    fn note(&mut self, event: &Value) {
        let metadata = &event["object"]["metadata"];
        match event["type"].as_str() {
            Some("ADDED") => self.note_name(&metadata["name"]),
            Some("BOOKMARK") => self.bookmarks += 1,
            Some("MODIFIED") => {}
            _ => panic!("{event}"),
        }
        self.version = text(&metadata["resourceVersion"]);
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}
