//! A link between two hosts, and the thread that carries its packets.

use std::io;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::address;
use crate::chance::Chance;
use crate::conditions::Conditions;
use crate::device::{self, Device};
use crate::host::{Host, HostFault};
use crate::packet::Protocol;
use crate::tally::Tally;

mod carrier;

use carrier::Carrier;
use parking_lot::Mutex;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkFault {
    /// There is nothing to join.
    #[error("no host")]
    Host(#[from] HostFault),
    /// The device.
    #[error("no TUN device can be made, which takes CAP_NET_ADMIN and /dev/net/tun")]
    Device(#[source] io::Error),
    /// Its address.
    #[error("the TUN device cannot be given an address")]
    Address(#[source] io::Error),
    /// The thread that carries.
    #[error("the packets cannot be carried")]
    Carrier(#[source] io::Error),
}

/// Which way packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the first host to the second.
    There,
    /// From the second host to the first.
    Back,
}

/// A link; with it its devices are gone.
#[derive(Debug)]
pub struct Link {
    number: u8,
    hosts: [Host; 2],
    /// The first host's address now.
    first: Mutex<Ipv4Addr>,
    carrier: Arc<Mutex<Carrier>>,
    /// The carrying thread's number.
    thread: i32,
    /// The thread ends with it.
    life_line: Option<UnixStream>,
    carrying: Option<JoinHandle<()>>,
}

/// What this machine lacks to lay links, if it lacks something.
pub fn lack() -> Option<LinkFault> {
    let tried = || {
        let hosts = [Host::new()?, Host::new()?];
        Link::lay(&hosts[0], &hosts[1], 0).map(drop)
    };
    tried().err()
}

impl Link {
    /// Joins two hosts by an ideal link: its number decides its addresses and, with which way, its chances. A host
    /// may have several, of different numbers.
    ///
    /// # Errors
    ///
    /// Where rights or programs lack.
    pub fn lay(first: &Host, second: &Host, number: u8) -> Result<Self, LinkFault> {
        let name = device_name(number);
        let addresses = [address::first(number), address::second(number)];
        let mut devices = Vec::new();
        for (host, own) in [first, second].into_iter().zip(addresses) {
            devices.push(Device::make(host, &name).map_err(LinkFault::Device)?);
            device::add_address(host, &name, own).map_err(LinkFault::Address)?;
        }
        let (life_line, end) = UnixStream::pair().map_err(LinkFault::Carrier)?;
        let carrier = Arc::new(Mutex::new(Carrier::of_link(number)));
        let (told, thread) = sync_channel(1);
        let carrying = carry(Arc::clone(&carrier), devices, end, told);
        let carrying = carrying.map_err(LinkFault::Carrier)?;
        let gone = |error| LinkFault::Carrier(io::Error::other(error));
        Ok(Self {
            number,
            hosts: [first.clone(), second.clone()],
            first: Mutex::new(address::first(number)),
            carrier,
            thread: thread.recv().map_err(gone)?,
            life_line: Some(life_line),
            carrying: Some(carrying),
        })
    }

    /// The first host's address on it.
    pub fn first(&self) -> Ipv4Addr {
        *self.first.lock()
    }

    /// The second host's address on it.
    pub const fn second(&self) -> Ipv4Addr {
        address::second(self.number)
    }

    /// Changes what it is like, both ways.
    pub fn change(&self, change: impl Fn(&mut Conditions)) {
        self.change_one_way(Direction::There, &change);
        self.change_one_way(Direction::Back, &change);
    }

    /// Changes what it is like in one direction.
    pub fn change_one_way(&self, direction: Direction, change: impl FnOnce(&mut Conditions)) {
        let mut carrier = self.carrier.lock();
        let mut conditions = carrier.wire(direction).conditions().clone();
        change(&mut conditions);
        carrier.wire(direction).set(conditions);
    }

    /// Puts a router before the first host, which from now on is seen with another address of the link's network, the
    /// one with this last byte; or, where there is one, switches it off and on: who spoke through it has
    /// another port from now on.
    pub fn rebind(&self, last_byte: u8) {
        let public = address::of(self.number, last_byte);
        self.carrier.lock().rebind(public);
    }

    /// Gives the first host another address, the one with this last byte, instead of the one that it has.
    ///
    /// # Errors
    ///
    /// Where the device takes no address.
    pub fn move_first(&self, last_byte: u8) -> io::Result<()> {
        let name = device_name(self.number);
        let new = address::of(self.number, last_byte);
        let [host, _] = &self.hosts;
        device::add_address(host, &name, new)?;
        let mut first = self.first.lock();
        let old = std::mem::replace(&mut *first, new);
        drop(first);
        device::remove_address(host, &name, old)
    }

    /// What decided in one direction, as it was when the link was laid: of each packet that it sent it asked whether it is lost,
    /// whether doubled, whether overtaken, in this order.
    pub fn chance(&self, direction: Direction) -> Chance {
        carrier::chance(self.number, direction)
    }

    /// What became of the packets of a protocol in one direction.
    pub fn tally(&self, direction: Direction, protocol: Protocol) -> Tally {
        self.carrier.lock().wire(direction).tally(protocol)
    }

    /// Packets that were lost otherwise than asked: nobody read them from the kernel in time, the receiving
    /// host did not take them, or its router had nobody for them.
    ///
    /// # Errors
    ///
    /// Where the kernel does not tell.
    pub fn unasked_losses(&self) -> io::Result<u64> {
        let name = device_name(self.number);
        let mut lost = self.carrier.lock().lost();
        for host in &self.hosts {
            lost += device::dropped_by_the_kernel(host, &name)?;
        }
        Ok(lost)
    }

    /// CPU time that carrying has taken, in the kernel and outside.
    ///
    /// # Errors
    ///
    /// Where the kernel does not tell.
    pub fn cpu(&self) -> io::Result<Duration> {
        let path = format!("/proc/self/task/{}/schedstat", self.thread);
        let said = std::fs::read_to_string(path)?;
        let nanoseconds = said.split(' ').next().and_then(|field| field.parse().ok());
        nanoseconds
            .map(Duration::from_nanos)
            .ok_or_else(|| io::Error::other("no times of the thread"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        drop(self.life_line.take());
        if let Some(carrying) = self.carrying.take() {
            // If it panicked it has said so.
            drop(carrying.join());
        }
    }
}

fn device_name(link: u8) -> String {
    format!("link{link}")
}

/// Starts the carrying thread, which tells its number.
fn carry(
    carrier: Arc<Mutex<Carrier>>,
    devices: Vec<Device>,
    end: UnixStream,
    told: SyncSender<i32>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("link".into()).spawn(move || {
        let number = rustix::thread::gettid().as_raw_nonzero().get();
        // Whoever lays the link waits for it.
        if told.send(number).is_ok() {
            carrier::carry(&carrier, &devices, &end);
        }
    })
}
