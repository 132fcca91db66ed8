//! One replica as a process of its own, for tests of a fleet: reads commands from standard input, a line each, and
//! answers each with a line of `name=value` pairs. The database is a directory with a file per row, so that all
//! replicas see it, and a file per unconfirmed invalidation (the outbox).
//!
//! `replica REDIS_URL DIRECTORY`, then `stampede KEY CLIENTS LOAD_MS LOCKS`, `invalidate COUNT PER_SECOND`, `lag`,
//! `hot KEY RUN_MS TTL_MS LOAD_MS`, `write ROW`, `read ROW`, `churn RUN_MS ROWS`, `share RUN_MS NUMBER REPLICAS ROWS`
//! or `stats`.

use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tiered_cache::{
    Entry, Key, Observer, Outbox, OutboxRow, Place, Policy, RedisSettings, Served, Tag, Tier, TieredCache,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

/// Lags that are kept between two `lag` commands: some minutes at a thousand a second.
const MAX_LAGS: usize = 500_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: replica REDIS_URL DIRECTORY".into());
    };
    let replica = Replica::start(&url, directory.into()).await?;
    println!("ready");
    let (sender, mut commands) = mpsc::channel(1);
    // Standard input has no asynchronous form on this platform; a thread that waits for it is enough.
    std::thread::spawn(move || {
        let lines = std::io::stdin().lines().map_while(Result::ok);
        for line in lines {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = commands.recv().await {
        println!("{}", replica.obey(&line).await?);
    }
    replica.cache.shutdown().await;
    Ok(())
}

/// Collects how late other replicas' invalidations arrive.
#[derive(Default)]
struct Lags(Mutex<Vec<u64>>);

impl Observer for Lags {
    fn received(&self, _tags: usize, lag_ms: u64) {
        if let Ok(mut lags) = self.0.lock()
            && lags.len() < MAX_LAGS
        {
            lags.push(lag_ms);
        }
    }
}

/// How old an answer may be, whatever Redis does, while the database answers.
const BOUND: Duration = Duration::from_secs(2);

/// Invalidations that are committed and not confirmed: a file each, named by its number, with the row in it.
#[derive(Clone)]
struct OutboxFiles(PathBuf);

impl OutboxFiles {
    /// Younger rows are left to their writers.
    const LEFT_TO_WRITERS: Duration = Duration::from_millis(500);

    fn new(directory: &Path) -> std::io::Result<Self> {
        let directory = directory.join("outbox");
        std::fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }

    /// Notes that `row` was changed; returns the number of the note.
    fn commit(&self, row: u32) -> std::io::Result<i64> {
        // Below 2^63, and no two replicas draw the same.
        let id = i64::from(std::process::id()) << 40 | i64::from(NEXT_NOTE.fetch_add(1, Ordering::Relaxed));
        std::fs::write(self.0.join(id.to_string()), row.to_string())?;
        Ok(id)
    }

    fn rows(&self, limit: usize) -> std::io::Result<Vec<OutboxRow>> {
        let notes = std::fs::read_dir(&self.0)?.filter_map(Result::ok);
        // Who confirms a note meanwhile takes its file away.
        Ok(notes.filter_map(|note| Self::row(&note)).take(limit).collect())
    }

    fn row(note: &std::fs::DirEntry) -> Option<OutboxRow> {
        let age = note.metadata().ok()?.modified().ok()?.elapsed().ok()?;
        let row: u32 = std::fs::read_to_string(note.path()).ok()?.parse().ok()?;
        (age >= Self::LEFT_TO_WRITERS).then_some(OutboxRow {
            id: note.file_name().to_str()?.parse().ok()?,
            tags: vec![row_tag(row)],
        })
    }
}

static NEXT_NOTE: AtomicU32 = AtomicU32::new(1);

impl Outbox for OutboxFiles {
    type Error = std::io::Error;

    async fn unconfirmed(&self, limit: usize) -> std::io::Result<Vec<OutboxRow>> {
        self.rows(limit)
    }

    async fn claim(&self, limit: usize) -> std::io::Result<Vec<OutboxRow>> {
        self.rows(limit)
    }

    async fn confirm(&self, ids: &[i64]) -> std::io::Result<()> {
        for id in ids {
            // Another replica may have confirmed it, too.
            let _ = std::fs::remove_file(self.0.join(id.to_string()));
        }
        Ok(())
    }

    async fn reopen(&self, _window: Duration) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a replica saw of the commits to one row, in order.
#[derive(Default)]
struct Commits {
    young: VecDeque<(Instant, i64)>,
    newest: i64,
    /// The newest that is older than the bound.
    settled: i64,
}

impl Commits {
    fn note(&mut self, version: i64) {
        if version > self.newest {
            self.newest = version;
            self.young.push_back((Instant::now(), version));
        }
        while let Some(&(seen, version)) = self.young.front()
            && seen.elapsed() >= BOUND
        {
            self.settled = version;
            self.young.pop_front();
        }
    }
}

struct Replica {
    cache: TieredCache,
    outbox: OutboxFiles,
    lags: Arc<Lags>,
    directory: Arc<PathBuf>,
}

/// The words of a command.
struct Words<'a>(std::str::SplitWhitespace<'a>);

impl Words<'_> {
    fn next<T: FromStr>(&mut self) -> Result<T, Box<dyn Error>> {
        let word = self.0.next().ok_or("a command lacks an argument")?;
        word.parse()
            .map_err(|_| format!("`{word}` is not what the command takes").into())
    }

    fn next_ms(&mut self) -> Result<Duration, Box<dyn Error>> {
        Ok(Duration::from_millis(self.next()?))
    }
}

impl Replica {
    async fn start(url: &str, directory: PathBuf) -> Result<Self, Box<dyn Error>> {
        let lags = Arc::new(Lags::default());
        let builder = TieredCache::builder("fleet").redis(RedisSettings::new(url));
        let cache = builder.observer(lags.clone()).build().await?;
        let outbox = OutboxFiles::new(&directory)?;
        cache.relay(outbox.clone());
        Ok(Self {
            cache,
            outbox,
            lags,
            directory: Arc::new(directory),
        })
    }

    async fn obey(&self, line: &str) -> Result<String, Box<dyn Error>> {
        let mut words = Words(line.split_whitespace());
        let command: String = words.next()?;
        match command.as_str() {
            "stampede" => self.stampede(&mut words).await,
            "invalidate" => self.invalidate(&mut words).await,
            "lag" => Ok(self.lag()),
            "hot" => self.hot(&mut words).await,
            "write" => self.write(words.next()?).await,
            "read" => {
                let served = self.read_row(words.next()?).await;
                Ok(format!("version={} tier={}", version(&served), served.tier.as_str()))
            }
            "churn" => self.churn(words.next_ms()?, words.next()?).await,
            "share" => self.share(&mut words).await,
            "stats" => {
                let stats = self.cache.stats();
                Ok(format!(
                    "open={} l2_open={} refusals={} bypassed={} epoch={}",
                    stats.l1_open, stats.l2_open, stats.redis_refusals, stats.bypassed_tags, stats.epoch
                ))
            }
            _ => Err(format!("unknown command `{command}`").into()),
        }
    }

    /// Clients that ask for the same key at the same time.
    async fn stampede(&self, words: &mut Words<'_>) -> Result<String, Box<dyn Error>> {
        let (name, clients): (String, usize) = (words.next()?, words.next()?);
        let (load_time, locks): (Duration, bool) = (words.next_ms()?, words.next()?);
        let policy = Policy::ttl(Duration::from_mins(1)).with_fleet_lock(locks);
        let (key, loads) = (Key::new("stampede").part(name), Arc::new(AtomicU64::new(0)));
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let (cache, key, loads) = (self.cache.clone(), key.clone(), Arc::clone(&loads));
            tasks.spawn(async move {
                let load = move || counted(loads, load_time);
                cache.get_or_load(&key, &[], &policy, load).await.is_ok()
            });
        }
        let answered = tasks.join_all().await.into_iter().filter(|&answered| answered).count();
        Ok(format!("answered={answered} loads={}", loads.load(Ordering::SeqCst)))
    }

    /// Invalidates different tags at a fixed rate.
    async fn invalidate(&self, words: &mut Words<'_>) -> Result<String, Box<dyn Error>> {
        let (count, per_second): (u32, u32) = (words.next()?, words.next()?);
        let mut timer = interval(Duration::from_secs(1) / per_second.max(1));
        timer.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (mut confirmed, mut failed) = (0, 0);
        for number in 0..count {
            timer.tick().await;
            match self
                .cache
                .invalidate(&[Tag::new(format!("rate:{}", number % 512))])
                .await
            {
                Ok(_) => confirmed += 1,
                Err(_) => failed += 1,
            }
        }
        Ok(format!("confirmed={confirmed} failed={failed}"))
    }

    /// How late invalidations of others arrived since the last such command, in milliseconds.
    fn lag(&self) -> String {
        let mut lags = self
            .lags
            .0
            .lock()
            .map(|mut lags| std::mem::take(&mut *lags))
            .unwrap_or_default();
        lags.sort_unstable();
        let at = |share: usize| {
            lags.get((lags.len() * share / 100).min(lags.len().saturating_sub(1)))
                .copied()
        };
        let [p50, p99, max] = [50, 99, 100].map(|share| at(share).unwrap_or(0));
        format!("count={} p50_ms={p50} p99_ms={p99} max_ms={max}", lags.len())
    }

    /// One client that asks for one key again and again.
    async fn hot(&self, words: &mut Words<'_>) -> Result<String, Box<dyn Error>> {
        let (name, run_time): (String, Duration) = (words.next()?, words.next_ms()?);
        let (ttl, load_time) = (words.next_ms()?, words.next_ms()?);
        let (key, policy) = (Key::new("hot").part(name), Policy::ttl(ttl));
        let (loads, started) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let (mut reads, mut misses) = (0_u64, 0_u64);
        while started.elapsed() < run_time {
            let load_count = Arc::clone(&loads);
            let load = move || counted(load_count, load_time);
            let served = self.cache.get_or_load(&key, &[], &policy, load).await?;
            reads += 1;
            misses += u64::from(served.tier == Tier::Db);
            sleep(Duration::from_millis(1)).await;
        }
        Ok(format!(
            "reads={reads} misses={misses} loads={}",
            loads.load(Ordering::SeqCst)
        ))
    }

    /// Commits the next version of a row and invalidates it.
    async fn write(&self, row: u32) -> Result<String, Box<dyn Error>> {
        let (version, note) = (self.commit(row)?, self.outbox.commit(row)?);
        let done = self.cache.invalidate(&[row_tag(row)]).await;
        if done.is_ok() {
            self.outbox.confirm(&[note]).await?;
        }
        let place = done.as_ref().ok().and_then(|done| done.place);
        let seq = place.map_or(0, Place::number);
        Ok(format!("version={version} confirmed={} seq={seq}", done.is_ok()))
    }

    /// Writes its own share of the rows and reads all of them: none may be older than what was committed long ago, and
    /// how often Redis was known to be of no use is counted.
    async fn share(&self, words: &mut Words<'_>) -> Result<String, Box<dyn Error>> {
        let (run_time, number): (Duration, u32) = (words.next_ms()?, words.next()?);
        let (replicas, rows): (u32, u32) = (words.next()?, words.next()?);
        let mut commits: Vec<Commits> = (0..rows).map(|_| Commits::default()).collect();
        let (started, mut reads, mut stale, mut degraded) = (Instant::now(), 0_u64, 0_u64, 0_u64);
        while started.elapsed() < run_time {
            for (row, commits) in (0..rows).zip(&mut commits) {
                if row % replicas == number {
                    self.write(row).await?;
                }
                commits.note(committed(&self.directory, row));
                let served = self.read_row(row).await;
                reads += 1;
                stale += u64::from(version(&served) < commits.settled);
            }
            let stats = self.cache.stats();
            degraded += u64::from(!(stats.l1_open && stats.l2_open));
            sleep(Duration::from_millis(5)).await;
        }
        Ok(format!("reads={reads} stale={stale} degraded={degraded}"))
    }

    fn commit(&self, row: u32) -> Result<i64, Box<dyn Error>> {
        let path = self.directory.join(row.to_string());
        let version = committed(&self.directory, row) + 1;
        let draft = self.directory.join(format!("{row}.{}", std::process::id()));
        std::fs::write(&draft, version.to_string())?;
        std::fs::rename(draft, path)?;
        Ok(version)
    }

    async fn read_row(&self, row: u32) -> Served {
        let directory = Arc::clone(&self.directory);
        let load = move || async move {
            let version = committed(&directory, row);
            Ok::<_, Infallible>(Some(Entry::new(version.to_string(), version)))
        };
        let key = Key::new("rows").part(row);
        let policy = Policy::ttl(Duration::from_mins(1));
        let served = self.cache.get_or_load(&key, &[row_tag(row)], &policy, load).await;
        served.unwrap_or(Served {
            entry: None,
            tier: Tier::Db,
        })
    }

    /// Reads and writes rows that only this replica writes, and compares: what it processed must be seen.
    async fn churn(&self, run_time: Duration, rows: u32) -> Result<String, Box<dyn Error>> {
        let first_row = std::process::id() * 100;
        let (started, mut slowest) = (Instant::now(), Duration::ZERO);
        let (mut reads, mut stale, mut failed) = (0_u64, 0_u64, 0_u64);
        while started.elapsed() < run_time {
            for row in first_row..first_row + rows {
                let processed = self.commit(row)?;
                // What Redis does not take is processed here all the same.
                let _ = self.cache.invalidate(&[row_tag(row)]).await;
                for _ in 0..20 {
                    let asked = Instant::now();
                    let served = self.read_row(row).await;
                    slowest = slowest.max(asked.elapsed());
                    reads += 1;
                    failed += u64::from(served.entry.is_none());
                    stale += u64::from(version(&served) < processed);
                }
            }
            sleep(Duration::from_millis(1)).await;
        }
        let slowest_ms = slowest.as_millis();
        Ok(format!(
            "reads={reads} stale={stale} failed={failed} slowest_ms={slowest_ms}"
        ))
    }
}

fn version(served: &Served) -> i64 {
    served.entry.as_ref().map_or(-1, |entry| entry.version)
}

fn row_tag(row: u32) -> Tag {
    Tag::new(format!("row:{row}"))
}

fn committed(directory: &std::path::Path, row: u32) -> i64 {
    let text = std::fs::read_to_string(directory.join(row.to_string()));
    text.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// A load that takes a while and is counted when it begins.
async fn counted(loads: Arc<AtomicU64>, load_time: Duration) -> Result<Option<Entry>, Infallible> {
    loads.fetch_add(1, Ordering::SeqCst);
    sleep(load_time).await;
    Ok(Some(Entry::new("loaded", 1)))
}
