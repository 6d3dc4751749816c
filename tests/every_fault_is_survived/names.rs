//! The agent's resolver: what runs does not ask it, and who has to dial again is back when it answers again.

use super::ground::Ground;
use super::story::{Mark, Row};
use crate::support::afar::{Hosts, INLAND_RELAY, Terms};
use crate::support::gangplank::Surroundings;
use crate::support::name_server::{Mood, NameServer};

pub(super) fn server_silent() -> Row {
    fails(
        Mood::Silent,
        "the resolver does not answer, and the relay is started again",
        "ResolverSilent",
    )
}

pub(super) fn server_failing() -> Row {
    fails(
        Mood::Fails,
        "the resolver fails, and the relay is started again",
        "LookUpFailed",
    )
}

fn fails(mood: Mood, fault: &str, reason: &str) -> Row {
    let hosts = Hosts::new();
    let names = NameServer::start(&hosts.cluster, INLAND_RELAY);
    let terms = Terms {
        agent: Surroundings {
            through: names.through(),
            ..Surroundings::default()
        },
        relay_name: Some("relay.names.test"),
        ..Terms::default()
    };
    let mut ground = Ground::between(hosts, terms);
    let struck = Mark::now();
    names.set(mood);
    // A tunnel that stands does not mind.
    ground.await_service(struck.at);
    let logged = ground.afar.site.exit.log().len();
    ground.afar.relay().process.kill();
    ground.afar.relay_mut().restart();
    Ground::await_reason(&ground.afar.site.exit, logged, reason);
    names.set(Mood::Answers);
    let mended = Mark::now();
    ground.tell(fault, struck, mended)
}
