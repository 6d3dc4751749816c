//! What the service manager hears of a role (sd_notify(3)): that it is ready, reads its files again, ends; how it
//! goes; and, where a watchdog is set, that it still serves.
//!
//! Without `NOTIFY_SOCKET` in the environment there is no manager, and nobody is told. What cannot be sent is lost: a
//! manager that does not listen is no reason to stop serving.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::Observed;

/// Between two looks whether the role is ready, or has become something else since.
const LOOK: Duration = Duration::from_secs(1);

/// How much longer the manager is asked to wait while the role is not ready, which is said at each look. An agent
/// whose relay cannot be reached at boot is to go on dialling, and not to be started again and again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Longest status that is sent: `systemctl status` shows a line.
const STATUS_LENGTH: usize = 512;

/// A service manager that listens.
#[derive(Debug)]
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How long it may hear nothing before it ends the process.
    watchdog: Option<Duration>,
    /// It knows the role to be ready.
    ready: AtomicBool,
    /// It knows the role to end, after which there is no start to wait for.
    ends: AtomicBool,
}

impl ServiceManager {
    /// The manager that the environment names, if it names one. Its watchdog counts for the process that it names.
    ///
    /// # Errors
    ///
    /// When the environment names something else.
    pub(crate) fn of(
        variable: impl Fn(&str) -> Option<OsString>,
        process: u32,
    ) -> anyhow::Result<Option<Self>> {
        let Some(name) = variable("NOTIFY_SOCKET") else {
            return Ok(None);
        };
        let address = match name.as_bytes() {
            [b'/', ..] => SocketAddr::from_pathname(&name)?,
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => {
                anyhow::bail!("NOTIFY_SOCKET is neither a path nor the name of an abstract socket")
            }
        };
        let socket = UnixDatagram::unbound()?;
        // A manager that does not read must not hold up who serves.
        socket.set_nonblocking(true)?;
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let for_us = number("WATCHDOG_PID").is_none_or(|meant| meant == u64::from(process));
        let watchdog = number("WATCHDOG_USEC").filter(|micros| for_us && *micros > 0);
        Ok(Some(Self {
            socket,
            address,
            watchdog: watchdog.map(Duration::from_micros),
            ready: AtomicBool::new(false),
            ends: AtomicBool::new(false),
        }))
    }

    /// The role's files are looked at again, which they are all the time. Before the role is ready nothing is told:
    /// the end of a reload and that of the start are the same word.
    pub(crate) fn reloaded(&self) {
        if !self.ready.load(Ordering::Relaxed) {
            return;
        }
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
        self.tell("READY=1");
    }

