//! Kafka past the service.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Message as _, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Scene, eventually};

/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Publishes messages to the scene's topic: each a driver, a schema and bytes. Returns when they are there.
pub(crate) async fn publish<'m>(scene: &Scene, messages: impl IntoIterator<Item = (i64, &'m str, &'m [u8])>) {
    let (brokers, topic) = scene.kafka();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .expect("a producer");
    let sent = messages.into_iter().map(|(driver, schema, bytes)| {
        let (producer, key) = (&producer, driver.to_string());
        async move {
            let headers = OwnedHeaders::new().insert(Header {
                key: "schema",
                value: Some(schema),
            });
            let record = FutureRecord::to(topic).key(&key).payload(bytes).headers(headers);
            producer.send(record, PATIENCE).await.map_err(|(error, _)| error)
        }
    });
    try_join_all(sent).await.expect("delivered");
}

/// The first messages of a topic, at least `count`, whatever their partitions.
pub(crate) async fn messages(scene: &Scene, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let (mut reader, mut found) = (TopicReader::new(scene, topic).await, Vec::new());
    eventually("the messages come", async || {
        found.extend(reader.rest().await);
        (found.len() >= count).then_some(())
    })
    .await;
    reader.close().await;
    found
}

/// Reads a topic from its beginning.
pub(crate) struct TopicReader {
    consumer: Arc<BaseConsumer>,
    topic: String,
    /// Of each partition, the offset behind what was read.
    next: Vec<i64>,
}

impl TopicReader {
    /// Waits until the topic is there.
    pub(crate) async fn new(scene: &Scene, topic: &str) -> Self {
        let (brokers, _) = scene.kafka();
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", format!("{topic}.reader"))
            .create()
            .expect("a consumer");
        let mut reader = Self {
            consumer: Arc::new(consumer),
            topic: topic.to_owned(),
            next: Vec::new(),
        };
        let partitions = eventually("the topic is there", async || {
            let partitions = reader.ask(partitions).await;
            (partitions > 0).then_some(partitions)
        })
        .await;
        reader.next = vec![0; partitions];
        let mut all = TopicPartitionList::new();
        for partition in (0..).take(partitions) {
            all.add_partition_offset(topic, partition, Offset::Beginning)
                .expect("an offset");
        }
        reader.consumer.assign(&all).expect("assigned");
        reader
    }

    /// What there is by now and was not read before.
    pub(crate) async fn rest(&mut self) -> Vec<OwnedMessage> {
        let (ends, mut found) = (self.ask(ends).await, Vec::new());
        eventually("the rest of the topic comes", async || {
            while let Some(message) = self.consumer.poll(Duration::ZERO) {
                let message = message.expect("a message").detach();
                let partition = usize::try_from(message.partition()).expect("a partition");
                self.next[partition] = message.offset() + 1;
                found.push(message);
            }
            let is_read = self.next.iter().zip(&ends).all(|(next, end)| next >= end);
            is_read.then_some(())
        })
        .await;
        found
    }

    /// Closes the consumer, which waits for the broker, too.
    pub(crate) async fn close(self) {
        let closed = tokio::task::spawn_blocking(move || drop(self.consumer));
        closed.await.expect("no panic");
    }

    /// Off the runtime's threads: what is asked waits for the broker, perhaps behind a proxy that lives on them.
    async fn ask<T: Send + 'static>(&self, question: fn(&BaseConsumer, &str) -> T) -> T {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let asked = tokio::task::spawn_blocking(move || question(&consumer, &topic));
        asked.await.expect("no panic")
    }
}

/// 0: there is no such topic.
fn partitions(consumer: &BaseConsumer, topic: &str) -> usize {
    let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata");
    let named = metadata.topics().iter().find(|known| known.name() == topic);
    named.map_or(0, |topic| topic.partitions().len())
}

fn ends(consumer: &BaseConsumer, topic: &str) -> Vec<i64> {
    let partitions = (0..).take(partitions(consumer, topic));
    let end = |partition| {
        consumer
            .fetch_watermarks(topic, partition, PATIENCE)
            .expect("offsets")
            .1
    };
    partitions.map(end).collect()
}
