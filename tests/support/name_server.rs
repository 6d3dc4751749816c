//! A name server with one name, which answers, is silent, or says that it has failed; and the resolver that asks it.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gangplank_link::Host;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::hosts;

/// How it treats a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// With the address.
    Answers,
    /// With nothing.
    Silent,
    /// With SERVFAIL (RFC 1035 §4.1.1).
    Fails,
}

/// A running name server at port 53 of a host's own loopback.
#[derive(Debug)]
pub(crate) struct NameServer {
    mood: Arc<Mutex<Mood>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    folder: TempDir,
}

/// How often it looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

/// Bytes of a header (RFC 1035 §4.1.1).
const HEADER: usize = 12;

/// Type A.
const A: [u8; 2] = [0, 1];

impl NameServer {
    /// Starts it on a host; every name has this address.
    pub(crate) fn start(host: &Host, address: Ipv4Addr) -> Self {
        let bound = hosts::at(Some(host), || UdpSocket::bind("127.0.0.1:53"));
        let socket = bound.expect("a host's own port 53");
        socket.set_read_timeout(Some(LOOK)).expect("our own socket");
        let (mood, over) = (
            Arc::new(Mutex::new(Mood::Answers)),
            Arc::new(AtomicBool::new(false)),
        );
        let (now, end) = (Arc::clone(&mood), Arc::clone(&over));
        let thread = std::thread::spawn(move || serve(&socket, address, &now, &end));
        let folder = tempfile::tempdir().expect("a folder");
        for (file, text) in [
            ("resolv.conf", "nameserver 127.0.0.1\n"),
            ("nsswitch.conf", "hosts: files dns\n"),
        ] {
            std::fs::write(folder.path().join(file), text).expect("written");
        }
        Self {
            mood,
            over,
            thread: Some(thread),
            folder,
        }
    }

    /// Changes how it treats questions.
    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock() = mood;
    }

    /// A command that becomes another one whose resolver asks this name server.
    pub(crate) fn through(&self) -> Vec<String> {
        let folder = self.folder.path().display();
        let script = format!(
            "mount --bind {folder}/resolv.conf /etc/resolv.conf && \
             mount --bind {folder}/nsswitch.conf /etc/nsswitch.conf && exec \"$@\""
        );
        ["unshare", "--mount", "sh", "-c", &script, "sh"]
            .map(str::to_owned)
            .to_vec()
    }
}

fn serve(socket: &UdpSocket, address: Ipv4Addr, mood: &Mutex<Mood>, over: &AtomicBool) {
    let mut question = [0; 512];
    while !over.load(Ordering::SeqCst) {
        let (length, from) = match socket.recv_from(&mut question) {
            Ok(asked) => asked,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => panic!("a name server that cannot read: {error}"),
        };
        let mood = *mood.lock();
        if mood == Mood::Silent {
            continue;
        }
        let failed = mood == Mood::Fails;
        if let Some(answer) = answer(&question[..length], address, failed) {
            // Who does not hear it asks again.
            drop(socket.send_to(&answer, from));
        }
    }
}

/// The answer to a question of one name: its address where an address of IPv4 is asked for, and else none.
fn answer(question: &[u8], address: Ipv4Addr, failed: bool) -> Option<Vec<u8>> {
    let name = question.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let end = HEADER + name + 5;
    let asked = question.get(HEADER..end)?;
    let found = !failed && asked[name + 1..name + 3] == A;
    let mut answer = question.get(..2)?.to_vec();
    // An answer with recursion; SERVFAIL is 2.
    answer.extend([0x81, if failed { 0x82 } else { 0x80 }]);
    answer.extend([0, 1, 0, u8::from(found), 0, 0, 0, 0]);
    answer.extend(asked);
    if found {
        // The name of the question; A, IN, no seconds of life, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // If it panicked it has said so.
            drop(thread.join());
        }
    }
}
