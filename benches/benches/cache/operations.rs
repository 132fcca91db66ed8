//! What operators and outages do to everybody else: a flush by pattern over a million keys, and Redis away.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use benches::ratios::{Goal, Row};
use chrono::Utc;
use insurance_service::domain::ids::DriverId;
use insurance_service::seed::{self, SeedOptions};
use insurance_service::store::{self, Store as _, StoreError, TunedStore, views::DriverDetails};
use redis::aio::MultiplexedConnection;
use tiered_cache::{Entry, RedisSettings, Strategy, TieredCache};
use tokio::runtime::Runtime;

use crate::{
    key, policy,
    redis_paths::{connect, get, percentile_us},
    tags,
};

/// Keys in Redis that the pattern meets.
const KEYS: usize = 1_000_000;
/// Keys that one script makes: some 10 ms each, far below the client's time-out.
const KEYS_PER_SCRIPT: usize = 10_000;
/// Commands before the flush, for comparison.
const BEFORE: usize = 20_000;
/// What a flush may add to another client's p99.
const ADDED_US: f64 = 1_000.0;
/// Drivers whose answers are loaded.
const DRIVERS: u32 = 1_000;
/// Reads of each kind while Redis is away. Their p99 wants many: with a third of them, equal code differed from itself
/// by 7 %.
const READS: u32 = 40_000;

/// Both, each on servers of its own.
pub(crate) fn all(runtime: &Runtime) -> Vec<Row> {
    vec![runtime.block_on(flush()), runtime.block_on(without_redis())]
}

async fn server() -> stack::Redis {
    stack::Redis::start(&stack::StackOptions::default())
        .await
        .expect("Redis starts")
}

async fn fill(connection: &mut MultiplexedConnection) {
    let script = redis::Script::new(
        "for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do \
             redis.call('SET', 'many:e:14:driver_details,' .. i, 'body') \
         end",
    );
    for first in (0..KEYS).step_by(KEYS_PER_SCRIPT) {
        let made: redis::RedisResult<()> = script
            .arg(first)
            .arg(first + KEYS_PER_SCRIPT - 1)
            .invoke_async(connection)
            .await;
        made.expect("Redis runs the script");
    }
}

/// p99 of another client's GETs while a pattern is flushed, beside p99 before and what may be added.
async fn flush() -> Row {
    let server = server().await;
    let mut other = connect(&server.url()).await;
    fill(&mut other).await;
    let cache = TieredCache::builder("many")
        .redis(RedisSettings::new(server.url()))
        .build()
        .await
        .expect("the settings are valid");
    let mut before = Vec::with_capacity(BEFORE);
    for _ in 0..BEFORE {
        before.push(timed(&mut other).await);
    }
    let flushing = tokio::spawn({
        let cache = cache.clone();
        async move { cache.flush_matching("driver_details*").await }
    });
    let (mut during, started) = (Vec::new(), Instant::now());
    while !flushing.is_finished() {
        during.push(timed(&mut other).await);
    }
    let flushed = flushing.await.expect("does not panic").expect("Redis answers");
    assert_eq!(flushed.freed, KEYS as u64, "every key is freed");
    println!("{KEYS} keys were freed in {:?}", started.elapsed());
    cache.shutdown().await;
    Row {
        what: format!("GET p99 during a flush of {KEYS} keys vs before + 1 ms"),
        figure: percentile_us(&mut during, 99),
        rival: percentile_us(&mut before, 99) + ADDED_US,
        unit: "us",
        goal: Goal::AtMost(1.0),
    }
}

async fn timed(connection: &mut MultiplexedConnection) -> Duration {
    let started = Instant::now();
    get(connection).await;
    started.elapsed()
}

/// p99 of reads while the cache's Redis is away, beside reads without a cache. What is loaded is what the service loads
/// for its route of a driver, from a seeded database.
async fn without_redis() -> Row {
    let gone = server().await;
    let postgres = stack::Postgres::start(&stack::StackOptions::default())
        .await
        .expect("Postgres starts");
    let database = portfolio(&postgres).await;
    let cache = TieredCache::builder("gone")
        .redis(RedisSettings::new(gone.url()))
        .build()
        .await
        .expect("the settings are valid");
    drop(gone);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for id in 0..READS {
        let pair = [(Strategy::ReadThrough, &mut ours), (Strategy::Off, &mut theirs)];
        // In turns, since the second of a pair finds the database warm.
        let (first, second) = pair.into();
        let order = if id.is_multiple_of(2) {
            [first, second]
        } else {
            [second, first]
        };
        for (strategy, samples) in order {
            let started = Instant::now();
            read(&cache, id, strategy, &database).await;
            samples.push(started.elapsed());
        }
    }
    cache.shutdown().await;
    Row {
        what: "Redis down vs no cache, p99 of reads".to_owned(),
        figure: percentile_us(&mut ours, 99),
        rival: percentile_us(&mut theirs, 99),
        unit: "us",
        goal: Goal::AtMost(1.05),
    }
}

async fn portfolio(postgres: &stack::Postgres) -> TunedStore {
    postgres.create_database("portfolio").await.expect("an empty server");
    let pool = store::connect(&postgres.url("portfolio"), 4)
        .await
        .expect("Postgres answers");
    store::migrate(&pool).await.expect("an empty database");
    let options = SeedOptions {
        drivers: DRIVERS,
        seed: 42,
        as_of: Utc::now().date_naive(),
    };
    seed::run(&pool, &options, |_| {}).await.expect("an empty database");
    TunedStore::new(pool)
}

async fn read(cache: &TieredCache, id: u32, strategy: Strategy, database: &TunedStore) {
    let (database, driver) = (database.clone(), DriverId(i64::from(id % DRIVERS) + 1));
    let load = move || async move {
        let details = database.driver_details(driver).await?;
        let body = |details: DriverDetails| serde_json::to_vec(&details).expect("it is a document");
        Ok::<_, StoreError>(details.map(|found| Entry::new(body(found.value), 1)))
    };
    let policy = policy().with_strategy(strategy);
    let served = cache.get_or_load(&key(id), &tags(id), &policy, load).await;
    black_box(served.expect("the database answers"));
}
