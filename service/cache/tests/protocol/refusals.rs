//! A Redis that answers and refuses: read-only after a demotion, full, unable to save, without its replicas, without a
//! right, busy, loading. Nobody may go on serving what changed meanwhile, everybody must notice, and when it is over
//! everybody comes back.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use tiered_cache::{RedisSettings, Tier, TieredCache};
use tokio::task::JoinHandle;

use crate::clock::ManualClock;
use crate::network::Proxy;
use crate::outbox::Outbox;
use crate::support::{Replica, Server, Source, eventually, from, patient, wait_until};

/// Ways in which Redis answers and refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `MISCONF`: a snapshot failed.
    CannotSave,
    /// `OOM`: full, and evicts nothing.
    Full,
    /// `READONLY`: demoted.
    ReadOnly,
    /// `NOREPLICAS`: too few replicas.
    WithoutReplicas,
    /// `NOPERM`: the user may not write.
    MayNotWrite,
    /// `NOPERM`: the user may not run scripts.
    MayNotRunScripts,
    /// `NOPERM`: the user lacks one command that only the log of invalidations needs.
    MayNotAppend,
    /// `BUSY`: runs somebody's endless script. Refuses reads too.
    Busy,
    /// `LOADING`: reads its data from disk. Refuses reads too.
    Loading,
}

impl Way {
    pub(crate) const ALL: [Self; 9] = [
        Self::CannotSave,
        Self::Full,
        Self::ReadOnly,
        Self::WithoutReplicas,
        Self::MayNotWrite,
        Self::MayNotRunScripts,
        Self::MayNotAppend,
        Self::Busy,
        Self::Loading,
    ];

    /// From now on Redis refuses. What is returned belongs to [`Way::end`].
    pub(crate) async fn begin(self, server: &Server) -> Option<JoinHandle<()>> {
        match self {
            Self::CannotSave => {
                std::fs::remove_dir_all(server.directory()).expect("its directory can be removed");
                server.configure(&[("save", "3600 1000000")]).await;
                let _: String = server.command("BGSAVE").await;
                let failed = async || {
                    let info: String = server.command("INFO persistence").await;
                    info.contains("rdb_last_bgsave_status:err")
                };
                wait_until("the snapshot fails", failed).await;
            }
            Self::Full => {
                server
                    .configure(&[("maxmemory-policy", "noeviction"), ("maxmemory", "1")])
                    .await;
            }
            Self::ReadOnly => server.order("REPLICAOF 127.0.0.1 1").await,
            Self::WithoutReplicas => server.configure(&[("min-replicas-to-write", "1")]).await,
            Self::MayNotWrite => server.order("ACL SETUSER default -@write").await,
            Self::MayNotRunScripts => server.order("ACL SETUSER default -evalsha").await,
            Self::MayNotAppend => server.order("ACL SETUSER default -xadd").await,
            Self::Busy => {
                server.configure(&[("busy-reply-threshold", "1")]).await;
                return Some(endless_script(server.another_client().await));
            }
            Self::Loading => {
                server.order("DEBUG POPULATE 20000 filler 10").await;
                server
                    .configure(&[
                        ("key-load-delay", "200"),
                        ("loading-process-events-interval-bytes", "1024"),
                    ])
                    .await;
                return Some(reload(server.another_client().await));
            }
        }
        None
    }

    /// Redis takes writes again.
    pub(crate) async fn end(self, server: &Server, running: Option<JoinHandle<()>>) {
        match self {
            Self::CannotSave => server.configure(&[("save", "")]).await,
            Self::Full => server.configure(&[("maxmemory", "0")]).await,
            Self::ReadOnly => server.order("REPLICAOF NO ONE").await,
            Self::WithoutReplicas => server.configure(&[("min-replicas-to-write", "0")]).await,
            Self::MayNotWrite | Self::MayNotRunScripts | Self::MayNotAppend => {
                server.order("ACL SETUSER default +@all").await;
            }
            Self::Busy => server.order("SCRIPT KILL").await,
            Self::Loading => {}
        }
        if let Some(running) = running {
            running.await.expect("it ends");
        }
    }
}

