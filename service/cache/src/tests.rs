//! Interleavings of the protocol's own steps: every flight and every invalidation stops between any two of its steps,
//! and a seed decides who goes on. The clock stands still, Redis is a real one. A failure names its seed, and the seed
//! replays the choices.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use redis::aio::MultiplexedConnection;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};

use crate::{Clock, Entry, Key, Policy, RedisSettings, Tag, TieredCache, context::Step};

#[expect(dead_code, reason = "the other test programs use the rest")]
#[path = "../tests/kit/redis.rs"]
mod redis_server;

/// How long a step may take; reached only when a test fails.
const DEADLINE: Duration = Duration::from_secs(20);

/// More tasks than one schedule holds at a time.
const MAX_HELD: usize = 64;

/// Schedules in the normal run, and in the long one.
const SEEDS: u64 = 40;
const SEEDS_LONG: u64 = 2_000;

/// Holds tasks back between the steps of the protocol.
pub(crate) struct Pauses(mpsc::Sender<Held>);

/// A task that waits at a step.
struct Held {
    step: Step,
    go_on: oneshot::Sender<()>,
}

impl Pauses {
    /// Called by the protocol between two steps.
    pub(crate) async fn reach(&self, step: Step) {
        let (go_on, wait) = oneshot::channel();
        if self.0.send(Held { step, go_on }).await.is_ok() {
            // An error says that the schedule went away: the test is over.
            let _ = wait.await;
        }
    }
}

/// A clock that stands still.
struct StillClock;

impl Clock for StillClock {
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn wall_ms(&self) -> u64 {
        1_767_225_600_000
    }
}

/// The database: one row, whose version only grows.
#[derive(Default)]
struct Row(AtomicI64);

/// One replica and the two things that clients do with it.
#[derive(Clone)]
struct Replica {
    cache: TieredCache,
    row: Arc<Row>,
}

impl Replica {
    async fn build(url: &str, row: &Arc<Row>, pauses: mpsc::Sender<Held>) -> Self {
        let mut settings = RedisSettings::new(url);
        settings.command_timeout = DEADLINE;
        settings.connect_timeout = DEADLINE;
        let mut builder = TieredCache::builder("steps")
            .redis(settings)
            .clock(Arc::new(StillClock));
        builder.pauses = Some(Arc::new(Pauses(pauses)));
        Self {
            cache: builder.build().await.expect("the settings are valid"),
            row: Arc::clone(row),
        }
    }

    async fn read(&self) -> i64 {
        let row = Arc::clone(&self.row);
        let load = || async move {
            let version = row.0.load(Ordering::SeqCst);
            Ok::<_, Infallible>(Some(Entry::new(version.to_string(), version)))
        };
        // Without the fleet's lock: it would only make schedules wait, and nothing may depend on it.
        let policy = Policy::ttl(Duration::from_mins(1)).with_fleet_lock(false);
        let (key, tags) = (Key::new("row"), tags());
        let served = self.cache.get_or_load(&key, &tags, &policy, load).await;
        served
            .expect("the loader does not fail")
            .entry
            .expect("there is a row")
            .version
    }

    async fn write(&self) -> i64 {
        let version = self.row.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.cache.invalidate(&tags()).await.expect("Redis takes it");
        version
    }
}

fn tags() -> [Tag; 1] {
    [Tag::new("row")]
}

