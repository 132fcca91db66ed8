//! Checks that hold for every provider: containers, native servers with a real Kafka, external ones.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use sqlx::{Connection, Executor};
use stack::wait::Patience;
use stack::{Choice, External, Provider, Stack, StackOptions};

use crate::support::{Room, connect, containers, ok, redis_command};

const PATIENCE: Duration = Duration::from_secs(30);
const LIBRDKAFKA_MS: &str = "30000";

#[tokio::test]
async fn the_suite_on_native_servers() {
    let room = Room::new();
    let stack = ok(Stack::start(&room.native(), &mut |line| println!("{line}")).await);
    everything(&stack, Provider::Native).await;
    ok(stack.stop().await);
    room.assert_nothing_left();
}

#[tokio::test]
async fn the_suite_on_containers() {
    let Some(options) = containers() else { return };
    let stack = ok(Stack::start(&options, &mut |line| println!("{line}")).await);
    everything(&stack, Provider::Containers).await;
    ok(stack.stop().await);
}

/// Somebody else's servers are here native ones of another stack.
#[tokio::test]
async fn the_suite_on_external_servers() {
    let room = Room::new();
    let host = ok(Stack::start(&room.native(), &mut |_| ()).await);
    let options = StackOptions {
        choice: Choice::External,
        external: External {
            database_url: Some(host.postgres.admin_url()),
            redis_url: Some(host.redis.url()),
            redis_password: None,
            kafka_brokers: Some(host.kafka.brokers()),
        },
        ..StackOptions::default()
    };
    let stack = ok(Stack::start(&options, &mut |line| println!("{line}")).await);
    everything(&stack, Provider::External).await;
    ok(stack.stop().await);
    assert_eq!(
        topics(&host).await,
        ["__consumer_offsets", "__transaction_state"],
        "topics are left"
    );
    ok(host.stop().await);
}

async fn everything(stack: &Stack, provider: Provider) {
    for info in [stack.postgres.info(), stack.redis.info(), stack.kafka.info()] {
        assert_eq!(info.provider, provider, "{info:?}");
        assert_eq!(info.note, None, "{info:?}");
    }
    postgres_is_durable_and_says_so(stack).await;
    postgres_counts_statements(stack).await;
    databases_are_made_cloned_and_dropped(stack).await;
    redis_is_as_the_plan_says(stack).await;
    flushing_removes_the_keys_of_our_own_server_only(stack, provider).await;
    topics_are_made_once(stack).await;
    a_deleted_topic_is_gone_and_need_not_be_there(stack).await;
    a_topic_that_nobody_made_is_refused(stack).await;
    compressed_messages_reach_a_group(stack).await;
    a_transaction_is_committed(stack).await;
}

async fn shown(url: &str, setting: &str) -> String {
    let mut connection = connect(url).await;
    let shown = sqlx::query_scalar("SELECT current_setting($1)").bind(setting);
    shown.fetch_one(&mut connection).await.unwrap()
}

async fn postgres_is_durable_and_says_so(Stack { postgres, .. }: &Stack) {
    let info = postgres.info();
    assert_eq!(info.version, shown(&postgres.admin_url(), "server_version").await);
    for (name, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("shared_buffers", "256MB"),
        ("max_connections", "200"),
    ] {
        assert_eq!(info.settings[name], value, "{name}");
        assert_eq!(shown(&postgres.admin_url(), name).await, value, "{name}");
    }
    assert_eq!(shown(&postgres.admin_url(), "server_encoding").await, "UTF8");
}

async fn postgres_counts_statements(Stack { postgres, .. }: &Stack) {
    assert_ne!(postgres.info().settings["pg_stat_statements"], "missing");
    ok(postgres.create_database("counted").await);
    let mut counted = connect(&postgres.url("counted")).await;
    for _ in 0..3 {
        counted.execute("SELECT 'a statement to count'").await.unwrap();
    }
    let calls: i64 = sqlx::query_scalar(
        "SELECT calls FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = 'counted'",
    )
    .fetch_one(&mut connect(&postgres.admin_url()).await)
    .await
    .unwrap();
    assert_eq!(calls, 3);
}

async fn databases_are_made_cloned_and_dropped(Stack { postgres, .. }: &Stack) {
    ok(postgres.create_database("template").await);
    let mut template = connect(&postgres.url("template")).await;
    template
        .execute("CREATE TABLE t AS SELECT generate_series(1, 1000) AS n")
        .await
        .unwrap();
    ok(postgres.clone_database("template", "Clone \"of\" it").await);
    let mut clone = connect(&postgres.url("Clone \"of\" it")).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM t")
        .fetch_one(&mut clone)
        .await
        .unwrap();
    assert_eq!(rows, 1000);
    ok(postgres.drop_database("Clone \"of\" it").await);
    assert!(clone.ping().await.is_err(), "the session on a dropped database goes on");
    let error = postgres.create_database("template").await.unwrap_err().to_string();
    assert!(
        error.starts_with("postgres: cannot create database `template`: "),
        "{error}"
    );
}

async fn redis_is_as_the_plan_says(Stack { redis, .. }: &Stack) {
    let half_a_gigabyte = (500 * 1024 * 1024).to_string();
    for (name, value) in [
        ("maxmemory", &*half_a_gigabyte),
        ("maxmemory-policy", "allkeys-lru"),
        ("appendonly", "yes"),
    ] {
        assert_eq!(redis.info().settings[name], value, "{name}");
        let told: Vec<String> = redis_command(&redis.url(), &["CONFIG", "GET", name]).await;
        assert_eq!(told, [name, value]);
    }
    assert_ne!(redis.info().settings["save"], "", "snapshots are off");
}

