//! An error with its causes, for the one place that tells of it.

use std::error::Error;
use std::fmt;

/// Shows an error and all its causes on one line, the error first.
///
/// No message of this program repeats its cause, and a log in JSON writes down an error's own message
/// alone: whoever logs or prints an error shows it with this.
#[derive(Debug, Clone, Copy)]
pub struct WithCauses<'a>(pub &'a dyn Error);

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::ParseIntError;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no port")]
    struct NoPort(#[source] ParseIntError);

    #[derive(Debug, thiserror::Error)]
    #[error("no address")]
    struct NoAddress(#[source] NoPort);

    #[test]
    fn every_cause_is_shown_and_the_error_first() {
        let error = NoAddress(NoPort("x".parse::<u16>().unwrap_err()));
        assert_eq!(
            WithCauses(&error).to_string(),
            "no address: no port: invalid digit found in string"
        );
        assert_eq!(
            WithCauses(&error.0.0).to_string(),
            "invalid digit found in string"
        );
    }
}
