//! Follows the topic: every partition, without a group, so that each replica sees every event.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{Consumer as _, ConsumerContext, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::{ClientConfig, Statistics};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::event::{Batch, LiveEvent};
use super::history::History;
use super::position::Position;
use crate::codec::{self, CodecError};
use crate::config::{Consuming, KafkaConfig, LiveConfig, Switches};
use crate::domain::events::EventId;
use crate::errors::Cause;
use crate::events::{KafkaSetupError, STATISTICS_MS, client_of, on_thread, schema, tune_fetches};
use crate::metrics::{KafkaMetrics, LiveMetrics};
use crate::store::StoreError;
use crate::store::live_streams::{self, LiveStream};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pause after a failure, and until a topic that is not there is looked for again.
const BACK_OFF: Duration = Duration::from_millis(500);
/// Events that go out together, at most.
const BATCH_MAX: usize = 500;
/// Names of events that are remembered, so that one that comes twice is shown once: as many as two full histories. The
/// outbox repeats within seconds.
const NAMES_MAX: usize = 40_000;
/// How often is looked for partitions that were added, and noted where the topic ends.
const LOOK_PERIOD: Duration = Duration::from_secs(5);

/// Counts what librdkafka tells.
struct Watch(KafkaMetrics);

impl ClientContext for Watch {
    fn stats(&self, statistics: Statistics) {
        self.0.consumer("live", &statistics);
    }
}

impl ConsumerContext for Watch {}

/// The topic as this replica reads it.
pub(super) struct Source {
    client: Arc<StreamConsumer<Watch>>,
    pool: PgPool,
    topic: String,
    live: LiveConfig,
    switches: Switches,
    metrics: LiveMetrics,
    position: Position,
    names: Names,
    /// When events went out last.
    shown: Instant,
    looked: Instant,
    /// A look at the topic, beside the reading: it waits for the broker. Gives the number of partitions.
    looking: Option<JoinHandle<usize>>,
}

/// The topic has ended before where it was read, or has lost what was read.
#[derive(Debug)]
pub(super) struct BegunAnew;

impl Source {
    /// It connects in the background.
    pub(super) fn new(
        kafka: &KafkaConfig,
        live: &LiveConfig,
        switches: Switches,
        pool: PgPool,
        (metrics, kafka_metrics): (LiveMetrics, KafkaMetrics),
    ) -> Result<Self, KafkaSetupError> {
        let client = client_config(kafka, switches).create_with_context(Watch(kafka_metrics));
        Ok(Self {
            client: Arc::new(client.map_err(KafkaSetupError::of("live consumer"))?),
            pool,
            topic: kafka.topic.clone(),
            live: live.clone(),
            switches,
            metrics,
            position: Position {
                epoch: 0,
                next: Vec::new(),
            },
            names: Names::default(),
            shown: Instant::now(),
            looked: Instant::now(),
            looking: None,
        })
    }

    /// Closes the client.
    pub(super) async fn close(mut self) {
        if let Some(looking) = self.looking.take() {
            looking.abort();
            let _aborted = looking.await;
        }
        crate::events::close("live consumer", self.client).await;
    }

    /// Reads the newest events of the topic as it is now, however long Kafka and Postgres are away. Events from then on
    /// come by [`Source::next_batch`].
    pub(super) async fn open(&mut self) -> History {
        self.read_anew(false).await
    }

    /// As [`Source::open`], after the topic was found to be another one.
    pub(super) async fn open_again(&mut self) -> History {
        self.read_anew(true).await
    }

    async fn read_anew(&mut self, is_another: bool) -> History {
        loop {
            match self.try_open(is_another).await {
                Ok(Some(history)) => return history,
                // There is no such topic yet.
                Ok(None) => {}
                Err(cause) => tracing::warn!(%cause, "live clients have to wait: the topic cannot be read for now"),
            }
            sleep(BACK_OFF).await;
        }
    }

