//! Redis goes away under load and comes back: clients of cached routes must not notice more than a slower answer.
//!
//! `CACHE_TESTS_LONG=1` lets each outage last 30 s.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use stack::proxy::{Fault, FaultProxy};
use stack::{Redis, StackOptions};
use tokio::task::JoinSet;

use crate::support::{App, Client, Scene, eventually};

/// Who is written while everybody is read.
const WRITTEN: i64 = 3;
/// Cached routes that are read, the first with the versions of [`WRITTEN`].
const PATHS: [&str; 5] = [
    "/admin/drivers/3",
    "/risk/5/current",
    "/drivers/7/statistics",
    "/admin/dashboard/summary",
    "/admin/drivers?limit=20",
];
const READERS: usize = 4;
const READ_PAUSE: Duration = Duration::from_millis(2);
const WRITE_PAUSE: Duration = Duration::from_millis(50);
/// How long is read before the fault, and from one second after its end.
const LOOK: Duration = Duration::from_secs(2);
/// By then everything is as before.
const RECOVERY: Duration = Duration::from_secs(1);

fn outage() -> Duration {
    let is_long = std::env::var_os("CACHE_TESTS_LONG").is_some();
    Duration::from_secs(if is_long { 30 } else { 2 })
}

async fn server() -> Redis {
    let options = StackOptions::from_env().expect("a valid stack environment");
    Redis::start(&options).await.expect("Redis starts")
}

/// What readers and the writer share.
#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// The newest version of [`WRITTEN`] that was acknowledged.
    acknowledged: AtomicI64,
}

/// One read: when it ended, how long it took.
type Timed = (Instant, Duration);

async fn read(client: Client, first: usize, shared: Arc<Shared>) -> Vec<Timed> {
    let mut times = Vec::new();
    for path in PATHS.iter().cycle().skip(first) {
        if shared.over.load(Ordering::SeqCst) {
            break;
        }
        let floor = shared.acknowledged.load(Ordering::SeqCst);
        let started = Instant::now();
        let answer = client.get(path).await;
        times.push((Instant::now(), started.elapsed()));
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        if *path == PATHS[0] {
            assert!(answer.version() >= floor, "older than version {floor}: {answer:?}");
        }
        tokio::time::sleep(READ_PAUSE).await;
    }
    times
}

async fn write(client: Client, shared: Arc<Shared>) -> Vec<Timed> {
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {}});
    while !shared.over.load(Ordering::SeqCst) {
        let answer = client.post(&format!("/drivers/{WRITTEN}/trips"), &trip).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        shared.acknowledged.fetch_max(answer.version(), Ordering::SeqCst);
        tokio::time::sleep(WRITE_PAUSE).await;
    }
    Vec::new()
}

/// Breaks the way to Redis, and checks that nobody gets through any more.
async fn away(proxy: &FaultProxy, redis: &Redis, fault: Fault) {
    proxy.set(fault);
    let url = proxy.url(&redis.url()).expect("an address");
    let client = redis::Client::open(url).expect("a URL");
    let reached = tokio::time::timeout(Duration::from_millis(200), client.get_multiplexed_async_connection()).await;
    assert!(!matches!(reached, Ok(Ok(_))), "Redis is still there");
}

fn p99_ms(times: &[Timed], from: Instant, to: Instant) -> f64 {
    let mut chosen: Vec<Duration> = times
        .iter()
        .filter(|(ended, _)| (from..to).contains(ended))
        .map(|(_, elapsed)| *elapsed)
        .collect();
    chosen.sort_unstable();
    let rank = chosen.len() * 99 / 100;
    chosen.get(rank).expect("reads went on").as_secs_f64() * 1e3
}

