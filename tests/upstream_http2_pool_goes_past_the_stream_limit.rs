//! More long-running requests than one HTTP/2 connection to the API server carries stop nobody.

use http::Response;
use hyper::body::Incoming;

use crate::support::certificates::Organisation;
use crate::support::cluster;
use crate::support::connection::{Connection, Protocol};
use crate::support::path::{Site, WAYS};

/// kube-apiserver allows 100 streams a connection; this is past that.
const WATCHES: usize = 120;

/// Each caller connection's share of them.
const EACH: usize = 40;

/// 120 watches are answered, and a request behind them too.
#[tokio::test(flavor = "multi_thread")]
async fn with_120_watches_and_a_get() {
    let cluster = cluster::shared();
    let organisation = Organisation::new("watchers");
    let namespace = "stream-limit";
    cluster.namespace(namespace);
    cluster.make_namespace_admin(&organisation.username("watcher"), namespace);
    let papers = organisation.caller("watcher");
    for way in WAYS {
        let site = Site::before(cluster, way, &[&organisation]);
        let mut connections = Vec::new();
        let mut watches: Vec<Response<Incoming>> = Vec::new();
        for _ in 0..WATCHES / EACH {
            let mut connection = Connection::open(&site, Some(&papers), Protocol::Two).await;
            for _ in 0..EACH {
                let path =
                    format!("/api/v1/namespaces/{namespace}/configmaps?watch=1&resourceVersion=0");
                let watch = connection.get(&path).await.expect("an answer");
                assert_eq!(watch.status(), 200, "{way:?}: watch {}", watches.len());
                watches.push(watch);
            }
            connections.push(connection);
        }
        for connection in &mut connections {
            let (status, said) = connection.fetch("/version").await.expect("an answer");
            assert_eq!(status, 200, "{way:?}: {said}");
        }
        assert_eq!(watches.len(), WATCHES);
    }
}
