//! Replaying dead letters: each goes back to the topic that it came from, as it was, once its fault is mended. What was
//! replayed is committed under a group of its own, so that a second run goes on where the first has ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::time::timeout;

use super::headers;
use super::producer::{Outgoing, Publisher};
use super::{KafkaSetupError, client_of, close, on_thread};
use crate::config::{KafkaConfig, Profile, Switches};
use crate::metrics::Metrics;

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Letters that are published, and committed, together.
const BATCH: usize = 500;

/// Outcome of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// Letters that went back, or would have.
    pub letters: u64,
    /// Letters that are left.
    pub left: u64,
}

/// Why a replay ended early. What went back until then is committed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Kafka's settings are wrong.
    #[error(transparent)]
    Setup(#[from] KafkaSetupError),
    /// Kafka does not answer, or refuses.
    #[error("Kafka does not answer as it should (check KAFKA_BROKERS and that the broker is up)")]
    Kafka(#[from] KafkaError),
    /// A letter that should be there does not come.
    #[error("no letter came for {PATIENCE:?}, though {left} are left: run it again")]
    Silent {
        /// Letters that are left.
        left: u64,
    },
}

/// Sends dead letters back, at most `limit`, those of now and no later ones; with `dry_run` it only counts and shows
/// them by `tell`.
pub async fn replay(
    config: &KafkaConfig,
    limit: u64,
    dry_run: bool,
    mut tell: impl FnMut(&str),
) -> Result<Replayed, ReplayError> {
    let consumer = Arc::new(consumer(config)?);
    let outcome = run(config, Arc::clone(&consumer), limit, dry_run, &mut tell).await;
    close("replay", consumer).await;
    outcome
}

async fn run(
    config: &KafkaConfig,
    consumer: Arc<StreamConsumer>,
    limit: u64,
    dry_run: bool,
    tell: &mut impl FnMut(&str),
) -> Result<Replayed, ReplayError> {
    let topic = config.dead_letters();
    let (asked, name) = (Arc::clone(&consumer), topic.clone());
    let mut spans = on_thread(move || spans(&asked, &name)).await?;
    let mut left: u64 = spans.values().map(Span::len).sum();
    let publisher = Publisher::new(config, Switches::preset(Profile::Phase2), Metrics::default().kafka)?;
    assign(&consumer, &topic, &spans)?;
    let mut letters = 0;
    while left > 0 && letters < limit {
        let most = usize::try_from((limit - letters).min(left)).unwrap_or(BATCH).min(BATCH);
        let batch = next_batch(&consumer, &mut spans, most)
            .await
            .ok_or(ReplayError::Silent { left })?;
        for letter in &batch {
            tell(&shown(letter));
        }
        if !dry_run {
            send_back(&publisher, &batch, &config.topic).await?;
            commit(&consumer, &topic, &spans)?;
        }
        letters += batch.len() as u64;
        left -= batch.len() as u64;
    }
    close("producer", publisher).await;
    Ok(Replayed { letters, left })
}

/// The letters of a partition that are to go back.
struct Span {
    next: i64,
    end: i64,
}

impl Span {
    fn len(&self) -> u64 {
        u64::try_from(self.end - self.next).unwrap_or_default()
    }
}

fn consumer(config: &KafkaConfig) -> Result<StreamConsumer, KafkaSetupError> {
    client_of(config)
        .set("client.id", "insurance-service replay")
        .set("group.id", format!("{}.replay", config.group))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .create()
        .map_err(KafkaSetupError::of("replay"))
}

/// From where the last replay has ended to where the topic ends now.
fn spans(consumer: &StreamConsumer, topic: &str) -> Result<HashMap<i32, Span>, KafkaError> {
    let metadata = consumer.fetch_metadata(None, PATIENCE)?;
    let mut asked = TopicPartitionList::new();
    for known in metadata.topics().iter().filter(|known| known.name() == topic) {
        for partition in known.partitions() {
            asked.add_partition(topic, partition.id());
        }
    }
    if asked.count() == 0 {
        return Ok(HashMap::new());
    }
    let committed = consumer.committed_offsets(asked, PATIENCE)?;
    let mut spans = HashMap::new();
    for element in committed.elements() {
        let (begin, end) = consumer.fetch_watermarks(topic, element.partition(), PATIENCE)?;
        let next = match element.offset() {
            Offset::Offset(next) => next.clamp(begin, end),
            _ => begin,
        };
        spans.insert(element.partition(), Span { next, end });
    }
    Ok(spans)
}

fn assign(consumer: &StreamConsumer, topic: &str, spans: &HashMap<i32, Span>) -> Result<(), KafkaError> {
    consumer.assign(&offsets(topic, spans)?)
}

fn commit(consumer: &StreamConsumer, topic: &str, spans: &HashMap<i32, Span>) -> Result<(), KafkaError> {
    consumer.commit(&offsets(topic, spans)?, CommitMode::Sync)
}

fn offsets(topic: &str, spans: &HashMap<i32, Span>) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, span) in spans {
        list.add_partition_offset(topic, *partition, Offset::Offset(span.next))?;
    }
    Ok(list)
}

/// The next letters, at least one and at most `most`; `None` when none comes.
async fn next_batch(
    consumer: &StreamConsumer,
    spans: &mut HashMap<i32, Span>,
    most: usize,
) -> Option<Vec<OwnedMessage>> {
    let mut batch = Vec::new();
    while batch.len() < most {
        match timeout(PATIENCE, consumer.recv()).await {
            Ok(Ok(letter)) => batch.extend(within(&letter, spans).then(|| letter.detach())),
            Ok(Err(error)) => tracing::warn!(%error, "Kafka reports an error to the replay"),
            Err(_) if batch.is_empty() => return None,
            Err(_) => break,
        }
    }
    Some(batch)
}

/// Whether a letter was there when the replay began; if so, the span goes on behind it.
fn within(letter: &BorrowedMessage<'_>, spans: &mut HashMap<i32, Span>) -> bool {
    let span = spans.get_mut(&letter.partition());
    let Some(span) = span.filter(|span| letter.offset() < span.end) else {
        return false;
    };
    span.next = letter.offset() + 1;
    true
}

async fn send_back(publisher: &Publisher, batch: &[OwnedMessage], home: &str) -> Result<(), KafkaError> {
    let homes: Vec<String> = batch
        .iter()
        .map(|letter| headers::original_topic(letter).unwrap_or_else(|| home.to_owned()))
        .collect();
    let letters = batch.iter().zip(&homes);
    let letters = letters.map(|(letter, home)| Outgoing {
        topic: home,
        partition: None,
        key: letter.key(),
        payload: letter.payload().unwrap_or_default(),
        headers: headers::original(letter),
        made_ms: None,
    });
    publisher.publish(letters.collect()).await
}

fn shown(letter: &OwnedMessage) -> String {
    let (partition, offset) = (letter.partition(), letter.offset());
    let why = headers::why(letter);
    format!("partition {partition} offset {offset}: {why}")
}
