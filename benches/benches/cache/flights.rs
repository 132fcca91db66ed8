//! Many clients that miss together: what sharing a load costs, beside moka's own way of doing it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use benches::{
    ratios::{Goal, Row},
    sample_body,
};
use criterion::{BenchmarkId, Criterion};
use tiered_cache::{Entry, TieredCache};
use tokio::{runtime::Runtime, task::JoinSet};

use crate::{key, load, policy, tags};

/// How long the load of a stampede takes: an aggregate over some ten thousand rows.
const LOAD: Duration = Duration::from_millis(20);

/// One key each time, so that every round misses.
static NEXT: AtomicU32 = AtomicU32::new(1_000_000);

/// From the first question to the last answer.
pub(crate) fn waiters(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("single_flight");
    for clients in [1, 100, 1_000] {
        let cache = runtime.block_on(build());
        group.bench_function(BenchmarkId::new("tiered_cache", clients), |bencher| {
            bencher.to_async(runtime).iter(|| miss_together(&cache, clients));
        });
        runtime.block_on(cache.shutdown());
        let moka = moka::future::Cache::new(100_000);
        group.bench_function(BenchmarkId::new("moka_get_with", clients), |bencher| {
            bencher.to_async(runtime).iter(|| moka_together(&moka, clients));
        });
    }
    group.finish();
}

async fn build() -> TieredCache {
    TieredCache::builder("bench")
        .build()
        .await
        .expect("the namespace is valid")
}

async fn miss_together(cache: &TieredCache, clients: usize) {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let cache = cache.clone();
        tasks.spawn(async move { cache.get_or_load(&key(id), &tags(id), &policy(), load).await });
    }
    tasks.join_all().await;
}

async fn moka_together(cache: &moka::future::Cache<Box<str>, bytes::Bytes>, clients: usize) {
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let cache = cache.clone();
        tasks.spawn(async move {
            let text: Box<str> = key(id).as_str().into();
            cache.get_with(text, async { sample_body() }).await
        });
    }
    tasks.join_all().await;
}

/// A thousand clients and a slow load: how often it runs, and how long after its end the last client has its answer.
pub(crate) fn stampede(runtime: &Runtime) -> Vec<Row> {
    let rounds = (0..9).map(|_| runtime.block_on(one_stampede()));
    let (loads, mut late_ms): (Vec<u64>, Vec<f64>) = rounds.unzip();
    late_ms.sort_by(f64::total_cmp);
    let most = loads.into_iter().max().unwrap_or(0);
    vec![
        Row {
            what: "loads for 1,000 concurrent misses (worst of 9)".to_owned(),
            figure: most as f64,
            rival: 1.0,
            unit: "",
            goal: Goal::AtMost(1.0),
        },
        Row {
            what: "last of 1,000 waiters vs load + 5 ms (median of 9)".to_owned(),
            figure: LOAD.as_secs_f64() * 1e3 + late_ms[late_ms.len() / 2],
            rival: LOAD.as_secs_f64() * 1e3 + 5.0,
            unit: "ms",
            goal: Goal::AtMost(1.0),
        },
    ]
}

/// The number of loads, and how many milliseconds after the load's end the last client had its answer.
async fn one_stampede() -> (u64, f64) {
    let (cache, loads) = (build().await, Arc::new(AtomicU64::new(0)));
    let started = Instant::now();
    let ended_us = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..1_000 {
        let (cache, loads, ended_us) = (cache.clone(), Arc::clone(&loads), Arc::clone(&ended_us));
        tasks.spawn(async move {
            let slow = move || async move {
                loads.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(LOAD).await;
                let now = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                ended_us.store(now, Ordering::Relaxed);
                Ok::<_, std::convert::Infallible>(Some(Entry::new(sample_body(), 1)))
            };
            cache.get_or_load(&key(1), &tags(1), &policy(), slow).await
        });
    }
    tasks.join_all().await;
    let late_ms = started.elapsed().as_secs_f64() * 1e3 - ended_us.load(Ordering::Relaxed) as f64 / 1e3;
    cache.shutdown().await;
    (loads.load(Ordering::Relaxed), late_ms)
}
