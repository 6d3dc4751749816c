//! One tunnel in the registry, and a caller's berth on it.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gangplank_pki::TunnelName;
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::entrance::Standstill;

/// How long a tunnel that did not answer stands back behind its siblings. A dead peer is noticed within
/// 13 s and then deregistered, so after this the tunnel either is gone or was merely slow once.
const DOUBT: Duration = Duration::from_secs(15);

/// Most callers that board one tunnel at the same time. An exit answers in one round trip, so this is
/// more than a thousand new connections a second even from the other side of the world; past it the
/// exit does not keep up and waiting longer helps nobody.
const MOST_BOARDING: usize = 256;

/// Where in the agent's world a tunnel belongs, as its hello says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The agent process.
    pub(crate) instance: u128,
    /// Which of its connections to this relay.
    pub(crate) slot: u16,
    /// Rises with every dial of that connection.
    pub(crate) epoch: u64,
}

impl Slot {
    /// Whether one of the two supersedes the other.
    pub(crate) fn is_same_place(self, other: Self) -> bool {
        (self.instance, self.slot) == (other.instance, other.slot)
    }
}

/// A tunnel: a session and what is counted about it.
#[derive(Debug)]
pub(crate) struct Tunnel<S> {
    id: u64,
    name: TunnelName,
    slot: Slot,
    session: S,
    since: Instant,
    open_streams: AtomicUsize,
    last_boarding: AtomicU64,
    carried: AtomicU64,
    doubted_until: Mutex<Option<Instant>>,
    gangway: Arc<Semaphore>,
    standstill: Standstill,
    last_left: Notify,
    withdrawn: CancellationToken,
    cut_short: CancellationToken,
    dismissed: OnceLock<&'static str>,
}

impl<S> Tunnel<S> {
    pub(crate) fn new(id: u64, name: TunnelName, slot: Slot, session: S) -> Self {
        Self {
            id,
            name,
            slot,
            session,
            since: Instant::now(),
            open_streams: AtomicUsize::new(0),
            last_boarding: AtomicU64::new(0),
            carried: AtomicU64::new(0),
            doubted_until: Mutex::new(None),
            gangway: Arc::new(Semaphore::new(MOST_BOARDING)),
            standstill: Standstill::default(),
            last_left: Notify::new(),
            withdrawn: CancellationToken::new(),
            cut_short: CancellationToken::new(),
            dismissed: OnceLock::new(),
        }
    }

    /// The relay is about to end its session, for this reason in a word. The first counts: what the session says of its end
    /// afterwards is only that this side has ended it.
    pub(crate) fn dismiss(&self, reason: &'static str) {
        self.dismissed.get_or_init(|| reason);
    }

    /// Why the relay has ended its session, if it has.
    pub(crate) fn dismissed(&self) -> Option<&'static str> {
        self.dismissed.get().copied()
    }

    /// The number of the session, unique in the life of the relay.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The name its certificate proved.
    pub(crate) fn name(&self) -> &TunnelName {
        &self.name
    }

    /// Instance, slot and epoch.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// The session itself.
    pub(crate) fn session(&self) -> &S {
        &self.session
    }

    /// Since when it is registered.
    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    /// Callers on board, or boarding.
    pub(crate) fn open_streams(&self) -> usize {
        self.open_streams.load(Ordering::Relaxed)
    }

    /// Bytes of callers carried, both ways, of connections that have ended.
    pub(crate) fn carried_bytes(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }

    /// Callers on board who take nothing.
    pub(crate) fn standstill(&self) -> &Standstill {
        &self.standstill
    }

    /// Cancelled when it gets no new streams any more.
    pub(crate) fn withdrawn(&self) -> &CancellationToken {
        &self.withdrawn
    }

    /// Cancelled when those on board must leave too, because too many withdrawn tunnels of this name are
    /// still there.
    pub(crate) fn cut_short(&self) -> &CancellationToken {
        &self.cut_short
    }

    /// What the choice goes by; the least is chosen. Without the doubt a dead tunnel would be the best
    /// of all: whatever boards it leaves again, so it always has the fewest streams.
    pub(crate) fn burden(&self, now: Instant) -> (bool, usize, u64) {
        let doubted = self.doubted_until.lock().is_some_and(|until| now < until);
        (
            doubted,
            self.open_streams(),
            self.last_boarding.load(Ordering::Relaxed),
        )
    }
}

impl<S: Send + Sync> Tunnel<S> {
    /// Resolves when nobody is on board. Of use for a tunnel that was withdrawn; on others somebody may
    /// board right after.
    pub(crate) async fn deserted(&self) {
        loop {
            let mut left = pin!(self.last_left.notified());
            // From here on, before the look, no departure is missed.
            left.as_mut().enable();
            if self.open_streams() == 0 {
                return;
            }
            left.await;
        }
    }
}

/// A caller's place on a tunnel, given up when dropped.
#[derive(Debug)]
pub(crate) struct Berth<S> {
    tunnel: Arc<Tunnel<S>>,
    boarding: Mutex<Option<OwnedSemaphorePermit>>,
}

impl<S> Berth<S> {
    /// `None` when as many as may are boarding. Only under the registry's lock, so that two callers
    /// at once see one another.
    pub(super) fn take(tunnel: &Arc<Tunnel<S>>, boarding: u64) -> Option<Self> {
        let permit = Arc::clone(&tunnel.gangway).try_acquire_owned().ok()?;
        tunnel.open_streams.fetch_add(1, Ordering::Relaxed);
        tunnel.last_boarding.store(boarding, Ordering::Relaxed);
        Some(Self {
            tunnel: Arc::clone(tunnel),
            boarding: Mutex::new(Some(permit)),
        })
    }

    /// The tunnel.
    pub(crate) fn tunnel(&self) -> &Tunnel<S> {
        &self.tunnel
    }

    /// The exit took the caller: the gangway is free for the next, and all doubt is gone.
    pub(crate) fn accepted(&self) {
        drop(self.boarding.lock().take());
        *self.tunnel.doubted_until.lock() = None;
    }

    /// The exit did not take the caller; other tunnels come first for a while.
    pub(crate) fn doubt(&self, now: Instant) {
        *self.tunnel.doubted_until.lock() = Some(now + DOUBT);
    }

    /// Adds what the connection carried, both ways.
    pub(crate) fn carried(&self, bytes: u64) {
        self.tunnel.carried.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl<S> Drop for Berth<S> {
    fn drop(&mut self) {
        if self.tunnel.open_streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.tunnel.last_left.notify_waiters();
        }
    }
}
