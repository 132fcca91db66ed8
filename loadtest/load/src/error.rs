//! Why a load could not be driven.

/// Why a load could not be driven; what the subject answers to it is counted, never an error.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A setup request failed: the subject's fault.
    #[error("{0}")]
    Setup(String),
    /// The generator itself could not run.
    #[error(transparent)]
    Internal(#[from] anyhow::Error),
}

impl LoadError {
    /// A [`LoadError::Internal`] from another error.
    pub(crate) fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self::Internal(cause.into())
    }
}
