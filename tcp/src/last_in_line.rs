//! Writing once for many.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A task's future that lets all tasks that are ready go first, each time it is woken.
///
/// It is for what writes down what others have made: a QUIC connection, or one of HTTP/2, for its streams.
/// tokio runs next what was woken last, so such a task would run after each of its streams and write for
/// each of them. Behind all that are ready it writes once for all.
///
/// ```
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// use gangplank_tcp::LastInLine;
///
/// let mut tasks = tokio::task::JoinSet::new();
/// tasks.spawn(LastInLine::new(Box::pin(async { "written" })));
/// assert_eq!(tasks.join_all().await, ["written"]);
/// # });
/// ```
#[derive(Debug)]
pub struct LastInLine<F> {
    future: F,
    in_line: bool,
}

impl<F: Future + Unpin> LastInLine<F> {
    /// Lets others go before `future`, which must be the whole of a task.
    pub const fn new(future: F) -> Self {
        Self {
            future,
            in_line: false,
        }
    }
}

impl<F: Future + Unpin> Future for LastInLine<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.in_line = !self.in_line;
        if self.in_line {
            // A task that wakes itself while it runs goes behind all others that are ready.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.future).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    /// Counts how often a task asked to be run again.
    #[derive(Default)]
    struct Asked(AtomicUsize);

    impl Wake for Asked {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn it_goes_behind_what_is_ready_and_runs_when_it_comes_to_the_front() {
        let asked = Arc::new(Asked::default());
        let waker = Waker::from(Arc::clone(&asked));
        let mut cx = Context::from_waker(&waker);
        let ran = AtomicUsize::new(0);
        let mut writer = LastInLine::new(std::future::poll_fn(|_cx| {
            if ran.fetch_add(1, Ordering::Relaxed) == 0 {
                Poll::Pending
            } else {
                Poll::Ready("written")
            }
        }));
        let mut polls = Vec::new();
        for _woken in 0..4 {
            let polled = Pin::new(&mut writer).poll(&mut cx);
            let counts = (ran.load(Ordering::Relaxed), asked.0.load(Ordering::Relaxed));
            polls.push((polled, counts));
        }
        let written = Poll::Ready("written");
        let expected = [
            (Poll::Pending, (0, 1)),
            (Poll::Pending, (1, 1)),
            (Poll::Pending, (1, 2)),
            (written, (2, 2)),
        ];
        assert_eq!(polls, expected);
    }
}
