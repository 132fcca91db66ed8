//! Topics of Kafka beside the load: records that are owed for its writes, what a consumer group has committed, and
//! messages of our own.
//!
//! What belongs here: our consumers and producers, and the account of what was seen. What does not: the writes
//! themselves, which are requests like others and are noted where they end (`caller`), and how a consumer group does
//! its work, of which only its commits are known.
//!
//! Every client of librdkafka has threads of its own, and is asked on threads of ours: its calls wait.

mod backlog;
mod group;
mod produce;
mod protobuf;
mod record;
mod tail;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use measure::{record::EndpointCounts, recorder::Windows};
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};
use scenarios::{Topic, Vars};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_util::sync::CancellationToken;

pub use self::{backlog::BacklogReport, produce::ProducedReport};
pub(crate) use self::{backlog::work_off, produce::produce};
use self::{group::Group, record::Reader, tail::Tail};
use crate::{
    Clock, LoadError,
    ledger::{Account, Continuity},
    owed::{Tally, Writes},
    reasons::Reasons,
};

/// Brokers answer at once or are not there.
const PATIENCE: Duration = Duration::from_secs(10);
/// A topic that is not there after this long is not there. The first group that a broker has takes it seconds, since it
/// makes the topic of all commits for it.
const SETTLING: Duration = Duration::from_secs(10);
/// Between two looks at a broker that settles, and at what is still owed at the end of a load.
const LOOKING_AGAIN: Duration = Duration::from_millis(100);

/// Where a topic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlace {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Its name there.
    pub topic: String,
    /// The consumer group whose commits are effects.
    pub group: Option<String>,
}

impl TopicPlace {
    /// Settings of every client. A broker that was away is asked again soon (the library's default is up to 10 s).
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "loadtest")
            .set("reconnect.backoff.max.ms", "200");
        config
    }
}

/// Hears what goes wrong at a consumer, which would otherwise be printed among the lines of a run.
struct Ears(Arc<Reasons>);

impl ClientContext for Ears {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, _: &str) {
        self.0.note(&error);
    }
}

impl ConsumerContext for Ears {}

type Consumer = BaseConsumer<Ears>;

/// A topic that is watched from its ends on.
pub struct WatchedTopic {
    spec: Topic,
    place: TopicPlace,
    /// Partitions, which are numbered from 0.
    partitions: i32,
    writes: Arc<Writes>,
    reasons: Arc<Reasons>,
    /// Present where records are owed.
    tail: Option<Arc<Tail>>,
    /// Present where the workload names a group.
    group: Option<Arc<Group>>,
    /// Our reading is over.
    read: CancellationToken,
    /// Everything is over.
    closing: CancellationToken,
    /// Held for as long as it takes to take them out.
    threads: Mutex<Threads>,
    /// Messages that were produced; absent until the producer has ended.
    produced: Mutex<Option<ProducedReport>>,
}

#[derive(Default)]
struct Threads {
    tail: Option<JoinHandle<()>>,
    group: Option<JoinHandle<()>>,
}

/// A topic after its load.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicReport {
    /// Its name in the workload.
    pub name: String,
    /// Partitions that were watched.
    pub partitions: i32,
    /// Records that were owed, by the phase in which the write behind them was due, counted as requests are; absent
    /// where the workload follows no writes.
    pub records: Option<Vec<EndpointCounts>>,
    /// Records that were owed and seen, over the whole round.
    pub account: Account,
    /// Effects of records; absent where the workload names no group or follows no writes.
    pub effects: Option<EffectReport>,
    /// The largest number of records that the group had not committed; absent where the workload names none.
    pub offset_lag_max: Option<u64>,
    /// Messages that were produced; absent where the workload produces none.
    pub produced: Option<ProducedReport>,
    /// Errors that brokers and clients told, each text with its count.
    pub reasons: BTreeMap<String, u64>,
}

/// Effects of records: when the group committed them.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectReport {
    /// Effects that were owed, by the phase in which the write behind them was due, counted as requests are.
    pub phases: Vec<EndpointCounts>,
    /// Effects that were owed, over the whole round.
    pub owed: u64,
    /// Of these, those that did not come.
    pub missed: u64,
}

impl WatchedTopic {
    /// Opens the topic `spec` at `place` and watches it from its ends on: whatever is written from now on is seen.
    ///
    /// # Errors
    /// When the brokers do not answer or do not have the topic.
    pub async fn open(spec: &Topic, place: TopicPlace) -> Result<Self, LoadError> {
        let (spec, asked) = (spec.clone(), place.clone());
        let name = spec.name.clone();
        let opened = spawn_blocking(move || Self::open_on_thread(spec, asked)).await;
        opened.map_err(LoadError::internal)?.map_err(|error| {
            let TopicPlace { brokers, topic, .. } = &place;
            LoadError::Setup(format!("[kafka.{name}]: topic `{topic}` at {brokers}: {error}"))
        })
    }

