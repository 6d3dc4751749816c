//! Who is gone while something is being sent to them.
//!
//! On a connection on which nothing is under way [`tune`](crate::tune) has the kernel ask, and 75 s of silence end it. While something is
//! under way the kernel asks otherwise, by sending it again, and gives up after a quarter of an hour. `TCP_USER_TIMEOUT` would shorten that,
//! and would also end whoever is there, answers, and has no room for so long: somebody who stopped the output of an exec to read it.
//! The kernel knows one from the other: it counts what it asked since it last heard something. So it is asked, about all connections of
//! a port at once.

mod kernel;
mod sounding;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use sounding::Suspects;

/// Between two looks. With it whoever is gone is missed for 85 s at most: keepalive asks after 15 s in which nothing was sent, and what
/// is sent in them is unanswered from the next look on. A look takes 1.3
/// microseconds a connection: with a hundred thousand, little more than a hundredth of a core.
const EVERY: Duration = Duration::from_secs(10);

/// How long somebody may leave all that is sent to them unanswered: about as long as keepalive's probes. A network that was gone for
/// less than half of that ends nothing: TCP sends again after pauses that double, so that the next time comes before twice that has
/// passed. After a longer outage it may come too late for somebody who only listens; who sends anything themselves is heard. To wait for
/// it would make minutes of 85 s for those who are gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks where the kernel knows no such question: it searches for a module each time, which is seldom installed meanwhile.
const SELDOM: Duration = Duration::from_secs(3600);

/// How often a lookout looks, and when somebody is gone.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two looks.
    pub every: Duration,
    /// Without an answer for so long.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            every: EVERY,
            patience: PATIENCE,
        }
    }
}

/// Finds those who answer nothing any more, among the connections of a port that are [followed](Self::follow). Clones look out for the same.
///
/// It ends nobody who answers, also when that takes nothing for hours. Somebody whom it had stopped answering *for lack of room*,
/// and who then vanishes, is asked less and less often by the kernel, each two minutes in the end: there it takes three minutes.
#[derive(Debug, Clone, Default)]
pub struct Lookout {
    pace: Pace,
    followers: Followers,
}

/// The kernel's number of a socket. No other socket ever gets it.
type Cookie = u64;

/// Whom to tell.
type Followers = Arc<Mutex<HashMap<Cookie, oneshot::Sender<()>>>>;

/// A connection for which is looked out, as long as this lives. It resolves when the far end is gone, and never where nobody looks out. Each
/// connection has one, so it is small.
#[derive(Debug)]
pub struct Followed {
    followers: Followers,
    gone: Option<(Cookie, oneshot::Receiver<()>)>,
}

impl Lookout {
    /// Looks at another pace than usual.
    pub fn paced(pace: Pace) -> Self {
        Self {
            pace,
            followers: Arc::default(),
        }
    }

    /// Looks out for the far end of a connection.
    pub fn follow(&self, socket: &TcpStream) -> Followed {
        let gone = kernel::cookie(socket).map(|cookie| {
            let (tell, gone) = oneshot::channel();
            self.followers.lock().insert(cookie, tell);
            (cookie, gone)
        });
        Followed {
            followers: Arc::clone(&self.followers),
            gone,
        }
    }

    /// Looks out at the connections of the port for as long as it is polled. Where the kernel does not say how they are it says so once,
    /// and nobody is found.
    pub async fn keep(self, port: SocketAddr) {
        let mut suspects = Suspects::default();
        let mut told = false;
        let mut pause = self.pace.every;
        loop {
            sleep(pause).await;
            pause = self.pace.every;
            if self.followers.lock().is_empty() {
                suspects = Suspects::default();
                continue;
            }
            let now = Instant::now();
            let asking = spawn_blocking(move || kernel::unanswered(port)).await;
            match asking.unwrap_or_else(|ended| Err(io::Error::other(ended))) {
                Ok(unanswered) => {
                    for cookie in suspects.weigh(&unanswered, now, self.pace.patience) {
                        self.give_up(cookie);
                    }
                }
                Err(error) => {
                    if is_lasting(&error) {
                        pause = SELDOM;
                    }
                    if !told {
                        told = true;
                        tracing::info!(
                            %error,
                            "the kernel does not say which callers answer: who vanishes while something is sent to them \
                             is noticed when it gives up by itself (net.ipv4.tcp_retries2)"
                        );
                    }
                }
            }
        }
    }

    fn give_up(&self, cookie: Cookie) {
        let follower = self.followers.lock().remove(&cookie);
        if follower.is_some_and(|tell| tell.send(()).is_ok()) {
            tracing::debug!("a far end leaves unanswered whatever is sent: it is gone");
        }
    }
}

/// Whether the kernel will say the same in ten seconds: it has neither the protocol nor the module for the question.
fn is_lasting(error: &io::Error) -> bool {
    let lasting = [Errno::NOENT, Errno::PROTONOSUPPORT].map(Errno::raw_os_error);
    let of_system = error.raw_os_error();
    error.kind() == io::ErrorKind::Unsupported || of_system.is_some_and(|it| lasting.contains(&it))
}

impl Future for Followed {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some((_, gone)) = &mut self.gone else {
            return Poll::Pending;
        };
        if ready!(Pin::new(gone).poll(cx)).is_ok() {
            return Poll::Ready(());
        }
        // Who would tell is not there any more.
        self.gone = None;
        Poll::Pending
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        if let Some((cookie, _)) = &self.gone {
            self.followers.lock().remove(cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_the_question_is_seldom_asked() {
        for (errno, lasting) in [
            (Errno::NOENT, true),
            (Errno::PROTONOSUPPORT, true),
            (Errno::NOBUFS, false),
            (Errno::MFILE, false),
            (Errno::AGAIN, false),
        ] {
            let error = io::Error::from_raw_os_error(errno.raw_os_error());
            assert_eq!(is_lasting(&error), lasting, "{errno}");
        }
        assert!(is_lasting(&io::ErrorKind::Unsupported.into()));
        assert!(!is_lasting(&io::Error::other("the thread is gone")));
    }
}
