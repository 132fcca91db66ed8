//! Redis that stops, stalls, or loses a connection: reads go on, and nothing old is served.

use std::{sync::Arc, time::Duration};

use tiered_cache::{RedisFailure, RedisSettings, Tier, TieredCache};
use tokio::{net::TcpSocket, time::timeout};

use crate::clock::ManualClock;
use crate::support::{DEADLINE, Replica, Server, Source, eventually, from};

#[tokio::test]
async fn when_redis_stops_reads_go_on_and_a_write_leaves_its_replica_clean() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    replica.read(&row).await;
    assert_eq!(replica.read(&row).await.1, Tier::L1);

    server.stop();
    replica.seen.wait(|seen| seen.gate.last() == Some(&false)).await;
    assert_eq!(
        replica.read(&row).await,
        from(Tier::Db, "1:v1"),
        "L1 is closed, Redis is gone"
    );

    row.write();
    let error = replica.invalidate("row:1").await.expect_err("Redis is gone");
    assert_eq!(error.tags, 1);
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v2"));
    assert!(replica.cache.stats().bypassed_tags >= 1);
}

#[tokio::test]
async fn a_write_in_the_moment_redis_stops_leaves_its_replica_clean() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    replica.read(&row).await;
    server.stop();
    row.write();
    replica.invalidate("row:1").await.expect_err("Redis is gone");
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v2"));
}

#[tokio::test]
async fn a_redis_url_that_asks_for_tls_is_refused_and_says_what_to_do() {
    for url in [
        "rediss://:secret@127.0.0.1:1",
        "REDISS://127.0.0.1:1",
        "valkeys://127.0.0.1:1",
    ] {
        let built = TieredCache::builder("test")
            .redis(RedisSettings::new(url))
            .build()
            .await;
        let message = built.expect_err(url).to_string();
        assert!(
            message.contains("redis://") && message.contains("TLS tunnel"),
            "{message}"
        );
        assert!(!message.contains("secret"), "{message}");
    }
}

#[tokio::test]
async fn a_cache_can_be_built_while_redis_is_away() {
    let (clock, row) = (Arc::new(ManualClock::new()), Source::new(1));
    // Bound and never listening: connections are refused, and nobody else is given the port.
    let away = TcpSocket::new_v4().expect("a socket");
    away.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = away.local_addr().expect("bound");
    let mut settings = RedisSettings::new(format!("redis://{address}"));
    settings.connect_timeout = Duration::from_millis(50);
    let replica = Replica::build(TieredCache::builder("test").redis(settings), &clock).await;
    assert!(!replica.cache.stats().l1_open);
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v1"));
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v1"));
}

/// 1. B holds version 1 in L1. 2. Its subscription is cut. 3. Version 2 is written and invalidated on A while B is
/// disconnected.
/// 4. B subscribes again. It must not serve version 1.
#[tokio::test]
async fn what_was_missed_while_unsubscribed_is_not_served() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    b.read(&row).await;
    let cut: u64 = server.command("CLIENT KILL TYPE pubsub").await;
    assert_eq!(cut, 2);
    row.write();
    a.invalidate("row:1").await.expect("commands have their own connection");
    b.seen.wait(|seen| seen.gate == [true, false, true]).await;
    assert_eq!(b.read(&row).await, from(Tier::Db, "1:v2"));
    assert_eq!(b.read(&row).await, from(Tier::L1, "1:v2"), "L1 is back");
}

