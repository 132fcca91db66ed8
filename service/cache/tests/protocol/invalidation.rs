//! Invalidation: what a write ends, here and on other replicas, and the races between a write and a running load.

use std::sync::Arc;

use tiered_cache::{Entry, InvalidateError, Invalidated, Place, Tag, Tier};

use crate::clock::ManualClock;
use crate::support::{Server, Source, from, read};

/// 1. Client 1 misses; its load reads version 1 and is held up.
/// 2. Version 2 is committed, and its invalidation returns.
/// 3. Client 2 asks. It must not join client 1's flight: it loads version 2.
/// 4. Client 1's load goes on. It answers client 1, who asked before the write, with version 1, and tries to fill both
///    tiers with it.
/// 5. Neither this replica (L1) nor another (L2) may serve version 1.
#[tokio::test]
async fn a_load_that_an_invalidation_overtook_is_not_served_afterwards() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    row.shut_door();
    let (cache, source) = (a.cache.clone(), Arc::clone(&row));
    let client_1 = tokio::spawn(async move { read(&cache, &source).await });
    row.loads_reach(1).await;

    row.write();
    a.invalidate("row:1").await.expect("Redis takes it");

    let (cache, source) = (a.cache.clone(), Arc::clone(&row));
    let client_2 = tokio::spawn(async move { read(&cache, &source).await });
    row.loads_reach(2).await;

    row.open_door();
    let first = client_1.await.expect("runs").expect("loads");
    assert_eq!(first.entry, Some(Entry::new("1:v1", 1)));
    let second = client_2.await.expect("runs").expect("loads");
    assert_eq!(second.entry, Some(Entry::new("1:v2", 2)));

    assert_eq!(a.seen.fills_rejected(), 1, "Redis refuses version 1");
    assert_eq!(a.read(&row).await, from(Tier::L1, "1:v2"));
    assert_eq!(b.read(&row).await, from(Tier::L2, "1:v2"));
}

/// As above, without client 2: nothing newer stands in the way of the old load's fill.
///
/// 1. A load reads version 1 and is held up. 2. Version 2 is committed and invalidated. 3. The load goes on, fills,
/// ends.
/// 4. Both replicas ask and must get version 2.
#[tokio::test]
async fn a_late_fill_into_empty_tiers_is_not_served() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    row.shut_door();
    let (cache, source) = (a.cache.clone(), Arc::clone(&row));
    let client = tokio::spawn(async move { read(&cache, &source).await });
    row.loads_reach(1).await;
    row.write();
    a.invalidate("table").await.expect("Redis takes it");
    row.open_door();
    client.await.expect("runs").expect("loads");

    assert_eq!(b.read(&row).await, from(Tier::Db, "1:v2"));
    assert_eq!(a.read(&row).await, from(Tier::L2, "1:v2"));
}

/// 1. Replica A's load reads version 1 and is held up. 2. The write happens on replica B, whose invalidation A
/// receives.
/// 3. A's load goes on. 4. A must not serve version 1.
#[tokio::test]
async fn another_replicas_invalidation_overtakes_a_load_too() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    row.shut_door();
    let (cache, source) = (a.cache.clone(), Arc::clone(&row));
    let client = tokio::spawn(async move { read(&cache, &source).await });
    row.loads_reach(1).await;
    row.write();
    b.invalidate("row:1").await.expect("Redis takes it");
    a.seen.wait(|seen| seen.received == 1).await;
    row.open_door();
    client.await.expect("runs").expect("loads");
    assert_eq!(a.read(&row).await, from(Tier::Db, "1:v2"));
}

#[tokio::test]
async fn an_invalidation_is_seen_on_the_other_replica() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    a.read(&row).await;
    b.read(&row).await;
    assert_eq!(b.read(&row).await, from(Tier::L1, "1:v1"));

    row.write();
    let done = a.invalidate("row:1").await.expect("Redis takes it");
    assert_eq!(
        a.read(&row).await,
        from(Tier::Db, "1:v2"),
        "the writer's replica at once"
    );
    b.seen.wait(|seen| seen.received == 1).await;
    assert_eq!(b.read(&row).await, from(Tier::L2, "1:v2"));
    assert_eq!(Some(b.cache.place()), done.place);
}

#[tokio::test]
async fn an_entry_in_redis_ends_with_its_invalidation() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let a = server.replica(&clock).await;
    a.read(&row).await;
    row.write();
    a.invalidate("table").await.expect("Redis takes it");
    let newcomer = server.replica(&clock).await;
    assert_eq!(newcomer.read(&row).await, from(Tier::Db, "1:v2"));
}

