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
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::Instant;

use super::segments::Segments;

/// Batches that are asked of the kernel at a time. More are seldom there, and fewer calls are hardly to be had.
const BATCHES: usize = 4;

/// Bytes of a batch: all that one UDP message can have.
const BATCH: usize = 64 << 10;

/// A socket that hands over one datagram at a time, and takes many at a time where that pays.
pub(super) struct Apart {
    socket: Arc<dyn AsyncUdpSocket>,
    segments: Segments,
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
            segments: Segments::default(),
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

    /// Hands over one datagram a buffer, as far as there are any; says how many.
    fn hand_over(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> usize {
        let mut handed = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some((datagram, its)) = self.next() else {
                break;
            };
            // Longer than quinn takes is not for quinn: it would be cut there as well.
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
        handed
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
        let mut received = self.received.lock();
        let mut handed = received.hand_over(bufs, meta);
        if handed == 0 {
            ready!(received.fill(&*self.socket, cx))?;
            handed = received.hand_over(bufs, meta);
        }
        drop(received);
        Poll::Ready(Ok(handed))
    }

    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)?;
        let bytes = transmit.contents.len();
        self.segments
            .sent(transmit.destination, bytes, Instant::now());
        Ok(())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        let most = self.socket.max_transmit_segments();
        self.segments.allowed(most, Instant::now())
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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use super::*;

    /// A kernel that hands over these batches, each with the length of its datagrams, one a call.
    #[derive(Debug)]
    struct Kernel(Mutex<VecDeque<(Vec<u8>, usize)>>);

    impl AsyncUdpSocket for Kernel {
        fn poll_recv(
            &self,
            _cx: &mut Context<'_>,
            bufs: &mut [IoSliceMut<'_>],
            meta: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            let Some((batch, stride)) = self.0.lock().pop_front() else {
                return Poll::Pending;
            };
            bufs[0][..batch.len()].copy_from_slice(&batch);
            meta[0] = RecvMeta {
                len: batch.len(),
                stride,
                ..RecvMeta::default()
            };
            Poll::Ready(Ok(1))
        }

        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            unreachable!("nothing is sent")
        }

        fn try_send(&self, _: &Transmit<'_>) -> io::Result<()> {
            unreachable!("nothing is sent")
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(([127, 0, 0, 1], 1).into())
        }
    }

    /// What quinn gets with so many buffers of this size, until nothing is left.
    fn received(batches: &[(Vec<u8>, usize)], buffers: usize, size: usize) -> Vec<Vec<u8>> {
        let kernel = Kernel(Mutex::new(batches.iter().cloned().collect()));
        let apart = Apart::new(Arc::new(kernel));
        let mut cx = Context::from_waker(Waker::noop());
        let mut all = Vec::new();
        loop {
            let mut memory = vec![vec![0; size]; buffers];
            let mut slices: Vec<_> = memory.iter_mut().map(|it| IoSliceMut::new(it)).collect();
            let mut metas = vec![RecvMeta::default(); buffers];
            let Poll::Ready(outcome) = apart.poll_recv(&mut cx, &mut slices, &mut metas) else {
                return all;
            };
            for (buf, meta) in slices.iter().zip(metas).take(outcome.unwrap()) {
                assert_eq!(meta.len, meta.stride, "one datagram each");
                all.push(buf[..meta.len].to_vec());
            }
        }
    }

    #[test]
    fn batches_come_apart_whole_and_in_order() {
        let bytes: Vec<u8> = (0..=255).cycle().take(60_000).collect();
        let batches = [
            (bytes[..14_520].to_vec(), 1452),
            (bytes[..100].to_vec(), 100),
            // The last of a batch is shorter than the others.
            (bytes[..3_000].to_vec(), 1452),
            (bytes.clone(), 6_000),
        ];
        let expected: Vec<Vec<u8>> = batches
            .iter()
            .flat_map(|(batch, stride)| batch.chunks(*stride).map(<[u8]>::to_vec))
            .collect();
        for buffers in [1, 2, 3, 32] {
            assert_eq!(received(&batches, buffers, 6_500), expected, "{buffers}");
        }
    }

    #[test]
    fn odd_batches_do_no_harm() {
        assert_eq!(
            received(&[(vec![7; 9_000], 9_000)], 2, 6_500),
            [vec![7; 6_500]]
        );
        assert_eq!(received(&[(vec![7; 3], 0)], 2, 6_500), [[7], [7], [7]]);
        assert_eq!(received(&[(vec![7; 3], 100)], 2, 6_500), [[7; 3]]);
    }
}