    fn open_on_thread(spec: Topic, place: TopicPlace) -> Result<Self, KafkaError> {
        let reader = Reader::new(spec.forms.clone());
        let writes = Arc::new(Writes::new(&spec.follows, reader.names().clone(), Instant::now()));
        let reasons: Arc<Reasons> = Arc::default();
        let (read, closing) = (CancellationToken::new(), CancellationToken::new());
        let consumer = tail::consumer(&place, &reasons)?;
        let partitions = once_settled(|| partitions(&consumer, &place.topic))?;
        let tail = if spec.follows_any() {
            let tail = Arc::new(Tail::new(reader, &writes, &reasons));
            once_settled(|| tail.assign(&consumer, &place.topic, partitions))?;
            Some(tail)
        } else {
            None
        };
        let mut threads = Threads::default();
        let group = match &place.group {
            Some(name) => {
                let group = Arc::new(Group::new(&place.topic, partitions, &writes, &reasons));
                threads.group = Some(once_settled(|| group.start(&place, name, closing.clone()))?);
                Some(group)
            }
            None => None,
        };
        // Last, since nothing that fails behind it would end it.
        threads.tail = tail.as_ref().map(|tail| tail.start(consumer, read.clone()));
        Ok(Self {
            spec,
            place,
            partitions,
            writes,
            reasons,
            tail,
            group,
            read,
            closing,
            threads: Mutex::new(threads),
            produced: Mutex::default(),
        })
    }

    /// Notes an acknowledged request of endpoint `endpoint`, if the topic follows it.
    pub(crate) fn wrote(&self, endpoint: usize, vars: &Vars, times_us: (u64, u64), clock: Clock) {
        self.writes.acknowledged(endpoint, vars, times_us, clock);
    }

    fn within_us(&self) -> u64 {
        self.spec.within_ms * 1_000
    }

    /// Completes when every owed record came and had its effect, or when nothing more can come in time.
    pub(crate) async fn all_came(&self) {
        let Some(until) = self.writes.last_due(self.within_us()) else {
            return;
        };
        while Instant::now() < until && self.is_missing_any() {
            sleep(LOOKING_AGAIN).await;
        }
    }

    fn is_missing_any(&self) -> bool {
        let records = self.records(|_| {});
        records.missed > 0 || self.effects(|_| {}).is_some_and(|effects| effects.missed > 0)
    }

    /// Ends our reading, and waits for that; the group is still watched.
    pub(crate) async fn stop_reading(&self) {
        self.read.cancel();
        let tail = self.threads().tail.take();
        joined(tail).await;
    }

    /// Ends everything, and waits for that.
    pub async fn close(&self) {
        self.stop_reading().await;
        self.closing.cancel();
        let group = self.threads().group.take();
        joined(group).await;
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().expect("nothing panics while holding it")
    }

    /// Settles the account of a topic that is no longer read.
    pub(crate) fn settle(&self, clock: Clock, windows: Windows) -> TopicReport {
        let tally = || Tally::new(windows, clock, &self.writes, self.within_us());
        let mut records = tally();
        let account = self.records(|owed| records.count(&owed));
        let mut effects = tally();
        let of_effects = self.effects(|owed| effects.count(&owed));
        TopicReport {
            name: self.spec.name.clone(),
            partitions: self.partitions,
            records: self.tail.as_ref().map(|_| records.phases()),
            account,
            effects: of_effects.map(|account| EffectReport {
                phases: effects.phases(),
                owed: account.owed,
                missed: account.missed,
            }),
            offset_lag_max: self.group.as_ref().map(|group| group.offset_lag_max()),
            produced: self.produced.lock().expect("nothing panics while holding it").take(),
            reasons: self.reasons.all(),
        }
    }

    fn records(&self, owed: impl FnMut(crate::ledger::Owed)) -> Account {
        let mut account = Account::default();
        if let Some(tail) = &self.tail {
            let rules = (Continuity::Resumes, self.within_us());
            tail.shown().seen.settle(&self.writes.list(), rules, &mut account, owed);
        }
        account
    }

    fn effects(&self, owed: impl FnMut(crate::ledger::Owed)) -> Option<Account> {
        let (tail, group) = (self.tail.as_ref()?, self.group.as_ref()?);
        let mut account = Account::default();
        let effects = group.effects_of(&tail.shown().places);
        let rules = (Continuity::Resumes, self.within_us());
        effects.settle(&self.writes.list(), rules, &mut account, owed);
        Some(account)
    }
}

/// Whoever forgets to close it leaves no thread behind.
impl Drop for WatchedTopic {
    fn drop(&mut self) {
        self.read.cancel();
        self.closing.cancel();
    }
}

async fn joined(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        let _ended = spawn_blocking(move || thread.join()).await;
    }
}

/// Asks until there is an answer. Brokers hear of a topic that was made just now, of who leads its partitions and of
/// who keeps a group's commits one after the other, and deny it before.
fn once_settled<T>(mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let until = Instant::now() + SETTLING;
    loop {
        match ask() {
            Err(error) if is_settling(&error) && Instant::now() < until => thread::park_timeout(LOOKING_AGAIN),
            answer => return answer,
        }
    }
}

fn is_settling(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
        )
    )
}

/// How many partitions a topic has.
fn partitions(consumer: &Consumer, topic: &str) -> Result<i32, KafkaError> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
    let found = metadata.topics().iter().find(|known| known.name() == topic);
    let count = found.map_or(0, |topic| topic.partitions().len());
    match i32::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)),
    }
}
