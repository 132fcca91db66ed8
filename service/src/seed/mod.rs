//! A portfolio made up from a seed: the data set that load is put on.
//!
//! It is skewed as real portfolios are, because caches, indexes and queries behave differently on uniform data; each
//! module names the sources of its formulas. Their parameters are chosen to resemble such portfolios and to give the
//! volumes that the measurements need (per 10,000 drivers some 12,000 vehicles, 400,000 trips in a year and 1,000,000
//! safety events); they are not estimates from real data.
//!
//! The same options always give the same rows, to the byte, on one platform (the logarithms and powers in the formulas
//! may differ in the last bit between platforms). Numbers are given in order of joining, so drivers with low numbers
//! have been insured for longer and have more trips and claims on average.
//!
//! How rows get into the database belongs to the store; here they are only made.

mod calendar;
mod claims;
mod draws;
mod driving;
mod people;
mod portfolio;
mod totals;
mod users;

use std::time::{Duration, Instant};

use chrono::NaiveDate;
use futures_util::future::LocalBoxFuture;
use sqlx::PgPool;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use crate::store::StoreError;
use crate::store::seed_copy::{CLAIM_TOTALS, DAYS, Load, Rows, SHARD_TOTALS, USERS};
use portfolio::{Chunk, Generator};
use totals::Totals;

/// Drivers generated and loaded at a time: some 3 MB of rows, so that memory does not grow with the portfolio.
const CHUNK_DRIVERS: u32 = 250;
/// Chunks that may wait for the database: one being made while one is being loaded keeps both busy.
const CHUNKS_WAITING: usize = 2;
/// Progress lines of a load.
const PROGRESS_LINES: u32 = 10;

/// Options that determine a portfolio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedOptions {
    /// Number of drivers, at least 1; their ids are 1 to this.
    pub drivers: u32,
    /// Seed of all random numbers.
    pub seed: u64,
    /// The day at whose beginning (UTC) the portfolio is shown: trips fill the 365 days before it.
    pub as_of: NaiveDate,
}

/// Rows that were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SeedReport {
    /// Drivers.
    pub drivers: u64,
    /// Vehicles, each with a policy.
    pub vehicles: u64,
    /// Trips.
    pub trips: u64,
    /// Safety events on the trips.
    pub safety_events: u64,
    /// Claims.
    pub claims: u64,
    /// Wall time of the whole load.
    pub elapsed: Duration,
}

/// Why there is no portfolio. The database is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Nothing to make.
    #[error("a portfolio needs at least one driver: give --drivers 1 or more")]
    NoDrivers,
    /// The database is in use.
    #[error("the database already holds {drivers} drivers; seed an empty, migrated database instead")]
    NotEmpty {
        /// Drivers found.
        drivers: i64,
    },
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A password could not be hashed.
    #[error("could not hash the password of a seeded user: {0}")]
    Password(argon2::password_hash::Error),
    /// Making the rows failed.
    #[error("the generator of the portfolio ended early: {0}")]
    Generator(JoinError),
}

/// Fills an empty, migrated database; `progress` is given a line now and then. Services that run on it are told to
/// forget what they have cached of the empty one.
pub async fn run(
    pool: &PgPool,
    options: &SeedOptions,
    mut progress: impl FnMut(&str),
) -> Result<SeedReport, SeedError> {
    fill(pool, options, Cached::WhereServicesRun, &mut progress).await
}

/// As [`run`], also when no service runs: for a database whose service has run, and has left answers in Redis.
pub async fn run_beside_redis(
    pool: &PgPool,
    options: &SeedOptions,
    mut progress: impl FnMut(&str),
) -> Result<SeedReport, SeedError> {
    fill(pool, options, Cached::Always, &mut progress).await
}

/// When cached answers are ended by a note in the outbox, which the next service to look there takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cached {
    WhereServicesRun,
    Always,
}

