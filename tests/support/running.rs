//! A program that goes on while the test looks at it: a watch, an exec, a port-forward.

use std::io::{Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::wait;

/// A running child; it ends with this value at the latest.
#[derive(Debug)]
pub(crate) struct Running {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    /// Starts a command with its three streams in our hands.
    pub(crate) fn start(mut command: Command, what: &str) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let out = gather(child.stdout.take().expect("piped"));
        let err = gather(child.stderr.take().expect("piped"));
        let stdin = child.stdin.take();
        Self {
            what: what.to_owned(),
            child,
            stdin,
            out,
            err,
        }
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .and_then(|()| stdin.flush())
            .expect("it still reads");
    }

    /// Closes its standard input.
    pub(crate) fn close_input(&mut self) {
        drop(self.stdin.take());
    }

    /// Everything it has printed.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.out.lock()).into_owned()
    }

    /// Everything it has complained about.
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.err.lock()).into_owned()
    }

    /// Waits until it has printed `text`.
    pub(crate) fn await_out(&mut self, text: &str) {
        let what = format!("`{text}` from {}", self.what);
        wait::until(&what, || {
            if self.out().contains(text) {
                return Some(());
            }
            if let Some(status) = self.ended() {
                // What it printed last may still be on its way to us.
                let (out, err) = (self.out(), self.err());
                assert!(
                    out.contains(text),
                    "{} ended with {status}: {out} {err}",
                    self.what
                );
            }
            None
        });
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().expect("our own child")?;
        Some(status.code().unwrap_or(-1))
    }

    /// Waits until it ends by itself; answers its exit code.
    pub(crate) fn await_end(&mut self) -> i32 {
        let what = format!("the end of {}", self.what);
        wait::until(&what, || self.ended())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn gather(mut from: impl Read + Send + 'static) -> Arc<Mutex<Vec<u8>>> {
    let gathered = Arc::new(Mutex::new(Vec::new()));
    let filled = Arc::clone(&gathered);
    thread::spawn(move || {
        let mut chunk = [0; 8192];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            filled.lock().extend_from_slice(&chunk[..read]);
        }
    });
    gathered
}
