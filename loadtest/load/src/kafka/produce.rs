//! Messages that are produced beside the load, at their intended times whatever became of those before, and the
//! producers of the generator.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use measure::{
    record::{EndpointCounts, FailureClass},
    recorder::{Request, RequestEnd, RoundRecorder, Shard, Unfinished},
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode},
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer},
};
use scenarios::{Message, Produce, Vars};
use tokio::{sync::oneshot, task::yield_now, time::sleep};

use super::{TopicPlace, WatchedTopic};
use crate::{
    LoadError, Shared,
    clock::Clock,
    owed::{Writes, counts_of, text},
    pacer::Pacer,
    reasons::Reasons,
    sender::{on_own_thread, raise_priority},
};

/// Streams of the seed for the messages of a round, counted down from here: one for the times and values of each topic.
const PRODUCED_STREAM: u64 = u64::MAX - 100;
/// As of the open model (`open`): what is due within the measured phase is still sent this long behind its end.
const END_GRACE_US: u64 = 100_000;
/// Messages sent off in one go when the schedule has been missed.
const MAX_BURST: u32 = 64;
/// Bounds of the queue of a producer: two minutes of 1,000 messages a second. A message that finds no room is not sent,
/// and counted.
const QUEUE_MESSAGES: &str = "100000";
const QUEUE_KIB: &str = "262144";
/// How long a message may try to be acknowledged.
const DELIVERY_TIMEOUT_MS: &str = "10000";
/// Between two looks at what is in flight at the end.
const LOOKING_AGAIN: Duration = Duration::from_millis(10);
/// For being told of the messages that were given up.
const GIVING_UP: Duration = Duration::from_secs(1);

/// Messages that were produced.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducedReport {
    /// By the phase in which each was due, counted as requests are: from the moment at which it was meant to be sent to
    /// its acknowledgement.
    pub phases: Vec<EndpointCounts>,
    /// Of these, messages that found no room in the queue of the generator, or came too late to be sent.
    pub not_sent: u64,
}

/// The producers of a round.
pub(crate) struct Producing(Vec<oneshot::Receiver<io::Result<io::Result<()>>>>);

impl Producing {
    /// Waits until all have ended, their drain included.
    pub(crate) async fn ended(self) -> Result<(), LoadError> {
        for producer in self.0 {
            let ended = producer.await.map_err(LoadError::internal)?;
            ended.flatten().map_err(LoadError::internal)?;
        }
        Ok(())
    }
}

/// Starts a producer for every topic that wants one, each on a thread of its own.
pub(crate) fn produce(shared: &Arc<Shared>) -> Result<Producing, LoadError> {
    let mut producers = Vec::new();
    for (number, topic) in shared.topics.iter().enumerate() {
        if topic.spec.produce.is_none() {
            continue;
        }
        let (shared, topic) = (Arc::clone(shared), Arc::clone(topic));
        let lag = shared.lag.clone();
        let ran = on_own_thread("producer", lag, move || async move {
            // Boxed: it holds a producer and variables across every pause.
            Box::pin(drive(&shared, &topic, number as u64)).await
        });
        producers.push(ran.map_err(LoadError::internal)?);
    }
    Ok(Producing(producers))
}

/// The settings of every producer of the generator: nothing is lost, doubled or out of order by its fault.
pub(super) fn client(place: &TopicPlace) -> ClientConfig {
    let mut config = place.client();
    config
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("queue.buffering.max.messages", QUEUE_MESSAGES)
        .set("queue.buffering.max.kbytes", QUEUE_KIB)
        .set("message.timeout.ms", DELIVERY_TIMEOUT_MS);
    config
}

/// A message with its texts.
pub(super) struct Rendered {
    key: Option<String>,
    value: String,
    headers: OwnedHeaders,
}

impl Rendered {
    pub(super) fn new(message: &Message, vars: &Vars) -> Self {
        let headers = message.headers.iter().map(|(name, value)| (name, text(value, vars)));
        Self {
            key: message.key.as_ref().map(|key| text(key, vars)),
            value: text(&message.value, vars),
            headers: headers.fold(OwnedHeaders::new(), |headers, (name, value)| {
                headers.insert(Header {
                    key: name,
                    value: Some(&value),
                })
            }),
        }
    }

