//! What a policy can ask for beyond the plain read: one load for the fleet, refresh before expiry, aged answers,
//! negative entries, reading one's own write, strategies and arms.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tiered_cache::{Entry, Key, LoadError, Place, Policy, Served, Strategy, Tag, Tier};
use tokio::{sync::Notify, task::JoinSet};

use crate::clock::ManualClock;
use crate::support::{Replica, Server, Source, TTL, advance, eventually, from, policy, read};

const CLIENTS: usize = 50;

/// Reads `row` on both replicas at once, many times.
async fn stampede(replicas: [&Replica; 2], row: &Arc<Source>, policy: Policy) -> usize {
    row.shut_door();
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (cache, row) = (replicas[client % 2].cache.clone(), Arc::clone(row));
        let (key, tags) = (row.key(), row.tags());
        clients.spawn(async move { cache.get_or_load(&key, &tags, &policy, row.loader()).await });
    }
    row.loads_reach(1).await;
    eventually("the others wait", || {
        let stats = replicas.map(|replica| replica.cache.stats());
        let joined = stats[0].joined + stats[1].joined;
        joined == CLIENTS as u64 - 2 && (row.loads() == 2 || stats[0].lock_waits + stats[1].lock_waits == 1)
    })
    .await;
    row.open_door();
    for answer in clients.join_all().await {
        assert_eq!(answer.expect("loads").entry, Some(Entry::new("1:v1", 1)));
    }
    row.loads()
}

#[tokio::test]
async fn one_replica_loads_for_all_and_without_the_lock_each_for_itself() {
    for (locks, loads) in [(true, 1), (false, 2)] {
        let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
        let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
        assert_eq!(
            stampede([&a, &b], &row, policy().with_fleet_lock(locks)).await,
            loads,
            "lock: {locks}"
        );
    }
}

/// 1. A replica takes the lock and dies. 2. Another misses: it must not wait for ever.
#[tokio::test]
async fn a_lock_whose_holder_died_is_waited_for_only_so_long() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let dead: String = server
        .command(&format!("SET test:l:{} somebody PX 300", row.key()))
        .await;
    assert_eq!(dead, "OK");
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v1"));
    assert_eq!(replica.cache.stats().lock_waits, 1);
    assert_eq!(
        server.replica(&clock).await.read(&row).await.1,
        Tier::L2,
        "it was stored"
    );
}

#[tokio::test]
async fn a_lock_is_given_back_when_the_load_fails() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let replica = server.replica(&clock).await;
    let key = Key::new("rows").part(1);
    let load = || async { Err::<Option<Entry>, _>("no connection") };
    replica
        .cache
        .get_or_load(&key, &[], &policy(), load)
        .await
        .expect_err("the loader fails");
    assert_eq!(server.command::<u64>(&format!("EXISTS test:l:{key}")).await, 0);
}

/// The reader of an entry that is about to expire is served from L1, and the entry is loaded anew behind its back:
/// nobody ever waits for the load.
#[tokio::test]
async fn what_is_read_shortly_before_its_end_is_loaded_anew_without_a_miss() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let policy = policy().with_strategy(Strategy::RefreshAhead);
    replica.read_with(&policy, &row).await;
    for round in 1..4 {
        advance(&clock, TTL.mul_f64(0.9), &[&replica]).await;
        row.write();
        assert_eq!(replica.read_with(&policy, &row).await.1, Tier::L1, "round {round}");
        row.loads_reach(round + 1).await;
        eventually("the flight ends", || replica.cache.stats().flights == 0).await;
    }
    assert_eq!(replica.read_with(&policy, &row).await, from(Tier::L1, "1:v4"));
    assert_eq!(replica.cache.stats().refreshed, 3);
}

/// 1. Two replicas hold the same entry, and both are read near its end. 2. One loads; the other must take its answer.
#[tokio::test]
async fn one_refresh_serves_the_fleet() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let policy = policy().with_strategy(Strategy::RefreshAhead);
    a.read_with(&policy, &row).await;
    b.read_with(&policy, &row).await;
    advance(&clock, TTL.mul_f64(0.9), &[&a, &b]).await;
    a.read_with(&policy, &row).await;
    b.read_with(&policy, &row).await;
    eventually("both are refreshed", || {
        [&a, &b]
            .iter()
            .all(|replica| replica.cache.stats().refreshed == 1 && replica.cache.stats().flights == 0)
    })
    .await;
    assert_eq!(row.loads(), 2, "the first load and one refresh");
}

