//! The path across networks: callers, a relay and a cluster, each a host of its own, with a link between neighbours.

use std::net::Ipv4Addr;
use std::sync::Arc;

use gangplank_link::{Host, Link};

use super::certificates::{Organisation, Papers};
use super::fake_api_server::{Answer, FakeApiServer};
use super::gangplank::Surroundings;
use super::kubectl::{Kubectl, Said};
use super::path::{Course, Relay, Site};
use super::{cluster, hosts, wait};

/// The cluster's tunnel.
const NAME: &str = "harbour.acme";

/// The links' numbers, which decide their addresses and chances.
const OUTSIDE: u8 = 1;
const INLAND: u8 = 2;

/// Where the cluster finds the relay: a link's second end.
pub(crate) const INLAND_RELAY: Ipv4Addr = Ipv4Addr::new(198, 18, INLAND, 2);

/// The hosts of a path that is still to be laid.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    /// Where callers are.
    pub(crate) callers: Host,
    /// Where the relay is.
    pub(crate) quay: Host,
    /// Where the agent and the API server are.
    pub(crate) cluster: Host,
}

impl Hosts {
    /// Three of them.
    pub(crate) fn new() -> Self {
        let [callers, quay, cluster] = [(); 3].map(|()| Host::new().expect("a host"));
        Self {
            callers,
            quay,
            cluster,
        }
    }
}

/// How relay and agent are started, where that is not as usual.
#[derive(Debug, Default)]
pub(crate) struct Terms {
    /// What the relay runs in; its host is the quay.
    pub(crate) relay: Surroundings,
    /// Further lines in the relay's file.
    pub(crate) relay_further: String,
    /// What the agent runs in; its host is the cluster's.
    pub(crate) agent: Surroundings,
    /// The relay's name where the agent has to look it up.
    pub(crate) relay_name: Option<&'static str>,
    /// Further lines about the relay in the agent's file.
    pub(crate) course: Vec<String>,
}

/// A path across two links, and those who may use it. It ends in this order: processes, links, hosts.
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
    /// Both whose callers are let in.
    pub(crate) organisations: [Organisation; 2],
    /// Where all of it is.
    pub(crate) hosts: Hosts,
}

impl Afar {
    /// Lays ideal links and starts everything, before an API server that answers so.
    pub(crate) fn lay(
        answer: impl Fn(http::Request<hyper::body::Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        Self::lay_between(Hosts::new(), Terms::default(), answer)
    }

    /// The same between hosts that are there, on terms.
    pub(crate) fn lay_between(
        hosts: Hosts,
        mut terms: Terms,
        answer: impl Fn(http::Request<hyper::body::Incoming>) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let outside = Link::lay(&hosts.callers, &hosts.quay, OUTSIDE).expect("a link");
        let inland = Link::lay(&hosts.cluster, &hosts.quay, INLAND).expect("a link");
        let organisations = ["acme", "umbrella"].map(Organisation::new);
        let api_server = FakeApiServer::start_on(&hosts.cluster, answer);
        terms.relay.host = Some(hosts.quay.clone());
        terms.agent.host = Some(hosts.cluster.clone());
        let relay = Relay::start_in(&terms.relay, inland.second(), &terms.relay_further);
        let course = match terms.relay_name {
            Some(name) => Course::by_name(name, relay.address.port()),
            None => Course::by(relay.address),
        };
        let course = terms
            .course
            .iter()
            .fold(course, |course, line| course.with(line));
        let trusted = organisations.each_ref();
        let exit = (&*api_server.kubeconfig(), &trusted[..]);
        let mut site = Site::tunnel_in(&terms.agent, &Arc::new(relay), NAME, exit, &course);
        site.address.set_ip(outside.second().into());
        Self {
            site,
            api_server,
            inland,
            outside,
            papers: organisations[0].caller("a"),
            organisations,
            hosts,
        }
    }

    /// Does something on the callers' host, in a runtime of its own.
    pub(crate) fn call<T: Send>(&self, call: impl AsyncFnOnce() -> T + Send) -> T {
        hosts::at(Some(&self.hosts.callers), || {
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
        hosts::at(Some(&self.hosts.callers), || kubectl.run(arguments))
    }

    /// The relay.
    pub(crate) fn relay(&self) -> &Relay {
        self.site.relay.as_ref().expect("it has a relay")
    }

    /// The relay, to be ended and started.
    pub(crate) fn relay_mut(&mut self) -> &mut Relay {
        let relay = self.site.relay.as_mut().and_then(Arc::get_mut);
        relay.expect("this path alone has the relay")
    }

    /// Whether the relay has the cluster's tunnel.
    pub(crate) fn has_tunnel(&self) -> bool {
        self.relay().has_tunnel(NAME)
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
