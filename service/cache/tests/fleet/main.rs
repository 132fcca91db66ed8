//! Four processes and one Redis: how far an invalidation gets, how often a fleet loads, and what it does while Redis is
//! stopped, killed, emptied and replaced. Counts and versions are asserted; times are printed, for `docs/CACHE.md`.

#[path = "../kit/redis.rs"]
mod redis_server;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use redis_server::Redis;

const REPLICAS: usize = 4;

/// Reached only when a test fails.
const DEADLINE: Duration = Duration::from_secs(90);

fn is_long() -> bool {
    std::env::var_os("CACHE_TESTS_LONG").is_some()
}

/// One process of `examples/replica.rs`. Ends when it is dropped.
struct Replica {
    child: Child,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

type Answer = HashMap<String, String>;

impl Replica {
    async fn start(url: &str, directory: &Path) -> Self {
        let program = program();
        let mut child = Command::new(&program)
            .arg(url)
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; `cargo build -p tiered-cache --examples` builds it",
                    program.display()
                )
            });
        let commands = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut replica = Self {
            child,
            commands,
            answers,
        };
        assert_eq!(replica.line().await, "ready");
        replica
    }

    async fn send(&mut self, command: &str) {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await
            .expect("the replica runs");
    }

    async fn line(&mut self) -> String {
        let line = timeout(DEADLINE, self.answers.next_line()).await;
        line.expect("the replica answers")
            .expect("it can be read")
            .expect("the replica runs")
    }

    async fn answer(&mut self) -> Answer {
        let line = self.line().await;
        let pairs = line.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    async fn ask(&mut self, command: &str) -> Answer {
        self.send(command).await;
        self.answer().await
    }
}

/// Cargo builds examples with the tests, into a folder beside theirs.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this program has a path");
    let profile = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    profile.join("examples").join("replica")
}

fn number(answer: &Answer, name: &str) -> i64 {
    let text = answer.get(name).unwrap_or_else(|| panic!("no `{name}` in {answer:?}"));
    text.parse()
        .unwrap_or_else(|_| panic!("`{name}` is no number in {answer:?}"))
}

struct Fleet {
    redis: Redis,
    replicas: Vec<Replica>,
    /// Removed with the fleet.
    _directory: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let redis = Redis::start(&[]);
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut replicas = Vec::new();
        for _ in 0..REPLICAS {
            replicas.push(Replica::start(&redis.url(), directory.path()).await);
        }
        Self {
            redis,
            replicas,
            _directory: directory,
        }
    }

    /// The same command to all at the same time.
    async fn ask_all(&mut self, command: &str) -> Vec<Answer> {
        for replica in &mut self.replicas {
            replica.send(command).await;
        }
        self.answers().await
    }

    async fn answers(&mut self) -> Vec<Answer> {
        let mut answers = Vec::new();
        for replica in &mut self.replicas {
            answers.push(replica.answer().await);
        }
        answers
    }

    async fn command(&self, words: &str) {
        let client = redis::Client::open(self.redis.url()).expect("the URL is valid");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().expect("a command"));
        // A word may have blanks, which are then written as `~`.
        command.arg(
            words
                .map(|word| word.replace('~', " ").trim_start().to_owned())
                .collect::<Vec<_>>(),
        );
        command.exec_async(&mut connection).await.expect("Redis runs it");
    }

    fn signal(&self, name: &str) {
        let pid = self.redis.pid().to_string();
        let status = std::process::Command::new("kill").args([name, &pid]).status();
        assert!(status.expect("kill runs").success());
    }
}

fn sum(answers: &[Answer], name: &str) -> i64 {
    answers.iter().map(|answer| number(answer, name)).sum()
}

#[tokio::test]
async fn a_stampede_on_four_replicas_loads_once_with_the_lock_and_at_most_four_times_without() {
    let mut fleet = Fleet::start().await;
    for (locks, most) in [(true, 1), (false, 4)] {
        let answers = fleet.ask_all(&format!("stampede key-{locks} 1000 50 {locks}")).await;
        assert_eq!(sum(&answers, "answered"), 4_000);
        let loads = sum(&answers, "loads");
        println!("4 x 1,000 misses, lock {locks}: {loads} loads");
        assert!((1..=most).contains(&loads), "{loads} loads, lock: {locks}");
    }
}

