//! A path with one bottleneck, and senders on it, in simulated time: a queue of so many bytes, a rate, a delay, and
//! loss by chance. A sender paces as quinn does (5/4 of its window in a round trip) and takes a packet for lost when a third
//! later one is acknowledged.
#![expect(
    clippy::as_conversions,
    reason = "bytes and counts of some seconds, as parts of one another"
)]

use std::collections::VecDeque;
use std::time::Duration;

use super::super::model::Model;

/// A datagram of Ethernet.
pub(super) const DATAGRAM: u64 = 1452;

/// The simulation's step.
const STEP: Duration = Duration::from_micros(250);

/// Silence after which all that is under way is lost.
const SILENCE: Duration = Duration::from_millis(300);

/// What the path is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    /// Bytes a second.
    pub(super) rate: u64,
    /// Without a queue.
    pub(super) round_trip: Duration,
    /// Bytes that may wait.
    pub(super) queue: u64,
    /// Packets lost of a thousand.
    pub(super) lost_per_mille: u64,
}

impl Default for Path {
    /// 100 Mbit/s, 40 ms, and a queue of the product.
    fn default() -> Self {
        Self {
            rate: 12_500_000,
            round_trip: Duration::from_millis(40),
            queue: 500_000,
            lost_per_mille: 0,
        }
    }
}

/// A packet under way.
#[derive(Clone, Copy, Debug)]
struct Packet {
    sent: Duration,
    /// When its acknowledgement comes; `None` when it was lost.
    answered: Option<Duration>,
}

/// A sender and what has become of its packets.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) model: Model,
    /// Bytes a second that it has to send; without it, as many as may be.
    pub(super) supply: Option<u64>,
    under_way: VecDeque<Packet>,
    tokens: f64,
    waiting: f64,
    smoothed: Duration,
    heard: Duration,
    pub(super) delivered: u64,
    pub(super) lost: u64,
}

impl Sender {
    fn new() -> Self {
        Self {
            model: Model::of_new_path(DATAGRAM),
            supply: None,
            under_way: VecDeque::new(),
            tokens: 0.0,
            waiting: 0.0,
            smoothed: Duration::from_millis(333),
            heard: Duration::ZERO,
            delivered: 0,
            lost: 0,
        }
    }

    /// Takes all for lost when nothing has come for long.
    fn despair(&mut self, now: Duration) {
        if !self.under_way.is_empty() && now > self.heard + SILENCE {
            self.lost += self.in_flight();
            self.under_way.clear();
            self.heard = now;
            self.model.start_over();
        }
    }

    fn in_flight(&self) -> u64 {
        u64::try_from(self.under_way.len()).unwrap() * DATAGRAM
    }
}

/// The path with its senders.
#[derive(Debug)]
pub(super) struct Strait {
    pub(super) path: Path,
    pub(super) senders: Vec<Sender>,
    pub(super) now: Duration,
    busy_until: Duration,
    chance: u64,
    /// Each step's queue of late.
    pub(super) queues: Vec<Duration>,
}

impl Strait {
    pub(super) fn new(path: Path, senders: usize) -> Self {
        Self {
            path,
            senders: (0..senders).map(|_| Sender::new()).collect(),
            now: Duration::ZERO,
            busy_until: Duration::ZERO,
            chance: 7,
            queues: Vec::new(),
        }
    }

    /// Goes on for so long, and counts anew.
    pub(super) fn run(&mut self, time: Duration) {
        self.queues.clear();
        for sender in &mut self.senders {
            (sender.delivered, sender.lost) = (0, 0);
        }
        let end = self.now + time;
        while self.now < end {
            self.now += STEP;
            for number in 0..self.senders.len() {
                self.hear(number);
                self.send(number);
            }
            self.queues.push(self.busy_until.saturating_sub(self.now));
        }
    }

    /// What of the path's rate all of them have had since.
    pub(super) fn used(&self) -> f64 {
        let delivered: u64 = self.senders.iter().map(|sender| sender.delivered).sum();
        let time = STEP.as_secs_f64() * self.queues.len() as f64;
        delivered as f64 / time / self.path.rate as f64
    }

    /// So many of a hundred steps had a shorter queue.
    pub(super) fn queue_at(&self, part: usize) -> Duration {
        let mut sorted = self.queues.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * part / 100]
    }

    /// Takes what has come back. Acknowledgements come in the order of sending.
    fn hear(&mut self, number: usize) {
        let now = self.now;
        let sender = &mut self.senders[number];
        let come = |packet: &Packet| packet.answered.is_none_or(|at| at <= now);
        let known = sender.under_way.iter().take_while(|it| come(it)).count();
        let heard = sender.under_way.iter().take(known);
        let last = heard
            .enumerate()
            .rfind(|(_, packet)| packet.answered.is_some());
        let Some((last, _)) = last else {
            sender.despair(now);
            return;
        };
        sender.heard = now;
        let (mut lost, mut kept) = (0, Vec::new());
        for (place, packet) in sender.under_way.drain(..=last).enumerate() {
            if packet.answered.is_some() {
                sender.model.acknowledge(now, packet.sent, DATAGRAM);
                sender.delivered += DATAGRAM;
                sender.smoothed = (sender.smoothed * 7 + (now - packet.sent)) / 8;
            } else if place + 3 <= last || packet.sent + sender.smoothed * 9 / 8 < now {
                lost += DATAGRAM;
            } else {
                kept.push(packet);
            }
        }
        for packet in kept.into_iter().rev() {
            sender.under_way.push_front(packet);
        }
        let app_limited = sender.supply.is_some() && sender.waiting < size();
        sender.model.settle(now, sender.in_flight(), app_limited);
        if lost > 0 {
            sender.lost += lost;
            sender.model.lose(lost);
        }
    }

    fn send(&mut self, number: usize) {
        let sender = &mut self.senders[number];
        let window = sender.model.window();
        let paced = window as f64 * 1.25 / sender.smoothed.as_secs_f64();
        let burst = (paced * 0.002).max(10.0 * size());
        sender.tokens = (sender.tokens + paced * STEP.as_secs_f64()).min(burst);
        match sender.supply {
            Some(supply) => sender.waiting += supply as f64 * STEP.as_secs_f64(),
            None => sender.waiting = f64::INFINITY,
        }
        let sender = &self.senders[number];
        let (mut tokens, mut waiting) = (sender.tokens, sender.waiting);
        while self.senders[number].in_flight() + DATAGRAM < window
            && tokens >= size()
            && waiting >= size()
        {
            tokens -= size();
            waiting -= size();
            let packet = Packet {
                sent: self.now,
                answered: self.carry(),
            };
            let sender = &mut self.senders[number];
            if sender.under_way.is_empty() {
                sender.heard = self.now;
            }
            sender.under_way.push_back(packet);
        }
        let sender = &mut self.senders[number];
        (sender.tokens, sender.waiting) = (tokens, waiting);
    }

    /// When a packet that is sent now is acknowledged; never, when there is no room in the queue or chance takes it.
    fn carry(&mut self) -> Option<Duration> {
        // Knuth's constants.
        self.chance = self
            .chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let rate = self.path.rate as f64;
        let queued = self.busy_until.saturating_sub(self.now).as_secs_f64() * rate;
        if queued + size() > self.path.queue as f64 {
            return None;
        }
        self.busy_until = self.busy_until.max(self.now) + Duration::from_secs_f64(size() / rate);
        let spared = (self.chance >> 33) % 1000 >= self.path.lost_per_mille;
        spared.then(|| self.busy_until + self.path.round_trip)
    }
}

fn size() -> f64 {
    DATAGRAM as f64
}
