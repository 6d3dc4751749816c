//! Relay and agent are killed, and stopped without ending.

use super::ground::Ground;
use super::story::{Mark, Row};

pub(super) fn relay_killed() -> Row {
    let mut ground = Ground::new();
    let struck = Mark::now();
    ground.afar.relay().process.kill();
    ground.afar.relay_mut().restart();
    let mended = Mark::now();
    ground.tell("relay killed, and started again at once", struck, mended)
}

pub(super) fn agent_killed() -> Row {
    let mut ground = Ground::new();
    let struck = Mark::now();
    ground.afar.site.exit.kill();
    ground.afar.site.restart_exit();
    let mended = Mark::now();
    ground.tell("agent killed, and started again at once", struck, mended)
}

pub(super) fn agent_gone() -> Row {
    let mut ground = Ground::new();
    let struck = Mark::now();
    ground.afar.site.exit.kill();
    ground.afar.await_tunnel(false);
    ground.afar.site.restart_exit();
    let mended = Mark::now();
    ground.tell(
        "agent killed, and started again when the relay had noticed",
        struck,
        mended,
    )
}

pub(super) fn relay_stopped() -> Row {
    let ground = Ground::new();
    let (relay, agent) = (&ground.afar.relay().process, &ground.afar.site.exit);
    let (struck, logged) = (Mark::now(), agent.log().len());
    relay.signal("-STOP");
    Ground::await_logged(agent, logged, "tunnel down");
    relay.signal("-CONT");
    let mended = Mark::now();
    ground.tell(
        "relay stopped (SIGSTOP) until the agent had noticed",
        struck,
        mended,
    )
}

pub(super) fn agent_stopped() -> Row {
    let ground = Ground::new();
    let (relay, agent) = (&ground.afar.relay().process, &ground.afar.site.exit);
    let (struck, logged) = (Mark::now(), relay.log().len());
    agent.signal("-STOP");
    Ground::await_logged(relay, logged, "tunnel withdrawn");
    agent.signal("-CONT");
    let mended = Mark::now();
    ground.tell(
        "agent stopped (SIGSTOP) until the relay had noticed",
        struck,
        mended,
    )
}