/// Boxed, so that the load is compiled once, here, and not again into every executable that seeds.
fn fill<'f>(
    pool: &'f PgPool,
    options: &'f SeedOptions,
    cached: Cached,
    progress: &'f mut dyn FnMut(&str),
) -> LocalBoxFuture<'f, Result<SeedReport, SeedError>> {
    Box::pin(async move {
        let started = Instant::now();
        let mut load = begin(pool, options).await?;
        progress(&format!(
            "seeding {} drivers (seed {}, as of {})",
            options.drivers, options.seed, options.as_of
        ));
        let (chunks, generator) = generate(*options);
        let mut report = load_chunks(&mut load, chunks, options.drivers, progress).await?;
        let totals = generator.await.map_err(SeedError::Generator)?;
        load.copy(Rows::collect(&SHARD_TOTALS, &totals.shards)).await?;
        load.copy(Rows::collect(&CLAIM_TOTALS, &totals.claims)).await?;
        load.copy(Rows::collect(&DAYS, totals.days())).await?;
        load.copy(Rows::collect(&USERS, users::rows(options.seed)?)).await?;
        progress(&format!("putting up {} indexes and foreign keys", load.secondary()));
        let everything = vec![tiered_cache::Tag::all().name().to_owned()];
        load.end_cached(everything, cached == Cached::Always).await?;
        load.finish().await?;
        report.elapsed = started.elapsed();
        progress(&format!("done in {:.1} s", report.elapsed.as_secs_f64()));
        Ok(report)
    })
}

async fn begin(pool: &PgPool, options: &SeedOptions) -> Result<Load, SeedError> {
    if options.drivers == 0 {
        return Err(SeedError::NoDrivers);
    }
    let mut load = Load::begin(pool).await?;
    match load.drivers().await? {
        0 => load.prepare().await?,
        drivers => return Err(SeedError::NotEmpty { drivers }),
    }
    Ok(load)
}

/// Makes chunks on a thread of its own. It ends when all are made, or when nobody receives them any more.
fn generate(options: SeedOptions) -> (mpsc::Receiver<Chunk>, JoinHandle<Totals>) {
    let (sender, receiver) = mpsc::channel(CHUNKS_WAITING);
    let generator = tokio::task::spawn_blocking(move || {
        let mut generator = Generator::new(options);
        for first in (1..=options.drivers).step_by(CHUNK_DRIVERS as usize) {
            let last = options.drivers.min(first.saturating_add(CHUNK_DRIVERS - 1));
            if sender.blocking_send(generator.chunk(first..=last)).is_err() {
                break;
            }
        }
        generator.into_totals()
    });
    (receiver, generator)
}

async fn load_chunks(
    load: &mut Load,
    mut chunks: mpsc::Receiver<Chunk>,
    drivers: u32,
    progress: &mut dyn FnMut(&str),
) -> Result<SeedReport, SeedError> {
    let mut report = SeedReport::default();
    let step = u64::from(drivers.div_ceil(PROGRESS_LINES));
    let mut next_line = step;
    while let Some(chunk) = chunks.recv().await {
        count(&mut report, &chunk);
        load_chunk(load, chunk).await?;
        if report.drivers >= next_line {
            next_line = report.drivers + step;
            progress(&line(&report, drivers));
        }
    }
    Ok(report)
}

fn line(report: &SeedReport, drivers: u32) -> String {
    let SeedReport {
        drivers: done,
        trips,
        safety_events,
        claims,
        ..
    } = report;
    format!("{done}/{drivers} drivers: {trips} trips, {safety_events} safety events, {claims} claims")
}

fn count(report: &mut SeedReport, chunk: &Chunk) {
    report.drivers += chunk.drivers.count();
    report.vehicles += chunk.vehicles.count();
    report.trips += chunk.trips.count();
    report.safety_events += chunk.events.count();
    report.claims += chunk.claims.count();
}

async fn load_chunk(load: &mut Load, chunk: Chunk) -> Result<(), StoreError> {
    load.copy(chunk.drivers).await?;
    load.copy(chunk.vehicles).await?;
    load.copy(chunk.policies).await?;
    load.copy(chunk.trips).await?;
    load.copy(chunk.events).await?;
    load.copy(chunk.claims).await?;
    load.copy(chunk.exposures).await?;
    load.copy(chunk.scores).await
}
