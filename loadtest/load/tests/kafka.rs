//! Topics beside a load, against a real broker: a relay puts what is written into a topic and makes every fault that a
//! relay can make, on purpose and counted, once in ten thousand records; a worker commits what it has done, or does
//! not. What is found must be what was done.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops where it is")]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{Json, Router, extract::State, routing::post};
use load::{Account, Attack, AttackSpec, LoadModel, LoadReport, Stop, Target, TopicPlace, TopicReport, WatchedTopic};
use measure::record::EndpointCounts;
use rdkafka::{
    ClientConfig, Message as _,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    producer::{BaseRecord, DefaultProducerContext, ThreadedProducer},
    topic_partition_list::{Offset, TopicPartitionList},
};
use scenarios::{Schedule, Workload};
use serde_json::{Value, json};
use stack::{Kafka, StackOptions};
use tokio::{net::TcpListener, sync::Mutex as AsyncMutex};
use tokio_util::sync::CancellationToken;

const PARTITIONS: i32 = 2;
/// Of ten thousand writes, the one to which something is done.
const AT: u64 = 5_000;
const WRITES: u64 = 10_000;
/// Partition 0 is committed up to here by a worker that stops.
const STOPS_AT: i64 = 5;

/// Held weakly: a static is never dropped, so that the last test to end must be the one that stops the broker.
static SHARED: AsyncMutex<Weak<Kafka>> = AsyncMutex::const_new(Weak::new());
static TOPICS: AtomicU32 = AtomicU32::new(0);

async fn broker() -> Arc<Kafka> {
    let mut shared = SHARED.lock().await;
    if let Some(running) = shared.upgrade() {
        return running;
    }
    let options = StackOptions::from_env().unwrap();
    let started = Arc::new(Kafka::start(&options).await.unwrap_or_else(|error| panic!("{error}")));
    *shared = Arc::downgrade(&started);
    started
}

/// A topic of its own on the broker that tests share.
struct Scene {
    kafka: Arc<Kafka>,
    topic: String,
}

impl Scene {
    async fn new() -> Self {
        let kafka = broker().await;
        let number = TOPICS.fetch_add(1, Ordering::Relaxed);
        let topic = format!("load_{}_{number}", std::process::id());
        kafka.create_topic(&topic, PARTITIONS).await.unwrap();
        Self { kafka, topic }
    }

    fn place(&self, group: bool) -> TopicPlace {
        TopicPlace {
            brokers: self.kafka.brokers(),
            topic: self.topic.clone(),
            group: group.then(|| self.topic.clone()),
        }
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.brokers());
        config
    }
}

/// Done to one record.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    None,
    Lost,
    Doubled,
    /// Sent behind the next one of its key.
    Swapped,
    /// Sent when the load is over, and too late.
    Delayed,
}

/// Takes notes over HTTP and puts them into the topic.
#[derive(Clone)]
struct Relay(Arc<Mutex<Sending>>);

struct Sending {
    producer: ThreadedProducer<DefaultProducerContext>,
    topic: String,
    fault: Fault,
    /// Notes so far; the number of the last one is its id.
    count: u64,
    /// Notes that went to partition 0.
    to_first: u64,
    held_back: Option<(u64, u64)>,
}

impl Sending {
    fn take(&mut self, driver: u64) -> u64 {
        self.count += 1;
        let id = self.count;
        match self.fault {
            Fault::Lost if id == AT => {}
            Fault::Swapped if id == AT => self.held_back = Some((driver, id)),
            Fault::Delayed if id == AT => {
                // Longer than the topic is given for a record, and shorter than the drain.
                let (sender, topic) = (self.producer.clone(), self.topic.clone());
                thread::spawn(move || {
                    thread::park_timeout(Duration::from_millis(4_500));
                    send(&sender, &topic, driver, id);
                });
            }
            Fault::Doubled if id == AT => {
                self.send(driver, id);
                self.send(driver, id);
            }
            _ => self.send(driver, id),
        }
        if let Some((held_driver, held)) = self.held_back.filter(|(of, held)| *of == driver && *held != id) {
            self.held_back = None;
            self.send(held_driver, held);
        }
        id
    }

    fn send(&mut self, driver: u64, id: u64) {
        self.to_first += u64::from(driver.is_multiple_of(2));
        send(&self.producer, &self.topic, driver, id);
    }
}

fn send(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, driver: u64, id: u64) {
    let (key, value) = (driver.to_string(), json!({ "id": id }).to_string());
    let record = BaseRecord::to(topic).key(&key).payload(&value);
    let partition = i32::try_from(driver % 2).unwrap();
    producer
        .send(record.partition(partition))
        .map_err(|(error, _)| error)
        .unwrap();
}