/// As `FusionCache` #628: 1. A refresh in the background has read the row and is held up. 2. The row changes and is
/// invalidated. 3. The refresh ends. 4. Its answer must not be served.
#[tokio::test]
async fn an_invalidation_is_not_lost_to_a_refresh_in_the_background() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let policy = policy().with_strategy(Strategy::RefreshAhead);
    replica.read_with(&policy, &row).await;
    advance(&clock, TTL.mul_f64(0.9), &[&replica]).await;
    row.shut_door();
    replica.read_with(&policy, &row).await;
    row.loads_reach(2).await;
    row.write();
    replica.invalidate("row:1").await.expect("Redis takes it");
    row.open_door();
    eventually("the refresh ends", || replica.cache.stats().flights == 0).await;
    assert_eq!(replica.read_with(&policy, &row).await, from(Tier::Db, "1:v2"));
}

/// A loader that can be switched off.
#[derive(Default)]
struct Weak {
    fails: AtomicBool,
    runs: AtomicUsize,
}

impl Weak {
    async fn read(self: &Arc<Self>, replica: &Replica, policy: &Policy) -> Result<Served, LoadError<&'static str>> {
        let weak = Arc::clone(self);
        let load = move || async move {
            let run = weak.runs.fetch_add(1, Ordering::SeqCst);
            if weak.fails.load(Ordering::SeqCst) {
                return Err("no database");
            }
            Ok(Some(Entry::new(format!("run {run}"), 1)))
        };
        let (key, tags) = (Key::new("weak"), [Tag::new("weak")]);
        replica.cache.get_or_load(&key, &tags, policy, load).await
    }

    fn fail(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }
}

fn fail_safe() -> Policy {
    policy().with_hard_ttl(TTL * 10)
}

#[tokio::test]
async fn an_aged_answer_is_better_than_an_error_in_l1_and_from_l2() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let weak = Arc::new(Weak::default());
    weak.read(&a, &fail_safe()).await.expect("loads");
    weak.fail();
    advance(&clock, TTL * 2, &[&a, &b]).await;
    for replica in [&a, &b] {
        let answer = weak.read(replica, &fail_safe()).await.expect("aged");
        assert_eq!((answer.entry, answer.tier), (Some(Entry::new("run 0", 1)), Tier::Stale));
        assert_eq!(replica.cache.stats().stale_served, 1);
    }
    advance(&clock, TTL * 9, &[&a]).await;
    weak.read(&a, &fail_safe())
        .await
        .expect_err("older than the hard limit");
}

/// As bentocache #71: grace must not bring back what a tag has ended.
#[tokio::test]
async fn an_invalidated_answer_is_not_better_than_an_error() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let weak = Arc::new(Weak::default());
    weak.read(&a, &fail_safe()).await.expect("loads");
    weak.read(&b, &fail_safe()).await.expect("from L2");
    advance(&clock, TTL * 2, &[&a, &b]).await;
    a.invalidate("weak").await.expect("Redis takes it");
    b.seen.wait(|seen| seen.received == 1).await;
    weak.fail();
    for replica in [&a, &b] {
        weak.read(replica, &fail_safe())
            .await
            .expect_err("neither tier may answer");
    }
}

#[tokio::test]
async fn a_slow_loader_is_waited_for_only_so_long_when_there_is_something_aged() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let policy = fail_safe().with_soft_timeout(Duration::from_millis(1));
    replica.read_with(&policy, &row).await;
    advance(&clock, TTL * 2, &[&replica]).await;
    row.shut_door();
    assert_eq!(replica.read_with(&policy, &row).await, from(Tier::Stale, "1:v1"));
    row.write();
    row.open_door();
    eventually("the load goes on", || replica.cache.stats().flights == 0).await;
    assert_eq!(
        replica.read_with(&policy, &row).await.1,
        Tier::L1,
        "and fills the cache"
    );
}

