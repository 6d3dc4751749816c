//! Two clusters, four organisations (two of them with authorities of the same subject), one relay: every one of
//! ten thousand requests is seen upstream as its own user at its own cluster.

use std::sync::Arc;

use crate::support::certificates::{Organisation, Papers};
use crate::support::connection::{Connection, Protocol};
use crate::support::fake_api_server::FakeApiServer;
use crate::support::path::{Relay, Site};
use crate::support::{audit, cluster};

/// In all, over every pair of cluster and organisation.
const REQUESTS: usize = 10_000;

/// Of them against the two real API servers; the others against servers that keep every header they got.
const AT_REAL_SERVERS: usize = 2_000;

fn organisations() -> Vec<Organisation> {
    vec![
        Organisation::with_subject("north", "Corporate CA"),
        Organisation::with_subject("south", "Corporate CA"),
        Organisation::new("east"),
        Organisation::new("west"),
    ]
}

/// A fixed sequence without pattern; the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// One caller's open connection to one cluster.
struct Line {
    site: usize,
    user: String,
    connection: Connection,
}

async fn lines(sites: &[Site], organisations: &[Organisation]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, site) in sites.iter().enumerate() {
        for organisation in organisations {
            for (name, protocol) in [
                ("ns/a/id/one", Protocol::One),
                ("ns/b/id/two", Protocol::Two),
            ] {
                let papers: Papers = organisation.caller(name);
                let connection = Connection::open(site, Some(&papers), protocol).await;
                lines.push(Line {
                    site: number,
                    user: organisation.username(name),
                    connection,
                });
            }
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn before_servers_that_keep_every_header() {
    let organisations = organisations();
    let trusted: Vec<&Organisation> = organisations.iter().collect();
    let relay = Arc::new(Relay::start());
    let servers = [FakeApiServer::echo().await, FakeApiServer::echo().await];
    let sites: Vec<Site> = ["first.acme", "second.acme"]
        .into_iter()
        .zip(&servers)
        .map(|(name, server)| Site::tunnel(&relay, name, &server.kubeconfig(), &trusted))
        .collect();
    let mut lines = lines(&sites, &organisations).await;
    let mut dice = Dice(7);
    let mut expected = vec![Vec::new(); servers.len()];
    for number in 0..REQUESTS - AT_REAL_SERVERS {
        let chosen = dice.below(lines.len());
        let line = &mut lines[chosen];
        let path = format!("/request/{number}");
        let (status, body) = line.connection.fetch(&path).await.expect("an answer");
        assert_eq!(status, 200, "{body}");
        expected[line.site].push((path, line.user.clone()));
    }
    for (server, expected) in servers.iter().zip(expected) {
        let mut seen: Vec<(String, String)> = Vec::new();
        for arrived in server.arrived() {
            let users = arrived.values("impersonate-user");
            assert_eq!(users.len(), 1, "exactly one user: {arrived:?}");
            seen.push((arrived.target.clone(), users[0].clone()));
        }
        seen.sort();
        let mut expected = expected;
        expected.sort();
        assert_eq!(
            seen.len(),
            expected.len(),
            "every request arrived once, at its own cluster"
        );
        assert!(seen == expected, "each request is its own user's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_two_real_api_servers() {
    let organisations = organisations();
    let trusted: Vec<&Organisation> = organisations.iter().collect();
    let relay = Arc::new(Relay::start());
    let clusters = [cluster::shared(), cluster::second()];
    let sites: Vec<Site> = ["first.acme", "second.acme"]
        .into_iter()
        .zip(clusters)
        .map(|(name, cluster)| {
            Site::tunnel(&relay, name, &cluster.facts.proxy_kubeconfig, &trusted)
        })
        .collect();
    let mut lines = lines(&sites, &organisations).await;
    let mut dice = Dice(11);
    let mut expected = vec![Vec::new(); clusters.len()];
    for number in 0..AT_REAL_SERVERS {
        let chosen = dice.below(lines.len());
        let line = &mut lines[chosen];
        let path = format!("/api/v1/namespaces/own-user-{number}/pods");
        let (status, body) = line.connection.fetch(&path).await.expect("an answer");
        assert_eq!(status, 403, "nobody has rights there: {body}");
        assert!(
            body.contains(&line.user),
            "the API server names the user that it saw: {body}"
        );
        expected[line.site].push((path, line.user.clone()));
    }
    for (cluster, mut expected) in clusters.into_iter().zip(expected) {
        let mut seen: Vec<(String, String)> = audit::events(cluster)
            .into_iter()
            .filter(|event| {
                event
                    .request_uri
                    .starts_with("/api/v1/namespaces/own-user-")
            })
            .map(|event| {
                (
                    event.request_uri,
                    event
                        .impersonated_user
                        .map(|user| user.username)
                        .unwrap_or_default(),
                )
            })
            .collect();
        seen.sort();
        expected.sort();
        assert!(
            seen == expected,
            "the audit log has each request once, as its own user"
        );
    }
}