    async fn try_open(&mut self, is_another: bool) -> Result<Option<History>, Cause> {
        // Before Kafka is asked: ends only grow, so that a smaller one means another topic.
        let known = live_streams::known(&self.pool, &self.topic).await.map_err(Cause::new)?;
        let spans = self.spans().await.map_err(Cause::new)?;
        if spans.is_empty() {
            return Ok(None);
        }
        let ends: Vec<i64> = spans.iter().map(|(_, end)| *end).collect();
        let epoch = self.epoch(&known, &ends, is_another).await.map_err(Cause::new)?;
        let each = i64::try_from(self.live.history_events / spans.len()).unwrap_or(i64::MAX);
        let start: Vec<i64> = spans.iter().map(|(begin, end)| (end - each).max(*begin)).collect();
        self.position = Position { epoch, next: start };
        self.names = Names::default();
        let mut history = History::new(self.position.clone(), self.live.history_events);
        self.client.assign(&self.offsets()).map_err(Cause::new)?;
        self.read_until(&ends, &mut history).await;
        self.looked = Instant::now();
        Ok(Some(history))
    }

    /// The epoch of the topic as it is now. One that ends before where it ended is another, and so is one that was
    /// found to be: unless another replica has said so already.
    async fn epoch(&self, known: &LiveStream, ends: &[i64], is_another: bool) -> Result<i64, StoreError> {
        let shorter = |(partition, was): (usize, &i64)| ends.get(partition).is_none_or(|now| now < was);
        let is_news = is_another && known.epoch == self.position.epoch;
        if is_news || known.ends.iter().enumerate().any(shorter) {
            live_streams::begin_anew(&self.pool, &self.topic, known.epoch, ends).await?;
            return Ok(live_streams::known(&self.pool, &self.topic).await?.epoch);
        }
        live_streams::advance(&self.pool, &self.topic, known.epoch, ends).await?;
        Ok(known.epoch)
    }

    /// Begin and end of every partition, by number; none when there is no topic.
    async fn spans(&self) -> Result<Vec<(i64, i64)>, KafkaError> {
        let (client, topic) = (Arc::clone(&self.client), self.topic.clone());
        on_thread(move || {
            let partitions = 0..i32::try_from(partitions(&client, &topic)?).unwrap_or(i32::MAX);
            partitions
                .map(|partition| client.fetch_watermarks(&topic, partition, PATIENCE))
                .collect()
        })
        .await
    }

    fn offsets(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, next) in (0..).zip(&self.position.next) {
            // Offsets that were read are valid ones.
            let _valid = list.add_partition_offset(&self.topic, partition, Offset::Offset(*next));
        }
        list
    }

    /// Reads what was there already into the history. Offsets of what is gone (compaction, transactions) never come,
    /// hence the bound: a partition that is silent for so long has come to its end.
    async fn read_until(&mut self, ends: &[i64], history: &mut History) {
        let is_read = |position: &Position| {
            ends.iter()
                .enumerate()
                .all(|(partition, end)| position.of(partition) >= *end)
        };
        while !is_read(&self.position) {
            let client = Arc::clone(&self.client);
            match timeout_at(Instant::now() + PATIENCE, client.recv()).await {
                Ok(Ok(message)) => {
                    if let Ok(Some(event)) = self.read(&message) {
                        history.push(event);
                    }
                }
                Ok(Err(error)) => tracing::warn!(%error, "Kafka reports an error to the live consumer"),
                Err(_) => break,
            }
        }
        history.advance(&self.position);
    }

    /// The next events: all that are there, and those that come before the last were out for a few milliseconds. An
    /// event that comes alone waits for nothing, and under load as many as those milliseconds bring share a frame.
    pub(super) async fn next_batch(&mut self) -> Result<Batch, BegunAnew> {
        let (client, mut events) = (Arc::clone(&self.client), Vec::new());
        while events.is_empty() {
            self.look_around().await;
            if let Ok(received) = timeout_at(self.looked + LOOK_PERIOD, client.recv()).await {
                self.take_in(received, &mut events)?;
            }
        }
        if self.switches.live_batching {
            let end = self.shown + self.live.batch;
            while events.len() < BATCH_MAX {
                let received = match client.recv().now_or_never() {
                    Some(received) => received,
                    None => match timeout_at(end, client.recv()).await {
                        Ok(received) => received,
                        Err(_) => break,
                    },
                };
                self.take_in(received, &mut events)?;
            }
        }
        self.shown = Instant::now();
        Ok(Batch {
            events,
            position: self.position.clone(),
        })
    }

    fn take_in(
        &mut self,
        received: Result<BorrowedMessage<'_>, KafkaError>,
        events: &mut Vec<Arc<LiveEvent>>,
    ) -> Result<(), BegunAnew> {
        match received {
            Ok(message) => events.extend(self.read(&message)?),
            Err(error) => tracing::warn!(%error, "Kafka reports an error to the live consumer"),
        }
        Ok(())
    }

    /// `None`: it was shown before, or cannot be read, which the consumer of the group tells.
    fn read(&mut self, message: &BorrowedMessage<'_>) -> Result<Option<Arc<LiveEvent>>, BegunAnew> {
        let (partition, offset) = (
            usize::try_from(message.partition()).unwrap_or_default(),
            message.offset(),
        );
        let Some(next) = self.position.next.get_mut(partition) else {
            return Ok(None);
        };
        if offset < *next {
            return Err(BegunAnew);
        }
        *next = offset + 1;
        match decode(message, partition) {
            Ok(event) if self.switches.live_dedupe && !self.names.is_new(event.id) => {
                self.metrics.repeated.inc();
                Ok(None)
            }
            Ok(event) => Ok(Some(Arc::new(event))),
            Err(error) => {
                tracing::debug!(%error, partition, offset, "live clients do not see what cannot be read");
                Ok(None)
            }
        }
    }

    /// Now and then: has it noted where the topic ends, and takes in partitions that were added.
    async fn look_around(&mut self) {
        if self.looked.elapsed() < LOOK_PERIOD {
            return;
        }
        self.looked = Instant::now();
        if self.looking.as_ref().is_some_and(|looking| !looking.is_finished()) {
            return;
        }
        if let Some(looking) = self.looking.take()
            && let Ok(partitions) = looking.await
            && partitions > self.position.next.len()
        {
            self.take_in_partitions(partitions);
        }
        let (client, topic, pool) = (Arc::clone(&self.client), self.topic.clone(), self.pool.clone());
        self.looking = Some(tokio::spawn(look(client, topic, pool, self.position.clone())));
    }

    fn take_in_partitions(&mut self, partitions: usize) {
        tracing::info!(partitions, "the topic has more partitions");
        self.position.next.resize(partitions, 0);
        if let Err(error) = self.client.assign(&self.offsets()) {
            tracing::warn!(%error, "partitions that were added are not read");
        }
    }
}

