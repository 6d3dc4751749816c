//! The sending end of a stream, which its reader, its writer and, of the control stream, the session's
//! driver have in common: a reset in HTTP/2 concerns both directions.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use h2::{Error, Reason, SendStream};
use parking_lot::Mutex;

/// Who waits at a stream's sending end.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Reader,
    Writer,
    Driver,
}

/// A stream's sending end.
pub(super) struct Ends {
    held: Mutex<Held>,
    waiting: Arc<Waiting>,
}

/// The end itself, and who has done with the stream.
struct Held {
    send: Option<SendStream<Bytes>>,
    reader_left: bool,
    writer_ended: bool,
}

impl Held {
    /// When one reads no more and the other has written all: an end that nobody holds is reset behind what
    /// was written, which says that nothing is wrong (RFC 9113 §8.1). A reset by hand would go before it.
    fn let_go_if_done(&mut self) {
        if self.reader_left && self.writer_ended {
            self.send = None;
        }
    }
}

/// HTTP/2's library knows one who waits for a stream's sending end; here are up to three, which need not be
/// one task.
#[derive(Debug, Default)]
struct Waiting(Mutex<[Option<Waker>; 3]>);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        let wakers = {
            let mut waiting = self.0.lock();
            std::mem::take(&mut *waiting)
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Waiting {
    fn note(&self, side: Side, cx: &Context<'_>) {
        let place = match side {
            Side::Reader => 0,
            Side::Writer => 1,
            Side::Driver => 2,
        };
        let mut waiting = self.0.lock();
        if let Some(place) = waiting.get_mut(place) {
            *place = Some(cx.waker().clone());
        }
    }
}

impl Ends {
    pub(super) fn new(send: SendStream<Bytes>) -> Self {
        Self {
            held: Mutex::new(Held {
                send: Some(send),
                reader_left: false,
                writer_ended: false,
            }),
            waiting: Arc::default(),
        }
    }

    /// The peer's reset, or the loss of the session, from now on.
    pub(super) fn poll_reset(&self, side: Side, cx: &Context<'_>) -> Poll<Result<Reason, Error>> {
        self.waiting.note(side, cx);
        let waker = Waker::from(Arc::clone(&self.waiting));
        match &mut self.held.lock().send {
            Some(send) => send.poll_reset(&mut Context::from_waker(&waker)),
            None => Poll::Pending,
        }
    }

    /// How many of `wanted` bytes may be sent now; none when nothing can be sent any more.
    pub(super) fn poll_room(
        &self,
        wanted: usize,
        cx: &Context<'_>,
    ) -> Poll<Option<Result<usize, Error>>> {
        self.waiting.note(Side::Writer, cx);
        let waker = Waker::from(Arc::clone(&self.waiting));
        let room_of = |send: &mut SendStream<Bytes>| {
            send.reserve_capacity(wanted);
            match send.capacity() {
                0 => send.poll_capacity(&mut Context::from_waker(&waker)),
                room => Poll::Ready(Some(Ok(room.min(wanted)))),
            }
        };
        self.held
            .lock()
            .send
            .as_mut()
            .map_or(Poll::Ready(None), room_of)
    }

    /// Sends what [`poll_room`](Self::poll_room) gave room for; false when nothing can be sent any more.
    pub(super) fn send(&self, bytes: Bytes) -> bool {
        let sent = self
            .held
            .lock()
            .send
            .as_mut()
            .map(|send| send.send_data(bytes, false));
        matches!(sent, Some(Ok(())))
    }

    /// Ends the writer's direction in good order; false when it had ended otherwise.
    pub(super) fn finish(&self) -> bool {
        let mut held = self.held.lock();
        let sent = held
            .send
            .as_mut()
            .map(|send| send.send_data(Bytes::new(), true));
        held.writer_ended = matches!(sent, Some(Ok(())));
        held.let_go_if_done();
        held.writer_ended
    }

    /// The reader is gone, and nothing is wrong.
    pub(super) fn leave(&self) {
        let mut held = self.held.lock();
        held.reader_left = true;
        held.let_go_if_done();
    }

    pub(super) fn reset(&self, reason: Reason) {
        if let Some(send) = &mut self.held.lock().send {
            send.send_reset(reason);
        }
    }
}
