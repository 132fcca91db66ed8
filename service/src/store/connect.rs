//! Connections: the pool of requests, the one of probes, and what is refused before either is opened.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor as _, PgConnection, PgPool, Row as _};
use tokio::time::timeout;

use super::StoreError;
use super::ask::Ask as _;
use crate::config::DatabaseConfig;

/// What the connections of a running service are called in `pg_stat_activity`.
pub(super) const SERVICE_NAME: &str = "insurance-service";
/// How long a request waits for a free connection before it fails: longer than any healthy statement takes, short
/// enough that the client has not yet given up.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for a probe, which is asked again soon.
const PROBE_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the look for a pooler may take: ten statements that touch no table.
const POOLER_PATIENCE: Duration = Duration::from_secs(10);

/// Opens a pool of at most `pool_size` connections, the first of them at once. Its statements may take as long as they
/// take: for migrations and bulk loads.
pub async fn connect(url: &str, pool_size: u32) -> Result<PgPool, StoreError> {
    let options = parse(url)?;
    let address = address(&options);
    let pool = pool_of(pool_size).connect_with(options).await;
    pool.map_err(|cause| StoreError::Connect { address, cause })
}

/// As [`connect`], of one connection and with the password of the configuration.
pub async fn connect_unbounded(config: &DatabaseConfig) -> Result<PgPool, StoreError> {
    let options = options(config)?;
    let address = address(&options);
    let pool = pool_of(config.pool_size).connect_with(options).await;
    pool.map_err(|cause| StoreError::Connect { address, cause })
}

/// Opens the pool of a service, the first of its connections at once. A statement is given up when it has waited for a
/// lock, or has taken, for as long as the configuration says.
pub async fn open(config: &DatabaseConfig) -> Result<PgPool, StoreError> {
    let options = options(config)?;
    let address = address(&options);
    // Not as options of the start-up message, which poolers refuse or forget.
    let limits = format!(
        "SET lock_timeout = {}; SET statement_timeout = {}",
        config.lock_timeout.as_millis(),
        config.statement_timeout.as_millis()
    );
    let options = options.application_name(SERVICE_NAME);
    let limited = pool_of(config.pool_size).after_connect(move |connection, _| {
        let limits = limits.clone();
        Box::pin(async move {
            connection.execute(sqlx::raw_sql(AssertSqlSafe(limits))).await?;
            Ok(())
        })
    });
    let pool = limited.connect_with(options).await;
    pool.map_err(|cause| StoreError::Connect { address, cause })
}

/// Asks how the database is, by a connection of its own: one that a request holds while it waits for a lock is none
/// that could tell.
#[derive(Debug, Clone)]
pub struct DatabaseProbe {
    pool: PgPool,
}

/// Rows that wait in the outboxes.
#[derive(Debug, Clone, Copy, PartialEq, sqlx::FromRow)]
pub struct Waiting {
    /// Events that are not published; counted to [`WAITING_COUNTED_MAX`].
    pub events: i64,
    /// Age of the oldest of them, in seconds; 0 without any.
    pub oldest_event_s: f64,
    /// Invalidations that are not confirmed; counted to [`WAITING_COUNTED_MAX`].
    pub invalidations: i64,
    /// Age of the oldest of them, in seconds; 0 without any.
    pub oldest_invalidation_s: f64,
}

/// Rows are counted so far: a scrape must not get slower with what it warns of.
pub const WAITING_COUNTED_MAX: i64 = 10_000;

impl DatabaseProbe {
    /// Of this database. Connects when it is first asked, and keeps the connection.
    pub fn new(config: &DatabaseConfig) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(PROBE_ACQUIRE_TIMEOUT)
            .connect_lazy_with(options(config)?.application_name("insurance-service probe"));
        Ok(Self { pool })
    }

    /// Whether the database answers. The caller bounds the time.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").run(&self.pool, "ping the database").await
    }

    /// What waits in the outboxes. The caller bounds the time.
    pub async fn waiting(&self) -> Result<Waiting, StoreError> {
        sqlx::query(
            "SELECT (SELECT count(*) FROM (SELECT FROM event_outbox LIMIT $1) e) AS events,
                    coalesce(extract(epoch FROM now() - (SELECT created_at FROM event_outbox ORDER BY id LIMIT 1)),
                             0)::float8 AS oldest_event_s,
                    (SELECT count(*) FROM (SELECT FROM cache_outbox WHERE done_at IS NULL LIMIT $1) i) AS invalidations,
                    coalesce(extract(epoch FROM now() - (SELECT created_at FROM cache_outbox WHERE done_at IS NULL
                                                          ORDER BY id LIMIT 1)), 0)::float8 AS oldest_invalidation_s",
        )
        .bind(WAITING_COUNTED_MAX)
        .one(&self.pool, "count what waits in the outboxes")
        .await
    }

    /// Closes its connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Refuses a pool in transaction mode: there, what one connection prepares or sets is another session's a moment
/// later, and requests fail at random.
///
/// Two connections are asked for the number of the server's process behind them, in an order that makes a pooler hand
/// one's process to the other: behind a connection of its own it never changes.
pub async fn refuse_transaction_pooling(config: &DatabaseConfig) -> Result<(), StoreError> {
    let options = options(config)?;
    let address = address(&options);
    let looked = timeout(POOLER_PATIENCE, is_pooled_by_transaction(&options)).await;
    match looked {
        Ok(Ok(false)) => Ok(()),
        Ok(Err(cause)) => Err(StoreError::Connect { address, cause }),
        // A pool of a single process lets the second wait for the first.
        Ok(Ok(true)) | Err(_) => Err(StoreError::PooledByTransaction { address }),
    }
}

async fn is_pooled_by_transaction(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let (mut one, mut other) = (options.connect().await?, options.connect().await?);
    one.execute("BEGIN").await?;
    let behind_one = process(&mut one).await?;
    let behind_other = process(&mut other).await?;
    // The process behind `one` becomes free, and is the one that was used last.
    one.execute("COMMIT").await?;
    let mut moved = behind_one == behind_other;
    for _ in 0..3 {
        other.execute("BEGIN").await?;
        moved |= process(&mut other).await? != behind_other;
        other.execute("COMMIT").await?;
    }
    one.close().await?;
    other.close().await?;
    Ok(moved)
}

/// By the simple protocol, which prepares nothing.
async fn process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row = connection.fetch_one("SELECT pg_backend_pid()").await?;
    row.try_get(0)
}

fn options(config: &DatabaseConfig) -> Result<PgConnectOptions, StoreError> {
    let options = parse(config.url.reveal())?;
    Ok(match &config.password {
        Some(password) => options.password(password.reveal()),
        None => options,
    })
}

fn parse(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|cause| StoreError::Connect {
        address: "the given URL".to_owned(),
        cause,
    })?;
    // Formatting each statement for a log that nobody reads costs more than a cached answer.
    Ok(options
        .application_name("insurance-service tools")
        .disable_statement_logging())
}

fn pool_of(pool_size: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(pool_size)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // A round trip per request to ask whether the connection lives; a dead one shows itself by its first statement.
        .test_before_acquire(false)
}

/// Host, port and database, never user and password.
fn address(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_default();
    format!("{}:{}/{database}", options.get_host(), options.get_port())
}

/// Brings the schema up to date. Safe to call from several replicas at once (an advisory lock queues them).
pub async fn migrate(pool: &PgPool) -> Result<(), StoreError> {
    sqlx::migrate!("./migrations")
        .run(pool)
        .await
        .map_err(StoreError::Migrate)
}
