//! What operators do: empty, warm, verify, look at memory; and the outbox behind lost invalidations.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tiered_cache::{Entry, Key, Policy, Source as CacheSource, SourceError, Strategy, Tag, Tier, TieredCache};

use crate::clock::ManualClock;
use crate::outbox::Outbox;
use crate::support::{Replica, Server, Source, eventually, from, policy};

const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// The rows of a table, by id, and how they are cached; what is not there fails.
struct Table {
    rows: BTreeMap<String, Arc<Source>>,
    policy: Policy,
}

impl Table {
    fn of<'a>(rows: impl IntoIterator<Item = &'a Arc<Source>>) -> Arc<dyn CacheSource> {
        Self::with(policy(), rows)
    }

    fn with<'a>(policy: Policy, rows: impl IntoIterator<Item = &'a Arc<Source>>) -> Arc<dyn CacheSource> {
        let rows = rows.into_iter();
        let rows = rows.map(|row| (row.key().parts()[0].to_owned(), Arc::clone(row)));
        let rows = rows.collect();
        Arc::new(Self { rows, policy })
    }

    fn row(&self, key: &Key) -> Option<Arc<Source>> {
        self.rows.get(key.parts()[0]).cloned()
    }
}

impl CacheSource for Table {
    fn load(&self, key: Key) -> BoxFuture<'static, Result<Option<Entry>, SourceError>> {
        let row = self.row(&key);
        Box::pin(async move {
            let load = row.ok_or("no such row")?.loader();
            load().await.map_err(Into::into)
        })
    }

    fn tags(&self, key: &Key) -> Vec<Tag> {
        self.row(key).map_or_else(Vec::new, |row| row.tags().to_vec())
    }

    fn policy(&self, _key: &Key) -> Policy {
        self.policy
    }
}

#[tokio::test]
async fn an_endpoint_is_emptied_and_its_memory_is_freed() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let replica = server.replica(&clock).await;
    let rows: Vec<_> = (0..30).map(Source::new).collect();
    for row in &rows {
        replica.read(row).await;
    }
    let load = || async { Ok::<_, Infallible>(Some(Entry::new("other", 1))) };
    let other = Key::new("rows_of_another_kind");
    replica
        .cache
        .get_or_load(&other, &[], &policy(), load)
        .await
        .expect("loads");

    let flushed = replica.cache.flush_matching("rows:1*").await.expect("Redis takes it");
    assert_eq!(flushed.tags, [Tag::endpoint("rows")]);
    assert_eq!(flushed.freed, 30);
    assert_eq!(replica.read(&rows[2]).await.1, Tier::Db);
    let kept = replica
        .cache
        .get_or_load(&other, &[], &policy(), load)
        .await
        .expect("loads");
    assert_eq!(kept.tier, Tier::L1, "another endpoint stays");

    let everything = replica.cache.flush_matching("*").await.expect("Redis takes it");
    assert_eq!(everything.tags, [Tag::all()]);
    assert_eq!(
        server.command::<Vec<String>>("KEYS test:e:*").await,
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn warming_loads_what_is_not_there() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let rows: Vec<_> = (0..20).map(Source::new).collect();
    let replica = Replica::build(server.builder("test").source(Table::of(&rows)), &clock).await;
    replica.read(&rows[0]).await;
    let none = Key::new("rows").part("none");
    let keys = rows.iter().map(|row| row.key()).chain([none]).collect();
    let tried = Mutex::new(Vec::new());
    let warmed = replica
        .cache
        .warm(keys, FOUR, |warmed| tried.lock().expect("whole").push(warmed.tried()))
        .await;
    assert_eq!((warmed.loaded, warmed.present, warmed.failed), (19, 1, 1));
    let tried = tried.into_inner().expect("whole");
    assert!(tried.into_iter().eq(1..=21), "progress is told after each");
    assert_eq!(replica.read(&rows[7]).await, from(Tier::L1, "7:v1"));
    assert_eq!(replica.seen.lookups().len(), 2, "warming counts no lookups");
}

#[tokio::test]
async fn without_a_source_nothing_can_be_warmed() {
    let replica = Replica::build(TieredCache::builder("test"), &Arc::new(ManualClock::new())).await;
    let warmed = replica.cache.warm(vec![Key::new("rows")], FOUR, |_| {}).await;
    assert_eq!((warmed.loaded, warmed.failed), (0, 1));
}

#[tokio::test]
async fn the_planned_strategy_is_warmed_and_verified_in_redis() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (policy, rows) = (
        policy().with_strategy(Strategy::Planned),
        [Source::new(1), Source::new(2)],
    );
    let table = Table::with(policy, &rows);
    let replica = Replica::build(server.builder("test").source(table), &clock).await;
    let keys = || rows.iter().map(|row| row.key()).collect();
    assert_eq!(replica.cache.warm(keys(), FOUR, |_| {}).await.loaded, 2);
    assert_eq!(replica.cache.warm(keys(), FOUR, |_| {}).await.present, 2);
    assert_eq!(replica.read_with(&policy, &rows[0]).await.1, Tier::L2);
    rows[0].write();
    let verified = replica.cache.verify(100).await;
    assert_eq!(
        (verified.checked, verified.removed.as_slice()),
        (2, &[rows[0].key()][..])
    );
    assert_eq!(replica.read_with(&policy, &rows[0]).await, from(Tier::Db, "1:v2"));
}