fn endless_script(mut client: MultiplexedConnection) -> JoinHandle<()> {
    tokio::spawn(async move {
        let script = redis::cmd("EVAL").arg("while true do end").arg(0).to_owned();
        script.exec_async(&mut client).await.expect_err("it is killed");
    })
}

fn reload(mut client: MultiplexedConnection) -> JoinHandle<()> {
    tokio::spawn(async move {
        let reload = redis::cmd("DEBUG").arg("RELOAD").to_owned();
        reload.exec_async(&mut client).await.expect("the data is read again");
    })
}

/// A replica that relays `outbox`.
async fn replica(server: &Server, clock: &Arc<ManualClock>, outbox: &Outbox) -> Replica {
    let replica = server.impatient_replica(clock).await;
    replica.cache.relay(outbox.clone());
    replica
}

/// The clock stands still, so that no lease ends by time:
/// 1. B has version 1 in L1, and Redis has it under current generations.
/// 2. Redis refuses.
/// 3. Version 2 is committed at A; its invalidation is refused.
/// 4. B gives up its lease, and does not take version 1 out of Redis: it answers with version 2.
/// 5. Redis takes writes again. Everybody is back, and nobody serves version 1.
async fn nobody_serves_what_changed(way: Way) {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let outbox = Outbox::default();
    let (a, b) = (
        replica(&server, &clock, &outbox).await,
        replica(&server, &clock, &outbox).await,
    );
    a.read(&row).await;
    b.read(&row).await;
    assert_eq!(b.read(&row).await, from(Tier::L1, "1:v1"));

    let running = way.begin(&server).await;
    row.write();
    outbox.commit("row:1");
    a.invalidate("row:1").await.expect_err("Redis refuses it");
    b.seen.wait(|seen| seen.gate.last() == Some(&false)).await;
    assert_eq!(b.read(&row).await, from(Tier::Db, "1:v2"), "{way:?}");
    assert_eq!(a.read(&row).await.0, "1:v2", "{way:?}");
    for replica in [&a, &b] {
        let stats = replica.cache.stats();
        assert!(!stats.l2_open && !stats.l1_open, "{way:?}: {stats:?}");
        assert!(
            stats.redis_refusals > 0 && stats.redis_failures > 0,
            "{way:?}: {stats:?}"
        );
    }

    way.end(&server, running).await;
    for replica in [&a, &b] {
        let is_back = || {
            let stats = replica.cache.stats();
            stats.l1_open && stats.l2_open && stats.bypassed_tags == 0
        };
        eventually("everybody is back", is_back).await;
        assert_eq!(replica.read(&row).await.0, "1:v2", "{way:?}");
    }
    eventually("the outbox is empty", || outbox.open() == 0).await;
    let late = server.replica(&clock).await;
    assert_eq!(late.read(&row).await.0, "1:v2", "{way:?}: also for who comes later");
}

macro_rules! each_way {
    ($($name:ident: $way:expr,)+) => {
        $(
            #[tokio::test]
            async fn $name() {
                nobody_serves_what_changed($way).await;
            }
        )+
    };
}

each_way! {
    a_redis_that_cannot_save_is_noticed: Way::CannotSave,
    a_redis_that_is_full_is_noticed: Way::Full,
    a_redis_that_was_demoted_is_noticed: Way::ReadOnly,
    a_redis_without_its_replicas_is_noticed: Way::WithoutReplicas,
    a_user_that_may_not_write_is_noticed: Way::MayNotWrite,
    a_user_that_may_not_run_scripts_is_noticed: Way::MayNotRunScripts,
    a_user_that_may_not_append_to_the_log_is_noticed: Way::MayNotAppend,
    a_redis_that_runs_a_script_for_ever_is_noticed: Way::Busy,
    a_redis_that_loads_its_data_is_noticed: Way::Loading,
}

