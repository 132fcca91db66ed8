//! A backlog: messages that are produced as fast as the broker takes them, and how long the consumer group needs to
//! work them off.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rdkafka::{
    ClientContext, Message as _, Statistics,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::DeliveryResult,
    producer::{Producer as _, ProducerContext, PurgeConfig, ThreadedProducer},
};
use scenarios::Backlog;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{
    WatchedTopic,
    group::Group,
    produce::{Rendered, client},
};
use crate::{LoadError, Shared, owed::Writes, reasons::Reasons, timeline::micros};

/// Stream of the seed for the values of a backlog, counted down from here by topic.
const BACKLOG_STREAM: u64 = u64::MAX - 10_000;
/// Between two attempts at a queue that is full, and two looks at the group.
const LOOKING_AGAIN: Duration = Duration::from_millis(5);
/// A broker gives an idempotent producer its number before it can send. librdkafka asks for it half a second after its
/// start, which is none of the consumer group's time.
const STARTING: Duration = Duration::from_secs(10);
/// How often the producer tells whether it has its number.
const STATISTICS_MS: &str = "100";
const HAS_NUMBER: &str = "Assigned";
/// For being told of the messages that were given up.
const GIVING_UP: Duration = Duration::from_secs(1);

/// A backlog that was worked off, or as much of it as was in time.
#[derive(Debug, Clone, PartialEq)]
pub struct BacklogReport {
    /// Messages that were to be produced.
    pub messages: u64,
    /// Messages that the broker acknowledged.
    pub acknowledged: u64,
    /// Of these, those that the group committed.
    pub worked_off: u64,
    /// Seconds from the first message to the last acknowledgement.
    pub produced_s: f64,
    /// Seconds from the first message to the last commit; where something was left, until nobody waited any more.
    pub took_s: f64,
    /// Errors that brokers and clients told, each text with its count; those of the load before are among them.
    pub reasons: BTreeMap<String, u64>,
}

/// Offsets that the broker gave to messages, by partition.
type Offsets = Mutex<Vec<Vec<i64>>>;

/// Hears what became of each message, on the thread of the producer.
struct Ears {
    offsets: Offsets,
    writes: Arc<Writes>,
    reasons: Arc<Reasons>,
    last_us: AtomicU64,
    may_send: AtomicBool,
}

impl ClientContext for Ears {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, _: &str) {
        self.reasons.note(&error);
    }

    fn stats(&self, statistics: Statistics) {
        let state = statistics.eos.map(|eos| eos.idemp_state);
        self.may_send
            .store(state.as_deref() == Some(HAS_NUMBER), Ordering::Relaxed);
    }
}

impl ProducerContext for Ears {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(message) => {
                let mut offsets = self.offsets.lock().expect("nothing panics while holding it");
                if let Some(of_partition) = usize::try_from(message.partition())
                    .ok()
                    .and_then(|partition| offsets.get_mut(partition))
                {
                    of_partition.push(message.offset());
                }
                self.last_us.fetch_max(self.writes.now_us(), Ordering::Relaxed);
            }
            Err((error, _)) => self.reasons.note(error),
        }
    }
}

/// Produces the backlog of topic `index`, if it has one, and waits for the group. Dropped, it ends.
pub(crate) async fn work_off(shared: &Arc<Shared>, index: usize) -> Result<Option<BacklogReport>, LoadError> {
    let topic = Arc::clone(&shared.topics[index]);
    let (Some(backlog), Some(group)) = (topic.spec.backlog.clone(), topic.group.clone()) else {
        return Ok(None);
    };
    let ends = shared.abort.child_token();
    let _ends_with_this = ends.clone().drop_guard();
    let (shared, stream) = (Arc::clone(shared), BACKLOG_STREAM - index as u64);
    let done = spawn_blocking(move || {
        let pile = Pile {
            shared: &shared,
            topic: &topic,
            backlog: &backlog,
            group: &group,
            ends: &ends,
        };
        pile.work_off(stream)
    });
    done.await
        .map_err(LoadError::internal)?
        .map(Some)
        .map_err(LoadError::internal)
}

struct Pile<'a> {
    shared: &'a Shared,
    topic: &'a WatchedTopic,
    backlog: &'a Backlog,
    group: &'a Group,
    ends: &'a CancellationToken,
}

