//! A host of a test: a network namespace with a loopback device of its own.
//!
//! A shell in the namespace, `keeper.sh`, makes it and lasts as long as the pipe to it. When that ends, however the
//! test ended, it ends what else runs in the namespace, and with the last of them the namespace is gone.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::panic::resume_unwind;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What the keeper runs.
const KEEPER: &str = include_str!("host/keeper.sh");

/// Why there is no host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostFault {
    /// A program is missing.
    #[error("unshare does not start; it is in util-linux")]
    NoUnshare(#[source] io::Error),
    /// The kernel, or the lack of rights.
    #[error(
        "no network namespace can be made, which takes Linux, CAP_SYS_ADMIN and iproute2's ip: {said}"
    )]
    Refused {
        /// What was said about it.
        said: String,
    },
    /// It was made, and cannot be opened.
    #[error("the network namespace cannot be opened")]
    NotOpened(#[source] io::Error),
}

/// A host; it ends, and what runs in it, with the last of its clones.
#[derive(Debug, Clone)]
pub struct Host {
    kept: Arc<Kept>,
}

#[derive(Debug)]
struct Kept {
    namespace: File,
    keeper: Child,
}

impl Host {
    /// Makes one.
    ///
    /// # Errors
    ///
    /// Where rights or programs lack.
    pub fn new() -> Result<Self, HostFault> {
        let mut keeper = Command::new("unshare")
            .args(["--net", "sh", "-c", KEEPER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(HostFault::NoUnshare)?;
        let mut said = String::new();
        if let Some(out) = keeper.stdout.take() {
            // Without a word from it the reason is on its other output.
            drop(BufReader::new(out).read_line(&mut said));
        }
        let namespace = File::open(format!("/proc/{}/ns/net", keeper.id()));
        let up = said == "up\n";
        // From here on the keeper ends whatever happens.
        let mut kept = match namespace {
            Ok(namespace) => Kept { namespace, keeper },
            Err(error) => {
                end(&mut keeper);
                return Err(if up {
                    HostFault::NotOpened(error)
                } else {
                    refused(&mut keeper)
                });
            }
        };
        if !up {
            end(&mut kept.keeper);
            return Err(refused(&mut kept.keeper));
        }
        Ok(Self {
            kept: Arc::new(kept),
        })
    }

    /// Does something within the host, on a thread of its own: sockets that are opened and programs that are started there
    /// are the host's, and stay so.
    ///
    /// # Errors
    ///
    /// Where the host cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let visit = scope.spawn(|| {
                let namespace = self.kept.namespace.as_fd();
                move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?;
                Ok(work())
            });
            visit.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    /// Runs iproute2's `ip` in it.
    pub(crate) fn ip(&self, arguments: &[&str]) -> io::Result<()> {
        let said = self.within(|| Command::new("ip").args(arguments).output())??;
        if said.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&said.stderr);
        Err(io::Error::other(format!(
            "ip {arguments:?}: {}",
            said.trim()
        )))
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        end(&mut self.keeper);
    }
}

/// Ends a keeper, and with it what is in its host.
fn end(keeper: &mut Child) {
    drop(keeper.stdin.take());
    // It may have ended already.
    drop(keeper.wait());
}

/// What a keeper that has ended said.
fn refused(keeper: &mut Child) -> HostFault {
    let mut said = String::new();
    if let Some(mut complaints) = keeper.stderr.take() {
        // What cannot be read says nothing.
        drop(complaints.read_to_string(&mut said));
    }
    HostFault::Refused {
        said: said.trim().to_owned(),
    }
}