async fn look(client: Arc<StreamConsumer<Watch>>, topic: String, pool: PgPool, position: Position) -> usize {
    let Position { epoch, next } = position;
    if let Err(error) = live_streams::advance(&pool, &topic, epoch, &next).await {
        tracing::warn!(%error, "where the topic ends is not noted for now");
    }
    on_thread(move || partitions(&client, &topic))
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(%error, "partitions that were added are not seen for now");
            0
        })
}

/// How many partitions the topic has; 0: there is no such topic.
fn partitions(client: &StreamConsumer<Watch>, topic: &str) -> Result<usize, KafkaError> {
    let metadata = client.fetch_metadata(None, PATIENCE)?;
    let named = metadata.topics().iter().find(|known| known.name() == topic);
    Ok(named.map_or(0, |topic| topic.partitions().len()))
}

fn decode(message: &BorrowedMessage<'_>, partition: usize) -> Result<LiveEvent, CodecError> {
    let event = codec::decode(&schema(message.headers()), message.payload().unwrap_or_default())?;
    LiveEvent::new(&event, partition, message.offset())
}

/// The newest names of events, in order of their coming.
#[derive(Default)]
struct Names {
    known: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl Names {
    /// Whether the name comes for the first time.
    fn is_new(&mut self, id: EventId) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > NAMES_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

/// A group is named, because librdkafka asks for one; it is never joined, and nothing is committed.
fn client_config(kafka: &KafkaConfig, switches: Switches) -> ClientConfig {
    let mut client = client_of(kafka);
    client
        .set("client.id", "insurance-service live")
        .set("group.id", format!("{}.live", kafka.group))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // A topic that was cut short is read from its beginning, and taken for another one.
        .set("auto.offset.reset", "earliest")
        .set("topic.metadata.refresh.interval.ms", "2000")
        .set("statistics.interval.ms", STATISTICS_MS);
    if switches.kafka_consumer == Consuming::Tuned {
        tune_fetches(&mut client);
    }
    client
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_name_is_new_once_and_the_oldest_are_forgotten() {
        let mut names = Names::default();
        let name = |number: usize| EventId(Uuid::from_u128(number as u128));
        assert!((0..=NAMES_MAX).all(|number| names.is_new(name(number))));
        assert!(!names.is_new(name(NAMES_MAX)) && !names.is_new(name(1)));
        assert!(names.is_new(name(0)), "forgotten");
        assert_eq!(names.known.len(), NAMES_MAX);
    }
}