#[tokio::test]
async fn a_loader_that_hangs_is_given_up() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let policy = policy().with_hard_timeout(Duration::from_millis(5));
    row.shut_door();
    let (key, tags) = (row.key(), row.tags());
    let result = replica.cache.get_or_load(&key, &tags, &policy, row.loader()).await;
    assert!(matches!(result, Err(LoadError::TimedOut(_))), "{result:?}");
    row.open_door();
    assert_eq!(replica.read(&row).await.1, Tier::Db);
}

#[tokio::test]
async fn that_there_is_no_such_thing_is_cached_if_asked_for_and_ends_with_its_tag() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let (key, tags) = (Key::new("rows").part("none"), [Tag::new("table")]);
    let policy = policy().with_negative_ttl(Duration::from_secs(5));
    let read = async |replica: &Replica, entry: Option<Entry>| {
        let load = || async { Ok::<_, Infallible>(entry) };
        let answer = replica
            .cache
            .get_or_load(&key, &tags, &policy, load)
            .await
            .expect("loads");
        (answer.entry, answer.tier)
    };
    assert_eq!(read(&a, None).await, (None, Tier::Db));
    assert_eq!(read(&a, None).await, (None, Tier::L1));
    assert_eq!(read(&b, None).await, (None, Tier::L2));
    advance(&clock, Duration::from_secs(6), &[&a, &b]).await;
    assert_eq!(read(&a, None).await, (None, Tier::Db), "its time is short");

    let made = Some(Entry::new("made", 1));
    a.invalidate("table").await.expect("Redis takes it");
    assert_eq!(read(&a, made.clone()).await, (made, Tier::Db));
}

/// The place of the invalidation that follows the one at `place`.
fn next(place: Place) -> Place {
    let text = place.to_string();
    let (life, number) = text.split_once('-').expect("a life and a number");
    let number: u64 = number.parse().expect("a number");
    format!("{life}-{}", number + 1).parse().expect("a place")
}

/// 1. A client writes on A and gets the invalidation's place. 2. B's subscriber is cut off, so that B does not know of
/// it.
/// 3. The client reads on B with the number: it must see its write, though B still leases version 1 to others.
#[tokio::test]
async fn a_client_reads_its_own_write_on_another_replica() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    b.read(&row).await;
    row.write();
    // Not through A's cache: the message is lost on the way to B, while the generation in Redis changes.
    let _: String = server.command("SET test:g:row:1 87654321").await;
    assert_eq!(b.read(&row).await, from(Tier::L1, "1:v1"), "B knows of nothing");
    let ahead = next(b.cache.place());
    let (key, tags) = (row.key(), row.tags());
    let own = b
        .cache
        .get_or_load_after(Some(ahead), &key, &tags, &policy(), row.loader())
        .await
        .expect("loads");
    assert_eq!(own.entry, Some(Entry::new("1:v2", 2)));
    let done = a.invalidate("row:1").await.expect("Redis takes it").place;
    b.seen.wait(|seen| seen.received == 1).await;
    assert_eq!(done, Some(b.cache.place()));
    b.read(&row).await;
    let caught_up = b
        .cache
        .get_or_load_after(done, &key, &tags, &policy(), row.loader())
        .await
        .expect("loads");
    assert_eq!(caught_up.tier, Tier::L1, "B has applied it");
}

#[tokio::test]
async fn cache_aside_lets_each_client_load_for_itself_and_caches_what_it_brings() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let policy = policy().with_strategy(Strategy::CacheAside);
    row.shut_door();
    let mut clients = JoinSet::new();
    for _ in 0..3 {
        let (cache, row) = (replica.cache.clone(), Arc::clone(&row));
        clients.spawn(async move {
            let (key, tags) = (row.key(), row.tags());
            cache.get_or_load(&key, &tags, &policy, row.loader()).await
        });
    }
    row.loads_reach(3).await;
    row.open_door();
    clients.join_all().await;
    assert_eq!(replica.read_with(&policy, &row).await, from(Tier::L1, "1:v1"));
}

