//! Two hosts with a link between them, and what they send one another.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use gangplank_link::{Direction, Host, Link, Protocol, Tally};

use crate::support::{hosts, wait};

/// IPv4's and UDP's headers.
pub(super) const HEADERS: usize = 28;

/// A host at each end, and on each a UDP socket that never waits.
pub(super) struct Ends {
    pub(super) link: Link,
    pub(super) first: UdpSocket,
    pub(super) second: UdpSocket,
    hosts: [Host; 2],
}

impl Ends {
    pub(super) fn lay(number: u8) -> Self {
        let hosts = [(); 2].map(|()| Host::new().expect("a host"));
        let link = Link::lay(&hosts[0], &hosts[1], number).expect("a link");
        // The first one is bound to no address, so that it may move.
        let addresses = [Ipv4Addr::UNSPECIFIED, link.second()];
        let [first, second] = [0, 1].map(|end| {
            let bound = hosts::at(Some(&hosts[end]), || UdpSocket::bind((addresses[end], 0)));
            let socket = bound.expect("a port");
            socket.set_nonblocking(true).expect("our own socket");
            socket
        });
        Self {
            link,
            first,
            second,
            hosts,
        }
    }

    /// Sends a number in a packet of so many bytes from the first to the second.
    pub(super) fn send(&self, number: u32, bytes: usize) {
        let mut payload = vec![0; bytes - HEADERS];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        let to = self.second.local_addr().expect("it is bound");
        self.first.send_to(&payload, to).expect("there is a route");
    }

    /// The numbers that have arrived since.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        std::iter::from_fn(|| arrived(&self.second)).map(|(number, _)| number)
    }

    /// So many further numbers that arrive.
    pub(super) fn await_numbers(&self, count: usize) -> Vec<u32> {
        let mut numbers = Vec::new();
        wait::until("numbers to arrive", || {
            numbers.extend(self.numbers());
            (numbers.len() >= count).then_some(())
        });
        numbers
    }

    /// What became of what was sent.
    pub(super) fn there(&self) -> Tally {
        self.link.tally(Direction::There, Protocol::Udp)
    }

    /// A TCP connection from the first to the second.
    pub(super) fn connect(&self) -> (TcpStream, TcpStream) {
        let [first, second] = &self.hosts;
        let bound = hosts::at(Some(second), || TcpListener::bind((self.link.second(), 0)));
        let listener = bound.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let connect = || TcpStream::connect_timeout(&address, wait::PATIENCE);
        let sender = hosts::at(Some(first), connect).expect("a connection");
        let (receiver, _) = listener.accept().expect("it is there");
        let patience = Some(wait::PATIENCE);
        receiver.set_read_timeout(patience).expect("our own socket");
        (sender, receiver)
    }

    /// What the first host's TCP does where packets are lost.
    pub(super) fn congestion_control(&self) -> String {
        let file = "/proc/sys/net/ipv4/tcp_congestion_control";
        let [first, _] = &self.hosts;
        let read = hosts::at(Some(first), || std::fs::read_to_string(file));
        read.expect("the kernel tells").trim().to_owned()
    }

    /// Sends so many bytes over TCP, and answers how many arrived.
    pub(super) fn carry(&self, bytes: usize) -> usize {
        let (mut sender, mut receiver) = self.connect();
        thread::scope(|scope| {
            scope.spawn(move || sender.write_all(&vec![7; bytes]).expect("it is read"));
            let mut heard = Vec::new();
            receiver.read_to_end(&mut heard).expect("to its end");
            heard.len()
        })
    }
}

/// The number that a packet brought, and from where, if one has arrived.
pub(super) fn arrived(socket: &UdpSocket) -> Option<(u32, SocketAddr)> {
    let mut payload = [0; 2048];
    match socket.recv_from(&mut payload) {
        Ok((_, from)) => {
            let number = payload[..4].try_into().expect("four bytes");
            Some((u32::from_be_bytes(number), from))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}
