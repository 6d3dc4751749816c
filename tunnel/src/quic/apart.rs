//! Datagrams that come together, taken apart.
//!
//! The kernel hands over many datagrams of one sender in one call, and quinn keeps such a batch in one piece of
//! memory for as long as anything of it waits to be read. Beside one caller who reads nothing that would be
//! the bytes of all others too, and a stream's window would bound nothing. So each datagram goes to quinn by
//! itself; what that costs is one copy.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Batches that are asked of the kernel at a time. More are seldom there, and fewer calls are hardly to be had.
const BATCHES: usize = 4;

/// Bytes of a batch: all that one UDP message can have.
const BATCH: usize = 64 << 10;

/// A socket that hands over one datagram at a time.
pub(super) struct Apart {
    socket: Arc<dyn AsyncUdpSocket>,
    received: Mutex<Received>,
}

/// What the kernel has handed over and quinn has not got yet.
struct Received {
    batches: Vec<u8>,
    metas: [RecvMeta; BATCHES],
    /// Batches that are filled, the one that is taken apart, and what was taken of it.
    filled: usize,
    current: usize,
    taken: usize,
}

impl Apart {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>) -> Self {
        Self {
            socket,
            received: Mutex::new(Received {
                batches: vec![0; BATCHES * BATCH],
                metas: [RecvMeta::default(); BATCHES],
                filled: 0,
                current: 0,
                taken: 0,
            }),
        }
    }
}

impl Received {
    /// Asks the kernel for what is there.
    fn fill(&mut self, socket: &dyn AsyncUdpSocket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut batches = self.batches.chunks_exact_mut(BATCH);
        let mut slices: [IoSliceMut<'_>; BATCHES] =
            std::array::from_fn(|_| IoSliceMut::new(batches.next().unwrap_or_default()));
        let filled = ready!(socket.poll_recv(cx, &mut slices, &mut self.metas))?;
        (self.filled, self.current, self.taken) = (filled, 0, 0);
        Poll::Ready(Ok(()))
    }

    /// The next datagram, as it came; `None` when there is none left.
    fn next(&mut self) -> Option<(&[u8], RecvMeta)> {
        while self.current < self.filled {
            let meta = *self.metas.get(self.current)?;
            let begin = self.taken;
            let end = meta.len.min(begin.saturating_add(meta.stride.max(1)));
            if begin < end {
                self.taken = end;
                let batch = self.batches.chunks_exact(BATCH).nth(self.current)?;
                let datagram = batch.get(begin..end)?;
                let (len, stride) = (datagram.len(), datagram.len());
                return Some((
                    datagram,
                    RecvMeta {
                        len,
                        stride,
                        ..meta
                    },
                ));
            }
            (self.current, self.taken) = (self.current.saturating_add(1), 0);
        }
        None
    }
}

impl AsyncUdpSocket for Apart {
    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut handed = 0;
            for (buf, meta) in bufs.iter_mut().zip(meta.iter_mut()) {
                let Some((datagram, its)) = received.next() else {
                    break;
                };
                // Longer than quinn takes is not for quinn: it would be dropped there as well.
                let len = datagram.len().min(buf.len());
                if let (Some(to), Some(from)) = (buf.get_mut(..len), datagram.get(..len)) {
                    to.copy_from_slice(from);
                }
                *meta = RecvMeta {
                    len,
                    stride: len,
                    ..its
                };
                handed += 1;
            }
            if handed > 0 {
                return Poll::Ready(Ok(handed));
            }
            ready!(received.fill(&*self.socket, cx))?;
        }
    }

    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl fmt::Debug for Apart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Apart").field(&self.socket).finish()
    }
}