#[tokio::test]
async fn what_carries_other_tags_stays() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (one, two) = (Source::new(1), Source::new(2));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    for replica in [&a, &b] {
        replica.read(&one).await;
        replica.read(&two).await;
    }
    a.invalidate("row:1").await.expect("Redis takes it");
    b.seen.wait(|seen| seen.received == 1).await;
    assert_eq!(a.read(&two).await.1, Tier::L1);
    assert_eq!(b.read(&two).await.1, Tier::L1);
    assert_eq!(a.read(&one).await.1, Tier::Db);
}

#[tokio::test]
async fn the_tag_all_empties_every_tier_of_every_replica() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    a.read(&row).await;
    b.read(&row).await;
    row.write();
    a.cache.invalidate(&[Tag::all()]).await.expect("Redis takes it");
    b.seen.wait(|seen| seen.received == 1).await;
    assert_eq!(b.read(&row).await, from(Tier::Db, "1:v2"));
    assert_eq!(a.read(&row).await, from(Tier::L2, "1:v2"));
}

fn number(done: Result<Invalidated, InvalidateError>) -> Option<u64> {
    done.expect("Redis takes it, or there is nothing to do")
        .place
        .map(Place::number)
}

#[tokio::test]
async fn invalidations_are_numbered_and_logged() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    // Number 1 is the first replica's: it had not seen this server before, and invalidated everything.
    assert_eq!(number(a.invalidate("x").await), Some(2));
    assert_eq!(number(b.invalidate("x").await), Some(3));
    assert_eq!(number(a.cache.invalidate(&[]).await), None);
    assert_eq!(server.command::<u64>("XLEN test:inv:log").await, 3);
}

/// A replica counts the numbers of its own messages too: no gap when replicas write in turn.
#[tokio::test]
async fn writes_in_turn_make_no_gap() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    let epochs = (a.cache.stats().epoch, b.cache.stats().epoch);
    for _ in 0..20 {
        a.invalidate("x").await.expect("Redis takes it");
        b.invalidate("x").await.expect("Redis takes it");
    }
    a.seen.wait(|seen| seen.received == 20).await;
    b.seen.wait(|seen| seen.received == 20).await;
    assert_eq!((a.cache.stats().epoch, b.cache.stats().epoch), epochs);
}

/// 1. B holds an entry. 2. An invalidation gets a number, and its message is lost. 3. The next message arrives, of
/// another tag. 4. B must notice the gap and give everything up, because the lost one may have been about its entry.
#[tokio::test]
async fn a_gap_in_the_numbers_ends_everything() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    b.read(&row).await;
    let before = b.cache.stats().epoch;
    let _: u64 = server.command("INCR test:inv:seq").await;
    a.invalidate("unrelated").await.expect("Redis takes it");
    b.seen.wait(|seen| seen.received == 1).await;
    assert_eq!(b.cache.stats().epoch, before + 1);
    assert_eq!(b.read(&row).await.1, Tier::L2);

    a.invalidate("unrelated").await.expect("Redis takes it");
    b.seen.wait(|seen| seen.received == 2).await;
    assert_eq!(b.cache.stats().epoch, before + 1, "no gap any more");
}

/// Redis lost its data (FLUSHALL, or a restart without a disk): the numbers begin again.
#[tokio::test]
async fn numbers_that_begin_again_end_everything() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    a.invalidate("x").await.expect("Redis takes it");
    a.invalidate("x").await.expect("Redis takes it");
    b.seen.wait(|seen| seen.received == 2).await;
    b.read(&row).await;
    let _: String = server.command("FLUSHALL").await;
    a.invalidate("x").await.expect("Redis takes it");
    b.seen.wait(|seen| seen.received == 3).await;
    assert_eq!(b.read(&row).await.1, Tier::Db, "neither L1 nor the emptied Redis");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_ends_everything() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    b.read(&row).await;
    let receivers: u64 = server.command("PUBLISH test:inv nonsense").await;
    assert_eq!(receivers, 2);
    // Messages arrive in order: behind this one, the first has been dealt with.
    a.invalidate("unrelated").await.expect("Redis takes it");
    b.seen.wait(|seen| seen.received == 1).await;
    assert_eq!(b.read(&row).await.1, Tier::L2);
}
