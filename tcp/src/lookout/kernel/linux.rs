//! The question and its answers in bytes: `linux/netlink.h`, `linux/sock_diag.h`, `linux/inet_diag.h`, `linux/tcp.h`. All numbers are in the
//! machine's own order, but for ports.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_cookie};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};
use tokio::net::TcpStream;

use crate::lookout::Cookie;
use crate::lookout::sounding::Sounding;

/// What the kernel puts into one read at most.
const ROOM: usize = 32 << 10;

/// The kernel answers as it is read, so that nothing is ever waited for. Were it otherwise, the thread would be lost without this.
const AT_ONCE: Duration = Duration::from_secs(5);

/// `struct nlmsghdr`, before each message.
const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const ASKING_FOR_ALL: u16 = 0x301;

/// `struct inet_diag_req_v2`.
const QUESTION: usize = 56;
const TCP: u8 = 6;
/// The bit of `INET_DIAG_INFO`.
const WITH_INFO: u8 = 1 << 1;
/// Those that have been opened and not closed: ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LAST_ACK, CLOSING.
const STATES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;

/// `struct inet_diag_msg`, and the socket's cookie in it.
const DESCRIPTION: usize = 72;
const COOKIE: usize = 44;

/// `struct rtattr`, before each attribute, which begins at a multiple of four.
const ATTRIBUTE: usize = 4;
const INFO: u16 = 2;

/// The places in `struct tcp_info`.
mod info {
    pub(super) const PROBES: usize = 3;
    pub(super) const UNACKNOWLEDGED: usize = 24;
    pub(super) const LAST_DATA_SENT: usize = 44;
    pub(super) const LAST_ACK_RECEIVED: usize = 56;
    pub(super) const SEGMENTS_IN: usize = 140;
}

/// The kernel's number of a socket.
pub(in crate::lookout) fn cookie(socket: &TcpStream) -> Option<Cookie> {
    // A socket without one is not found, and ends when the kernel says so.
    socket_cookie(socket).ok()
}

/// Of all connections of this port those to whom something was sent since they were last heard.
pub(in crate::lookout) fn unanswered(port: SocketAddr) -> io::Result<Vec<Sounding>> {
    let mut unanswered = Vec::new();
    each(port, |sounding| {
        if sounding.is_unanswered() {
            unanswered.push(sounding);
        }
    })?;
    Ok(unanswered)
}

fn each(port: SocketAddr, mut take: impl FnMut(Sounding)) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let kernel = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        flags,
        Some(SOCK_DIAG),
    )?;
    set_socket_timeout(&kernel, Timeout::Recv, Some(AT_ONCE))?;
    let everyone = SocketAddrNetlink::new(0, 0);
    sendto(&kernel, &question(port), SendFlags::empty(), &everyone)?;
    let mut room = vec![0; ROOM];
    loop {
        let (_, length) = retry_on_intr(|| recv(&kernel, &mut room[..], RecvFlags::empty()))?;
        let mut messages = room.get(..length).unwrap_or_default();
        while let Some((message, rest)) = first_message(messages) {
            match message {
                Message::Connection(sounding) => take(sounding),
                Message::Other => {}
                Message::End(ended) => return ended,
            }
            messages = rest;
        }
    }
}

