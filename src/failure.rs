//! How a verb can end badly, and the exit code a script sees.

use std::process::ExitCode;

use gangplank_config::{Fault, Faults};

/// Why the program gives up.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What a person wrote cannot be meant: exit code 2, nothing was started.
    Configuration(Faults),
    /// An argument cannot be used: exit code 2, as clap's own refusals.
    Usage(String),
    /// It was understood but could not be done: exit code 1.
    Running(anyhow::Error),
}

/// What a verb answers.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// The code of the process: 2 where the input is at fault, 1 where the world is.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Configuration(_) | Self::Usage(_) => ExitCode::from(2),
            Self::Running(_) => ExitCode::from(1),
        }
    }

    /// What is printed for the person: one line a fault, the whole cause chain once.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Configuration(faults) => {
                let lines: Vec<String> = faults
                    .iter()
                    .map(|fault| format!("gangplank: {fault}"))
                    .collect();
                lines.join("\n")
            }
            Self::Usage(message) => format!("gangplank: {message}"),
            Self::Running(error) => format!("gangplank: {error:#}"),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Configuration(fault.into())
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Configuration(faults)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Running(error)
    }
}
