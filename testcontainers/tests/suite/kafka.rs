//! The embedded broker: enough of Kafka for one message to make its way, and plain about what it is.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use stack::{Kafka, Provider};

use crate::support::{embedded, ok};

const PATIENCE: Duration = Duration::from_secs(30);

fn consumer(brokers: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "test")
        .create()
        .unwrap()
}

async fn produce(brokers: &str, topic: &str, payload: &str) {
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let record = FutureRecord::to(topic).key("driver-1").payload(payload);
    producer.send(record, PATIENCE).await.unwrap();
}

/// Reads partition 0 from its beginning; without a group, whose joining takes seconds.
fn consume_first(brokers: &str, topic: &str) -> KafkaResult<Vec<u8>> {
    let consumer = consumer(brokers);
    let mut from_start = TopicPartitionList::new();
    from_start.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&from_start)?;
    let message = consumer.poll(PATIENCE).expect("no message came")?;
    Ok(message.payload().unwrap_or_default().to_vec())
}

#[tokio::test]
async fn a_message_makes_its_way() {
    let kafka = ok(Kafka::start(&embedded()).await);
    ok(kafka.create_topic("trips", 1).await);
    produce(&kafka.brokers(), "trips", "a trip").await;
    let brokers = kafka.brokers();
    let payload = tokio::task::spawn_blocking(move || consume_first(&brokers, "trips"))
        .await
        .unwrap();
    assert_eq!(payload.unwrap(), b"a trip");
    ok(kafka.stop().await);
}

#[tokio::test]
async fn a_topic_has_the_partitions_asked_for_and_is_made_once() {
    let kafka = ok(Kafka::start(&embedded()).await);
    ok(kafka.create_topic("trips", 6).await);
    ok(kafka.create_topic("trips", 2).await);
    let brokers = kafka.brokers();
    let partitions = tokio::task::spawn_blocking(move || {
        let metadata = consumer(&brokers).fetch_metadata(Some("trips"), PATIENCE).unwrap();
        metadata.topics()[0].partitions().len()
    });
    assert_eq!(partitions.await.unwrap(), 6);
    ok(kafka.stop().await);
}

#[tokio::test]
async fn a_topic_that_cannot_be_is_refused() {
    let kafka = ok(Kafka::start(&embedded()).await);
    let error = kafka.create_topic("trips\0", 1).await.unwrap_err().to_string();
    assert!(error.starts_with("kafka: cannot create topic `trips"), "{error}");
    ok(kafka.stop().await);
}

#[tokio::test]
async fn it_says_that_its_figures_mean_nothing() {
    let kafka = ok(Kafka::start(&embedded()).await);
    let info = kafka.info();
    assert_eq!(info.provider, Provider::Embedded);
    assert_eq!(info.settings["broker"], "librdkafka mock");
    assert!(
        info.note
            .as_deref()
            .is_some_and(|note| note.contains("says nothing about Kafka's throughput")),
        "{info:?}"
    );
    assert!(kafka.brokers().starts_with("127.0.0.1:"), "{}", kafka.brokers());
    ok(kafka.stop().await);
}
