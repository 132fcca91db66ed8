//! What a read costs on each path through the cache. Every group holds the path and its rival with the same types and the
//! same way of awaiting, so that their ratio is the cache's own cost.

use std::{
    convert::Infallible,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use benches::sample_body;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use tiered_cache::{Entry, Key, Observer, Policy, Tag, Tier, TieredCache};
use tokio::runtime::Runtime;

/// Entries in each cache: more than one, so that nothing stays in the processor by chance; few enough to be resident.
const ENTRIES: u32 = 1_000;
const HOT: u32 = 42;

fn key(id: u32) -> Key {
    Key::new("driver_details").part(id)
}

fn tags(id: u32) -> [Tag; 3] {
    [
        Tag::new(format!("driver:{id}")),
        Tag::new("endpoint:driver_details"),
        Tag::new("drivers"),
    ]
}

/// The cheapest observer that keeps a number: what any metrics cost at least.
#[derive(Default)]
struct Count(AtomicU64);

impl Observer for Count {
    fn lookup(&self, _endpoint: &'static str, _tier: Tier, elapsed: Duration) {
        self.0.fetch_add(u64::from(elapsed.subsec_nanos()), Ordering::Relaxed);
    }
}

async fn load() -> Result<Option<Entry>, Infallible> {
    Ok(Some(Entry::new(sample_body(), 1)))
}

/// An L1 with all entries in it. Long-lived: nothing expires during a run.
async fn filled_cache(observer: Option<Arc<dyn Observer>>) -> (TieredCache, Policy) {
    let policy = Policy::ttl(Duration::from_hours(24));
    let mut builder = TieredCache::builder("bench");
    if let Some(observer) = observer {
        builder = builder.observer(observer);
    }
    let cache = builder.build().await.expect("the namespace is valid");
    for id in 0..ENTRIES {
        cache
            .get_or_load(&key(id), &tags(id), &policy, load)
            .await
            .expect("cannot fail");
    }
    (cache, policy)
}

fn filled_moka() -> moka::sync::Cache<Box<str>, Bytes> {
    let cache = moka::sync::Cache::builder()
        .max_capacity(64 << 20)
        .weigher(|_, body: &Bytes| u32::try_from(body.len()).unwrap_or(u32::MAX))
        .build();
    for id in 0..ENTRIES {
        cache.insert(key(id).as_str().into(), sample_body());
    }
    cache
}

fn l1_hit(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("l1_hit");
    let (key, tags) = (key(HOT), tags(HOT));

    let raw = filled_moka();
    group.bench_function("raw_moka", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(async || raw.get(black_box(key.as_str())));
    });
    let observers: [(&str, Option<Arc<dyn Observer>>); 2] = [
        ("tiered_cache", None),
        ("tiered_cache_observed", Some(Arc::new(Count::default()))),
    ];
    for (name, observer) in observers {
        let (cache, policy) = runtime.block_on(filled_cache(observer));
        group.bench_function(name, |bencher| {
            bencher
                .to_async(&runtime)
                .iter(async || cache.get_or_load(black_box(&key), &tags, &policy, load).await);
        });
        runtime.block_on(cache.shutdown());
    }
    group.finish();
}

fn key_building(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("key_building");
    group.bench_function("format", |bencher| {
        bencher.iter(|| format!("driver_details:{}", black_box(HOT)));
    });
    group.bench_function("key", |bencher| bencher.iter(|| key(black_box(HOT))));
    group.finish();
}

criterion_group!(cache_paths, l1_hit, key_building);
criterion_main!(cache_paths);
