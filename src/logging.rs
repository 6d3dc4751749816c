//! Log lines: text for people on a terminal, one JSON object a line otherwise. Always to standard error.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::time::SystemTime;

use crate::failure::Failure;

/// How the lines look, after `auto` was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people; colours where the terminal has them and `NO_COLOR` is not set.
    Text,
    /// For collectors.
    Json,
}

impl Format {
    /// What `auto` means here: text where a person reads standard error.
    pub(crate) fn fitting_stderr() -> Self {
        if stderr().is_terminal() {
            Self::Text
        } else {
            Self::Json
        }
    }
}

/// A word alone that is no level names a module for tracing-subscriber, and silences all others: a
/// slip such as `infos` would leave no log at all.
fn word_that_is_no_level(filter: &str) -> Option<&str> {
    // Within brackets commas part fields, not directives.
    if filter.contains('[') {
        return None;
    }
    filter
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty() && !word.contains('='))
        .find(|word| word.parse::<LevelFilter>().is_err())
}

/// Installs the process's one subscriber.
///
/// # Errors
///
/// When `filter` is not a filter of tracing-subscriber's syntax, or has a word that is no level.
pub(crate) fn start(format: Format, filter: &str) -> Result<(), Failure> {
    if let Some(word) = word_that_is_no_level(filter) {
        return Err(Failure::Usage(format!(
            "log level `{word}` is none of `error`, `warn`, `info`, `debug`, `trace` and `off`; \
             for one module write `{word}=debug`"
        )));
    }
    let parsed = EnvFilter::try_new(filter).map_err(|error| {
        Failure::Usage(format!(
            "log level `{filter}` is not a filter ({error}); write `info`, or `debug,hyper=warn`"
        ))
    })?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_timer(SystemTime)
        .with_writer(stderr);
    let installed = match format {
        Format::Text => {
            let colours = stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            lines.with_ansi(colours).with_target(false).try_init()
        }
        Format::Json => lines
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
    };
    installed
        .map_err(|error| Failure::Running(anyhow::anyhow!("the log could not be started: {error}")))
}
