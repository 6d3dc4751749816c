//! One direction of a link, without input, output or a clock: packets go in at a time, and come out when they are due.
//!
//! In this order: what is refused, too large or offered to a cut link is dropped and takes no room; then the queue,
//! with tail drop; the rate; the delay; and last loss, duplication and reordering, so that what is lost has had
//! its turn on the line, as on a real one. Only reordering reorders: a delay that shrinks lets nobody overtake.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::chance::Chance;
use crate::conditions::Conditions;
use crate::packet::{Protocol, protocol};
use crate::tally::Tally;

/// One direction.
#[derive(Debug)]
pub(crate) struct Wire {
    conditions: Conditions,
    chance: Chance,
    queue: Queue,
    /// What has been sent, in the order of arrival. As large as rate and delay make it; without a rate its
    /// senders' windows bound it.
    flight: VecDeque<Flying>,
    held: Vec<Held>,
    /// The second of a packet that arrives twice.
    copy: Option<Flying>,
    tallies: BTreeMap<Protocol, Tally>,
}

/// What waits for the line.
#[derive(Debug, Default)]
struct Queue {
    /// When each will have left, and its bytes.
    waiting: VecDeque<(Duration, usize)>,
    bytes: usize,
    busy_until: Duration,
}

#[derive(Debug, Clone)]
struct Flying {
    bytes: Vec<u8>,
    protocol: Protocol,
    due: Duration,
    twice: bool,
    late: bool,
}

/// One that is overtaken.
#[derive(Debug)]
struct Held {
    packet: Flying,
    /// How many are still to overtake it.
    by: u32,
    until: Duration,
}

impl Queue {
    /// When a packet that comes now will have left, or nothing where it finds no room.
    fn enter(&mut self, bytes: usize, now: Duration, conditions: &Conditions) -> Option<Duration> {
        while let Some((_, gone)) = self.waiting.pop_front_if(|(leaves, _)| *leaves <= now) {
            self.bytes -= gone;
        }
        // What finds the line free needs no room.
        if self.bytes > 0 && self.bytes + bytes > conditions.queue {
            return None;
        }
        self.busy_until = self.busy_until.max(now) + conditions.time_to_send(bytes);
        self.waiting.push_back((self.busy_until, bytes));
        self.bytes += bytes;
        Some(self.busy_until)
    }
}

impl Wire {
    /// An ideal one, whose packets meet these chances.
    pub(crate) fn by(chance: Chance) -> Self {
        Self {
            conditions: Conditions::default(),
            chance,
            queue: Queue::default(),
            flight: VecDeque::new(),
            held: Vec::new(),
            copy: None,
            tallies: BTreeMap::new(),
        }
    }

    /// What it is like.
    pub(crate) const fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Changes what it is like for all that comes from now on; what waits keeps its turn, and is lost when the wire is
    /// cut.
    pub(crate) fn set(&mut self, conditions: Conditions) {
        if conditions.cut && !self.conditions.cut {
            self.sever();
        }
        self.conditions = conditions;
    }

    /// What became of the packets of a protocol.
    pub(crate) fn tally(&self, protocol: Protocol) -> Tally {
        self.tallies.get(&protocol).cloned().unwrap_or_default()
    }

    /// Takes a packet from the sender.
    pub(crate) fn offer(&mut self, bytes: &[u8], now: Duration) {
        let protocol = protocol(bytes);
        let tally = self.tallies.entry(protocol).or_default();
        tally.offer(bytes.len());
        let conditions = &self.conditions;
        if conditions.cut {
            tally.cut += 1;
        } else if conditions.refused.contains(&protocol) {
            tally.refused += 1;
        } else if conditions
            .largest
            .is_some_and(|largest| bytes.len() > largest)
        {
            tally.too_large += 1;
        } else if let Some(left) = self.queue.enter(bytes.len(), now, conditions) {
            self.send(bytes, protocol, left);
        } else {
            tally.overflowed += 1;
        }
    }

    /// The next packet that is due; to be asked until there is none.
    pub(crate) fn take_due(&mut self, now: Duration) -> Option<Vec<u8>> {
        if let Some(copy) = self.copy.take() {
            return Some(self.deliver(copy));
        }
        let free = |held: &Held| held.by == 0 || held.until <= now;
        if let Some(at) = self.held.iter().position(free) {
            let held = self.held.remove(at);
            return Some(self.deliver(held.packet));
        }
        while let Some(packet) = self.flight.pop_front_if(|packet| packet.due <= now) {
            if packet.late
                && let Some(reordering) = &self.conditions.reordering
            {
                self.held.push(Held {
                    until: packet.due + reordering.at_most,
                    by: reordering.overtaken_by,
                    packet,
                });
                continue;
            }
            for held in &mut self.held {
                held.by = held.by.saturating_sub(1);
            }
            let tally = self.tallies.entry(packet.protocol).or_default();
            tally.latest = tally.latest.max(now.saturating_sub(packet.due));
            return Some(self.deliver(packet));
        }
        None
    }

    /// When something will be due, if nothing comes in between.
    pub(crate) fn next_due(&self) -> Option<Duration> {
        let held = self.held.iter().map(|held| held.until).min();
        let first = self.flight.front().map(|packet| packet.due);
        held.into_iter().chain(first).min()
    }

    /// The packet has left: its fate is drawn, always with as many draws, so that one share does not decide whom
    /// another hits.
    fn send(&mut self, bytes: &[u8], protocol: Protocol, left: Duration) {
        let conditions = &self.conditions;
        let late = conditions.reordering.as_ref().map(|it| it.share);
        let [lost, twice, late] = [
            conditions.loss,
            conditions.duplication,
            late.unwrap_or_default(),
        ]
        .map(|share| self.chance.hits(share));
        let tally = self.tallies.entry(protocol).or_default();
        if lost {
            tally.lost += 1;
            return;
        }
        if late {
            tally.overtaken += 1;
        }
        let behind = self.flight.back().map_or(Duration::ZERO, |last| last.due);
        self.flight.push_back(Flying {
            bytes: bytes.to_owned(),
            protocol,
            due: behind.max(left + conditions.delay),
            twice,
            late,
        });
    }

    fn deliver(&mut self, packet: Flying) -> Vec<u8> {
        let tally = self.tallies.entry(packet.protocol).or_default();
        tally.deliver(packet.bytes.len());
        if packet.twice {
            tally.duplicated += 1;
            self.copy = Some(Flying {
                twice: false,
                ..packet.clone()
            });
        }
        packet.bytes
    }

    /// Loses what is on its way.
    fn sever(&mut self) {
        let held = self.held.drain(..).map(|held| held.packet);
        for packet in self.flight.drain(..).chain(held).chain(self.copy.take()) {
            self.tallies.entry(packet.protocol).or_default().cut += 1;
        }
        self.queue = Queue::default();
    }
}

#[cfg(test)]
mod tests;