impl Relay {
    async fn start(scene: &Scene, fault: Fault) -> (Self, SocketAddr) {
        let producer = scene.client().set("enable.idempotence", "true").create().unwrap();
        let relay = Self(Arc::new(Mutex::new(Sending {
            producer,
            topic: scene.topic.clone(),
            fault,
            count: 0,
            to_first: 0,
            held_back: None,
        })));
        let router = Router::new().route("/notes", post(note)).with_state(relay.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        (relay, address)
    }

    fn count(&self) -> u64 {
        self.0.lock().unwrap().count
    }

    fn to_first(&self) -> u64 {
        self.0.lock().unwrap().to_first
    }
}

async fn note(State(relay): State<Relay>, Json(note): Json<Value>) -> Json<Value> {
    let id = relay.0.lock().unwrap().take(note["driver"].as_u64().unwrap());
    Json(json!({ "id": id }))
}

/// A member of the group of a scene's topic: commits what it has read, of partition 0 perhaps not all.
struct Worker {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(scene: &Scene, stops: bool) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let consumer: BaseConsumer = scene
            .client()
            .set("group.id", &scene.topic)
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()
            .unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            all.add_partition_offset(&scene.topic, partition, Offset::Beginning)
                .unwrap();
        }
        consumer.assign(&all).unwrap();
        let (over, topic) = (Arc::clone(&ends), scene.topic.clone());
        let work = move || {
            while !over.load(Ordering::Relaxed) {
                let Some(record) = consumer.poll(Duration::from_millis(50)) else {
                    continue;
                };
                let record = record.unwrap();
                let (partition, next) = (record.partition(), record.offset() + 1);
                if stops && partition == 0 && next > STOPS_AT {
                    continue;
                }
                let mut done = TopicPartitionList::new();
                done.add_partition_offset(&topic, partition, Offset::Offset(next))
                    .unwrap();
                // Nobody waits for each: those of one partition come in order all the same.
                consumer.commit(&done, CommitMode::Async).unwrap();
            }
        };
        Self {
            ends,
            thread: Some(thread::spawn(work)),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

const MESSAGES: &str = "[[kafka.notes.messages]]\nid = \"/id\"\nsequence = \"/id\"\n";
const FOLLOW: &str = "[kafka.notes.follow]\nnote = { id = \"{id}\" }\n";

/// Users who write notes about eight drivers as fast as they are answered, and a topic with these tables.
fn workload(keys: &str, tables: &str) -> Workload {
    let text = format!(
        "measure_s = 120\ndrain_s = 3\n[model.closed]\nusers = 4\n[warm_up]\nduration_s = 0\n\
         [feeders]\ndriver = {{ uniform = {{ min = 0, max = 7 }} }}\nevent = {{ uuid = {{}} }}\n\
         [endpoints.note]\nmethod = \"POST\"\npath = \"/notes\"\nbody = {{ driver = \"{{driver}}\" }}\n\
         [journeys.write]\nsteps = [{{ endpoint = \"note\", extract = {{ id = \"/id\" }} }}]\n\
         [kafka.notes]\n{keys}\n{tables}"
    );
    Workload::parse(Path::new("w.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}

/// A load under way, or over.
struct Driven {
    attack: Attack,
    topic: Arc<WatchedTopic>,
    report: LoadReport,
}

impl Driven {
    fn topic(&self) -> &TopicReport {
        &self.report.topics[0]
    }
}

async fn drive(workload: Workload, place: TopicPlace, address: SocketAddr, requests: u64) -> Driven {
    let workload = Arc::new(workload);
    let stop = Stop {
        stop: CancellationToken::new(),
        abort: CancellationToken::new(),
    };
    let schedule = Schedule {
        blocks: 1,
        ..workload.schedule(false)
    };
    let topic = WatchedTopic::open(&workload.topics[0], place).await;
    let topic = Arc::new(topic.unwrap_or_else(|error| panic!("{error}")));
    let spec = AttackSpec {
        streams: vec![],
        topics: vec![Arc::clone(&topic)],
        workload: &workload,
        model: &LoadModel::Closed(workload.models.closed.unwrap()),
        schedule: &schedule,
        globals: workload.new_vars(),
        target: Target::at(address),
        seed: 1,
        requests: Some(requests),
        slice: None,
    };
    let attack = Attack::new(spec, &stop).unwrap();
    let report = attack.run().await.unwrap();
    Driven { attack, topic, report }
}

/// What is found where a relay makes a fault at one of ten thousand records.
async fn with_fault(fault: Fault) -> (Relay, TopicReport) {
    let scene = Scene::new().await;
    let (relay, address) = Relay::start(&scene, fault).await;
    let workload = workload("within_ms = 3000", &format!("{MESSAGES}{FOLLOW}"));
    let driven = drive(workload, scene.place(false), address, WRITES).await;
    driven.topic.close().await;
    assert_eq!(relay.count(), WRITES);
    (relay, driven.topic().clone())
}

fn owed() -> Account {
    Account {
        owed: WRITES,
        ..Account::default()
    }
}

fn sum(phases: &[EndpointCounts], count: fn(&EndpointCounts) -> u64) -> u64 {
    phases.iter().map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_once_and_in_order_is_counted_with_its_times() {
    let (_, topic) = with_fault(Fault::None).await;
    assert_eq!((topic.name.as_str(), topic.partitions), ("notes", PARTITIONS));
    assert_eq!(topic.account, owed());
    let records = topic.records.unwrap();
    assert_eq!(
        (
            sum(&records, |counts| counts.count),
            sum(&records, |counts| counts.errors)
        ),
        (WRITES, 0)
    );
    assert!(!records[1].hdr.is_empty());
    assert_eq!(
        (topic.effects, topic.offset_lag_max, topic.produced),
        (None, None, None)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_lost_record_of_ten_thousand_is_found() {
    let (_, topic) = with_fault(Fault::Lost).await;
    assert_eq!(topic.account, Account { missed: 1, ..owed() });
    assert_eq!(sum(&topic.records.unwrap(), |counts| counts.failures.time_out), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_doubled_record_of_ten_thousand_is_found() {
    let (_, topic) = with_fault(Fault::Doubled).await;
    assert_eq!(topic.account, Account { doubled: 1, ..owed() });
    assert_eq!(sum(&topic.records.unwrap(), |counts| counts.failures.unexpected), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_records_in_the_wrong_order_are_found_among_ten_thousand() {
    let (_, topic) = with_fault(Fault::Swapped).await;
    assert_eq!(topic.account, Account { reordered: 1, ..owed() });
    assert_eq!(sum(&topic.records.unwrap(), |counts| counts.errors), 0);
}

/// It is there in the end, behind others of its key: late and out of order, and not missed.
#[tokio::test(flavor = "multi_thread")]
async fn one_late_record_of_ten_thousand_is_found() {
    let (_, topic) = with_fault(Fault::Delayed).await;
    let records = topic.records.unwrap();
    assert_eq!(
        sum(&records, |counts| counts.failures.time_out),
        1,
        "{:?}",
        topic.account
    );
    assert_eq!(topic.account.doubled, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_its_effect_when_the_group_has_committed_it() {
    let scene = Scene::new().await;
    let worker = Worker::start(&scene, false);
    let (_, address) = Relay::start(&scene, Fault::None).await;
    let workload = workload("group = \"{namespace}\"", &format!("{MESSAGES}{FOLLOW}"));
    let driven = drive(workload, scene.place(true), address, 1_000).await;
    let topic = driven.topic();
    let effects = topic.effects.clone().unwrap();
    assert_eq!((effects.owed, effects.missed), (1_000, 0), "{topic:?}");
    assert_eq!(sum(&effects.phases, |counts| counts.count + counts.errors), 1_000);
    assert!(!effects.phases[1].hdr.is_empty() && topic.offset_lag_max.is_some());
    driven.topic.close().await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_that_are_never_committed_are_counted_exactly() {
    let scene = Scene::new().await;
    let worker = Worker::start(&scene, true);
    let (relay, address) = Relay::start(&scene, Fault::None).await;
    let keys = "within_ms = 3000\ngroup = \"{namespace}\"";
    let workload = workload(keys, &format!("{MESSAGES}{FOLLOW}"));
    let driven = drive(workload, scene.place(true), address, 1_000).await;
    let topic = driven.topic();
    let left = relay.to_first() - STOPS_AT.cast_unsigned();
    let effects = topic.effects.clone().unwrap();
    assert_eq!((effects.owed, effects.missed), (1_000, left), "{topic:?}");
    // One that is only late, on a busy machine, is a time-out, too.
    assert!(sum(&effects.phases, |counts| counts.failures.time_out) >= left);
    assert_eq!(sum(&effects.phases, |counts| counts.count + counts.errors), 1_000);
    assert_eq!(topic.account.missed, 0);
    assert!(topic.offset_lag_max.unwrap() >= left, "{topic:?}");
    driven.topic.close().await;
    drop(worker);
}

const MESSAGE: &str = "key = \"{driver}\"\nvalue = { id = \"{event}\", kind = \"made\" }\nheaders = { form = \"1\" }\n";

fn produce(per_s: u64) -> String {
    format!(
        "{MESSAGES}when = {{ \"/kind\" = \"made\" }}\nwhen_headers = {{ form = \"1\" }}\n[kafka.notes.produce]\n\
         rate = {{ constant = {{ per_s = {per_s} }} }}\nspacing = \"even\"\nid = \"{{event}}\"\n{MESSAGE}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_produced_at_their_times_and_followed() {
    let scene = Scene::new().await;
    let worker = Worker::start(&scene, false);
    let (_, address) = Relay::start(&scene, Fault::None).await;
    let workload = timed("0.5", "group = \"{namespace}\"", &produce(400));
    let driven = drive(workload, scene.place(true), address, u64::MAX).await;
    let topic = driven.topic();
    let produced = topic.produced.clone().unwrap();
    // Due at 2.5 ms, 5 ms and so on, up to and without the end.
    assert_eq!(sum(&produced.phases, |counts| counts.count), 199, "{topic:?}");
    assert_eq!(produced.not_sent, 0);
    assert_eq!(
        (topic.account.owed, topic.account.missed, topic.account.doubled),
        (199, 0, 0),
        "{topic:?}"
    );
    assert_eq!(
        topic.effects.as_ref().map(|effects| effects.missed),
        Some(0),
        "{topic:?}"
    );
    driven.topic.close().await;
    drop(worker);
}

/// More than anything here can send: what is not sent is said, and nothing is silent.
#[tokio::test(flavor = "multi_thread")]
async fn messages_that_find_no_room_are_counted() {
    let scene = Scene::new().await;
    let (_, address) = Relay::start(&scene, Fault::None).await;
    let driven = drive(
        timed("0.5", "", &produce(1_000_000)),
        scene.place(false),
        address,
        u64::MAX,
    )
    .await;
    let topic = driven.topic();
    let produced = topic.produced.clone().unwrap();
    assert!(produced.not_sent > 0, "{produced:?}");
    assert_eq!(
        sum(&produced.phases, |counts| counts.failures.generator),
        produced.not_sent
    );
    let all = sum(&produced.phases, |counts| {
        counts.count + counts.errors + counts.censored
    });
    assert_eq!(all, 499_999, "{produced:?}");
    assert_eq!(topic.account.owed, sum(&produced.phases, |counts| counts.count));
    driven.topic.close().await;
}

fn timed(measure_s: &str, keys: &str, tables: &str) -> Workload {
    let text = format!(
        "measure_s = {measure_s}\ndrain_s = 10\n[model.closed]\nusers = 1\n[warm_up]\nduration_s = 0\n\
         [think_times]\nlong = {{ constant = {{ ms = 200 }} }}\n\
         [feeders]\ndriver = {{ uniform = {{ min = 0, max = 7 }} }}\nevent = {{ uuid = {{}} }}\n\
         [endpoints.note]\nmethod = \"POST\"\npath = \"/notes\"\nbody = {{ driver = \"{{driver}}\" }}\n\
         [journeys.write]\nsteps = [{{ endpoint = \"note\", think = \"long\" }}]\n[kafka.notes]\n{keys}\n{tables}"
    );
    Workload::parse(Path::new("w.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}

fn backlog(messages: u64, within_s: u64) -> String {
    format!("[kafka.notes.backlog]\nmessages = {messages}\nwithin_s = {within_s}\n{MESSAGE}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_produced_and_worked_off() {
    let scene = Scene::new().await;
    let worker = Worker::start(&scene, false);
    let (_, address) = Relay::start(&scene, Fault::None).await;
    let workload = timed("0.2", "group = \"{namespace}\"", &backlog(20_000, 60));
    let driven = drive(workload, scene.place(true), address, u64::MAX).await;
    assert_eq!(driven.topic().records, None);
    let done = driven.attack.work_off_backlog(0).await.unwrap().unwrap();
    assert_eq!(
        (done.messages, done.acknowledged, done.worked_off),
        (20_000, 20_000, 20_000),
        "{done:?}"
    );
    assert!(done.produced_s > 0.0 && done.took_s >= done.produced_s, "{done:?}");
    driven.topic.close().await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_backlog_that_is_not_worked_off_in_time_the_part_that_was_is_told() {
    let scene = Scene::new().await;
    let worker = Worker::start(&scene, true);
    let (_, address) = Relay::start(&scene, Fault::None).await;
    let workload = timed("0.2", "group = \"{namespace}\"", &backlog(2_000, 5));
    let driven = drive(workload, scene.place(true), address, u64::MAX).await;
    let done = driven.attack.work_off_backlog(0).await.unwrap().unwrap();
    assert_eq!(done.acknowledged, 2_000, "{done:?}");
    assert!(done.worked_off > 0 && done.worked_off < 2_000, "{done:?}");
    assert!(done.took_s >= 5.0, "{done:?}");
    driven.topic.close().await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_is_named() {
    let scene = Scene::new().await;
    let workload = timed("0.2", "", &produce(1));
    let place = TopicPlace {
        topic: "nowhere".to_owned(),
        ..scene.place(false)
    };
    let error = WatchedTopic::open(&workload.topics[0], place)
        .await
        .err()
        .unwrap()
        .to_string();
    assert!(error.starts_with("[kafka.notes]: topic `nowhere` at "), "{error}");
}
