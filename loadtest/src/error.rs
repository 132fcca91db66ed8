//! What ends a command early, and the exit code that stands for it.

use measure::record::Verdict;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HarnessError {
    /// A wrong argument or a mistake in an input file. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A subject or a server of the stack could not be started, or went away. Exit code 3.
    #[error("{0}")]
    Unavailable(String),
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
            Self::Unavailable(_) => Verdict::Unavailable.exit_code(),
            Self::Interrupted => Verdict::Interrupted.exit_code(),
            Self::Internal(_) => 1,
        }
    }

    /// The verdict of the record that is kept in spite of this error.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Unavailable(_) => Verdict::Unavailable,
            Self::Interrupted => Verdict::Interrupted,
            Self::Usage(_) | Self::Internal(_) => Verdict::Invalid,
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