/// 1. B has version 1 in both tiers; Redis refuses the writes of A alone. 2. Version 2 is committed at A. 3. A claims
/// the row of the outbox, and cannot bring it to Redis. 4. B finds the row all the same, applies it, and brings it to
/// Redis; C, which knows no outbox, hears of it.
#[tokio::test]
async fn a_row_that_a_refused_replica_holds_is_applied_by_the_others() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    server.order("ACL SETUSER a on nopass ~* &* +@all").await;
    let outbox = Outbox::default();
    let user = format!("redis://a:any@127.0.0.1:{}", server.port());
    let a = Replica::build(TieredCache::builder("test").redis(patient(user)), &clock).await;
    let (b, c) = (server.replica(&clock).await, server.replica(&clock).await);
    for replica in [&a, &b, &c] {
        replica.read(&row).await;
    }
    server.order("ACL SETUSER a -@write").await;
    row.write();
    outbox.commit("row:1");
    a.invalidate("row:1").await.expect_err("Redis refuses it");
    b.cache.relay(outbox.claimed_by_others());
    c.seen.wait(|seen| seen.received >= 1).await;
    assert_eq!(b.read(&row).await.0, "1:v2");
    assert_eq!(c.read(&row).await.0, "1:v2");
    assert!(
        b.cache.stats().l2_open && c.cache.stats().l1_open,
        "Redis is well for them"
    );
    assert!(!a.cache.stats().l2_open);
    assert_eq!(a.read(&row).await, from(Tier::Db, "1:v2"));
}

/// More rows than are applied one by one: everything ends, instead of what did not fit being forgotten.
#[tokio::test]
async fn with_too_many_open_rows_everything_ends() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let outbox = Outbox::default();
    let b = server.replica(&clock).await;
    b.read(&row).await;
    for id in 0..2_000 {
        outbox.commit(&format!("another:{id}"));
    }
    row.write();
    outbox.commit("row:1");
    let epoch = b.cache.stats().epoch;
    b.cache.relay(outbox.claimed_by_others());
    eventually("everything ends", || b.cache.stats().epoch > epoch).await;
    assert_eq!(b.read(&row).await.0, "1:v2");
}

/// 1. The address leads to a primary. 2. It is demoted; the address leads elsewhere from now on, but connections stay.
/// 3. The cache must not stay with the old one: it dials again, and gives up everything, because the new primary may
///    lack the newest invalidations.
#[tokio::test]
async fn after_a_demotion_the_connection_is_dialled_again() {
    let (old, new) = (Server::start().await, Server::start().await);
    let (clock, row) = (Arc::new(ManualClock::new()), Source::new(1));
    let proxy = Proxy::to(old.port()).await;
    let replica = Replica::build(TieredCache::builder("test").redis(patient(proxy.url())), &clock).await;
    replica.read(&row).await;
    proxy.lead_new_ones_to(new.port());
    old.order(&format!("REPLICAOF 127.0.0.1 {}", new.port())).await;
    let linked = async || new.command::<u64>("EXISTS test:inv:run").await == 1;
    wait_until("the new primary is used", linked).await;
    eventually("everything is back", || {
        replica.cache.stats().l2_open && replica.cache.stats().l1_open
    })
    .await;
    row.write();
    replica.invalidate("row:1").await.expect("the new primary takes it");
    assert_eq!(replica.read(&row).await.0, "1:v2");
}