/// Asks for all connections of a port. A port of IPv6 has those of IPv4 that come to it.
fn question(port: SocketAddr) -> Vec<u8> {
    let family = match port {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    // Families are small numbers.
    let family = u8::try_from(family.as_raw()).unwrap_or_default();
    let length = u32::try_from(HEADER + QUESTION).unwrap_or_default();
    let mut question = Vec::with_capacity(HEADER + QUESTION);
    question.extend(length.to_ne_bytes());
    question.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    question.extend(ASKING_FOR_ALL.to_ne_bytes());
    // No number of ours, and to the kernel.
    question.extend([0; 8]);
    question.extend([family, TCP, WITH_INFO, 0]);
    question.extend(STATES.to_ne_bytes());
    question.extend(port.port().to_be_bytes());
    // Any far end, any addresses, any interface, any cookie.
    question.resize(HEADER + QUESTION, 0);
    question
}

/// A message of the kernel's.
enum Message {
    Connection(Sounding),
    /// Nothing that was asked for.
    Other,
    /// Nothing comes any more.
    End(io::Result<()>),
}

/// The first message of several, and the others. `None` when there is none.
fn first_message(messages: &[u8]) -> Option<(Message, &[u8])> {
    let length = usize::try_from(u32_at(messages, 0)?).ok()?;
    let kind = u16_at(messages, 4)?;
    let body = messages.get(HEADER..length)?;
    let rest = messages
        .get(length.next_multiple_of(4)..)
        .unwrap_or_default();
    let message = match kind {
        DONE | ERROR => Message::End(verdict(body)),
        SOCK_DIAG_BY_FAMILY => connection(body).map_or(Message::Other, Message::Connection),
        _ => Message::Other,
    };
    Some((message, rest))
}

/// How it ended: an errno, negated, or nothing.
fn verdict(body: &[u8]) -> io::Result<()> {
    let said = body.first_chunk().copied().map_or(0, i32::from_ne_bytes);
    if said < 0 {
        return Err(io::Error::from_raw_os_error(said.saturating_neg()));
    }
    Ok(())
}

fn connection(body: &[u8]) -> Option<Sounding> {
    let low = u64::from(u32_at(body, COOKIE)?);
    let high = u64::from(u32_at(body, COOKIE + 4)?);
    let mut attributes = body.get(DESCRIPTION..)?;
    loop {
        let length = usize::from(u16_at(attributes, 0)?);
        let kind = u16_at(attributes, 2)?;
        let value = attributes.get(ATTRIBUTE..length)?;
        if kind == INFO {
            return Some(Sounding {
                cookie: high << 32 | low,
                probes: *value.get(info::PROBES)?,
                unacknowledged: u32_at(value, info::UNACKNOWLEDGED)?,
                sent_ago: u32_at(value, info::LAST_DATA_SENT)?,
                heard_ago: u32_at(value, info::LAST_ACK_RECEIVED)?,
                // Linux before 4.2 does not count them: there nobody is judged.
                arrivals: u32_at(value, info::SEGMENTS_IN)?,
            });
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], place: usize) -> Option<u16> {
    let bytes = bytes.get(place..)?.first_chunk().copied();
    bytes.map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], place: usize) -> Option<u32> {
    let bytes = bytes.get(place..)?.first_chunk().copied();
    bytes.map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    async fn connection_to(address: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let calling = TcpStream::connect(("127.0.0.1", port));
        let (caller, accepted) = tokio::join!(calling, listener.accept());
        (caller.unwrap(), accepted.unwrap().0)
    }

    fn soundings(port: SocketAddr) -> Vec<Sounding> {
        let mut soundings = Vec::new();
        each(port, |sounding| soundings.push(sounding)).unwrap();
        soundings
    }

    #[tokio::test]
    async fn connections_of_the_port_are_told_of_and_no_others() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let (mut caller, mut accepted) = connection_to(address).await;
            let _another = connection_to(address).await;
            let port = accepted.local_addr().unwrap();
            let [before] = soundings(port)[..] else {
                panic!("one connection");
            };
            assert_eq!(Some(before.cookie), cookie(&accepted));
            assert!(!before.is_unanswered(), "{before:?}");
            caller.write_all(b"?").await.unwrap();
            assert_eq!(accepted.read_u8().await.unwrap(), b'?');
            let [after] = soundings(port)[..] else {
                panic!("one connection");
            };
            assert_eq!(after.cookie, before.cookie);
            assert_eq!(after.arrivals, before.arrivals + 1);
        }
    }

    #[tokio::test]
    async fn it_ends_where_there_are_none() {
        let (caller, accepted) = connection_to("127.0.0.1:0").await;
        let port = accepted.local_addr().unwrap();
        assert_eq!(soundings(caller.local_addr().unwrap()).len(), 1);
        drop((caller, accepted));
        assert_eq!(unanswered(port).unwrap(), []);
    }

    /// A connection of which the kernel says so much.
    fn described(length: u16) -> Vec<u8> {
        let mut body = vec![1; DESCRIPTION];
        body.extend([4, 0, 9, 0]);
        body.extend((4 + length).to_ne_bytes());
        body.extend(INFO.to_ne_bytes());
        body.resize(body.len() + usize::from(length), 1);
        body
    }

    #[test]
    fn nobody_is_judged_where_the_kernel_does_not_count_what_comes() {
        assert!(connection(&described(144)).is_some());
        for length in [0, 104, 140] {
            assert_eq!(connection(&described(length)), None, "{length} bytes");
        }
    }

    #[test]
    fn whatever_is_cut_off_is_no_connection() {
        let whole = described(144);
        assert!(connection(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(connection(&whole[..length]), None, "{length} bytes");
        }
        for nonsense in [&[0; 64][..], &[255; 64], &[3; 15], &[]] {
            let message = first_message(nonsense);
            assert!(!matches!(message, Some((Message::Connection(_), _))));
        }
    }

    #[test]
    fn a_refusal_is_an_error() {
        let denied = rustix::io::Errno::PERM.raw_os_error();
        let error = verdict(&(-denied).to_ne_bytes()).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(denied));
        assert!(verdict(&0_i32.to_ne_bytes()).is_ok());
    }
}