    /// The role was told to end.
    pub(crate) fn stopping(&self) {
        self.ends.store(true, Ordering::Relaxed);
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    /// Tells how the role goes until `over`: that it is ready once it is, and that it lives. For the latter
    /// a task of its own must get through the runtime that serves, and look at the role's state: if threads stand
    /// still, or a lock is never given back, the manager hears nothing more and ends the process.
    pub(crate) async fn attend(
        self: Arc<Self>,
        role: Arc<dyn Observed>,
        tasks: TaskTracker,
        over: CancellationToken,
    ) {
        let look = || {
            let role = Arc::clone(&role);
            let looking = tasks.spawn(async move { (role.unready(), role.summary()) });
            async move { looking.await.inspect_err(tell_of_panic).ok() }
        };
        over.run_until_cancelled(self.follow(look)).await;
    }

    async fn follow<F>(&self, look: impl Fn() -> F)
    where
        F: Future<Output = Option<(Vec<String>, String)>>,
    {
        // Half of the watchdog's time is what sd_watchdog_enabled(3) recommends.
        let pause = self.watchdog.map_or(LOOK, |limit| LOOK.min(limit / 2));
        let mut told = String::new();
        loop {
            let Some((unready, summary)) = look().await else {
                return;
            };
            let status = if unready.is_empty() {
                summary
            } else {
                format!("not ready: {}", unready.join("; "))
            };
            if status != told {
                self.tell(&format!("STATUS={}", one_line(&status)));
                told = status;
            }
            self.tell_of_start(unready.is_empty());
            if self.watchdog.is_some() {
                self.tell("WATCHDOG=1");
            }
            sleep(pause).await;
        }
    }

    /// That it is over, once, or that it takes longer.
    fn tell_of_start(&self, ready: bool) {
        if self.ready.load(Ordering::Relaxed) || self.ends.load(Ordering::Relaxed) {
            return;
        }
        if ready {
            self.tell("READY=1");
            self.ready.store(true, Ordering::Relaxed);
        } else {
            self.tell(&format!("EXTEND_TIMEOUT_USEC={}", PATIENCE.as_micros()));
        }
    }

    fn tell(&self, text: &str) {
        if let Err(error) = self.socket.send_to_addr(text.as_bytes(), &self.address) {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

/// Whoever looked at the role has ended, and the watchdog hears nothing from here on.
fn tell_of_panic(ended: &JoinError) {
    if ended.is_panic() {
        tracing::error!(
            error = %ended,
            "looking at the role's state ended by a panic, the service manager hears no more of it; report this"
        );
    }
}

/// A line of bounded length: what follows a line's end would be another word to the manager.
fn one_line(text: &str) -> String {
    let printable = text.chars().filter(|c| !c.is_control());
    printable.take(STATUS_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::AtomicUsize;

    use tempfile::TempDir;
    use tokio::time::timeout;

    use super::*;

    /// A manager's end of the socket.
    struct Listening {
        socket: UnixDatagram,
        _folder: TempDir,
    }

    impl Listening {
        /// What was told until now.
        fn heard(&self) -> Vec<String> {
            let mut buffer = [0; 4096];
            let mut heard = Vec::new();
            while let Ok(length) = self.socket.recv(&mut buffer) {
                heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
            heard
        }
    }

    fn manager(watchdog: &str) -> (ServiceManager, Listening) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let variable = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(path.clone().into_os_string()),
            "WATCHDOG_USEC" => Some(watchdog.into()),
            _ => None,
        };
        let manager = ServiceManager::of(variable, 1).unwrap().unwrap();
        let listening = Listening {
            socket,
            _folder: folder,
        };
        (manager, listening)
    }

    #[test]
    fn the_environment_says_who_listens() {
        let of = |name: &'static str, value: &'static str| {
            ServiceManager::of(|asked| (asked == name).then(|| value.into()), 7)
        };
        assert!(of("OTHER", "/run/notify").unwrap().is_none());
        assert!(of("NOTIFY_SOCKET", "/run/notify").unwrap().is_some());
        assert!(of("NOTIFY_SOCKET", "@name").unwrap().is_some());
        assert!(of("NOTIFY_SOCKET", "vsock:2:1").is_err());
        for (pid, limit) in [(None, true), (Some("7"), true), (Some("8"), false)] {
            let variable = |asked: &str| match asked {
                "NOTIFY_SOCKET" => Some("@name".into()),
                "WATCHDOG_USEC" => Some("3000000".into()),
                "WATCHDOG_PID" => pid.map(OsString::from),
                _ => None,
            };
            let manager = ServiceManager::of(variable, 7).unwrap().unwrap();
            let expected = limit.then_some(Duration::from_secs(3));
            assert_eq!(manager.watchdog, expected, "{pid:?}");
        }
    }

    #[test]
    fn abstract_names_are_heard_too() {
        let name = format!("gangplank-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let variable = |asked: &str| (asked == "NOTIFY_SOCKET").then(|| format!("@{name}").into());
        let manager = ServiceManager::of(variable, 1).unwrap().unwrap();
        manager.stopping();
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"STOPPING=1\nSTATUS=draining");
    }

    #[tokio::test(start_paused = true)]
    async fn ready_is_told_once_it_is() {
        let (manager, listening) = manager("");
        let looks = AtomicUsize::new(0);
        let look = || {
            let reasons = match looks.fetch_add(1, Ordering::Relaxed) {
                0 | 1 | 4 => vec!["no tunnel\nREADY=1".to_owned()],
                _ => Vec::new(),
            };
            ready(Some((reasons, "1 tunnel".to_owned())))
        };
        let five_looks = timeout(LOOK * 9 / 2, manager.follow(look));
        assert!(five_looks.await.is_err());
        assert_eq!(
            listening.heard(),
            [
                "STATUS=not ready: no tunnelREADY=1",
                "EXTEND_TIMEOUT_USEC=30000000",
                "EXTEND_TIMEOUT_USEC=30000000",
                "STATUS=1 tunnel",
                "READY=1",
                "STATUS=not ready: no tunnelREADY=1",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_hears_nothing_from_who_stands_still() {
        let (manager, listening) = manager("600000");
        let lively = || ready(Some((Vec::new(), String::new())));
        let two_seconds = timeout(Duration::from_millis(1_950), manager.follow(lively));
        assert!(two_seconds.await.is_err());
        let of_watchdog =
            |heard: Vec<String>| heard.iter().filter(|it| *it == "WATCHDOG=1").count();
        assert_eq!(of_watchdog(listening.heard()), 7);
        let stuck = timeout(Duration::from_secs(60), manager.follow(pending));
        assert!(stuck.await.is_err());
        assert_eq!(of_watchdog(listening.heard()), 0);
    }

    /// Follows a role through three looks.
    async fn three_looks(manager: &ServiceManager, reasons: &[&str]) {
        let look = || {
            let reasons = reasons.iter().map(|&reason| reason.to_owned()).collect();
            ready(Some((reasons, "1 tunnel".to_owned())))
        };
        let looks = timeout(LOOK * 5 / 2, manager.follow(look));
        assert!(looks.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_does_not_end_the_start() {
        let (manager, listening) = manager("");
        manager.reloaded();
        assert_eq!(listening.heard(), <[&str; 0]>::default());
        three_looks(&manager, &[]).await;
        assert_eq!(listening.heard(), ["STATUS=1 tunnel", "READY=1"]);
        manager.reloaded();
        let heard = listening.heard();
        assert!(heard[0].starts_with("RELOADING=1\n"), "{heard:?}");
        assert_eq!(heard[1..], ["READY=1"]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_ends_neither_starts_nor_asks_for_time_to() {
        let (manager, listening) = manager("");
        manager.stopping();
        listening.heard();
        three_looks(&manager, &["no tunnel"]).await;
        assert_eq!(listening.heard(), ["STATUS=not ready: no tunnel"]);
        three_looks(&manager, &[]).await;
        assert_eq!(listening.heard(), ["STATUS=1 tunnel"]);
    }
}
