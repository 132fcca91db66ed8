//! One replica as a process of its own, for tests of a fleet: reads commands from standard input, a line each, and
//! answers each with a line of `name=value` pairs. The database is a directory with a file per row, so that all
//! replicas see it.
//!
//! `replica REDIS_URL DIRECTORY`, then `stampede KEY CLIENTS LOAD_MS LOCKS`, `invalidate COUNT PER_SECOND`, `lag`,
//! `hot KEY RUN_MS TTL_MS LOAD_MS`, `write ROW`, `read ROW`, `churn RUN_MS ROWS` or `stats`.

use std::{
    convert::Infallible,
    error::Error,
    path::PathBuf,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tiered_cache::{Entry, Key, Observer, Policy, RedisSettings, Served, Tag, Tier, TieredCache};
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

struct Replica {
    cache: TieredCache,
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
        Ok(Self {
            cache: builder.observer(lags.clone()).build().await?,
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
            "stats" => {
                let stats = self.cache.stats();
                Ok(format!(
                    "open={} bypassed={} epoch={}",
                    stats.l1_open, stats.bypassed_tags, stats.epoch
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
        let version = self.commit(row)?;
        let done = self.cache.invalidate(&[row_tag(row)]).await;
        let seq = done.as_ref().ok().and_then(|done| done.seq).unwrap_or(0);
        Ok(format!("version={version} confirmed={} seq={seq}", done.is_ok()))
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