impl Pile<'_> {
    fn work_off(&self, stream: u64) -> Result<BacklogReport, KafkaError> {
        let partitions = (0..self.topic.partitions).map(|_| Vec::new()).collect();
        let ears = Ears {
            offsets: Mutex::new(partitions),
            writes: Arc::clone(&self.topic.writes),
            reasons: Arc::clone(&self.topic.reasons),
            last_us: AtomicU64::new(0),
            may_send: AtomicBool::new(false),
        };
        // Settings for throughput: full batches, packed.
        let producer: ThreadedProducer<Ears> = client(&self.topic.place)
            .set("linger.ms", "50")
            .set("batch.size", "1000000")
            .set("batch.num.messages", "10000")
            .set("compression.type", "lz4")
            .set("statistics.interval.ms", STATISTICS_MS)
            .create_with_context(ears)?;
        let started_by_us = self.topic.writes.now_us() + micros(STARTING);
        while !producer.context().may_send.load(Ordering::Relaxed) && self.may_go_on(started_by_us) {
            thread::park_timeout(LOOKING_AGAIN);
        }
        let began_us = self.topic.writes.now_us();
        let until_us = began_us + within_us(self.backlog);
        self.produce(&producer, stream, until_us);
        while producer.in_flight_count() > 0 && self.may_go_on(until_us) {
            thread::park_timeout(LOOKING_AGAIN);
        }
        if producer.in_flight_count() > 0 {
            producer.purge(PurgeConfig::default().queue().inflight());
            let _told = producer.flush(GIVING_UP);
        }
        let ears = producer.context();
        let produced_us = ears.last_us.load(Ordering::Relaxed).max(began_us);
        let offsets = std::mem::take(&mut *ears.offsets.lock().expect("nothing panics while holding it"));
        let last: Vec<Option<i64>> = offsets.iter().map(|offsets| offsets.iter().max().copied()).collect();
        while last.iter().any(Option::is_some) && self.ended_us(&last).is_none() && self.may_go_on(until_us) {
            thread::park_timeout(LOOKING_AGAIN);
        }
        let acknowledged: usize = offsets.iter().map(Vec::len).sum();
        let seconds = |us: u64| us.saturating_sub(began_us) as f64 / 1e6;
        Ok(BacklogReport {
            messages: self.backlog.messages,
            acknowledged: acknowledged as u64,
            worked_off: self.worked_off(&offsets),
            produced_s: seconds(produced_us),
            took_s: seconds(self.ended_us(&last).unwrap_or_else(|| self.topic.writes.now_us())),
            reasons: self.topic.reasons.all(),
        })
    }

    fn may_go_on(&self, until_us: u64) -> bool {
        !self.ends.is_cancelled() && self.topic.writes.now_us() < until_us
    }

    fn produce(&self, producer: &ThreadedProducer<Ears>, stream: u64, until_us: u64) {
        let shared = self.shared;
        let mut rng = ChaCha8Rng::seed_from_u64(shared.seed);
        rng.set_stream(stream);
        let (mut vars, message) = (shared.globals.clone(), &self.backlog.message);
        for _ in 0..self.backlog.messages {
            shared
                .workload
                .draw(&message.feeders, &shared.sequences, &mut rng, &mut vars);
            let rendered = Rendered::new(message, &vars);
            let mut record = rendered.record(&self.topic.place.topic, ());
            loop {
                if !self.may_go_on(until_us) {
                    return;
                }
                match producer.send(record) {
                    Ok(()) => break,
                    Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                        record = back;
                        thread::park_timeout(LOOKING_AGAIN);
                    }
                    Err((error, _)) => {
                        self.topic.reasons.note(&error);
                        break;
                    }
                }
            }
        }
    }

    /// When the group had committed the last message of every partition; none where it has not, or where there was no
    /// message.
    fn ended_us(&self, last: &[Option<i64>]) -> Option<u64> {
        let lasts = (0..)
            .zip(last)
            .filter_map(|(partition, last)| Some((partition, (*last)?)));
        let ended_us: Option<Vec<u64>> = lasts
            .map(|(partition, offset)| self.group.passed_us(partition, offset))
            .collect();
        ended_us?.into_iter().max()
    }

    fn worked_off(&self, offsets: &[Vec<i64>]) -> u64 {
        let of_partitions = (0..).zip(offsets);
        let done = of_partitions.map(|(partition, offsets)| {
            let up_to = self.group.committed(partition).unwrap_or(i64::MIN);
            offsets.iter().filter(|offset| **offset < up_to).count() as u64
        });
        done.sum()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seconds of a workload: above 0, at most a day"
)]
fn within_us(backlog: &Backlog) -> u64 {
    (backlog.within_s * 1e6) as u64
}
