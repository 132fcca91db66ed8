//! Faults under load: readers and a writer go on while Redis is cut off, stopped, emptied, replaced or refuses. A
//! checker looks at every version that a reader saw: none may be older than what its replica had processed when the
//! read began, nor than what was committed two seconds before, no read may fail, and when the fault is over everybody
//! comes to the newest version.

use std::{
    collections::VecDeque,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use tiered_cache::{SystemClock, Tag, Tier, TieredCache};
use tokio::task::JoinSet;

use crate::clock::ManualClock;
use crate::{
    network::Proxy,
    outbox::Outbox,
    refusals::Way,
    support::{DEADLINE, Replica, Server, Source, eventually, from, patient, policy},
};

/// Writes before, during and after the fault, each.
const WRITES: usize = 60;
const WRITES_LONG: usize = 2_000;

const ROWS: u32 = 4;

/// How old an answer may be, whatever Redis does, while the database answers.
const BOUND: Duration = Duration::from_secs(2);

/// When each version of one row was committed.
#[derive(Default)]
struct Commits {
    /// Those within the bound.
    young: VecDeque<(Instant, i64)>,
    /// The newest before.
    settled: i64,
}

impl Commits {
    /// What every reader must see from now on.
    fn floor(&mut self) -> i64 {
        while let Some(&(committed, version)) = self.young.front()
            && committed.elapsed() >= BOUND
        {
            self.settled = version;
            self.young.pop_front();
        }
        self.settled
    }
}

fn writes() -> usize {
    if std::env::var_os("CACHE_TESTS_LONG").is_some() {
        WRITES_LONG
    } else {
        WRITES
    }
}

/// Two replicas behind a proxy, rows, and what the writer's replica has processed of each row.
struct Scene {
    server: Server,
    proxy: Proxy,
    replicas: [TieredCache; 2],
    rows: Vec<Arc<Source>>,
    processed: Arc<Vec<AtomicI64>>,
    commits: Arc<Vec<Mutex<Commits>>>,
    outbox: Outbox,
    over: Arc<AtomicBool>,
}

impl Scene {
    async fn start() -> Self {
        let server = Server::start().await;
        let proxy = Proxy::to(server.port()).await;
        let replicas = [build(&proxy).await, build(&proxy).await];
        let outbox = Outbox::default();
        for replica in &replicas {
            replica.relay(outbox.clone());
        }
        Self {
            server,
            proxy,
            replicas,
            rows: (0..ROWS).map(Source::new).collect(),
            processed: Arc::new((0..ROWS).map(|_| AtomicI64::new(1)).collect()),
            commits: Arc::new((0..ROWS).map(|_| Mutex::default()).collect()),
            outbox,
            over: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Waits until everything that was committed is older than the bound.
    async fn let_commits_settle(&self) {
        eventually("the bound passes", || {
            let is_settled = |commits: &Mutex<Commits>| {
                let mut commits = commits.lock().expect("whole");
                commits.floor();
                commits.young.is_empty()
            };
            self.commits.iter().all(is_settled)
        })
        .await;
    }

    /// Readers on both replicas until the end; those of the first compare with what its writer has processed, and all
    /// with what was committed long ago.
    fn readers(&self) -> JoinSet<u64> {
        let mut readers = JoinSet::new();
        for (number, cache) in self.replicas.iter().enumerate() {
            let (cache, rows, over) = (cache.clone(), self.rows.clone(), Arc::clone(&self.over));
            let processed = (number == 0).then(|| Arc::clone(&self.processed));
            let commits = Arc::clone(&self.commits);
            readers.spawn(async move {
                let mut reads = 0;
                while !over.load(Ordering::SeqCst) {
                    for (index, row) in rows.iter().enumerate() {
                        let at_least = processed.as_ref().map_or(0, |all| all[index].load(Ordering::SeqCst));
                        let settled = commits[index].lock().expect("whole").floor();
                        let version = version(&cache, row).await;
                        assert!(
                            version >= at_least,
                            "row {index}: {version} after {at_least} was processed"
                        );
                        assert!(
                            version >= settled,
                            "row {index}, replica {number}: {version}, {settled} was committed {BOUND:?} ago: {cache:?}"
                        );
                        reads += 1;
                    }
                    tokio::task::yield_now().await;
                }
                reads
            });
        }
        readers
    }

    /// Commits and invalidates on the first replica; what Redis does not take is processed there all the same.
    async fn write_some(&self) {
        for write in 0..writes() {
            let index = write % self.rows.len();
            let row = &self.rows[index];
            row.write();
            let committed = row.committed();
            let noted = self.outbox.commit(&format!("row:{index}"));
            let young = (Instant::now(), committed);
            self.commits[index].lock().expect("whole").young.push_back(young);
            let done = self.replicas[0].invalidate(&[Tag::new(format!("row:{index}"))]).await;
            if done.is_ok() {
                self.outbox.mark_done(noted);
            }
            self.processed[index].fetch_max(committed, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    }

    /// The fault is over: everybody comes to the newest versions, from L1.
    async fn end(self, mut readers: JoinSet<u64>) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        for cache in &self.replicas {
            for row in &self.rows {
                while version(cache, row).await != row.committed() || !cache.stats().l1_open {
                    assert!(tokio::time::Instant::now() < deadline, "old versions stay: {cache:?}");
                    tokio::task::yield_now().await;
                }
            }
        }
        self.over.store(true, Ordering::SeqCst);
        while let Some(reads) = readers.join_next().await {
            assert!(reads.expect("a reader saw something old") > 0);
        }
    }
}

async fn build(proxy: &Proxy) -> TieredCache {
    let mut settings = patient(proxy.url());
    // What the service uses.
    settings.command_timeout = Duration::from_millis(100);
    let builder = TieredCache::builder("test").redis(settings);
    builder
        .clock(Arc::new(SystemClock))
        .build()
        .await
        .expect("the settings are valid")
}

async fn version(cache: &TieredCache, row: &Arc<Source>) -> i64 {
    let (key, tags) = (row.key(), row.tags());
    let served = cache.get_or_load(&key, &tags, &policy(), row.loader()).await;
    served.expect("reads never fail").entry.expect("there is a row").version
}

/// Plays a fault between two quiet times.
async fn play(begin: impl AsyncFnOnce(&Scene), finish: impl AsyncFnOnce(&Scene)) {
    let scene = Scene::start().await;
    let readers = scene.readers();
    scene.write_some().await;
    begin(&scene).await;
    scene.write_some().await;
    finish(&scene).await;
    scene.write_some().await;
    scene.end(readers).await;
}

/// Redis refuses for longer than the bound, in each of the ways.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_answers_and_refuses() {
    for way in Way::ALL {
        let scene = Scene::start().await;
        let readers = scene.readers();
        scene.write_some().await;
        let running = way.begin(&scene.server).await;
        scene.write_some().await;
        scene.let_commits_settle().await;
        scene.write_some().await;
        way.end(&scene.server, running).await;
        scene.write_some().await;
        scene.let_commits_settle().await;
        scene.end(readers).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_subscribers_connections_are_killed() {
    let kill = async |scene: &Scene| {
        let _: u64 = scene.server.command("CLIENT KILL TYPE pubsub").await;
    };
    play(kill, kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_are_cut_and_nobody_gets_through_for_a_while() {
    play(
        async |scene| scene.proxy.cut(),
        async |scene| scene.proxy.lead_to(scene.server.port()),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_stops_answering_and_goes_on() {
    let signal = |scene: &Scene, name: &str| {
        let status = Command::new("kill")
            .arg(name)
            .arg(scene.server.pid().to_string())
            .status();
        assert!(status.expect("kill runs").success());
    };
    play(
        async |scene| signal(scene, "-STOP"),
        async |scene| signal(scene, "-CONT"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_pauses_writes() {
    play(
        async |scene| {
            let _: String = scene.server.command("CLIENT PAUSE 600000 WRITE").await;
        },
        async |scene| {
            let _: String = scene.server.command("CLIENT UNPAUSE").await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_emptied() {
    let flush = async |scene: &Scene| {
        let _: String = scene.server.command("FLUSHALL").await;
    };
    play(flush, flush).await;
}

/// Redis comes back as another, empty server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_started_anew_without_its_data() {
    let next = Server::start().await;
    play(
        async |scene| scene.proxy.cut(),
        async |scene| scene.proxy.lead_to(next.port()),
    )
    .await;
}

/// 1. Version 1 is in Redis with its generations. 2. Somebody takes a backup. 3. Version 2 is written and invalidated,
/// and read by everyone. 4. Redis dies and comes back with the backup: generations from before the write beside the
/// entry that they make valid, and a counter that went back. 5. Nobody may get version 1.
#[tokio::test]
async fn redis_is_started_anew_with_old_data() {
    let (first, second) = (Server::start().await, Server::start().await);
    let proxy = Proxy::to(first.port()).await;
    let (clock, row) = (Arc::new(ManualClock::new()), Source::new(1));
    let replica = Replica::build(TieredCache::builder("test").redis(patient(proxy.url())), &clock).await;
    replica.read(&row).await;
    copy(&first, &second).await;
    row.write();
    replica.invalidate("row:1").await.expect("Redis takes it");
    assert_eq!(replica.read(&row).await, from(Tier::Db, "1:v2"));

    proxy.lead_to(second.port());
    replica.seen.wait(|seen| seen.gate == [true, false, true]).await;
    assert_eq!(replica.read(&row).await.0, "1:v2");
    let late = Replica::build(TieredCache::builder("test").redis(patient(proxy.url())), &clock).await;
    assert_eq!(
        late.read(&row).await.0,
        "1:v2",
        "also for those who never saw version 2"
    );
}

/// All keys of one server to another.
async fn copy(from: &Server, to: &Server) {
    let names: Vec<String> = from.command("KEYS *").await;
    assert!(names.iter().any(|name| name.starts_with("test:e:")), "{names:?}");
    for name in names {
        let bytes: Vec<u8> = from.command(&format!("DUMP {name}")).await;
        let restore = redis::cmd("RESTORE").arg(name).arg(0).arg(bytes).to_owned();
        let restored = restore.exec_async(&mut to.client.clone()).await;
        restored.expect("the other server takes it");
    }
}

/// 1. B holds two entries. 2. Its subscription is cut. 3. One of them is invalidated while B is disconnected. 4. B
/// subscribes again and reads the log: the one is gone, the other is still served from L1.
#[tokio::test]
async fn a_short_disconnection_costs_only_what_changed() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let (one, two) = (Source::new(1), Source::new(2));
    let (a, b) = (server.replica(&clock).await, server.replica(&clock).await);
    b.read(&one).await;
    b.read(&two).await;
    let epoch = b.cache.stats().epoch;
    let _: u64 = server.command("CLIENT KILL TYPE pubsub").await;
    one.write();
    a.invalidate("row:1").await.expect("commands have their own connection");
    b.seen.wait(|seen| seen.gate == [true, false, true]).await;
    assert_eq!(b.read(&two).await, from(Tier::L1, "2:v1"));
    assert_eq!(b.read(&one).await, from(Tier::Db, "1:v2"));
    assert_eq!((b.cache.stats().replayed, b.cache.stats().epoch), (1, epoch));
}

/// A message gets lost and none follows it: the next heartbeat's number shows it.
#[tokio::test]
async fn a_lost_last_message_is_found_by_the_heartbeat() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let b = server.replica(&clock).await;
    b.read(&row).await;
    let epoch = b.cache.stats().epoch;
    // What an invalidation does in Redis, without its message.
    let _: String = server.command("SET test:g:row:1 87654321").await;
    let _: u64 = server.command("INCR test:inv:seq").await;
    eventually("the gap is found", || b.cache.stats().epoch > epoch).await;
    row.write();
    assert_eq!(b.read(&row).await, from(Tier::Db, "1:v2"));
}

/// The number alone may come back the same after an emptied Redis; its life does not.
#[tokio::test]
async fn the_same_number_in_another_life_is_not_taken_for_no_news() {
    let (server, clock, row) = (Server::start().await, Arc::new(ManualClock::new()), Source::new(1));
    let proxy = Proxy::to(server.port()).await;
    let a = server.replica(&clock).await;
    let b = Replica::build(TieredCache::builder("test").redis(patient(proxy.url())), &clock).await;
    b.read(&row).await;
    let number = b.cache.place().number();
    proxy.cut();
    b.seen.wait(|seen| seen.gate == [true, false]).await;
    let _: String = server.command("FLUSHALL").await;
    row.write();
    let same_number = async || {
        let done = a.invalidate("row:1").await.expect("Redis takes it");
        done.place.is_some_and(|place| place.number() == number)
    };
    while !same_number().await {}
    proxy.lead_to(server.port());
    b.seen.wait(|seen| seen.gate == [true, false, true]).await;
    assert_eq!(b.read(&row).await, from(Tier::Db, "1:v2"));
}

/// With Redis and the database both away, an endpoint may ask to be answered with what is there; others are not.
#[tokio::test]
async fn while_disconnected_only_endpoints_that_asked_for_it_are_answered_from_l1() {
    let (server, clock) = (Server::start().await, Arc::new(ManualClock::new()));
    let replica = server.replica(&clock).await;
    let (key, tags) = (tiered_cache::Key::new("rows"), [Tag::new("row")]);
    let load = || async { Ok::<_, &str>(Some(tiered_cache::Entry::new("kept", 1))) };
    let fail = || async { Err::<Option<tiered_cache::Entry>, _>("no database") };
    replica
        .cache
        .get_or_load(&key, &tags, &policy(), load)
        .await
        .expect("loads");
    server.stop();
    replica.seen.wait(|seen| seen.gate == [true, false]).await;
    replica
        .cache
        .get_or_load(&key, &tags, &policy(), fail)
        .await
        .expect_err("L1 has no lease");
    let opted_in = policy().serve_l1_while_disconnected();
    let answer = replica
        .cache
        .get_or_load(&key, &tags, &opted_in, fail)
        .await
        .expect("kept");
    assert_eq!(answer.tier, Tier::Stale);
    replica.cache.invalidate(&tags).await.expect_err("Redis is away");
    replica
        .cache
        .get_or_load(&key, &tags, &opted_in, fail)
        .await
        .expect_err("it was invalidated here");
}