/// Reads and writes on, while `begin` breaks Redis and `end` mends it.
async fn survive(name: &str, begin: impl AsyncFnOnce(&FaultProxy, &Redis), end: impl AsyncFnOnce(&FaultProxy, &Redis)) {
    let (scene, redis) = (Scene::new().await, server().await);
    let proxy = FaultProxy::before_url(&redis.url()).await.expect("a proxy");
    let url = proxy.url(&redis.url()).expect("an address");
    let app = scene.app().set("REDIS_URL", &url).start_ready().await;
    let shared = Arc::new(Shared::default());
    let mut clients = JoinSet::new();
    // More often than a driver may.
    clients.spawn(write(app.admin(), Arc::clone(&shared)));
    for reader in 0..READERS {
        clients.spawn(read(app.admin(), reader, Arc::clone(&shared)));
    }

    tokio::time::sleep(RECOVERY).await;
    let calm = Instant::now();
    tokio::time::sleep(LOOK).await;
    let broken = Instant::now();
    begin(&proxy, &redis).await;
    tokio::time::sleep(outage()).await;
    end(&proxy, &redis).await;
    let mended = Instant::now();
    tokio::time::sleep(RECOVERY + LOOK).await;

    shared.over.store(true, Ordering::SeqCst);
    let times = clients.join_all().await.concat();
    println!(
        "{name}: {} reads, none failed, none stale; \
         p99 before {:.1} ms, meanwhile {:.1} ms, from a second after {:.1} ms",
        times.len(),
        p99_ms(&times, calm, broken),
        p99_ms(&times, broken, mended),
        p99_ms(&times, mended + RECOVERY, mended + RECOVERY + LOOK),
    );
    eventually("Redis is used again", async || {
        let report = app.nobody().get("/health/ready").await.json();
        (report["status"] == "ready" && app.admin().get(PATHS[1]).await.tier() == "l1").then_some(())
    })
    .await;
    app.stop().await;
    drop(proxy);
    redis.stop().await.expect("stops");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_fails_no_read() {
    survive(
        "hangs",
        async |proxy, redis| away(proxy, redis, Fault::Stall).await,
        async |proxy, _| proxy.set(Fault::None),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_cut_off_fails_no_read() {
    survive(
        "cut off",
        async |proxy, redis| away(proxy, redis, Fault::Cut).await,
        async |proxy, _| proxy.set(Fault::None),
    )
    .await;
}

/// What comes back is another server, without data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_and_comes_back_empty_fails_no_read() {
    let next = server().await;
    let url = next.url();
    survive(
        "dies",
        async |proxy, redis| away(proxy, redis, Fault::Cut).await,
        async |proxy, _| {
            proxy.forward_to_url(&url).expect("an address");
            proxy.set(Fault::None);
        },
    )
    .await;
    next.stop().await.expect("stops");
}

async fn flush(redis: &Redis) {
    order(redis, "FLUSHALL").await;
}

/// Runs one command that answers `OK`, words separated by blanks.
async fn order(redis: &Redis, words: &str) {
    let client = redis::Client::open(redis.url()).expect("a URL");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let (name, arguments) = words.split_once(' ').unwrap_or((words, ""));
    let mut command = redis::cmd(name);
    command.arg(arguments.split_whitespace().collect::<Vec<_>>());
    let () = command.query_async(&mut connection).await.expect("Redis does it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_emptied_fails_no_read() {
    survive(
        "emptied twice",
        async |_, redis| flush(redis).await,
        async |_, redis| flush(redis).await,
    )
    .await;
}

/// 1. Another replica has a driver's details in memory. 2. Redis begins to refuse writes, and goes on answering reads.
///    3. A trip is committed; its invalidation is refused. 4. The other replica must not go on serving what it has,
///    both must say that they are degraded, and both must come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_refuses_writes_degrades_every_replica_and_nobody_serves_old_answers() {
    for (begin, end) in [
        (
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
        ),
        (
            "CONFIG SET maxmemory-policy noeviction maxmemory 1",
            "CONFIG SET maxmemory 0",
        ),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
        ("ACL SETUSER default -@write", "ACL SETUSER default +@all"),
    ] {
        let (scene, redis) = (Scene::new().await, server().await);
        let start = async || scene.app().set("REDIS_URL", &redis.url()).start_ready().await;
        let (near, far) = (start().await, start().await);
        let status = async |app: &App| app.nobody().get("/health/ready").await.json()["status"].clone();
        for app in [&near, &far] {
            eventually("it is ready", async || (status(app).await == "ready").then_some(())).await;
        }
        let read = async || far.admin().get(PATHS[0]).await;
        eventually("it is in memory", async || (read().await.tier() == "l1").then_some(())).await;

        order(&redis, begin).await;
        let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {}});
        let recorded = near
            .driver(WRITTEN)
            .post(&format!("/drivers/{WRITTEN}/trips"), &trip)
            .await;
        assert_eq!(
            (recorded.status, recorded.header("x-cache-seq")),
            (201, None),
            "{begin}"
        );
        eventually("the other replica sees the trip", async || {
            (read().await.version() >= recorded.version()).then_some(())
        })
        .await;
        for app in [&near, &far] {
            eventually("it is degraded", async || {
                (status(app).await == "degraded").then_some(())
            })
            .await;
            let ready = app.nobody().get("/health/ready").await;
            assert_eq!(
                (ready.status, &ready.json()["redis"]["stores"]),
                (200, &json!(false)),
                "{begin}"
            );
            let metrics = app.metrics().await;
            assert_eq!(metrics.count("cache_l2_open", &[]), 0, "{begin}");
            assert!(metrics.count("cache_redis_refusals_total", &[]) > 0, "{begin}");
        }

        order(&redis, end).await;
        for app in [&near, &far] {
            eventually("it is ready again", async || {
                (status(app).await == "ready").then_some(())
            })
            .await;
        }
        assert!(read().await.version() >= recorded.version(), "{begin}");
        near.stop().await;
        far.stop().await;
        redis.stop().await.expect("stops");
        scene.end().await;
    }
}

/// 1. Another replica has a driver's details in memory, and is at some number. 2. Redis is emptied: the next
///    invalidation is number 1 of a new life. 3. A client writes, and reads at the other replica with what the write
///    answered: it gets nothing older, though the number is below what that replica has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_reads_its_own_write_across_a_flush() {
    let (scene, redis) = (Scene::new().await, server().await);
    let start = async || scene.app().set("REDIS_URL", &redis.url()).start_ready().await;
    let (near, far) = (start().await, start().await);
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {}});
    for _ in 0..5 {
        eventually("it is in memory", async || {
            (far.admin().get(PATHS[0]).await.tier() == "l1").then_some(())
        })
        .await;
        flush(&redis).await;
        let recorded = near
            .driver(WRITTEN)
            .post(&format!("/drivers/{WRITTEN}/trips"), &trip)
            .await;
        let place = recorded.header("x-cache-seq").expect("a place").to_owned();
        let seen = far.admin().get_with(PATHS[0], "x-cache-seq", &place).await;
        assert!(seen.version() >= recorded.version(), "{seen:?} after {recorded:?}");
    }
    near.stop().await;
    far.stop().await;
    redis.stop().await.expect("stops");
    scene.end().await;
}
