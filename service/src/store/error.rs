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
    /// The last statements of this purpose waited for a lock, or took too long, until they were given up: until one
    /// gets through again, others of the purpose are not tried, so that they do not take all connections.
    #[error("{doing} is given up on for the moment: the last attempts took too long")]
    Stuck {
        /// Name of what is not tried.
        doing: &'static str,
    },
    /// Statements of one connection end up in several sessions.
    #[error(
        "the database behind {address} is pooled by transaction (pgbouncer?): prepared statements and time limits of a \
         session get lost there; give DATABASE_URL a pool in session mode (pool_mode = session), or Postgres itself"
    )]
    PooledByTransaction {
        /// Host, port and database.
        address: String,
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
            Self::Connect { .. } | Self::Stuck { .. } => true,
            Self::Statement { cause, .. } => match cause {
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
                sqlx::Error::Database(refusal) => refusal.code().is_some_and(|code| passes(&code)),
                _ => false,
            },
            Self::PooledByTransaction { .. } | Self::Migrate(_) | Self::Encode { .. } => false,
        }
    }

    /// Whether a statement was given up because it waited for a lock, or took too long.
    pub(super) fn is_overdue(&self) -> bool {
        match self {
            Self::Statement {
                cause: sqlx::Error::Database(refusal),
                ..
            } => refusal.code().is_some_and(|code| OVERDUE.contains(&&*code)),
            _ => false,
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

/// SQLSTATEs of what waited for a lock, or took too long: `lock_not_available`, `query_canceled`.
const OVERDUE: [&str; 2] = ["55P03", "57014"];

/// Whether Postgres refused for a reason that passes by itself (PostgreSQL, appendix A): it shuts down or starts up
/// (57P), has no connection or memory to give (53), was overdue, or two transactions were in each other's way (40).
fn passes(code: &str) -> bool {
    code.starts_with("57P") || code.starts_with("53") || code.starts_with("40") || OVERDUE.contains(&code)
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
