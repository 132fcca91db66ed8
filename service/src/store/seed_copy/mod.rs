//! Filling an empty database by COPY, in one transaction: it is either filled whole or left as it was.
//!
//! Foreign keys and secondary indexes are taken down first and put up again over the finished rows, several times
//! faster than keeping them row by row; their definitions are asked of the catalogue, so that no migration is repeated
//! here. The tables are truncated in the same transaction, which allows COPY to write rows that are already frozen and
//! pages that are already known to be visible: readers of the filled database, and of its copies, have nothing left to
//! tidy up. What the rows say is the business of [`seed`](crate::seed).

mod rows;
mod tables;

use sqlx::{AssertSqlSafe, FromRow, PgPool, Postgres, Transaction};

use super::StoreError;
use super::ask::Ask as _;
use super::connect::SERVICE_NAME;
use super::error::Doing as _;
pub(crate) use rows::Rows;
pub(crate) use tables::{
    CLAIM_TOTALS, CLAIMS, DAYS, DRIVERS, EVENTS, EXPOSURES, POLICIES, SCORES, SHARD_TOTALS, TRIPS, USERS, VEHICLES,
};

/// Every table that a load fills. All must be named at once, because they refer to each other.
const CLEAR: &str = "TRUNCATE drivers, vehicles, policies, trips, safety_events, claims, risk_scores, driver_exposure,
                              portfolio_shards, portfolio_daily, portfolio_claims, event_outbox, event_inbox,
                              cache_outbox, trip_requests, token_revocations, users
                     RESTART IDENTITY";

/// Secondary indexes and foreign keys, with the statements that take them down and put them up again: indexes before
/// foreign keys.
const SECONDARY: &str = "
SELECT format('DROP INDEX %s', indexrelid::regclass) AS take_down, pg_get_indexdef(indexrelid) AS put_up, 1 AS step
  FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
 WHERE relnamespace = current_schema()::regnamespace
   AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype <> 'f')
UNION ALL
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)), 2
  FROM pg_constraint
 WHERE contype = 'f' AND connamespace = current_schema()::regnamespace
 ORDER BY step, put_up";

/// Numbers that were given by the load itself must not be given again.
const ADVANCE_IDENTITIES: &str = "
SELECT setval(pg_get_serial_sequence('drivers', 'id'), max(drivers.id)),
       (SELECT setval(pg_get_serial_sequence('vehicles', 'id'), max(vehicles.id)) FROM vehicles)
  FROM drivers";

#[derive(FromRow)]
struct Secondary {
    take_down: String,
    put_up: String,
}

/// A load in progress. Dropping it leaves the database as it was.
pub(crate) struct Load {
    tx: Transaction<'static, Postgres>,
    secondary: Vec<Secondary>,
}

impl Load {
    /// Begins a load and keeps every other load waiting until this one ends.
    pub(crate) async fn begin(pool: &PgPool) -> Result<Self, StoreError> {
        let mut tx = pool.begin().await.doing("begin loading a portfolio")?;
        sqlx::query("LOCK TABLE drivers IN ACCESS EXCLUSIVE MODE")
            .run(&mut *tx, "lock the drivers (has the database been migrated?)")
            .await?;
        Ok(Self {
            tx,
            secondary: Vec::new(),
        })
    }

    /// Drivers that are there already.
    pub(crate) async fn drivers(&mut self) -> Result<i64, StoreError> {
        sqlx::query("SELECT count(*) FROM drivers")
            .value(&mut *self.tx, "count the drivers")
            .await
    }

    /// Empties all tables and takes down what would slow the load. The caller has checked that nobody's rows are lost.
    pub(crate) async fn prepare(&mut self) -> Result<(), StoreError> {
        self.secondary = sqlx::query(SECONDARY)
            .all(&mut *self.tx, "list indexes and foreign keys")
            .await?;
        sqlx::query(CLEAR).run(&mut *self.tx, "empty the tables").await?;
        let take_down: Vec<_> = self.secondary.iter().map(|one| one.take_down.as_str()).collect();
        self.run_all(take_down.join(";\n"), "take down indexes and foreign keys")
            .await
    }

    /// Appends rows to their table.
    pub(crate) async fn copy(&mut self, rows: Rows) -> Result<(), StoreError> {
        let table = rows.table();
        let bytes = rows.into_bytes()?;
        let mut copy = self.tx.copy_in_raw(table.copy).await.doing(table.doing)?;
        copy.send(bytes).await.doing(table.doing)?;
        copy.finish().await.doing(table.doing)?;
        Ok(())
    }

    /// How many indexes and foreign keys [`finish`](Self::finish) will put up.
    pub(crate) fn secondary(&self) -> usize {
        self.secondary.len()
    }

    /// Notes that answers with one of `tags` have ended: `always`, or if a service is connected to this database.
    pub(crate) async fn end_cached(&mut self, tags: Vec<String>, always: bool) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO cache_outbox (tags)
             SELECT $1 WHERE $2 OR EXISTS (SELECT FROM pg_stat_activity
                                            WHERE datname = current_database() AND application_name = $3)",
        )
        .bind(tags)
        .bind(always)
        .bind(SERVICE_NAME)
        .run(&mut *self.tx, "end what is cached of the empty database")
        .await
    }

    /// Puts up what was taken down, gathers statistics for the planner, and commits.
    pub(crate) async fn finish(mut self) -> Result<(), StoreError> {
        let put_up: Vec<_> = self.secondary.iter().map(|one| one.put_up.as_str()).collect();
        let put_up = put_up.join(";\n");
        self.run_all(
            "SET LOCAL maintenance_work_mem = '256MB'".to_owned(),
            "make room for building indexes",
        )
        .await?;
        self.run_all(put_up, "put up indexes and foreign keys").await?;
        sqlx::query(ADVANCE_IDENTITIES)
            .run(&mut *self.tx, "advance the numbers given to rows")
            .await?;
        self.run_all("ANALYZE".to_owned(), "gather statistics").await?;
        self.tx.commit().await.doing("commit the portfolio")
    }

    /// Runs statements that were made of the catalogue's own words, never of input.
    async fn run_all(&mut self, statements: String, doing: &'static str) -> Result<(), StoreError> {
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut *self.tx)
            .await
            .doing(doing)?;
        Ok(())
    }
}
