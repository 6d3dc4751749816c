//! What the thread of a link does: packets from the devices into the wires, and from the wires into the devices
//! when they are due.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};

use super::Direction;
use crate::MTU;
use crate::chance::Chance;
use crate::device::Device;
use crate::nat::Nat;
use crate::wire::Wire;

/// Packets that are read from one device before the other has its turn, and what is due leaves: few enough that they take
/// less than a millisecond.
const BATCH: usize = 64;

/// The chances of a direction of a link: each link's are its own, and each direction's.
pub(super) fn chance(number: u8, direction: Direction) -> Chance {
    let direction = match direction {
        Direction::There => 0,
        Direction::Back => 1,
    };
    Chance::seeded(u64::from(number) * 2 + direction)
}

/// Both directions, and who rewrites addresses between them.
#[derive(Debug)]
pub(super) struct Carrier {
    there: Wire,
    back: Wire,
    nat: Option<Nat>,
    lost: u64,
}

impl Carrier {
    /// An ideal one.
    pub(super) fn of_link(number: u8) -> Self {
        let wire = |direction| Wire::by(chance(number, direction));
        Self {
            there: wire(Direction::There),
            back: wire(Direction::Back),
            nat: None,
            lost: 0,
        }
    }

    /// One direction.
    pub(super) const fn wire(&mut self, direction: Direction) -> &mut Wire {
        match direction {
            Direction::There => &mut self.there,
            Direction::Back => &mut self.back,
        }
    }

    /// A router, switched on or off and on.
    pub(super) fn rebind(&mut self, public: Ipv4Addr) {
        match &mut self.nat {
            Some(nat) => nat.rebind(public),
            None => self.nat = Some(Nat::at(public)),
        }
    }

    /// How much has been lost otherwise than asked.
    pub(super) const fn lost(&self) -> u64 {
        self.lost
    }

    /// Takes a packet from a host. The router stands at the first one.
    fn take(&mut self, direction: Direction, packet: &mut [u8], now: Duration) {
        if let (Direction::There, Some(nat)) = (direction, &mut self.nat)
            && nat.translate_outward(packet).is_none()
        {
            self.lost += 1;
            return;
        }
        self.wire(direction).offer(packet, now);
    }

    /// Gives a host what is due.
    fn give(&mut self, direction: Direction, device: &Device, now: Duration) {
        while let Some(mut packet) = self.wire(direction).take_due(now) {
            let known = match (direction, &self.nat) {
                (Direction::Back, Some(nat)) => nat.translate_inward(&mut packet),
                _ => Some(()),
            };
            if known.is_none() || device.write(&packet).is_err() {
                self.lost += 1;
            }
        }
    }

    /// How long nothing will be due.
    fn idle(&self, now: Duration) -> Option<Duration> {
        let next = [self.there.next_due(), self.back.next_due()];
        let next = next.into_iter().flatten().min()?;
        Some(next.saturating_sub(now))
    }
}

/// Carries until the life line ends.
pub(super) fn carry(carrier: &Mutex<Carrier>, devices: &[Device], life_line: &UnixStream) {
    let [first, second] = devices else {
        return;
    };
    let mut buffer = vec![0; usize::from(MTU)];
    loop {
        let idle = {
            let mut carrier = carrier.lock();
            let now = now();
            carrier.give(Direction::There, second, now);
            carrier.give(Direction::Back, first, now);
            carrier.idle(now)
        };
        let wait = idle.map(|idle| Timespec {
            tv_sec: i64::try_from(idle.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: idle.subsec_nanos().into(),
        });
        let mut looks = [
            PollFd::from_borrowed_fd(life_line.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(first.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(second.as_fd(), PollFlags::IN),
        ];
        match poll(&mut looks, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return,
        }
        let [ended, from_first, from_second] = looks.map(|look| !look.revents().is_empty());
        if ended {
            return;
        }
        for (direction, device, readable) in [
            (Direction::There, first, from_first),
            (Direction::Back, second, from_second),
        ] {
            if readable && read(carrier, direction, device, &mut buffer).is_err() {
                // The host has gone, and its device.
                return;
            }
        }
    }
}

fn read(
    carrier: &Mutex<Carrier>,
    direction: Direction,
    device: &Device,
    buffer: &mut [u8],
) -> io::Result<()> {
    for _ in 0..BATCH {
        let Some(packet) = device.read(buffer)? else {
            break;
        };
        let mut carrier = carrier.lock();
        carrier.take(direction, packet, now());
    }
    Ok(())
}

/// The time of carrying.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let fraction = u64::try_from(now.tv_nsec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(fraction)
}
