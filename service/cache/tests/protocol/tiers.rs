//! Where answers come from, how long they live, and what is not taken for an answer.

use std::{sync::Arc, time::Duration};

use tiered_cache::{Entry, Key, Policy, Tag, Tier, TieredCache};

use crate::clock::ManualClock;
use crate::support::{MOMENT, Replica, Server, Source, TTL, advance, from, policy};

#[tokio::test]
async fn an_answer_comes_from_the_loader_then_from_l1_and_on_another_replica_from_l2() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    assert_eq!(a.read(&row).await, from(Tier::Db, "1:v1"));
    assert_eq!(a.read(&row).await, from(Tier::L1, "1:v1"));
    assert_eq!(b.read(&row).await, from(Tier::L2, "1:v1"));
    assert_eq!(b.read(&row).await, from(Tier::L1, "1:v1"));
    assert_eq!(row.loads(), 1);
    assert_eq!(
        a.seen.lookups(),
        [("rows", Tier::Db), ("rows", Tier::L1)],
        "each read counts once"
    );
    assert_eq!(b.seen.lookups(), [("rows", Tier::L2), ("rows", Tier::L1)]);
}

#[tokio::test]
async fn answers_expire_by_the_clock_in_both_tiers() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    assert_eq!(replica.read(&row).await.1, Tier::Db);
    advance(&clock, TTL.saturating_sub(MOMENT), &[&replica]).await;
    assert_eq!(replica.read(&row).await.1, Tier::L1);
    clock.advance(MOMENT);
    assert_eq!(replica.read(&row).await.1, Tier::Db);
    assert_eq!(replica.read(&row).await.1, Tier::L1, "the new entry is young again");
}

#[tokio::test]
async fn an_answer_keeps_its_age_when_it_moves_from_l2_to_another_replica() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    assert_eq!(a.read(&row).await.1, Tier::Db);
    advance(&clock, TTL / 2, &[&a, &b]).await;
    assert_eq!(b.read(&row).await.1, Tier::L2);
    advance(&clock, (TTL / 2).saturating_sub(MOMENT), &[&b]).await;
    assert_eq!(b.read(&row).await.1, Tier::L1);
    clock.advance(MOMENT);
    assert_eq!(b.read(&row).await.1, Tier::Db);
}

#[tokio::test]
async fn redis_forgets_an_entry_after_its_hard_limit() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    let policy = policy().with_hard_ttl(Duration::from_mins(5));
    replica.read_with(&policy, &row).await;
    let left_ms: u64 = server.command(&format!("PTTL test:e:{}", row.key())).await;
    assert!((250_000..=300_000).contains(&left_ms), "{left_ms} ms");
}

#[tokio::test]
async fn without_redis_there_is_l1_and_its_invalidation() {
    let (clock, row) = (Arc::new(ManualClock::new()), Source::new(1));
    let replica = Replica::build(TieredCache::builder("test"), &clock).await;
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v1"));
    assert_eq!(replica.read(&row).await, from(Tier::L1, "1:v1"));
    row.write();
    assert_eq!(replica.invalidate("row:1").await.expect("no Redis to fail").place, None);
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v2"));
}

#[tokio::test]
async fn that_there_is_no_such_thing_is_not_cached() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let replica = server.replica(&clock).await;
    let (key, policy) = (Key::new("rows").part("none"), policy());
    for _ in 0..2 {
        let load = || async { Ok::<_, String>(None) };
        let answer = replica
            .cache
            .get_or_load(&key, &[], &policy, load)
            .await
            .expect("no error");
        assert_eq!((answer.entry, answer.tier), (None, Tier::Db));
    }
    let load = || async { Ok::<_, String>(Some(Entry::new("made", 1))) };
    let answer = replica
        .cache
        .get_or_load(&key, &[], &policy, load)
        .await
        .expect("no error");
    assert_eq!(answer.entry, Some(Entry::new("made", 1)));
}

#[tokio::test]
async fn a_ttl_of_zero_loads_each_time() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    for _ in 0..2 {
        assert_eq!(replica.read_with(&Policy::ttl(Duration::ZERO), &row).await.1, Tier::Db);
    }
}

#[tokio::test]
async fn garbage_under_the_key_of_an_entry_is_a_miss_and_is_replaced() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let name = format!("test:e:{}", row.key());
    server.replica(&clock).await.read(&row).await;
    let whole: Vec<u8> = server.command(&format!("GET {name}")).await;
    let half = whole[..whole.len() / 2].to_vec();
    for garbage in [b"garbage".to_vec(), Vec::new(), half] {
        let set = redis::cmd("SET").arg(&name).arg(&garbage).to_owned();
        set.exec_async(&mut server.client.clone())
            .await
            .expect("Redis stores it");
        let reader = server.replica(&clock).await;
        assert_eq!(reader.read(&row).await, from(Tier::Db, "1:v1"), "{garbage:?}");
        assert!(reader.cache.stats().entries_damaged > 0, "{garbage:?}");
        assert_eq!(server.replica(&clock).await.read(&row).await.1, Tier::L2, "replaced");
    }
}

#[tokio::test]
async fn a_value_of_another_type_under_the_key_is_a_miss_and_is_replaced() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let _: u64 = server.command(&format!("LPUSH test:e:{} x", row.key())).await;
    assert_eq!(server.replica(&clock).await.read(&row).await, from(Tier::Db, "1:v1"));
    assert_eq!(server.replica(&clock).await.read(&row).await, from(Tier::L2, "1:v1"));
}

#[tokio::test]
async fn an_entry_that_was_copied_to_another_key_is_a_miss() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (one, two) = (Source::new(1), Source::new(2));
    let writer = server.replica(&clock).await;
    writer.read(&one).await;
    let _: u64 = server
        .command(&format!("COPY test:e:{} test:e:{}", one.key(), two.key()))
        .await;
    assert_eq!(writer.read(&two).await, from(Tier::Db, "2:v1"));
}

#[tokio::test]
async fn an_evicted_generation_makes_its_entries_invalid() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    server.replica(&clock).await.read(&row).await;
    let _: u64 = server.command("DEL test:g:row:1").await;
    assert_eq!(server.replica(&clock).await.read(&row).await.1, Tier::Db);
    assert_eq!(
        server.replica(&clock).await.read(&row).await.1,
        Tier::L2,
        "under a new generation"
    );
}

#[tokio::test]
async fn namespaces_share_a_server_and_nothing_else() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (
        server.replica_in("a", &clock).await,
        server.replica_in("b", &clock).await,
    );
    a.read(&row).await;
    assert_eq!(b.read(&row).await.1, Tier::Db);
    a.cache.invalidate(&[Tag::all()]).await.expect("Redis takes it");
    assert_eq!(b.read(&row).await.1, Tier::L1);
    let names: Vec<String> = server.command("KEYS *").await;
    assert!(names.len() > 6, "{names:?}");
    assert!(
        names
            .iter()
            .all(|name| name.starts_with("a:") || name.starts_with("b:")),
        "{names:?}"
    );
}

#[tokio::test]
async fn after_a_shutdown_l1_is_not_served_and_reads_still_work() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    replica.read(&row).await;
    replica.cache.shutdown().await;
    assert_eq!(replica.read(&row).await, from(Tier::L2, "1:v1"));
    assert_eq!(replica.read(&row).await, from(Tier::L2, "1:v1"));
}