/// 1. Both tiers hold version 1. 2. Redis refuses scripts, and goes on answering reads. 3. Version 2 is committed; its
/// invalidation is refused, so that the entry in Redis is still valid. 4. The writer's replica must neither serve L1
/// nor take version 1 out of Redis, and the other finds out by its heartbeat. 5. Redis takes scripts again: the
/// invalidation is repeated from memory, without an outbox.
#[tokio::test]
async fn after_a_failed_invalidation_the_old_entry_in_redis_is_not_used_and_the_invalidation_is_repeated() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let row = Source::new(1);
    let (writer, reader) = (server.replica(&clock).await, server.replica(&clock).await);
    writer.read(&row).await;
    reader.read(&row).await;
    let _: String = server.command("ACL SETUSER default -evalsha").await;

    row.write();
    let error = writer.invalidate("row:1").await.expect_err("scripts are refused");
    assert!(matches!(error.cause, RedisFailure::Redis(_)), "{error:?}");
    assert_eq!(writer.cache.stats().bypassed_tags, 1);
    assert_eq!(writer.read(&row).await, from(Tier::Db, "1:v2"), "neither tier");
    reader.seen.wait(|seen| seen.gate.last() == Some(&false)).await;
    assert_eq!(reader.read(&row).await, from(Tier::Db, "1:v2"), "neither tier");

    let _: String = server.command("ACL SETUSER default +evalsha").await;
    reader.seen.wait(|seen| seen.received >= 1).await;
    eventually("the tag is trusted again", || writer.cache.stats().bypassed_tags == 0).await;
    assert_eq!(reader.read(&row).await.0, "1:v2");
    assert_eq!(writer.read(&row).await.0, "1:v2");
}

/// Writes stall in Redis: the invalidation gives up after its time-out, and is repeated when Redis goes on.
#[tokio::test]
async fn an_invalidation_that_times_out_is_repeated() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let (writer, reader) = (server.impatient_replica(&clock).await, server.replica(&clock).await);
    reader.read(&row).await;
    let _: String = server.command("CLIENT PAUSE 600000 WRITE").await;
    row.write();
    let error = writer.invalidate("row:1").await.expect_err("Redis stalls");
    assert!(
        matches!(error.cause, RedisFailure::TimedOut(_) | RedisFailure::Redis(_)),
        "{error:?}"
    );
    assert_eq!(writer.read(&row).await, from(Tier::Db, "1:v2"));

    let _: String = server.command("CLIENT UNPAUSE").await;
    eventually("the invalidation is repeated", || {
        writer.cache.stats().bypassed_tags == 0
    })
    .await;
    reader.seen.wait(|seen| seen.received >= 1).await;
    assert_eq!(reader.read(&row).await.0, "1:v2");
}

/// 1. An invalidation waits for Redis. 2. Its caller goes away. 3. This replica must not go on serving the old entry.
#[tokio::test]
async fn a_writer_that_goes_away_does_not_leave_its_replica_stale() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.impatient_replica(&clock).await;
    replica.read(&row).await;
    let _: String = server.command("CLIENT PAUSE 600000 WRITE").await;
    row.write();
    let mut invalidation = Box::pin(replica.invalidate("row:1"));
    let first_poll = futures_util::poll!(&mut invalidation);
    assert!(first_poll.is_pending());
    drop(invalidation);
    replica.seen.wait(|seen| seen.invalidated == [false]).await;
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v2"));
}

/// Redis that answers nothing at all, with its connections open: the breaker opens with the first heartbeat that fails,
/// and spares the reads even one time-out; whether Redis is back is found out in the background.
#[tokio::test]
async fn a_redis_that_hangs_costs_no_read_a_time_out_and_closes_l1() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.impatient_replica(&clock).await;
    replica.read(&row).await;
    // Long beside the second after which the subscriber notices.
    let _: String = server.command("CLIENT PAUSE 3000 ALL").await;
    replica.seen.wait(|seen| seen.gate == [true, false]).await;
    for id in 10..30 {
        assert_eq!(replica.read(&Source::new(id)).await.1, Tier::Db);
    }
    let failed = replica.seen.failed_operations();
    assert!(!failed.contains(&"read"), "a read waited: {failed:?}");
    assert!(failed.contains(&"prove"), "Redis was not asked: {failed:?}");
    replica.seen.wait(|seen| seen.gate == [true, false, true]).await;
    assert_eq!(replica.read(&row).await.0, "1:v1");
}

/// Both connections end with the cache: the one for commands must not keep itself alive through its own loss handler.
#[tokio::test]
async fn a_cache_that_is_dropped_leaves_no_connection_behind() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let replica = server.replica(&clock).await;
    replica.read(&row).await;
    replica.cache.shutdown().await;
    drop(replica);
    let gone = async {
        while server.command::<String>("CLIENT LIST").await.lines().count() > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, gone)
        .await
        .expect("only the test's own client is left");
}
