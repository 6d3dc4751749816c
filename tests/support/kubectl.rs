//! Real kubectl as a person runs it, with an empty cache unless a test says otherwise.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use super::running::Running;
use super::wait;

/// kubectl with one kubeconfig.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    environment: Vec<(String, String)>,
}

/// What a finished kubectl said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Its exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) out: Vec<u8>,
    /// Standard error as text.
    pub(crate) err: String,
}

impl Kubectl {
    /// A kubectl program with a kubeconfig.
    pub(crate) fn new(program: &Path, kubeconfig: &Path) -> Self {
        Self {
            program: program.to_owned(),
            kubeconfig: kubeconfig.to_owned(),
            environment: Vec::new(),
        }
    }

    /// The same caller with another program.
    pub(crate) fn by(&self, program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            ..self.clone()
        }
    }

    /// The same with an environment variable.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Exec, attach, cp and port-forward over SPDY/3.1 instead of WebSocket.
    pub(crate) fn over_spdy(self) -> Self {
        self.with_variable("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
            .with_variable("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")
    }

    /// The command, for tests that drive it themselves.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env_remove("KUBECONFIG")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(["--cache-dir", "/dev/null/no-cache"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts one that goes on: a watch, an exec, a port-forward.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments), &format!("kubectl {arguments:?}"))
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        finish(
            self.command(arguments).spawn().expect("kubectl starts"),
            &format!("kubectl {arguments:?}"),
        )
    }

    /// Runs it, expects exit code 0, answers standard output.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let said = self.run(arguments).expect_success();
        String::from_utf8(said.out).expect("kubectl prints UTF-8")
    }

    /// Runs it with bytes on its standard input.
    pub(crate) fn with_input(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("piped");
        let bytes = input.to_owned();
        // A child that ends early closes its end: that is the child's news, not ours.
        let feeder = thread::spawn(move || drop(stdin.write_all(&bytes)));
        let said = finish(child, &format!("kubectl {arguments:?}"));
        feeder.join().expect("the feeder ends");
        said
    }
}

/// Reads both outputs to their end and waits for the process, at most [`wait::PATIENCE`].
pub(crate) fn finish(mut child: Child, what: &str) -> Said {
    let mut stdout = child.stdout.take().expect("piped");
    let mut stderr = child.stderr.take().expect("piped");
    let out = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let err = thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes)
    });
    let deadline = tokio::time::Instant::now() + wait::PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if tokio::time::Instant::now() > deadline {
            child.kill().expect("our own child can be ended");
            child.wait().expect("and waited for");
            panic!("{what} did not end within {:?}", wait::PATIENCE);
        }
        thread::sleep(std::time::Duration::from_millis(10));
    };
    Said {
        code: status.code().unwrap_or(-1),
        out: out.join().expect("no panic").expect("readable"),
        err: String::from_utf8_lossy(&err.join().expect("no panic").expect("readable"))
            .into_owned(),
    }
}

impl Said {
    /// Whether the exit code is 0.
    pub(crate) fn succeeded(&self) -> bool {
        self.code == 0
    }

    /// Itself, or a panic with what was said.
    pub(crate) fn expect_success(self) -> Self {
        assert!(
            self.code == 0,
            "exit code {}, stdout: {}, stderr: {}",
            self.code,
            self.text(),
            self.err
        );
        self
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}
