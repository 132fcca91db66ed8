//! What operators do: empty, warm, verify, look at memory; and the outbox behind lost invalidations.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    num::NonZeroUsize,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tiered_cache::{
    Entry, Key, ManualClock, Outbox, OutboxRow, Policy, Prediction, Source as CacheSource, SourceError, Tag, Tier,
    TieredCache,
};

use crate::support::{Replica, Server, Source, eventually, from, policy};

const FOUR: NonZeroUsize = NonZeroUsize::new(4).unwrap();

/// The rows of a table, by id; what is not there fails.
#[derive(Clone, Default)]
struct Table(BTreeMap<String, Arc<Source>>);

impl Table {
    fn of(rows: &[&Arc<Source>]) -> Arc<dyn CacheSource> {
        let by_id = rows
            .iter()
            .map(|row| (row.key().parts()[0].to_owned(), Arc::clone(row)));
        Arc::new(Self(by_id.collect()))
    }

    fn row(&self, key: &Key) -> Option<Arc<Source>> {
        self.0.get(key.parts()[0]).cloned()
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
        policy()
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
    let replica = server.replica(&clock).await;
    let rows: Vec<_> = (0..20).map(Source::new).collect();
    let table = Table::of(&rows.iter().collect::<Vec<_>>());
    replica.read(&rows[0]).await;
    let keys = rows
        .iter()
        .map(|row| row.key())
        .chain([Key::new("rows").part("none")])
        .collect();
    let warmed = replica.cache.warm(&table, keys, FOUR).await;
    assert_eq!((warmed.loaded, warmed.present, warmed.failed), (19, 1, 1));
    assert_eq!(replica.read(&rows[7]).await, from(Tier::L1, "7:v1"));
    assert_eq!(replica.seen.lookups().len(), 2, "warming counts no lookups");
}

#[tokio::test]
async fn verification_removes_what_differs_and_leaves_the_rest() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let (good, bad) = (Source::new(1), Source::new(2));
    for row in [&good, &bad] {
        a.read(row).await;
        b.read(row).await;
    }
    // A write past the cache: nobody told it.
    bad.write();
    let table = Table::of(&[&good, &bad]);
    let verified = a.cache.verify(&table, 100).await;
    assert_eq!((verified.checked, verified.removed.as_slice()), (2, &[bad.key()][..]));
    assert_eq!(a.read(&bad).await, from(Tier::Db, "2:v2"));
    b.seen.wait(|seen| seen.received == 1).await;
    assert_eq!(b.read(&bad).await.0, "2:v2", "removed everywhere");
    let again = a.cache.verify(&table, 100).await;
    assert!(again.checked > 0 && again.removed.is_empty(), "{again:?}");
}

#[tokio::test]
async fn the_sampler_finds_what_stays_wrong() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let pauses = vec![Duration::from_millis(5); 3];
    let builder = server
        .builder("test")
        .sampler_that_looks_again(Table::of(&[&row]), 1, pauses);
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
    eventually("it is removed", || replica.cache.last_seq() >= 2).await;
    assert_eq!(replica.read(&row).await.0, "1:v2");
}

/// Popular answers that a write ended are there again before somebody asks; rare ones are not loaded.
#[tokio::test]
async fn popular_answers_are_loaded_before_they_are_asked_for() {
    let clock = Arc::new(ManualClock::new());
    let replica = Replica::build(TieredCache::builder("test"), &clock).await;
    let (popular, rare) = (Source::new(1), Source::new(2));
    replica.read(&rare).await;
    for _ in 0..20 {
        replica.read(&popular).await;
    }
    let table = Table::of(&[&popular, &rare]);
    popular.write();
    replica
        .cache
        .invalidate(&[Tag::new("table")])
        .await
        .expect("no Redis to fail");
    let warmed = replica.cache.warm_popular(&table, Prediction::default()).await;
    assert_eq!((warmed.loaded, warmed.present), (1, 0));
    assert_eq!(replica.read(&popular).await, from(Tier::L1, "1:v2"));
    assert_eq!(replica.read(&rare).await.1, Tier::Db);
}

#[tokio::test]
async fn redis_says_how_full_it_is() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let _: String = server.command("CONFIG SET maxmemory 100000000").await;
    let replica = server.replica(&clock).await;
    eventually("it was asked", || replica.cache.stats().redis_used_bytes > 0).await;
    assert_eq!(replica.cache.stats().redis_max_bytes, 100_000_000);
}