async fn flushing_removes_the_keys_of_our_own_server_only(Stack { redis, .. }: &Stack, provider: Provider) {
    let () = redis_command(&redis.url(), &["SET", "key", "value"]).await;
    ok(redis.flush().await);
    let keys: i64 = redis_command(&redis.url(), &["DBSIZE"]).await;
    assert_eq!(keys, i64::from(provider == Provider::External));
}

fn client(stack: &Stack) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", stack.kafka.brokers());
    config
}

/// All topics, sorted.
async fn topics(stack: &Stack) -> Vec<String> {
    let config = client(stack);
    let listed = tokio::task::spawn_blocking(move || {
        let producer: FutureProducer = config.create().unwrap();
        let metadata = producer.client().fetch_metadata(None, PATIENCE).unwrap();
        let mut names: Vec<String> = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
        names.sort();
        names
    });
    listed.await.unwrap()
}

async fn topics_are_made_once(stack: &Stack) {
    ok(stack.kafka.create_topic("trips", 6).await);
    ok(stack.kafka.create_topic("trips", 2).await);
    let config = client(stack);
    let partitions = tokio::task::spawn_blocking(move || {
        let producer: FutureProducer = config.create().unwrap();
        let metadata = producer.client().fetch_metadata(Some("trips"), PATIENCE).unwrap();
        metadata.topics()[0].partitions().len()
    });
    assert_eq!(partitions.await.unwrap(), 6);
    let error = stack
        .kafka
        .create_topic("no such name!", 1)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("kafka: cannot create topic `no such name!`"),
        "{error}"
    );
}

async fn a_deleted_topic_is_gone_and_need_not_be_there(stack: &Stack) {
    // A change is answered before every request for the list sees it.
    let until_listed = async |listed| {
        let mut patience = Patience::new(PATIENCE);
        while topics(stack).await.contains(&"short-lived".to_owned()) != listed {
            patience.pause().await.unwrap();
        }
    };
    ok(stack.kafka.create_topic("short-lived", 1).await);
    until_listed(true).await;
    ok(stack.kafka.delete_topic("short-lived").await);
    until_listed(false).await;
    ok(stack.kafka.delete_topic("short-lived").await);
}

/// A misspelt name is an error, and does not become a topic.
async fn a_topic_that_nobody_made_is_refused(stack: &Stack) {
    assert_eq!(stack.kafka.info().settings["auto.create.topics.enable"], "false");
    let mut config = client(stack);
    // How long the client hopes that the topic is just being made.
    config.set("topic.metadata.propagation.max.ms", "100");
    let producer: FutureProducer = config.create().unwrap();
    let sent = producer
        .send(FutureRecord::<str, str>::to("tripz").payload("x"), PATIENCE)
        .await;
    let (error, _) = sent.unwrap_err();
    let unknown = [
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownTopicOrPartition,
    ];
    assert!(
        error.rdkafka_error_code().is_some_and(|code| unknown.contains(&code)),
        "{error}"
    );
    assert!(!topics(stack).await.contains(&"tripz".to_owned()));
}

/// lz4, written once each by an idempotent producer, read by a member of a group that commits.
async fn compressed_messages_reach_a_group(stack: &Stack) {
    const MESSAGES: usize = 500;
    let mut config = client(stack);
    config
        .set("compression.type", "lz4")
        .set("enable.idempotence", "true")
        .set("linger.ms", "5");
    let producer: FutureProducer = config.create().unwrap();
    let text = "a trip like any other ".repeat(20);
    let sends = (0..MESSAGES).map(|number| {
        let key = number.to_string();
        let (producer, text) = (&producer, &text);
        async move {
            producer
                .send(FutureRecord::to("trips").key(&key).payload(text), PATIENCE)
                .await
                .map(drop)
        }
    });
    let sent: Result<Vec<()>, (KafkaError, _)> = futures_util::future::try_join_all(sends).await;
    sent.unwrap();

    let mut config = client(stack);
    config
        .set("group.id", "readers")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false");
    let consumer: StreamConsumer = config.create().unwrap();
    consumer.subscribe(&["trips"]).unwrap();
    let mut keys = std::collections::BTreeSet::new();
    while keys.len() < MESSAGES {
        let message = tokio::time::timeout(PATIENCE, consumer.recv())
            .await
            .expect("a message")
            .unwrap();
        assert_eq!(message.payload(), Some(text.as_bytes()));
        keys.insert(String::from_utf8(message.key().unwrap().to_vec()).unwrap());
    }
    consumer.commit_consumer_state(CommitMode::Sync).unwrap();
}

/// For this the broker must reach itself, which it does not do by the address that it tells its clients.
async fn a_transaction_is_committed(stack: &Stack) {
    let mut config = client(stack);
    config
        .set("transactional.id", "one")
        .set("transaction.timeout.ms", LIBRDKAFKA_MS);
    let producer: FutureProducer = config.create().unwrap();
    let begun = producer.clone();
    let beginning = move || {
        begun
            .init_transactions(PATIENCE)
            .and_then(|()| begun.begin_transaction())
    };
    tokio::task::spawn_blocking(beginning).await.unwrap().unwrap();
    producer
        .send(FutureRecord::<str, str>::to("trips").payload("x"), PATIENCE)
        .await
        .unwrap();
    let committing = move || producer.commit_transaction(PATIENCE);
    tokio::task::spawn_blocking(committing).await.unwrap().unwrap();
}