    /// As librdkafka takes it; `told` is given back when its fate is known.
    pub(super) fn record<'r, T: rdkafka::util::IntoOpaque>(
        &'r self,
        topic: &'r str,
        told: T,
    ) -> BaseRecord<'r, str, str, T> {
        let record = BaseRecord::with_opaque_to(topic, told)
            .payload(self.value.as_str())
            .headers(self.headers.clone());
        match &self.key {
            Some(key) => record.key(key),
            None => record,
        }
    }
}

/// A message on its way.
struct Underway {
    intended_us: u64,
    sent_us: u64,
    /// Hash of what its record is known by.
    id: Option<u64>,
}

/// Hears what became of each message, on the thread of the producer.
struct Ears {
    clock: Clock,
    writes: Arc<Writes>,
    reasons: Arc<Reasons>,
    recorder: RoundRecorder,
    /// Held for one message.
    shard: Mutex<Shard>,
    not_sent: AtomicU64,
}

impl ClientContext for Ears {
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, _: &str) {
        self.reasons.note(&error);
    }
}

impl ProducerContext for Ears {
    type DeliveryOpaque = Box<Underway>;

    fn delivery(&self, result: &DeliveryResult<'_>, sent: Self::DeliveryOpaque) {
        let failed = result.as_ref().err().map(|(error, _)| error);
        self.ended(&sent, failed);
    }
}

impl Ears {
    fn shard(&self) -> MutexGuard<'_, Shard> {
        self.shard.lock().expect("nothing panics while holding it")
    }

    fn ended(&self, sent: &Underway, failed: Option<&KafkaError>) {
        let now_us = self.clock.now_us();
        let (intended_us, sent_us) = (sent.intended_us, sent.sent_us);
        let outcome = match failed.map(class_of) {
            None => RequestEnd::Ok { bytes: 0 },
            Some(FailureClass::Unanswered) => {
                return self.shard().unfinished(Unfinished {
                    endpoint: 0,
                    intended_us,
                    sent_us,
                    given_up_us: now_us,
                });
            }
            Some(class) => RequestEnd::Failed(class),
        };
        if let Some(error) = failed {
            self.reasons.note(error);
        } else if let Some(id) = sent.id {
            self.writes.note(id, None, (intended_us, sent_us), self.clock);
        }
        self.shard().ended(Request {
            endpoint: 0,
            intended_us,
            sent_us,
            ended_us: now_us.max(sent_us),
            waited_us: 0,
            outcome,
        });
    }

    /// It had no room, or no time was left for it: the generator's fault.
    fn not_sent(&self, intended_us: u64) {
        self.not_sent.fetch_add(1, Ordering::Relaxed);
        let now_us = self.clock.now_us().max(intended_us);
        self.shard().ended(Request {
            endpoint: 0,
            intended_us,
            sent_us: now_us,
            ended_us: now_us,
            waited_us: 0,
            outcome: RequestEnd::Failed(FailureClass::Generator),
        });
    }
}

/// The class of a message that was not acknowledged.
fn class_of(error: &KafkaError) -> FailureClass {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => FailureClass::Unanswered,
        Some(RDKafkaErrorCode::MessageTimedOut | RDKafkaErrorCode::RequestTimedOut) => FailureClass::TimeOut,
        Some(RDKafkaErrorCode::QueueFull) => FailureClass::Generator,
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => FailureClass::Refused,
        // The broker took it, and said no.
        _ => FailureClass::Status,
    }
}