/// What clients do at the same time: two read and one writes on the first replica, one reads on the second. Each reads
/// once more after its own step, and must see what the writer of its replica has finished before.
async fn play(seed: u64, url: &str) -> Vec<Step> {
    let mut redis = plain_client(url).await;
    let _: () = redis::cmd("FLUSHALL")
        .query_async(&mut redis)
        .await
        .expect("Redis is emptied");
    let (sender, mut held) = mpsc::channel(MAX_HELD);
    let row = Arc::new(Row::default());
    let (a, b) = (
        build_running(url, &row, &sender, &mut held).await,
        build_running(url, &row, &sender, &mut held).await,
    );
    let processed = Arc::new(AtomicI64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..2 {
        let (replica, processed) = (a.clone(), Arc::clone(&processed));
        clients.spawn(async move { reads_never_go_back(seed, &replica, &processed).await });
    }
    let (writer, done) = (a.clone(), Arc::clone(&processed));
    clients.spawn(async move {
        for _ in 0..2 {
            let version = writer.write().await;
            done.fetch_max(version, Ordering::SeqCst);
            assert!(
                writer.read().await >= version,
                "seed {seed}: the writer reads its write"
            );
        }
    });
    let (other, none) = (b.clone(), Arc::new(AtomicI64::new(0)));
    clients.spawn(async move { reads_never_go_back(seed, &other, &none).await });
    let mut schedule = Schedule {
        random: StdRng::seed_from_u64(seed),
        redis,
        held,
        waiting: Vec::new(),
        trace: Vec::new(),
    };
    schedule.run(clients).await;
    schedule.settle(seed, &a, &b).await;
    schedule.trace
}

async fn plain_client(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("the URL is valid");
    let connection = client.get_multiplexed_async_connection().await;
    connection.expect("Redis answers")
}

/// Builds a replica while nothing is held back.
async fn build_running(
    url: &str,
    row: &Arc<Row>,
    sender: &mpsc::Sender<Held>,
    held: &mut mpsc::Receiver<Held>,
) -> Replica {
    let mut building = Box::pin(Replica::build(url, row, sender.clone()));
    loop {
        tokio::select! {
            replica = &mut building => return replica,
            Some(task) = held.recv() => {
                let _ = task.go_on.send(());
            }
        }
    }
}

async fn reads_never_go_back(seed: u64, replica: &Replica, processed: &AtomicI64) {
    for _ in 0..3 {
        let at_least = processed.load(Ordering::SeqCst);
        let version = replica.read().await;
        assert!(
            version >= at_least,
            "seed {seed}: {version} after {at_least} was processed"
        );
    }
}

/// Lets one held task go on at a time, chosen by the seed.
struct Schedule {
    random: StdRng,
    redis: MultiplexedConnection,
    held: mpsc::Receiver<Held>,
    waiting: Vec<Held>,
    trace: Vec<Step>,
}

impl Schedule {
    /// Until all clients are done.
    async fn run(&mut self, mut clients: JoinSet<()>) {
        loop {
            self.gather().await;
            if !self.waiting.is_empty() {
                self.release_one();
                continue;
            }
            tokio::select! {
                ended = timeout(DEADLINE, clients.join_next()) => match ended.expect("somebody goes on") {
                    Some(client) => client.expect("a client saw something old"),
                    None => return,
                },
                Some(task) = self.held.recv() => self.waiting.push(task),
            }
        }
    }

    fn release_one(&mut self) {
        // In an order that does not depend on which of two arrived first.
        self.waiting.sort_by_key(|held| format!("{:?}", held.step));
        let chosen = self.random.random_range(0..self.waiting.len());
        let Held { step, go_on } = self.waiting.remove(chosen);
        self.trace.push(step);
        let _ = go_on.send(());
    }

    /// Everything that is on its way to a pause arrives there. Redis answers in order, so what was sent before a PING
    /// was done before its answer; three of them cover the longest way between two pauses.
    async fn gather(&mut self) {
        for _ in 0..3 {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            let _: String = redis::cmd("PING")
                .query_async(&mut self.redis)
                .await
                .expect("Redis answers");
            while let Ok(task) = self.held.try_recv() {
                self.waiting.push(task);
            }
        }
    }

    /// Without further writes, both replicas come to the newest version: the one that wrote at once, the other when the
    /// messages arrived.
    async fn settle(&mut self, seed: u64, a: &Replica, b: &Replica) {
        let newest = a.row.0.load(Ordering::SeqCst);
        let come = async {
            while a.read().await != newest || b.read().await != newest {
                tokio::task::yield_now().await;
            }
        };
        let run_free = async {
            self.waiting.clear();
            while let Some(task) = self.held.recv().await {
                let _ = task.go_on.send(());
            }
        };
        tokio::select! {
            come = timeout(DEADLINE, come) => {
                assert!(come.is_ok(), "seed {seed}: the replicas do not come to {newest}");
            }
            () = run_free => {}
        }
        a.cache.shutdown().await;
        b.cache.shutdown().await;
    }
}

#[tokio::test]
async fn no_interleaving_of_steps_serves_what_was_invalidated() {
    let redis = redis_server::Redis::start(&[]);
    let is_long = std::env::var_os("CACHE_TESTS_LONG").is_some();
    let seeds = if is_long { SEEDS_LONG } else { SEEDS };
    let mut schedules = std::collections::HashSet::new();
    for seed in 0..seeds {
        let trace = play(seed, &redis.url()).await;
        assert!(
            trace.contains(&Step::LoadBegins) && trace.contains(&Step::MessageArrived),
            "{trace:?}"
        );
        schedules.insert(format!("{trace:?}"));
    }
    println!("{} different schedules out of {seeds} seeds", schedules.len());
    assert!(schedules.len() as u64 > seeds / 2, "the seeds do not make a difference");
}
