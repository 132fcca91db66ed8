//! Statements that ran in one database, from `pg_stat_statements`: the server's own count, not the subject's word.

use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

use crate::error::HarnessError;

/// Transaction control (BEGIN, COMMIT) is no query and is left out, also where the server tracks utility statements.
const CALLS: &str = "\
    SELECT coalesce(sum(s.calls), 0)::bigint \
    FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
    WHERE d.datname = $1 AND s.query !~* '^\\s*(begin|commit|rollback|savepoint|release|set|start transaction)'";

/// A connection of its own, to another database than the one counted.
pub(crate) struct Statements {
    connection: PgConnection,
    database: String,
}

impl Statements {
    pub(crate) async fn connect(admin_url: &str, database: &str) -> Result<Self, HarnessError> {
        let options: PgConnectOptions = admin_url.parse().map_err(HarnessError::internal)?;
        let connection = options.connect().await.map_err(|error| unavailable(&error))?;
        Ok(Self {
            connection,
            database: database.to_owned(),
        })
    }

    /// Statements since the database was made.
    pub(crate) async fn calls(&mut self) -> Result<u64, HarnessError> {
        let calls: i64 = sqlx::query_scalar(CALLS)
            .bind(&self.database)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(calls.unsigned_abs())
    }
}

fn unavailable(error: &sqlx::Error) -> HarnessError {
    HarnessError::Unavailable(format!(
        "probe of pg_stat_statements: {error}; the server needs shared_preload_libraries = 'pg_stat_statements' and \
         CREATE EXTENSION pg_stat_statements in the database of DATABASE_URL"
    ))
}
