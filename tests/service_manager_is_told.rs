//! A service manager (sd_notify) hears that a role is ready once it is, that it lives, that it was asked to read its
//! files again, and that it ends.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Child;

use tempfile::TempDir;

use crate::support::fake_api_server::FakeApiServer;
use crate::support::gangplank;
use crate::support::path::Prepared;
use crate::support::{signal, wait};

/// A manager and the service that it started.
struct ServiceManager {
    socket: UnixDatagram,
    service: Child,
    _folder: TempDir,
}

impl ServiceManager {
    /// Starts a proxy as a service manager with a watchdog would.
    fn start(config: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket
            .set_read_timeout(Some(wait::PATIENCE))
            .expect("a limit");
        let service = gangplank::command(&["proxy", "--config"])
            .arg(config)
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "200000")
            .spawn()
            .expect("gangplank starts");
        Self {
            socket,
            service,
            _folder: folder,
        }
    }

    /// The next thing it hears.
    fn next(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("something is told");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// What it hears until it hears this.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut heard = Vec::new();
        while !heard
            .last()
            .is_some_and(|last: &String| last.contains(wanted))
        {
            heard.push(self.next());
        }
        heard
    }

    fn signal(&self, name: &str) {
        signal::send(name, self.service.id());
    }
}

impl Drop for ServiceManager {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.service.kill());
        drop(self.service.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_readiness_to_the_end() {
    let fake = FakeApiServer::echo().await;
    let place = Prepared::proxy("127.0.0.1:0", &fake.kubeconfig(), &[]);
    let mut manager = ServiceManager::start(&place.folder().join("proxy.yaml"));
    let before = manager.until("READY=1");
    let mut told = before.iter().filter(|told| told.starts_with("STATUS="));
    assert_eq!(told.next_back().map(String::as_str), Some("STATUS=ready"));
    manager.until("WATCHDOG=1");
    manager.until("WATCHDOG=1");
    manager.signal("-HUP");
    let reloading = manager.until("RELOADING=1").pop().expect("it was heard");
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let since: u64 = since.expect("when").parse().expect("a number");
    assert!(since > 0);
    manager.until("READY=1");
    manager.signal("-TERM");
    manager.until("STOPPING=1");
    let ended = manager.service.wait().expect("it ends");
    assert!(ended.success(), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_ready_says_why_and_asks_for_patience() {
    let fake = FakeApiServer::echo().await;
    let place = Prepared::proxy("127.0.0.1:0", &fake.kubeconfig(), &[]);
    fake.stop_listening();
    let manager = ServiceManager::start(&place.folder().join("proxy.yaml"));
    let mut heard = manager.until("cannot be reached");
    heard.extend(manager.until("EXTEND_TIMEOUT_USEC="));
    heard.extend(manager.until("EXTEND_TIMEOUT_USEC="));
    let why = |told: &String| told.starts_with("STATUS=not ready: the API server");
    assert!(heard.iter().any(why), "{heard:?}");
    assert!(heard.iter().all(|told| told != "READY=1"), "{heard:?}");
    // It lives all the same.
    manager.until("WATCHDOG=1");
}
