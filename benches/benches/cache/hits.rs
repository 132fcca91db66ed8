//! Hits in memory, beside the caches that one would reach for otherwise.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use benches::{
    ratios::{Goal, Row},
    sample_body,
};
use bytes::Bytes;
use cached::Cached as _;
use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use tiered_cache::{Observer, Tier, TieredCache};
use tokio::runtime::Runtime;

use crate::{ENTRIES, HOT, key, load, policy, tags};

/// The cheapest observer that keeps a number: what any metrics cost at least.
#[derive(Default)]
struct Count(AtomicU64);

impl Observer for Count {
    fn lookup(&self, _endpoint: &'static str, _tier: Tier, elapsed: Duration) {
        self.0.fetch_add(u64::from(elapsed.subsec_nanos()), Ordering::Relaxed);
    }
}

/// An L1 with all entries in it.
async fn filled(observer: Option<Arc<dyn Observer>>) -> TieredCache {
    let mut builder = TieredCache::builder("bench");
    if let Some(observer) = observer {
        builder = builder.observer(observer);
    }
    let cache = builder.build().await.expect("the namespace is valid");
    for id in 0..ENTRIES {
        cache
            .get_or_load(&key(id), &tags(id), &policy(), load)
            .await
            .expect("cannot fail");
    }
    cache
}

type Texts = Vec<(Box<str>, Bytes)>;

fn entries() -> Texts {
    (0..ENTRIES)
        .map(|id| (key(id).as_str().into(), sample_body()))
        .collect()
}

/// Hits of every cache, with the same key and value.
pub(crate) fn l1(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("l1_hit");
    rivals(&mut group, runtime);
    let (key, tags, policy) = (key(HOT), tags(HOT), policy());
    let observers: [(&str, Option<Arc<dyn Observer>>); 2] = [
        ("tiered_cache", None),
        ("tiered_cache_observed", Some(Arc::new(Count::default()))),
    ];
    for (name, observer) in observers {
        let cache = runtime.block_on(filled(observer));
        group.bench_function(name, |bencher| {
            bencher
                .to_async(runtime)
                .iter(async || cache.get_or_load(black_box(&key), &tags, &policy, load).await);
        });
        runtime.block_on(cache.shutdown());
    }
    group.finish();
}

fn rivals(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime) {
    let text: Box<str> = key(HOT).as_str().into();
    let mut rival = |name: &str, get: &dyn Fn(&str) -> Option<Bytes>| {
        group.bench_function(name, |bencher| {
            bencher.to_async(runtime).iter(async || get(black_box(&text)));
        });
    };
    let map: HashMap<Box<str>, Bytes> = entries().into_iter().collect();
    let map = RwLock::new(map);
    rival("hash_map", &|key| map.read().expect("not poisoned").get(key).cloned());

    let moka = filled_moka();
    rival("moka", &|key| moka.get(key));
    // What any cache with ages must do more: read the clock, and compare.
    let started = Instant::now();
    rival("moka_aged", &|key| {
        moka.get(key).filter(|_| started.elapsed() < Duration::from_hours(24))
    });

    let quick = quick_cache::sync::Cache::new(ENTRIES as usize * 2);
    for (key, body) in entries() {
        quick.insert(key, body);
    }
    rival("quick_cache", &|key| quick.get(key));

    let foyer: foyer_memory::Cache<Box<str>, Bytes> =
        foyer_memory::CacheBuilder::new(ENTRIES as usize * 2).build::<foyer_memory::CacheProperties>();
    for (key, body) in entries() {
        foyer.insert(key, body);
    }
    rival("foyer", &|key| foyer.get(key).map(|entry| entry.value().clone()));

    // As its macro does it: a lock around a store.
    let mut lru = cached::LruCache::builder()
        .max_size(ENTRIES as usize * 2)
        .build()
        .expect("the size is valid");
    for (key, body) in entries() {
        lru.cache_set(key, body);
    }
    let lru: Mutex<cached::LruCache<Box<str>, Bytes>> = Mutex::new(lru);
    rival("cached", &|key| {
        lru.lock().expect("not poisoned").cache_get(key).cloned()
    });
}

fn filled_moka() -> moka::sync::Cache<Box<str>, Bytes> {
    let cache = moka::sync::Cache::builder()
        .max_capacity(64 << 20)
        .weigher(|_, body: &Bytes| u32::try_from(body.len()).unwrap_or(u32::MAX))
        .build();
    for (key, body) in entries() {
        cache.insert(key, body);
    }
    cache
}

/// A key of the cache beside one that says the same to people.
pub(crate) fn key_building(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("key_building");
    group.bench_function("format", |bencher| {
        bencher.iter(|| format!("driver_details:{}", black_box(HOT)));
    });
    group.bench_function("key", |bencher| bencher.iter(|| key(black_box(HOT))));
    group.finish();
}

/// Allocations of one thousand hits.
pub(crate) fn allocations(runtime: &Runtime) -> Vec<Row> {
    let cache = runtime.block_on(filled(None));
    let (key, tags, policy) = (key(HOT), tags(HOT), policy());
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let read = async || {
        let served = cache.get_or_load(&key, &tags, &policy, load).await;
        black_box(served).expect("cannot fail");
    };
    let info = current.block_on(async {
        // Once before, for what a thread allocates once.
        read().await;
        let mut reads = Box::pin(async {
            for _ in 0..1_000 {
                read().await;
            }
        });
        let mut info = None;
        let waker = std::task::Waker::noop();
        let counted = allocation_counter::measure(|| {
            let done = reads.as_mut().poll(&mut std::task::Context::from_waker(waker));
            assert!(done.is_ready(), "a hit does not wait");
        });
        info.replace(counted);
        info
    });
    let allocations = info.map_or(f64::NAN, |info| info.count_total as f64);
    runtime.block_on(cache.shutdown());
    vec![Row {
        what: "allocations of 1,000 L1 hits (+1, vs 1)".to_owned(),
        figure: allocations + 1.0,
        rival: 1.0,
        unit: "",
        goal: Goal::AtMost(1.0),
    }]
}
