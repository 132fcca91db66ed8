//! One database as the server itself counts it: statements (`pg_stat_statements`), blocks, commits and deadlocks
//! (`pg_stat_database`), waits for locks.

use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

use crate::error::HarnessError;

/// Transaction control (BEGIN, COMMIT) is no query and is left out, also where the server tracks utility statements.
/// Sessions that wait are counted as they are now; everything else since the database was made.
const COUNTERS: &str = "\
    SELECT (SELECT coalesce(sum(s.calls), 0)::bigint FROM pg_stat_statements s WHERE s.dbid = d.datid \
              AND s.query !~* '^\\s*(begin|commit|rollback|savepoint|release|set|start transaction)') AS statements, \
           d.xact_commit + d.xact_rollback AS transactions, d.blks_read, d.blks_hit, d.deadlocks, \
           (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.datid AND a.wait_event_type = 'Lock') AS lock_waits, \
           (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.datid AND a.state = 'active') AS active \
    FROM pg_stat_database d WHERE d.datname = $1";

/// One moment of a database.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(super) struct DatabaseReading {
    pub(super) statements: i64,
    pub(super) transactions: i64,
    pub(super) blks_read: i64,
    pub(super) blks_hit: i64,
    pub(super) deadlocks: i64,
    /// Sessions that wait for a lock.
    pub(super) lock_waits: i64,
    /// Sessions that run a statement.
    pub(super) active: i64,
}

/// A connection of its own, to another database than the one counted.
pub(super) struct Database {
    connection: PgConnection,
    database: String,
}

impl Database {
    pub(super) async fn connect(admin_url: &str, database: &str) -> Result<Self, HarnessError> {
        let options: PgConnectOptions = admin_url.parse().map_err(HarnessError::internal)?;
        let connection = options.connect().await.map_err(|error| unavailable(&error))?;
        Ok(Self {
            connection,
            database: database.to_owned(),
        })
    }

    pub(super) async fn read(&mut self) -> Result<DatabaseReading, HarnessError> {
        sqlx::query_as(COUNTERS)
            .bind(&self.database)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| unavailable(&error))
    }
}

fn unavailable(error: &sqlx::Error) -> HarnessError {
    HarnessError::Probe(format!(
        "probe of Postgres: {error}; the server needs shared_preload_libraries = 'pg_stat_statements' and \
         CREATE EXTENSION pg_stat_statements in the database of DATABASE_URL"
    ))
}