/// One topic's messages, to the end of the drain.
async fn drive(shared: &Arc<Shared>, topic: &WatchedTopic, number: u64) -> io::Result<()> {
    let Some(produce) = &topic.spec.produce else {
        return Ok(());
    };
    raise_priority();
    let windows = shared.timeline.windows;
    let recorder = RoundRecorder::new(vec![topic.spec.produced_name.clone()], windows).with_late_answers();
    let ears = Ears {
        clock: shared.clock,
        writes: Arc::clone(&topic.writes),
        reasons: Arc::clone(&topic.reasons),
        shard: Mutex::new(recorder.shard()),
        recorder,
        not_sent: AtomicU64::new(0),
    };
    // A few milliseconds of company: librdkafka's default, said because it is part of every time.
    let producer: ThreadedProducer<Ears> = client(&topic.place)
        .set("linger.ms", "5")
        .create_with_context(ears)
        .map_err(io::Error::other)?;
    let mut source = Source::new(shared, topic, produce, number);
    source.send_all(&producer).await?;
    drain(shared, &producer).await;
    let ears = producer.context();
    let report = ProducedReport {
        phases: counts_of(&ears.recorder, &ears.shard(), shared.clock.now_us()),
        not_sent: ears.not_sent.load(Ordering::Relaxed),
    };
    *topic.produced.lock().expect("nothing panics while holding it") = Some(report);
    Ok(())
}

/// Makes the messages of one topic.
struct Source<'a> {
    shared: &'a Shared,
    topic: &'a WatchedTopic,
    produce: &'a Produce,
    times: ChaCha8Rng,
    values: ChaCha8Rng,
    vars: Vars,
}

impl<'a> Source<'a> {
    fn new(shared: &'a Shared, topic: &'a WatchedTopic, produce: &'a Produce, number: u64) -> Self {
        let stream = |at: u64| {
            let mut rng = ChaCha8Rng::seed_from_u64(shared.seed);
            rng.set_stream(at);
            rng
        };
        Self {
            shared,
            topic,
            produce,
            times: stream(PRODUCED_STREAM - 2 * number),
            values: stream(PRODUCED_STREAM - 2 * number - 1),
            vars: shared.globals.clone(),
        }
    }

    async fn send_all(&mut self, producer: &ThreadedProducer<Ears>) -> io::Result<()> {
        let (clock, windows) = (self.shared.clock, self.shared.timeline.windows);
        let pacer = Pacer::new(clock)?;
        let warm_up_s = windows.warm_up_end_us as f64 / 1e6;
        let times = self.produce.arrivals.arrivals(warm_up_s, self.times.clone());
        let mut in_a_row = 0;
        for due_us in times.take_while(|at_us| *at_us < windows.measure_end_us) {
            if clock.now_us() < due_us {
                in_a_row = 0;
                tokio::select! {
                    biased;
                    () = self.shared.stop.cancelled() => return Ok(()),
                    woken = pacer.until(due_us) => woken?,
                }
            } else if in_a_row >= MAX_BURST {
                in_a_row = 0;
                yield_now().await;
            }
            if self.shared.stop.is_cancelled() {
                return Ok(());
            }
            in_a_row += 1;
            if clock.now_us() < windows.measure_end_us + END_GRACE_US {
                self.send(producer, due_us);
            } else {
                producer.context().not_sent(due_us);
            }
        }
        Ok(())
    }

    fn send(&mut self, producer: &ThreadedProducer<Ears>, due_us: u64) {
        let (shared, message) = (self.shared, &self.produce.message);
        shared
            .workload
            .draw(&message.feeders, &shared.sequences, &mut self.values, &mut self.vars);
        let rendered = Rendered::new(message, &self.vars);
        let sent = Box::new(Underway {
            intended_us: due_us,
            sent_us: shared.clock.now_us(),
            id: self
                .produce
                .id
                .as_ref()
                .map(|id| self.topic.writes.hash(id, &self.vars)),
        });
        let Err((error, record)) = producer.send(rendered.record(&self.topic.place.topic, sent)) else {
            return;
        };
        match class_of(&error) {
            FailureClass::Generator => producer.context().not_sent(due_us),
            _ => producer.context().ended(&record.delivery_opaque, Some(&error)),
        }
    }
}

/// Waits for acknowledgements as long as for answers; what is given up then is told as such.
async fn drain(shared: &Shared, producer: &ThreadedProducer<Ears>) {
    let mut given_up = std::pin::pin!(shared.given_up());
    while producer.in_flight_count() > 0 {
        tokio::select! {
            biased;
            () = &mut given_up => break,
            () = sleep(LOOKING_AGAIN) => {}
        }
    }
    if producer.in_flight_count() > 0 {
        producer.purge(PurgeConfig::default().queue().inflight());
        let _told = producer.flush(GIVING_UP);
    }
}