#[tokio::test]
async fn verification_removes_what_differs_and_leaves_the_rest() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let rows: Vec<_> = (1..=3).map(Source::new).collect();
    let a = Replica::build(server.builder("test").source(Table::of(&rows)), &clock).await;
    let b = server.replica(&clock).await;
    for row in &rows {
        a.read(row).await;
        b.read(row).await;
    }
    // Writes past the cache: nobody told it. Both rows are of one table, so that removing one ends the other.
    rows[1].write();
    rows[2].write();
    let verified = a.cache.verify(100).await;
    assert_eq!(
        (verified.checked, verified.removed.len(), verified.settled),
        (3, 2, 0),
        "{verified:?}"
    );
    assert!(
        [&rows[1], &rows[2]]
            .iter()
            .all(|row| verified.removed.contains(&row.key()))
    );
    assert_eq!(a.read(&rows[1]).await, from(Tier::Db, "2:v2"));
    b.seen.wait(|seen| seen.received == 2).await;
    assert_eq!(b.read(&rows[1]).await.0, "2:v2", "removed everywhere");
    let again = a.cache.verify(100).await;
    assert!(again.checked > 0 && again.removed.is_empty(), "{again:?}");
}

/// Among many answers, those that matter are compared in every round, whatever is picked at random.
#[tokio::test]
async fn rounds_of_verification_find_what_nobody_invalidated() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let rows: Vec<_> = (1..=40).map(Source::new).collect();
    let builder =
        server
            .builder("test")
            .source(Table::of(&rows))
            .verify_every(Duration::from_millis(5), 1, vec![rows[39].key()]);
    let replica = Replica::build(builder, &clock).await;
    for row in &rows {
        replica.read(row).await;
    }
    eventually("rounds find nothing", || replica.cache.stats().verified > 10).await;
    assert_eq!(replica.cache.stats().inconsistent, 0);
    // Past the cache: nobody told it.
    rows[39].write();
    eventually("it is found", || replica.cache.stats().inconsistent > 0).await;
    eventually("it is removed", || replica.cache.stats().last_seq >= 2).await;
    assert_eq!(replica.read(&rows[39]).await.0, "40:v2");
}

#[tokio::test]
async fn the_age_of_an_answer_is_told_while_it_may_be_served() {
    let (clock, row) = (Arc::new(ManualClock::new()), Source::new(1));
    let replica = Replica::build(TieredCache::builder("test"), &clock).await;
    let age = || replica.cache.age(&row.key(), &row.tags());
    assert_eq!(age(), None);
    replica.read(&row).await;
    clock.advance(Duration::from_secs(30));
    assert_eq!(age(), Some(Duration::from_secs(30)));
    replica.cache.invalidate(&row.tags()).await.expect("no Redis to fail");
    assert_eq!(age(), None);
}

#[tokio::test]
async fn the_sampler_finds_what_stays_wrong() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let pauses = vec![Duration::from_millis(5); 3];
    let builder = server
        .builder("test")
        .source(Table::of([&row]))
        .sampler(1, Some(pauses));
    let replica = Replica::build(builder, &clock).await;
    replica.read(&row).await;
    replica.read(&row).await;
    eventually("the hit is sampled", || {
        replica.cache.stats().sampled == 1 && row.loads() == 2
    })
    .await;
    row.write();
    replica.read(&row).await;
    eventually("it is found", || replica.cache.stats().inconsistent == 1).await;
    eventually("it is removed", || replica.cache.stats().last_seq >= 2).await;
    assert_eq!(replica.read(&row).await.0, "1:v2");
}

#[tokio::test]
async fn redis_says_how_full_it_is() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let _: String = server.command("CONFIG SET maxmemory 100000000").await;
    let replica = server.replica(&clock).await;
    eventually("it was asked", || replica.cache.stats().redis_used_bytes > 0).await;
    assert_eq!(replica.cache.stats().redis_max_bytes, 100_000_000);
}

/// 1. Both replicas hold version 1. 2. Version 2 is committed with its outbox row, and the writer dies before it can
/// tell anybody. 3. Another process relays the row: nobody may serve version 1 any more.
#[tokio::test]
async fn what_a_writer_took_to_its_grave_is_relayed() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    a.read(&row).await;
    b.read(&row).await;
    row.write();
    let outbox = Outbox::default();
    outbox.commit("row:1");
    a.cache.relay(outbox.clone());
    b.seen.wait(|seen| seen.received >= 1).await;
    eventually("the row is done", || outbox.open() == 0).await;
    assert_eq!(b.read(&row).await.0, "1:v2");
    assert_eq!(a.read(&row).await.0, "1:v2");
}