/// 1. A and B use one primary; the address of B then leads to another, which takes writes as well (a partition). 2. A
///    writes: its invalidation goes to the first one, and is confirmed. 3. A comes to the second one, which had been
///    looked at by B before: what it holds must end all the same, because A's invalidation is not in it.
#[tokio::test]
async fn who_comes_from_another_server_ends_what_the_new_one_holds() {
    let (first, second) = (Server::start().await, Server::start().await);
    let (clock, row) = (Arc::new(ManualClock::new()), Source::new(1));
    let (proxy_a, proxy_b) = (Proxy::to(first.port()).await, Proxy::to(first.port()).await);
    let build =
        async |proxy: &Proxy| Replica::build(TieredCache::builder("test").redis(patient(proxy.url())), &clock).await;
    let (a, b) = (build(&proxy_a).await, build(&proxy_b).await);
    a.read(&row).await;
    proxy_b.lead_to(second.port());
    b.seen.wait(|seen| seen.gate == [true, false, true]).await;
    assert_eq!(b.read(&row).await, from(Tier::Db, "1:v1"));
    row.write();
    a.invalidate("row:1").await.expect("the first one takes it");
    let epoch = b.cache.stats().epoch;
    proxy_a.lead_to(second.port());
    a.seen.wait(|seen| seen.gate == [true, false, true]).await;
    eventually("B hears of it", || b.cache.stats().epoch > epoch).await;
    assert_eq!(a.read(&row).await.0, "1:v2");
    assert_eq!(b.read(&row).await.0, "1:v2");
}

/// A server that refuses from the start: no slot of a cluster is served.
#[tokio::test]
async fn a_cluster_that_is_down_is_noticed_at_the_start() {
    let (server, clock, row) = (
        Server::start_with(&["--cluster-enabled", "yes"]).await,
        Arc::new(ManualClock::new()),
        Source::new(1),
    );
    let mut settings = RedisSettings::new(format!("redis://127.0.0.1:{}", server.port()));
    settings.connect_timeout = std::time::Duration::from_millis(200);
    let replica = Replica::build(TieredCache::builder("test").redis(settings), &clock).await;
    eventually("it is counted", || replica.cache.stats().redis_refusals > 0).await;
    assert!(!replica.cache.stats().l2_open && !replica.cache.stats().l1_open);
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v1"));
}

/// The commands that docs say are needed, as a user of Redis has them: nothing is missing, and without any one of them
/// the cache says so.
#[tokio::test]
async fn the_documented_rights_are_enough_and_none_is_too_many() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    server
        .order("ACL SETUSER cache on nopass resetkeys resetchannels")
        .await;
    for rights in documented_rights() {
        server.order(&format!("ACL SETUSER cache {rights}")).await;
    }
    let user = format!("redis://cache:any@127.0.0.1:{}", server.port());
    let build = async || Replica::build(TieredCache::builder("test").redis(patient(user.clone())), &clock).await;
    let (a, b) = (build().await, build().await);
    a.read(&row).await;
    assert_eq!(b.read(&row).await, from(Tier::L2, "1:v1"));
    row.write();
    a.invalidate("row:1").await.expect("Redis takes it");
    b.seen.wait(|seen| seen.received == 1).await;
    assert_eq!(b.read(&row).await, from(Tier::Db, "1:v2"));
    a.cache.flush_matching("rows:*").await.expect("Redis takes it");
    eventually("it was asked", || a.cache.stats().redis_used_bytes > 0).await;
    for replica in [&a, &b] {
        let stats = replica.cache.stats();
        assert_eq!(
            (stats.redis_failures, stats.l1_open, stats.l2_open),
            (0, true, true),
            "{stats:?}"
        );
    }
    let log: Vec<redis::Value> = server.command("ACL LOG").await;
    // A client names itself if it may; from Redis 7.2 on, that is asked for and refused.
    let refused = log.iter().filter(|entry| !format!("{entry:?}").contains("setinfo"));
    assert_eq!(refused.count(), 0, "Redis refused something: {log:?}");
}

/// The lines of rights in the manual, without name and password, with the namespace of the tests.
fn documented_rights() -> Vec<String> {
    let manual = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let manual = std::fs::read_to_string(manual).expect("the README is there");
    let lines = manual
        .lines()
        .filter_map(|line| line.trim().strip_prefix("ACL SETUSER shop "));
    let rights: Vec<String> = lines
        .map(|line| line.replace("on >PASSWORD ", "").replace("shop", "test"))
        .collect();
    assert!(!rights.is_empty(), "the README names the rights");
    rights
}
