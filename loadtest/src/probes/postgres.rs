//! One database as the server itself counts it: statements (`pg_stat_statements`), blocks, commits and deadlocks
//! (`pg_stat_database`), waits for locks.

use measure::metrics;
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};

use super::{Probe, sample::Sample};
use crate::error::HarnessError;

/// Transaction control (BEGIN, COMMIT) is no query and is left out, also where the server tracks utility statements.
/// Sessions are those of this moment; everything else is counted since the database was made.
const COUNTERS: &str = "\
    SELECT (SELECT coalesce(sum(s.calls), 0)::bigint FROM pg_stat_statements s WHERE s.dbid = d.datid \
              AND s.query !~* '^\\s*(begin|commit|rollback|savepoint|release|set|start transaction)') AS statements, \
           d.xact_commit + d.xact_rollback AS transactions, d.blks_read, d.blks_hit, d.deadlocks, \
           (SELECT count(*) FROM pg_stat_activity a \
             WHERE a.datid = d.datid AND a.wait_event_type = 'Lock') AS lock_waits, \
           (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.datid AND a.state = 'active') AS active \
    FROM pg_stat_database d WHERE d.datname = $1";

/// One moment of a database.
#[derive(sqlx::FromRow)]
struct Row {
    statements: i64,
    transactions: i64,
    blks_read: i64,
    blks_hit: i64,
    deadlocks: i64,
    lock_waits: i64,
    active: i64,
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
}

#[async_trait::async_trait]
impl Probe for Database {
    fn name(&self) -> &'static str {
        "postgres"
    }

    async fn read(&mut self, sample: &mut Sample) -> Result<(), HarnessError> {
        let row: Row = sqlx::query_as(COUNTERS)
            .bind(&self.database)
            .fetch_one(&mut self.connection)
            .await
            .map_err(|error| unavailable(&error))?;
        let counts = [
            (&metrics::DB_QUERIES_PER_REQUEST, row.statements),
            (&metrics::DB_QUERIES_PER_MINUTE, row.statements),
            (&metrics::DB_TRANSACTIONS_PER_S, row.transactions),
            (&metrics::DB_DEADLOCKS, row.deadlocks),
            (&metrics::DB_LOCK_WAITS, row.lock_waits),
            (&metrics::DB_ACTIVE_SESSIONS, row.active),
        ];
        for (metric, count) in counts {
            // A count below zero is none: the server's own statistics are damaged.
            if let Ok(count) = u64::try_from(count) {
                sample.count(metric, count);
            }
        }
        if let (Ok(hit), Ok(read)) = (u64::try_from(row.blks_hit), u64::try_from(row.blks_read)) {
            sample.part(&metrics::DB_BLOCK_HIT_RATIO, hit, hit + read);
        }
        Ok(())
    }
}

fn unavailable(error: &sqlx::Error) -> HarnessError {
    HarnessError::Probe(format!(
        "probe of Postgres: {error}; the server needs shared_preload_libraries = 'pg_stat_statements' and \
         CREATE EXTENSION pg_stat_statements in the database of DATABASE_URL"
    ))
}
