//! The program under test as a process, with its log in a file and its ports asked from the kernel.

use std::ffi::OsStr;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use gangplank_link::Host;
use parking_lot::Mutex;
use serde_json::Value;

use super::{hosts, signal, wait};

/// What a role runs in, if not here and plainly.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Its host.
    pub(crate) host: Option<Host>,
    /// A command that ends by becoming the one that stands behind it.
    pub(crate) through: Vec<String>,
    /// What its environment has beside ours.
    pub(crate) variables: Vec<(String, String)>,
}

/// A running `gangplank` role.
#[derive(Debug)]
pub(crate) struct Gangplank {
    child: Mutex<Child>,
    log: PathBuf,
    surroundings: Surroundings,
    /// Where callers (and agents) connect; of an agent: nothing.
    pub(crate) address: Option<SocketAddr>,
    /// Metrics, health and status.
    pub(crate) admin: SocketAddr,
}

/// The program.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_gangplank"))
}

/// A command with none of the machine's `GANGPLANK_…` variables, and none of its proxies.
pub(crate) fn command(arguments: &[&str]) -> Command {
    command_through(&[], arguments)
}

/// The same through a command that becomes it.
pub(crate) fn command_through(through: &[String], arguments: &[&str]) -> Command {
    let words = through.iter().map(OsStr::new);
    let mut words = words.chain([program().as_os_str()]);
    let mut command = Command::new(words.next().expect("at least the program"));
    command.args(words);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GANGPLANK_") {
            command.env_remove(name);
        }
    }
    for name in ["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a verb to its end.
pub(crate) fn run(arguments: &[&str]) -> super::kubectl::Said {
    let child = command(arguments).spawn().expect("gangplank starts");
    super::kubectl::finish(child, &format!("gangplank {arguments:?}"))
}

impl Gangplank {
    /// Starts a role with its file and waits until it says that it listens.
    pub(crate) fn start(role: &str, config: &Path) -> Self {
        Self::start_with(role, config, &[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(role: &str, config: &Path, further: &[&str]) -> Self {
        Self::start_in(&Surroundings::default(), role, config, further)
    }

    /// The same in surroundings of the test's own.
    pub(crate) fn start_in(
        surroundings: &Surroundings,
        role: &str,
        config: &Path,
        further: &[&str],
    ) -> Self {
        let log = config.with_extension("log");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let started_at = output.metadata().expect("its size").len();
        let options = [
            role,
            "--log-format",
            "json",
            "--log-level",
            "info,gangplank=debug",
        ];
        let mut command = command_through(&surroundings.through, &options);
        command
            .envs(surroundings.variables.iter().cloned())
            .arg("--config")
            .arg(config)
            .args(further)
            .stdout(Stdio::null())
            .stderr(output);
        let mut child =
            hosts::at(surroundings.host.as_ref(), || command.spawn()).expect("gangplank starts");
        let listening = wait::until(
            &format!("{role} to listen (log: {})", log.display()),
            || {
                if let Some(status) = child.try_wait().expect("our own child") {
                    panic!(
                        "gangplank {role} ended at once with {status}: {}",
                        read_from(&log, started_at)
                    );
                }
                events(&read_from(&log, started_at))
                    .into_iter()
                    .find(|event| event["message"] == "listening")
            },
        );
        let address = |field: &str| listening[field].as_str().and_then(|text| text.parse().ok());
        Self {
            child: Mutex::new(child),
            log,
            surroundings: surroundings.clone(),
            address: address("listen.addr"),
            admin: address("admin.addr").expect("every role under test has an admin address"),
        }
    }

    /// Where it runs, if not here.
    pub(crate) fn host(&self) -> Option<&Host> {
        self.surroundings.host.as_ref()
    }

    /// What it runs in.
    pub(crate) fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    /// What its admin endpoint answers.
    fn ask(&self, path: &str) -> Option<(u16, String)> {
        hosts::at(self.host(), || http_get(self.admin, path))
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.lock().id()
    }

    /// Everything it has logged.
    pub(crate) fn log(&self) -> String {
        read_from(&self.log, 0)
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock();
        child.kill().expect("our own child can be ended");
        child.wait().expect("and waited for");
    }

    /// SIGTERM; answers how it ended.
    pub(crate) fn terminate(&self) -> ExitStatus {
        self.ask_to_end();
        self.await_end()
    }

    /// SIGTERM.
    pub(crate) fn ask_to_end(&self) {
        self.signal("-TERM");
    }

    /// Any signal, as kill(1) names it.
    pub(crate) fn signal(&self, signal: &str) {
        signal::send(signal, self.pid());
    }

    /// Waits until it ends; answers how.
    pub(crate) fn await_end(&self) -> ExitStatus {
        wait::until("the role to end", || self.ended())
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&self) -> Option<ExitStatus> {
        let mut child = self.child.lock();
        child.try_wait().expect("our own child")
    }

    /// Whether it is ready, and what it says about it.
    pub(crate) fn readiness(&self) -> (bool, String) {
        match self.ask("/readyz") {
            Some((status, body)) => (status == 200, body),
            None => (false, "the admin endpoint does not answer".to_owned()),
        }
    }

    /// Waits until it is ready.
    pub(crate) fn await_ready(&self) {
        let mut last = String::new();
        let deadline = tokio::time::Instant::now() + wait::PATIENCE;
        while tokio::time::Instant::now() < deadline {
            let (ready, said) = self.readiness();
            if ready {
                return;
            }
            last = said;
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("not ready: {last}; log: {}", self.log());
    }

    /// The metrics page.
    pub(crate) fn metrics(&self) -> String {
        self.ask("/metrics").expect("the admin endpoint answers").1
    }

    /// The value of one metric line, exactly as written up to its value.
    pub(crate) fn metric(&self, line: &str) -> Option<f64> {
        self.metrics()
            .lines()
            .find_map(|found| found.strip_prefix(line)?.trim().parse().ok())
    }

    /// What a relay's status says of each of its tunnels.
    pub(crate) fn tunnels(&self) -> Vec<Value> {
        let status = self.status();
        status["relay"]["tunnels"]
            .as_array()
            .expect("a list")
            .clone()
    }

    /// What `gangplank status -o json` would show.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ask("/status").expect("the admin endpoint answers").1)
            .expect("JSON")
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that was resident since [`forget_peak`](Self::forget_peak), in KiB: the kernel's figure, which
    /// misses none.
    pub(crate) fn peak_kib(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// What is resident now is the most from here on (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) {
        let file = format!("/proc/{}/clear_refs", self.pid());
        std::fs::write(file, "5").expect("our own child");
    }

    /// How many file descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        open.expect("it runs").count()
    }

    /// CPU time it has used, in hundredths of a second (proc(5), `stat`).
    pub(crate) fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("it runs");
        let (_, behind_the_name) = stat.rsplit_once(')').expect("a name in parentheses");
        let fields = behind_the_name.split_whitespace().skip(11).take(2);
        fields
            .map(|ticks| ticks.parse::<u64>().expect("a number"))
            .sum()
    }

    fn memory(&self, field: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(field));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .expect("a number")
    }
}

impl Drop for Gangplank {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        // It may have ended already; then there is nothing to end.
        drop(child.kill());
        drop(child.wait());
    }
}

/// The JSON events of a log.
pub(crate) fn events(log: &str) -> Vec<Value> {
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn read_from(log: &Path, offset: u64) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let start = usize::try_from(offset)
        .expect("a log that fits in memory")
        .min(bytes.len());
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

/// A plain HTTP/1.1 GET, since the admin endpoint is plain.
pub(crate) fn http_get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    use std::io::{Read as _, Write as _};
    let mut socket = std::net::TcpStream::connect(address).ok()?;
    socket.set_read_timeout(Some(wait::PATIENCE)).ok()?;
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((
        head.split_whitespace().nth(1)?.parse().ok()?,
        body.to_owned(),
    ))
}
