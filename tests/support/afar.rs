//! The path across networks: callers, a relay and a cluster, each a host of its own, with a link between neighbours.

use std::sync::Arc;

use gangplank_link::{Host, Link};

use super::certificates::{Organisation, Papers};
use super::fake_api_server::{Answer, FakeApiServer};
use super::kubectl::{Kubectl, Said};
use super::path::{Relay, Site};
use super::{cluster, hosts, wait};

/// The cluster's tunnel.
const NAME: &str = "harbour.acme";

/// The links' numbers, which decide their addresses and chances.
const OUTSIDE: u8 = 1;
const INLAND: u8 = 2;

/// A path across two links, and one who may use it. It ends in this order: processes, links, hosts.
#[derive(Debug)]
pub(crate) struct Afar {
    /// The way through relay and agent; its address is the relay's as callers see it.
    pub(crate) site: Site,
    /// The API server, on the cluster's host.
    pub(crate) api_server: FakeApiServer,
    /// From the cluster to the relay.
    pub(crate) inland: Link,
    /// From the callers to the relay.
    pub(crate) outside: Link,
    /// Papers of one who is let in.
    pub(crate) papers: Papers,
    callers: Host,
}

impl Afar {
    /// Lays ideal links and starts everything, before an API server that answers so.
    pub(crate) fn lay(
        answer: impl Fn(http::Request<hyper::body::Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let [callers, quay, cluster] = [(); 3].map(|()| Host::new().expect("a host"));
        let outside = Link::lay(&callers, &quay, OUTSIDE).expect("a link");
        let inland = Link::lay(&cluster, &quay, INLAND).expect("a link");
        let organisation = Organisation::new("acme");
        let api_server = FakeApiServer::start_on(&cluster, answer);
        let relay = Arc::new(Relay::start_on(&quay, inland.second()));
        let upstream = api_server.kubeconfig();
        let mut site = Site::tunnel_from(Some(&cluster), &relay, NAME, &upstream, &[&organisation]);
        site.address.set_ip(outside.second().into());
        Self {
            site,
            api_server,
            inland,
            outside,
            papers: organisation.caller("a"),
            callers,
        }
    }

    /// Does something on the callers' host, in a runtime of its own.
    pub(crate) fn call<T: Send>(&self, call: impl AsyncFnOnce() -> T + Send) -> T {
        hosts::at(Some(&self.callers), || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime")
                .block_on(call())
        })
    }

    /// Runs kubectl on the callers' host.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> Said {
        let kubectl = Kubectl::new(&cluster::kubectl(), &self.site.kubeconfig(&self.papers));
        hosts::at(Some(&self.callers), || kubectl.run(arguments))
    }

    /// Whether the relay has the cluster's tunnel.
    pub(crate) fn has_tunnel(&self) -> bool {
        let relay = self.site.relay.as_ref().expect("it has a relay");
        relay.has_tunnel(NAME)
    }

    /// Waits until it has, or has not.
    pub(crate) fn await_tunnel(&self, there: bool) {
        let what = if there {
            "the tunnel"
        } else {
            "the tunnel's end"
        };
        wait::until(what, || (self.has_tunnel() == there).then_some(()));
    }
}
