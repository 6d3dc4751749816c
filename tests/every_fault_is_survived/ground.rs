//! Where faults befall: a path across links with the load on it.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::ledger::seconds;
use super::load::{LINES, Load, answer};
use super::story::{Mark, Row, Stretch};
use crate::support::afar::{Afar, Hosts, Terms};
use crate::support::gangplank::Gangplank;
use crate::support::wait;

/// From the cluster to the relay, each way.
const DELAY: Duration = Duration::from_millis(20);

/// A path under load. It ends in this order.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) load: Load,
    pub(super) afar: Afar,
    _runtime: Runtime,
}

impl Ground {
    /// One as usual, on which every line has been served.
    pub(super) fn new() -> Self {
        Self::between(Hosts::new(), Terms::default())
    }

    /// The same between hosts that are there, on terms.
    pub(super) fn between(hosts: Hosts, terms: Terms) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let afar = {
            let _within = runtime.enter();
            Afar::lay_between(hosts, terms, answer)
        };
        afar.inland.change(|conditions| conditions.delay = DELAY);
        let (before, load) = (Instant::now(), Load::begin(&afar));
        let ground = Self {
            load,
            afar,
            _runtime: runtime,
        };
        ground.await_service(before);
        ground
    }

    /// Waits until every line of the load has got something that it asked for since then.
    pub(super) fn await_service(&self, since: Instant) {
        wait::until("every line of the load to be served", || {
            (self.load.ledger.lines_served_since(since) == LINES).then_some(())
        });
    }

    /// Waits until a role says something that it had not said when its log had so many bytes.
    pub(super) fn await_logged(role: &Gangplank, from: usize, message: &str) {
        await_in_log(role, from, &format!("\"message\":\"{message}\""));
    }

    /// The same for a reason that it gives.
    pub(super) fn await_reason(role: &Gangplank, from: usize, reason: &str) {
        await_in_log(role, from, &format!("\"reason\":\"{reason}\""));
    }

    /// Waits until everything is as before, and tells what the fault was like.
    pub(super) fn tell(mut self, fault: &str, struck: Mark, mended: Mark) -> Row {
        self.await_service(mended.at);
        self.load.end();
        let (stretch, entries) = (Stretch { struck, mended }, self.load.ledger.entries());
        let arrived = self.afar.api_server.arrived();
        Row {
            fault: fault.to_owned(),
            noticed: stretch.noticed(&self.afar.relay().process.log(), &self.afar.site.exit.log()),
            back: stretch
                .back(&entries)
                .map_or_else(|| "never".to_owned(), seconds),
            ended: stretch.ended(&entries),
            went_on: stretch.went_on(&entries),
            wrongs: self.load.ledger.wrongs(&arrived, &self.load.users),
        }
    }
}

fn await_in_log(role: &Gangplank, from: usize, text: &str) {
    wait::until(&format!("{text} in the log"), || {
        let log = role.log();
        log.get(from..)?.contains(text).then_some(())
    });
}
