//! A server shared by the tests that run at the same time, and a database of its own for each test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use insurance_service::codec::Format;
use insurance_service::domain::events::EventId;
use insurance_service::domain::ids::DriverId;
use insurance_service::domain::trips::{EventCounts, NewTrip};
use insurance_service::seed::{self, SeedOptions};
use insurance_service::store::{self, CurrentRisk, Phase1Store, Store, Today, TunedStore, Versioned, Writer};
use sqlx::PgPool;
use stack::wait::Patience;
use stack::{Postgres, StackOptions};
use tokio::sync::Mutex;

/// Drivers of a seeded database.
pub(crate) const DRIVERS: u32 = 300;
const POOL_SIZE: u32 = 8;

/// Held weakly: a static is never dropped, so that the last test to end must be the one that stops the server.
static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// The day of the seeded portfolio.
pub(crate) fn as_of() -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 7, 1).expect("a date")
}

pub(crate) fn options(drivers: u32) -> SeedOptions {
    SeedOptions {
        drivers,
        seed: 42,
        as_of: as_of(),
    }
}

struct Server {
    postgres: Postgres,
    /// A seeded database to copy.
    template: String,
}

impl Server {
    async fn start() -> Self {
        let options = StackOptions::from_env().expect("a valid stack environment");
        let postgres = Postgres::start(&options).await.expect("a Postgres server");
        let template = unique("template");
        postgres.create_database(&template).await.expect("a database");
        let pool = store::connect(&postgres.url(&template), POOL_SIZE)
            .await
            .expect("a pool");
        store::migrate(&pool).await.expect("the schema");
        seed::run(&pool, &self::options(DRIVERS), |_| {})
            .await
            .expect("a portfolio");
        pool.close().await;
        Self { postgres, template }
    }

    async fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&started);
        started
    }
}

fn unique(name: &str) -> String {
    format!(
        "store_{name}_{}_{}",
        std::process::id(),
        DATABASES.fetch_add(1, Ordering::Relaxed)
    )
}

/// A database of this test alone, and both stores and the writer on it.
pub(crate) struct Fixture {
    pub(crate) pool: PgPool,
    pub(crate) phase1: Phase1Store,
    pub(crate) tuned: TunedStore,
    /// Notes invalidations of tags that are called after kind and driver.
    pub(crate) writer: Writer,
    pub(crate) database: String,
    server: Arc<Server>,
}

impl Fixture {
    /// With the schema and no rows.
    pub(crate) async fn migrated() -> Self {
        let server = Server::shared().await;
        let database = unique("empty");
        server.postgres.create_database(&database).await.expect("a database");
        let fixture = Self::on(server, database).await;
        store::migrate(&fixture.pool).await.expect("the schema");
        fixture
    }

    /// With the portfolio of [`options`]`(DRIVERS)`.
    pub(crate) async fn seeded() -> Self {
        let server = Server::shared().await;
        let database = unique("seeded");
        server
            .postgres
            .clone_database(&server.template, &database)
            .await
            .expect("a copy");
        Self::on(server, database).await
    }

    async fn on(server: Arc<Server>, database: String) -> Self {
        let pool = store::connect(&server.postgres.url(&database), POOL_SIZE)
            .await
            .expect("a pool");
        let today = Today::Fixed(as_of());
        let phase1 = Phase1Store::new(pool.clone()).with_today(today);
        let tuned = TunedStore::new(pool.clone()).with_today(today);
        Self {
            writer: Writer::new(
                pool.clone(),
                Format::Protobuf,
                Some(|kind, id| vec![format!("{kind}:{id}")]),
            ),
            pool,
            phase1,
            tuned,
            database,
            server,
        }
    }

    /// Another pool on the same database, of a single connection.
    pub(crate) async fn pool_of_one(&self) -> PgPool {
        store::connect(&self.server.postgres.url(&self.database), 1)
            .await
            .expect("a pool")
    }

    /// A pool on the maintenance database, from which this one can be watched without being disturbed.
    pub(crate) async fn admin(&self) -> PgPool {
        store::connect(&self.server.postgres.admin_url(), 1)
            .await
            .expect("a pool")
    }

    /// Returns once a session on this database is waiting for another's lock.
    pub(crate) async fn until_somebody_waits_for_a_lock(&self) {
        let admin = self.admin().await;
        let mut patience = Patience::new(Duration::from_secs(10));
        loop {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock'",
            )
            .bind(&self.database)
            .fetch_one(&admin)
            .await
            .expect("the sessions");
            if waiting > 0 {
                return;
            }
            patience.pause().await.expect("somebody waiting for a lock");
        }
    }

    /// One number, of whatever is asked.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("a number")
    }
}

/// Noon of the portfolio's day.
pub(crate) fn noon() -> DateTime<Utc> {
    as_of().and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(12)
}

/// A trip with events of every kind, partly at night.
pub(crate) fn trip() -> NewTrip {
    NewTrip {
        started_at: noon(),
        duration_s: 1_800,
        distance_m: 20_123,
        night_share_pct: 37,
        events: EventCounts {
            speeding: 3,
            harsh_braking: 2,
            harsh_acceleration: 1,
            harsh_cornering: 1,
        },
    }
}

/// Has the driver scored anew, as an event does; gives the score. `None`: there is no such driver.
pub(crate) async fn rescore(store: &dyn Store, id: DriverId) -> Option<Versioned<CurrentRisk>> {
    store.take_in(&[(EventId::of_now(), id)]).await.expect("taken in");
    store.current_risk(id).await.expect("a score")
}

pub(crate) const NOBODY: DriverId = DriverId(1_000_000_000);