#[tokio::test]
async fn off_loads_each_time_and_stores_nothing() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let policy = policy().with_strategy(Strategy::Off);
    for _ in 0..2 {
        assert_eq!(replica.read_with(&policy, &row).await, from(Tier::Db, "1:v1"));
    }
    assert_eq!(server.command::<u64>(&format!("EXISTS test:e:{}", row.key())).await, 0);
}

/// The faults of the plan's sample code, kept so that they can be measured: a load that a write overtook stays in the
/// cache.
#[tokio::test]
async fn the_planned_strategy_keeps_what_a_write_overtook_until_it_is_deleted_by_pattern() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let policy = policy().with_strategy(Strategy::Planned);
    row.shut_door();
    let (cache, source) = (replica.cache.clone(), Arc::clone(&row));
    let slow = tokio::spawn(async move {
        let (key, tags) = (source.key(), source.tags());
        cache.get_or_load(&key, &tags, &policy, source.loader()).await
    });
    row.loads_reach(1).await;
    row.write();
    assert_eq!(replica.cache.delete_planned("rows:*").await.expect("Redis answers"), 0);
    row.open_door();
    slow.await.expect("runs").expect("loads");
    assert_eq!(replica.read_with(&policy, &row).await, from(Tier::L2, "1:v1"), "stale");
    assert_eq!(replica.cache.delete_planned("rows:*").await.expect("Redis answers"), 1);
    assert_eq!(replica.read_with(&policy, &row).await, from(Tier::Db, "1:v2"));
}

/// Clients that come while Redis is away load side by side only up to the bulkhead's bound.
#[tokio::test]
async fn without_redis_loads_are_bounded() {
    let clock = Arc::new(ManualClock::new());
    let server = Server::start().await;
    let replica = server.replica_with_bulkhead(&clock, 2).await;
    server.stop();
    replica.seen.wait(|seen| seen.gate.last() == Some(&false)).await;
    let (door, inside, most) = (
        Arc::new(Notify::new()),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut clients = JoinSet::new();
    for id in 0..6 {
        let (cache, door, inside, most) = (
            replica.cache.clone(),
            Arc::clone(&door),
            Arc::clone(&inside),
            Arc::clone(&most),
        );
        clients.spawn(async move {
            let load = || async move {
                let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                door.notified().await;
                inside.fetch_sub(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Some(Entry::new("row", 1)))
            };
            cache
                .get_or_load(&Key::new("rows").part(id), &[], &policy(), load)
                .await
                .expect("loads")
        });
    }
    while let Some(done) = {
        eventually("two loads run, or all are done", || {
            inside.load(Ordering::SeqCst) == 2 || clients.len() < 2
        })
        .await;
        door.notify_one();
        clients.join_next().await
    } {
        assert_eq!(done.expect("runs").tier, Tier::Db);
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

/// As Guava #1881 and `FusionCache` #535, #613, #625: 1. A load has read version 1. 2. Version 2 is committed and
/// removed from the cache, by tag, by endpoint, by pattern or all at once. 3. The load ends. 4. Whoever asks then must
/// get version 2.
#[tokio::test]
async fn no_manner_of_removal_is_lost_to_a_running_load() {
    for manner in ["tag", "endpoint", "pattern", "all"] {
        let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
        let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
        row.shut_door();
        let (cache, source) = (a.cache.clone(), Arc::clone(&row));
        let slow = tokio::spawn(async move { read(&cache, &source).await });
        row.loads_reach(1).await;
        row.write();
        let removed = match manner {
            "tag" => a.invalidate("row:1").await.map(drop),
            "endpoint" => a.cache.invalidate(&[Tag::endpoint("rows")]).await.map(drop),
            "pattern" => a.cache.flush_matching("rows:*").await.map(drop),
            _ => a.cache.invalidate(&[Tag::all()]).await.map(drop),
        };
        removed.expect("Redis takes it");
        row.open_door();
        slow.await.expect("runs").expect("loads");
        assert_eq!(a.read(&row).await, from(Tier::Db, "1:v2"), "{manner}");
        b.seen.wait(|seen| seen.received >= 1).await;
        assert_eq!(b.read(&row).await, from(Tier::L2, "1:v2"), "{manner}");
    }
}