/// An outbox in memory; the real one is a table.
#[derive(Clone, Default)]
struct Rows(Arc<Mutex<Committed>>);

/// Tags by id, and whether they were relayed.
type Committed = BTreeMap<i64, (Vec<Tag>, bool)>;

impl Rows {
    fn commit(&self, id: i64, tag: &str) {
        self.0.lock().expect("whole").insert(id, (vec![Tag::new(tag)], false));
    }

    fn open(&self) -> usize {
        self.0.lock().expect("whole").values().filter(|(_, done)| !done).count()
    }
}

impl Outbox for Rows {
    type Error = std::io::Error;

    async fn claim(&self, limit: usize) -> Result<Vec<OutboxRow>, Self::Error> {
        let rows = self.0.lock().expect("whole");
        let open = rows.iter().filter(|(_, (_, done))| !done).take(limit);
        Ok(open
            .map(|(&id, (tags, _))| OutboxRow { id, tags: tags.clone() })
            .collect())
    }

    async fn confirm(&self, ids: &[i64]) -> Result<(), Self::Error> {
        let mut rows = self.0.lock().expect("whole");
        for id in ids {
            if let Some((_, done)) = rows.get_mut(id) {
                *done = true;
            }
        }
        Ok(())
    }

    async fn reopen(&self, _window: Duration) -> Result<(), Self::Error> {
        for (_, done) in self.0.lock().expect("whole").values_mut() {
            *done = false;
        }
        Ok(())
    }
}

/// 1. Both replicas hold version 1. 2. Version 2 is committed with its outbox row, and the writer dies before it can tell
/// anybody. 3. Another process relays the row: nobody may serve version 1 any more.
#[tokio::test]
async fn what_a_writer_took_to_its_grave_is_relayed() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    a.read(&row).await;
    b.read(&row).await;
    row.write();
    let outbox = Rows::default();
    outbox.commit(1, "row:1");
    a.cache.relay(outbox.clone());
    b.seen.wait(|seen| seen.received == 1).await;
    eventually("the row is done", || outbox.open() == 0).await;
    assert_eq!(b.read(&row).await, from(Tier::Db, "1:v2"));
    assert_eq!(a.read(&row).await, from(Tier::L2, "1:v2"));
}

/// Seconds of the simulation below, reads and writes in each.
const SECONDS: usize = 60;
const READS: usize = 200;
const WRITES: usize = 6;
const ROWS: usize = 200;

/// The share of reads that find something, for skewed reads and writes of the same rows, with popular keys warmed each
/// second or not; and how many loads that took.
async fn hit_ratio(warms: bool) -> (f64, usize) {
    use rand::{RngExt as _, SeedableRng as _};
    let clock = Arc::new(ManualClock::new());
    let replica = Replica::build(TieredCache::builder("test"), &clock).await;
    let rows: Vec<_> = (0..ROWS)
        .map(|id| Source::new(u32::try_from(id).expect("small")))
        .collect();
    let table = Table::of(&rows.iter().collect::<Vec<_>>());
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    // The square of a uniform number is small more often than not: a few rows get most of it.
    let mut pick = move || {
        let share: f64 = random.random();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the number of rows"
        )]
        let index = (share.powi(3) * ROWS as f64) as usize;
        index.min(ROWS - 1)
    };
    let mut hits = 0;
    for _ in 0..SECONDS {
        for _ in 0..WRITES {
            let row = &rows[pick()];
            row.write();
            let tag = row.tags()[0].clone();
            replica.cache.invalidate(&[tag]).await.expect("no Redis to fail");
        }
        if warms {
            replica.cache.warm_popular(&table, Prediction::default()).await;
        }
        for _ in 0..READS {
            hits += usize::from(replica.read(&rows[pick()]).await.1 == Tier::L1);
        }
        clock.advance(Duration::from_secs(1));
    }
    let loads = rows.iter().map(|row| row.loads()).sum();
    (hits as f64 / (SECONDS * READS) as f64, loads)
}

#[tokio::test]
async fn prediction_finds_more_than_none() {
    let (with, loads_with) = hit_ratio(true).await;
    let (without, loads_without) = hit_ratio(false).await;
    println!("hit ratio {with:.4} with prediction ({loads_with} loads), {without:.4} without ({loads_without} loads)");
    assert!(with > without, "{with} {without}");
}