/// 1. One replica takes the lock and is killed in the middle of its load. 2. The others wait, one of them takes over.
#[tokio::test]
async fn a_lock_holder_that_is_killed_costs_one_more_load() {
    let mut fleet = Fleet::start().await;
    let mut holder = fleet.replicas.remove(0);
    holder.send("stampede orphan 1 60000 true").await;
    let client = redis::Client::open(fleet.redis.url()).expect("the URL is valid");
    let mut connection = client.get_multiplexed_async_connection().await.expect("Redis answers");
    let mut is_locked = false;
    // The lock is there as soon as the load begins.
    while !is_locked {
        let locks: redis::RedisResult<Vec<String>> =
            redis::cmd("KEYS").arg("fleet:l:*").query_async(&mut connection).await;
        is_locked = !locks.expect("Redis answers").is_empty();
    }
    holder.child.kill().await.expect("it can be killed");
    let answers = fleet.ask_all("stampede orphan 100 50 true").await;
    assert_eq!(sum(&answers, "answered"), 300);
    println!("holder killed: 1 + {} loads", sum(&answers, "loads"));
    assert_eq!(sum(&answers, "loads"), 1, "one of the others took over");
}

#[tokio::test]
async fn invalidations_reach_every_replica() {
    let mut fleet = Fleet::start().await;
    let (count, per_second) = if is_long() { (20_000, 1_000) } else { (1_000, 500) };
    fleet.ask_all("lag").await;
    let writer = fleet.replicas[0].ask(&format!("invalidate {count} {per_second}")).await;
    assert_eq!(number(&writer, "confirmed"), count);
    for index in 1..REPLICAS {
        let mut seen = 0;
        while seen < count {
            let lag = fleet.replicas[index].ask("lag").await;
            if number(&lag, "count") > 0 {
                println!("replica {index}, {per_second}/s: {lag:?}");
            }
            seen += number(&lag, "count");
        }
        assert_eq!(seen, count);
    }
}

#[tokio::test]
async fn a_write_is_seen_by_every_replica() {
    let mut fleet = Fleet::start().await;
    for round in 0..20 {
        fleet.ask_all("read 7").await;
        let written = fleet.replicas[round % REPLICAS].ask("write 7").await;
        assert_eq!(written["confirmed"], "true");
        let version = number(&written, "version");
        for replica in &mut fleet.replicas {
            while number(&replica.ask("read 7").await, "version") != version {}
        }
    }
}

/// A key that is asked for all the time is loaded anew before it expires: clients see one miss, the first of the fleet.
#[tokio::test]
async fn a_hot_key_expires_without_anybody_noticing() {
    let mut fleet = Fleet::start().await;
    let (run_ms, ttl_ms) = if is_long() { (30_000, 1_000) } else { (5_000, 1_000) };
    let answers = fleet.ask_all(&format!("hot news {run_ms} {ttl_ms} 20")).await;
    let (reads, misses, loads) = (sum(&answers, "reads"), sum(&answers, "misses"), sum(&answers, "loads"));
    println!("hot key, {run_ms} ms of TTL {ttl_ms} ms: {reads} reads, {misses} misses, {loads} loads");
    let lives = run_ms / ttl_ms + 1;
    assert!(loads <= 2 * lives, "{loads} loads in {lives} lives");
    // The misses of the start: each replica's first, if it comes before the first load's end.
    assert!(misses <= 4, "{misses} misses");
}

/// Replicas write and read while something happens to Redis: nothing that was processed is unseen, and no read fails.
async fn churn_while(name: &str, run_ms: u64, fault: impl AsyncFnOnce(&Fleet)) {
    let mut fleet = Fleet::start().await;
    for replica in &mut fleet.replicas {
        replica.send(&format!("churn {run_ms} 4")).await;
    }
    fault(&fleet).await;
    let answers = fleet.answers().await;
    let slowest_ms = answers.iter().map(|answer| number(answer, "slowest_ms")).max();
    println!(
        "{name}: {} reads, slowest {} ms",
        sum(&answers, "reads"),
        slowest_ms.unwrap_or(0)
    );
    assert_eq!(sum(&answers, "stale"), 0, "{name}");
    assert_eq!(sum(&answers, "failed"), 0, "{name}");
    assert!(sum(&answers, "reads") > 0);
    for replica in &mut fleet.replicas {
        while replica.ask("stats").await["open"] != "true" {}
    }
}

