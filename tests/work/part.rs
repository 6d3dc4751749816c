//! A part as the gate sees it: a process that is asked over its standard input what it has done.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};

use crate::count::Count;

/// The first argument of a process that is a part.
pub(crate) const VERB: &str = "part";

/// What a part can be asked; a line of JSON each, and so is the answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Question {
    /// How the count stands.
    Count,
    /// To count anew, with stacks, which go into this file.
    Profile(String),
    /// To write that file.
    EndProfile,
}

/// Which part of the path it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The tunnel's entrance.
    Relay,
    /// The tunnel's exit, with the proxy behind it.
    Agent,
    /// The proxy alone.
    Proxy,
}

impl Role {
    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Agent => "agent",
            Self::Proxy => "proxy",
        }
    }
}

/// A running part; it ends with this value.
#[derive(Debug)]
pub(crate) struct Part {
    /// Which one.
    pub(crate) role: Role,
    /// Where it listens; an agent does not.
    pub(crate) listen: Option<SocketAddr>,
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a part says when it is ready.
#[derive(Deserialize)]
struct Ready {
    listen: Option<SocketAddr>,
}

impl Part {
    /// Starts it and waits until it can be used.
    ///
    /// # Errors
    ///
    /// When it does not start; why stands on standard error.
    pub(crate) fn start(role: Role, config: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([VERB, role.name()])
            .arg(config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = child.stdin.take().context("no way to ask")?;
        let answers = child.stdout.take().context("no way to answer")?;
        let mut part = Self {
            role,
            listen: None,
            child,
            questions,
            answers: BufReader::new(answers),
        };
        let ready: Ready = part.answer()?;
        part.listen = ready.listen;
        Ok(part)
    }

    /// What it has done since it began.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn count(&mut self) -> anyhow::Result<Count> {
        self.ask(&Question::Count)?;
        self.answer()
    }

    /// Makes it count with stacks from now on.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn begin_profile(&mut self, file: &Path) -> anyhow::Result<()> {
        self.ask(&Question::Profile(file.display().to_string()))?;
        self.answer::<serde_json::Value>().map(drop)
    }

    /// Makes it write what it counted with stacks.
    ///
    /// # Errors
    ///
    /// When it has ended.
    pub(crate) fn end_profile(&mut self) -> anyhow::Result<()> {
        self.ask(&Question::EndProfile)?;
        self.answer::<serde_json::Value>().map(drop)
    }

    fn ask(&mut self, question: &Question) -> anyhow::Result<()> {
        let line = serde_json::to_string(question)?;
        writeln!(self.questions, "{line}").with_context(|| self.gone())
    }

    fn answer<A: serde::de::DeserializeOwned>(&mut self) -> anyhow::Result<A> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        ensure!(!line.is_empty(), self.gone());
        Ok(serde_json::from_str(&line)?)
    }

    fn gone(&self) -> String {
        format!("the {} has ended", self.role.name())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
