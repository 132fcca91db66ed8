//! Errors that end a command early, and the exit code that stands for each.

use measure::{judge::Ending, record::Verdict};

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HarnessError {
    /// A wrong argument or a mistake in an input file. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A subject could not be found, built, prepared or started, or went away. Exit code 3.
    #[error("{0}")]
    Subject(String),
    /// A server of the stack could not be started, or did not do what it was asked. Exit code 3.
    #[error("{0}")]
    Server(String),
    /// A probe could not read what it watches. Exit code 3.
    #[error("{0}")]
    Probe(String),
    /// Stopped by Ctrl-C or SIGTERM. Exit code 130.
    #[error("interrupted")]
    Interrupted,
    /// Anything the user cannot mend. Exit code 1.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

impl HarnessError {
    /// The exit code of docs/ARCHITECTURE.md that stands for this error.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Internal(_) => 1,
            _ => self.verdict().exit_code(),
        }
    }

    fn verdict(&self) -> Verdict {
        match self {
            Self::Subject(_) | Self::Server(_) | Self::Probe(_) => Verdict::Unavailable,
            Self::Interrupted => Verdict::Interrupted,
            Self::Usage(_) | Self::Internal(_) => Verdict::Invalid,
        }
    }

    /// How a run ends that this error stops.
    pub(crate) fn ending(&self) -> Ending {
        Ending::Stopped {
            verdict: self.verdict(),
            exit_code: self.exit_code(),
            why: self.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// An [`HarnessError::Usage`] from anything that prints.
    pub(crate) fn usage(problem: impl std::fmt::Display) -> Self {
        Self::Usage(problem.to_string())
    }

    /// An [`HarnessError::Internal`] from another error.
    pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::Internal(cause.into())
    }
}

impl From<load::LoadError> for HarnessError {
    fn from(error: load::LoadError) -> Self {
        match error {
            load::LoadError::Setup(what) => Self::Subject(what),
            load::LoadError::Internal(cause) => Self::Internal(cause),
        }
    }
}

impl From<stack::StackError> for HarnessError {
    fn from(error: stack::StackError) -> Self {
        Self::Server(error.to_string())
    }
}
