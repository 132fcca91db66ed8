//! Failures between the service and its database, told so that the log line is enough.

use sqlx::migrate::MigrateError;

/// A failed conversation with the database. The text carries the cause, so it is not repeated as `source()`.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection could be opened.
    #[error("could not connect to Postgres at {address}: {cause}; check DATABASE_URL and that the server is up")]
    Connect {
        /// Host, port and database.
        address: String,
        /// Error of the Postgres client.
        cause: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("could not migrate the database: {0}; a database of a newer release needs that release")]
    Migrate(MigrateError),
    /// A statement failed.
    #[error("could not {doing}: {cause}")]
    Statement {
        /// Purpose of the statement, as a verb phrase.
        doing: &'static str,
        /// Error of the Postgres client.
        cause: sqlx::Error,
    },
    /// A value to be stored is not representable.
    #[error("could not encode {what}: {cause}")]
    Encode {
        /// Kind of the value.
        what: &'static str,
        /// Error of the encoder.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the database could not be reached in time, as opposed to having refused: a later attempt may succeed.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Connect { .. } => true,
            Self::Statement { cause, .. } => matches!(
                cause,
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed
            ),
            Self::Migrate(_) | Self::Encode { .. } => false,
        }
    }

    /// Name of the constraint that refused a row, if one did.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Statement {
                cause: sqlx::Error::Database(error),
                ..
            } => error.constraint(),
            _ => None,
        }
    }
}

/// Says what a statement was for.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|cause| StoreError::Statement { doing, cause })
    }
}