/// Ways in which Redis answers and refuses writes: what brings it about, and what ends it.
const REFUSALS: [(&str, &str, &str); 5] = [
    (
        "OOM",
        "CONFIG SET maxmemory-policy noeviction maxmemory 1",
        "CONFIG SET maxmemory 0",
    ),
    ("READONLY", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    (
        "NOREPLICAS",
        "CONFIG SET min-replicas-to-write 1",
        "CONFIG SET min-replicas-to-write 0",
    ),
    (
        "NOPERM (writes)",
        "ACL SETUSER default -@write",
        "ACL SETUSER default +@all",
    ),
    (
        "NOPERM (scripts)",
        "ACL SETUSER default -evalsha",
        "ACL SETUSER default +@all",
    ),
];

/// Four replicas, each of which writes its rows and reads all, while Redis refuses: nobody reads what was out of date
/// two seconds before, and everybody knows that Redis is of no use.
async fn share_while(name: &str, begin: impl AsyncFnOnce(&Fleet), finish: impl AsyncFnOnce(&Fleet)) {
    let mut fleet = Fleet::start().await;
    let (run_ms, outage) = if is_long() { (24_000, 15) } else { (9_000, 4) };
    for (number, replica) in fleet.replicas.iter_mut().enumerate() {
        replica.send(&format!("share {run_ms} {number} {REPLICAS} 16")).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    begin(&fleet).await;
    tokio::time::sleep(Duration::from_secs(outage)).await;
    finish(&fleet).await;
    let answers = fleet.answers().await;
    println!(
        "{name}: {} reads, {} stale",
        sum(&answers, "reads"),
        sum(&answers, "stale")
    );
    assert_eq!(sum(&answers, "stale"), 0, "{name}: {answers:?}");
    assert!(
        answers.iter().all(|answer| number(answer, "degraded") > 0),
        "{name}: {answers:?}"
    );
    for replica in &mut fleet.replicas {
        let mut stats = replica.ask("stats").await;
        assert!(number(&stats, "refusals") > 0, "{name}: {stats:?}");
        while stats["open"] != "true" || stats["l2_open"] != "true" {
            stats = replica.ask("stats").await;
        }
    }
}

#[tokio::test]
async fn nobody_reads_old_answers_while_redis_refuses_writes() {
    for (name, begin, finish) in REFUSALS {
        share_while(
            name,
            async |fleet| fleet.command(begin).await,
            async |fleet| fleet.command(finish).await,
        )
        .await;
    }
}

#[tokio::test]
async fn nobody_reads_old_answers_while_redis_cannot_save() {
    share_while(
        "MISCONF",
        async |fleet| {
            std::fs::remove_dir_all(fleet.redis.directory()).expect("its directory can be removed");
            fleet.command("CONFIG SET save 3600~1000000").await;
            fleet.command("BGSAVE").await;
        },
        async |fleet| fleet.command("CONFIG SET save ~").await,
    )
    .await;
}

fn outage() -> (u64, Duration) {
    if is_long() {
        (35_000, Duration::from_secs(30))
    } else {
        (3_000, Duration::from_millis(1_500))
    }
}

#[tokio::test]
async fn a_redis_that_is_stopped_and_goes_on_is_survived() {
    let (run_ms, outage) = outage();
    churn_while("SIGSTOP", run_ms, async |fleet| {
        fleet.signal("-STOP");
        tokio::time::sleep(outage).await;
        fleet.signal("-CONT");
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_is_emptied_is_survived() {
    churn_while("FLUSHALL", 2_000, async |fleet| fleet.command("FLUSHALL").await).await;
}

#[tokio::test]
async fn subscribers_that_are_cut_off_are_survived() {
    churn_while("CLIENT KILL TYPE pubsub", 2_000, async |fleet| {
        fleet.command("CLIENT KILL TYPE pubsub").await;
    })
    .await;
}

#[tokio::test]
async fn all_connections_cut_is_survived() {
    churn_while("CLIENT KILL TYPE normal", 2_000, async |fleet| {
        fleet.command("CLIENT KILL TYPE normal SKIPME yes").await;
    })
    .await;
}
