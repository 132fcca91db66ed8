//! Paths through Redis: a validated L2 hit beside a bare GET, the plan's way, and what an invalidation costs.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use benches::{
    ratios::{Goal, Row},
    sample_body,
};
use criterion::Criterion;
use redis::{AsyncCommands as _, AsyncConnectionConfig, aio::MultiplexedConnection};
use tiered_cache::{Key, Policy, RedisSettings, Strategy, Tag, TieredCache};
use tokio::runtime::Runtime;

use crate::{HOT, key, load, policy, tags};

/// Pairs of operations for the percentiles, in turn so that both see the same machine.
const PAIRS: usize = 20_000;

/// Entries that one tag ends.
const DEPENDENTS: u32 = 100_000;

const INVALIDATIONS: usize = 500;

/// All of it against one server, which is gone afterwards.
pub(crate) fn all(criterion: &mut Criterion, runtime: &Runtime) -> Vec<Row> {
    let server = runtime
        .block_on(stack::Redis::start(&stack::StackOptions::default()))
        .expect("Redis starts");
    let mut bare = runtime.block_on(connect(&server.url()));
    let cache = runtime.block_on(without_l1(&server.url()));
    criterion_group(criterion, runtime, &cache, &bare);
    let mut rows = runtime.block_on(percentiles(&cache, &mut bare));
    rows.push(runtime.block_on(dependents(&server.url())));
    rows
}

pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("the URL is valid");
    // Longer than a server needs that forks for its log at the same moment.
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(10)));
    let connected = client.get_multiplexed_async_connection_with_config(&patient).await;
    let mut connection = connected.expect("Redis answers");
    let _: () = connection
        .set("bare", &sample_body()[..])
        .await
        .expect("Redis stores it");
    connection
}

/// A cache whose L1 has no lease any more, so that every read goes to Redis.
async fn without_l1(url: &str) -> TieredCache {
    let builder = TieredCache::builder("bench").redis(RedisSettings::new(url));
    let cache = builder.build().await.expect("the settings are valid");
    cache.shutdown().await;
    read(&cache).await;
    cache
}

async fn read(cache: &TieredCache) {
    let served = cache.get_or_load(&key(HOT), &tags(HOT), &policy(), load).await;
    black_box(served).expect("cannot fail");
}

pub(crate) async fn get(connection: &mut MultiplexedConnection) {
    let body: redis::RedisResult<bytes::Bytes> = connection.get("bare").await;
    black_box(body).expect("it is there");
}

fn criterion_group(criterion: &mut Criterion, runtime: &Runtime, cache: &TieredCache, bare: &MultiplexedConnection) {
    let mut group = criterion.benchmark_group("l2");
    group.bench_function("bare_get", |bencher| {
        bencher.to_async(runtime).iter(async || get(&mut bare.clone()).await);
    });
    group.bench_function("tiered_cache", |bencher| {
        bencher.to_async(runtime).iter(|| read(cache));
    });
    let planned: Policy = policy().with_strategy(Strategy::Planned);
    group.bench_function("planned", |bencher| {
        bencher.to_async(runtime).iter(async || {
            let served = cache.get_or_load(&key(HOT), &tags(HOT), &planned, load).await;
            black_box(served).expect("cannot fail");
        });
    });
    group.finish();
}

async fn percentiles(cache: &TieredCache, bare: &mut MultiplexedConnection) -> Vec<Row> {
    let (mut ours, mut theirs) = (Vec::with_capacity(PAIRS), Vec::with_capacity(PAIRS));
    for _ in 0..PAIRS {
        let started = Instant::now();
        read(cache).await;
        ours.push(started.elapsed());
        let started = Instant::now();
        get(bare).await;
        theirs.push(started.elapsed());
    }
    let row = |share: usize, goal| Row {
        what: format!("validated L2 hit vs bare GET, p{share}"),
        figure: percentile_us(&mut ours.clone(), share),
        rival: percentile_us(&mut theirs.clone(), share),
        unit: "us",
        goal,
    };
    vec![row(50, Goal::AtMost(1.2)), row(99, Goal::AtMost(1.5))]
}

pub(crate) fn percentile_us(samples: &mut [Duration], share: usize) -> f64 {
    samples.sort_unstable();
    samples[samples.len() * share / 100].as_secs_f64() * 1e6
}

/// Invalidating a tag that many entries carry, beside one that a single entry carries.
async fn dependents(url: &str) -> Row {
    let mut settings = RedisSettings::new(url);
    settings.command_timeout = Duration::from_secs(5);
    let builder = TieredCache::builder("many")
        .redis(settings)
        .l1_capacity_bytes(256 << 20);
    let cache = builder.build().await.expect("the settings are valid");
    let (many, one) = ([Tag::new("many")], [Tag::new("one")]);
    for id in 0..DEPENDENTS {
        let key = Key::new("dependent").part(id);
        cache
            .get_or_load(&key, &many, &policy(), load)
            .await
            .expect("cannot fail");
    }
    cache
        .get_or_load(&Key::new("single"), &one, &policy(), load)
        .await
        .expect("cannot fail");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..INVALIDATIONS {
        for (tags, samples) in [(&many, &mut ours), (&one, &mut theirs)] {
            let started = Instant::now();
            cache.invalidate(tags).await.expect("Redis takes it");
            samples.push(started.elapsed());
        }
    }
    cache.shutdown().await;
    Row {
        what: format!("invalidating a tag of {DEPENDENTS} entries vs of one, p50"),
        figure: percentile_us(&mut ours, 50),
        rival: percentile_us(&mut theirs, 50),
        unit: "us",
        goal: Goal::AtMost(1.1),
    }
}
