//! Why an object could not be brought about now, although nothing is wrong with the object.

use gangplank_pki::issue::IssueFault;

/// What keeps the controller from its work for the moment. It tries again, later and later.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The API server did not do what was asked of it.
    #[error("the API server refused or could not be reached")]
    Api(#[from] kube::Error),
    /// Somebody else changed the same object at the same time.
    #[error("{what} was changed by somebody else meanwhile")]
    Overtaken {
        /// Which object.
        what: String,
    },
    /// No certificate came about.
    #[error(transparent)]
    Issue(#[from] IssueFault),
    /// An object of this installation does not hold what it must.
    #[error("{what} cannot be used: {why}; {remedy}")]
    Spoilt {
        /// Which object.
        what: String,
        /// What is wrong with it.
        why: String,
        /// What to do about it.
        remedy: &'static str,
    },
}

impl Trouble {
    /// The kind of trouble, for conditions and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Api(kube::Error::Api(status)) if status.code == 403 => "Forbidden",
            Self::Api(kube::Error::Api(_)) => "ApiServerRefused",
            Self::Api(_) => "ApiServerAway",
            Self::Overtaken { .. } => "Overtaken",
            Self::Issue(fault) => fault.reason(),
            Self::Spoilt { .. } => "Spoilt",
        }
    }

    /// What was said about it, with its causes.
    pub fn told(&self) -> String {
        with_causes(self)
    }
}

/// What an error says, and all that caused it, each once.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !told.contains(&said) {
            told.push_str(": ");
            told.push_str(&said);
        }
        cause = error.source();
    }
    told
}
