//! Kafka past the service.

use std::time::Duration;

use futures_util::future::try_join_all;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::Offset;

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

/// The first `count` messages of a topic, whatever their partitions.
pub(crate) async fn messages(scene: &Scene, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let (brokers, _) = scene.kafka();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("{topic}.reader"))
        .create()
        .expect("a consumer");
    let mut found = Vec::new();
    eventually("the topic is there", async || {
        let metadata = consumer.fetch_metadata(None, PATIENCE).expect("metadata");
        let topic_there = metadata.topics().iter().find(|known| known.name() == topic)?;
        let mut all = rdkafka::TopicPartitionList::new();
        for partition in topic_there.partitions() {
            all.add_partition_offset(topic, partition.id(), Offset::Beginning)
                .expect("an offset");
        }
        consumer.assign(&all).expect("assigned");
        Some(())
    })
    .await;
    eventually("the messages come", async || {
        if let Some(message) = consumer.poll(Duration::from_millis(1)) {
            found.push(message.expect("a message").detach());
        }
        (found.len() >= count).then_some(())
    })
    .await;
    found
}
