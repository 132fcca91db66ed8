//! Kills at random places while events flow: a replica is killed, stopped or suspended, its way to Kafka is cut or
//! silent. Whatever it is, every acknowledged write has its effect once, and whoever watches misses and doubles
//! nothing.
//!
//! A normal run makes each kind of fault once, `EVENT_TESTS_LONG=1` four of each: twenty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use insurance_service::codec;
use insurance_service::domain::events::{Event, EventBody, RiskChanged};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rdkafka::message::{Headers as _, Message as _, OwnedMessage};
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::proxy::{Fault, FaultProxy};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::support::{Client, LiveClient, Metrics, Process, Scene, Token, TopicReader, eventually};

const REPLICAS: usize = 2;
const WRITERS: i64 = 4;
const WATCHERS: usize = 3;
/// Drivers that each writer writes about.
const DRIVERS_EACH: i64 = 10;
/// A writer's pace.
const WRITE_PERIOD: Duration = Duration::from_millis(50);
/// How long one attempt may take: a suspended replica never answers, and the next one does.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Faults last for, and are followed by, at most so many acknowledged writes.
const WRITES_BETWEEN: u64 = 60;
/// The same for a suspended replica, on which each writer waits for half of its attempts: watchers of that replica hear
/// nothing meanwhile, and must not take it for a connection that hangs.
const WRITES_WHILE_SUSPENDED: u64 = 8;

#[derive(Debug, Clone, Copy)]
enum Harm {
    ReplicaKilled,
    ReplicaStopped,
    ReplicaSuspended,
    BrokerCut,
    BrokerSilent,
}

const HARMS: [Harm; 5] = [
    Harm::ReplicaKilled,
    Harm::ReplicaStopped,
    Harm::ReplicaSuspended,
    Harm::BrokerCut,
    Harm::BrokerSilent,
];

fn rounds() -> usize {
    if std::env::var_os("EVENT_TESTS_LONG").is_some() {
        4
    } else {
        1
    }
}

/// What everybody shares.
struct Shared {
    /// Where the replicas were last: one of them may be gone.
    addresses: Mutex<Vec<String>>,
    acknowledged: AtomicU64,
}

impl Shared {
    fn address(&self, place: usize) -> String {
        self.addresses.lock().expect("no panic")[place % REPLICAS].clone()
    }

    /// Waits until so many more writes are acknowledged: whatever is broken, some replica answers.
    async fn goes_on(&self, writes: u64) {
        let goal = self.acknowledged.load(Ordering::SeqCst) + writes;
        Box::pin(eventually("writes go on", async || {
            (self.acknowledged.load(Ordering::SeqCst) >= goal).then_some(())
        }))
        .await;
    }
}

/// Records trips of some drivers, at any replica that answers. Gives those that were acknowledged; of the others nobody
/// knows.
async fn write(writer: i64, shared: Arc<Shared>, over: CancellationToken) -> Vec<Uuid> {
    let (mut trips, mut ticks) = (Vec::new(), interval(WRITE_PERIOD));
    for number in 0_usize.. {
        ticks.tick().await;
        if over.is_cancelled() {
            break;
        }
        let place = number + usize::try_from(writer).expect("small");
        let client = Client::new(&format!("http://{}", shared.address(place)), Some(&Token::admin()));
        let driver = 1 + writer * DRIVERS_EACH + i64::try_from(number).expect("small") % DRIVERS_EACH;
        let noticed = json!({"speeding": number % 4, "harsh_braking": number % 3});
        let distance_m = 5_000 + number % 1_000;
        let trip =
            json!({"duration_s": 600, "distance_m": distance_m, "night_share_pct": number % 50, "events": noticed});
        let answer = timeout(ATTEMPT, client.try_post(&format!("/drivers/{driver}/trips"), &trip)).await;
        if let Ok(Some(answer)) = answer
            && answer.status == 201
        {
            let trip = answer.json()["trip_id"].as_str().expect("a name").parse();
            trips.push(trip.expect("a UUID"));
            shared.acknowledged.fetch_add(1, Ordering::SeqCst);
        }
    }
    trips
}

/// What a watcher was shown.
#[derive(Debug, Default)]
struct Shown {
    /// Names of events: how often.
    events: BTreeMap<Uuid, u32>,
    /// Messages that admit a gap.
    gaps: Vec<Value>,
    /// Where the next connection goes on; absent before the first subscription holds.
    position: Option<String>,
    connections: u32,
}

impl Shown {
    fn note(&mut self, message: &Value) {
        if let Some(position) = message["position"].as_str() {
            self.position = Some(position.to_owned());
        }
        if ["reload", "dropped", "error"]
            .iter()
            .any(|kind| message["type"] == *kind)
        {
            self.gaps.push(message.clone());
        }
        for event in message["events"].as_array().into_iter().flatten() {
            let name = event["event_id"].as_str().expect("a name").parse();
            *self.events.entry(name.expect("a UUID")).or_default() += 1;
        }
    }
}

/// Watches everything, and comes back with its last position whenever its connection ends. A connection that hangs
/// fails the test: pings come each second.
async fn watch(watcher: usize, shown: Arc<Mutex<Shown>>, shared: Arc<Shared>, over: CancellationToken) {
    let mut ticks = interval(WRITE_PERIOD);
    for place in watcher.. {
        ticks.tick().await;
        if over.is_cancelled() {
            break;
        }
        let (address, token) = (shared.address(place), Token::admin());
        let Ok(Some(mut client)) = timeout(ATTEMPT, LiveClient::reach(&address, &token)).await else {
            continue;
        };
        let position = shown.lock().expect("no panic").position.clone();
        client
            .try_say(&json!({"type": "subscribe", "position": position}).to_string())
            .await;
        shown.lock().expect("no panic").connections += 1;
        while let Some(Ok(message)) = over.run_until_cancelled(client.frame()).await {
            shown.lock().expect("no panic").note(&message);
        }
    }
}

struct Fleet {
    scene: Scene,
    kafka: FaultProxy,
    replicas: Vec<Process>,
    shared: Arc<Shared>,
    chance: ChaCha8Rng,
}

impl Fleet {
    async fn start(chance: ChaCha8Rng) -> Self {
        let kafka = FaultProxy::bind().await.expect("a proxy");
        let scene = Scene::isolated_with_kafka_behind(&kafka).await;
        let shared = Arc::new(Shared {
            addresses: Mutex::default(),
            acknowledged: AtomicU64::new(0),
        });
        let mut fleet = Self {
            scene,
            kafka,
            replicas: Vec::new(),
            shared,
            chance,
        };
        for _ in 0..REPLICAS {
            let replica = fleet.replica().await;
            let address = replica.address().to_owned();
            fleet.shared.addresses.lock().expect("no panic").push(address);
            fleet.replicas.push(replica);
        }
        fleet
    }

    async fn replica(&self) -> Process {
        let mut environment = self.scene.environment();
        let own = [
            ("KAFKA_BROKERS", self.kafka.address().to_string()),
            ("LIVE_PING_S", "1".to_owned()),
            // Whoever was away gets all of it, however slow the machine is.
            ("LIVE_HISTORY_EVENTS", "200000".to_owned()),
            ("LIVE_QUEUE_KIB", "65536".to_owned()),
            ("LIVE_SLOW_MS", "60000".to_owned()),
        ];
        environment.retain(|(variable, _)| variable != "KAFKA_BROKERS");
        environment.extend(own.map(|(variable, value)| (variable.to_owned(), value)));
        Process::serve(environment).await
    }

    /// Ends a replica by a signal and starts another in its place; says whether it ended well.
    async fn replace(&mut self, place: usize, signal: &str) -> bool {
        let replica = self.replicas.remove(place);
        replica.signal(signal).await;
        let (status, _) = replica.ended().await;
        let next = self.replica().await;
        let address = next.address().to_owned();
        self.shared.addresses.lock().expect("no panic")[place] = address;
        self.replicas.insert(place, next);
        status.success()
    }

    async fn a_while(&mut self) {
        let writes = self.chance.random_range(1..=WRITES_BETWEEN);
        self.shared.goes_on(writes).await;
    }

    async fn harm(&mut self, harm: Harm) {
        let place = self.chance.random_range(0..REPLICAS);
        println!("{harm:?} {place} after {:?} writes", self.shared.acknowledged);
        match harm {
            Harm::ReplicaKilled => assert!(!self.replace(place, "KILL").await),
            Harm::ReplicaStopped => assert!(self.replace(place, "TERM").await, "an orderly end"),
            Harm::ReplicaSuspended => {
                self.replicas[place].signal("STOP").await;
                let writes = self.chance.random_range(1..=WRITES_WHILE_SUSPENDED);
                self.shared.goes_on(writes).await;
                self.replicas[place].signal("CONT").await;
            }
            Harm::BrokerCut => self.break_kafka(Fault::Cut).await,
            Harm::BrokerSilent => self.break_kafka(Fault::Stall).await,
        }
    }

    async fn break_kafka(&mut self, fault: Fault) {
        self.kafka.set(fault);
        self.a_while().await;
        self.kafka.set(Fault::None);
    }

    /// Waits until new records have their effect within a second, by the service's own count.
    async fn age_is_low(&self, pool: &PgPool) {
        let client = Client::new(&format!("http://{}", self.shared.address(0)), Some(&Token::admin()));
        let trip = json!({"duration_s": 600, "distance_m": 5_000, "night_share_pct": 0, "events": {}});
        Box::pin(eventually("the age of records is below a second again", async || {
            let (before, quick_before) = self.ages().await;
            assert_eq!(client.post("/drivers/150/trips", &trip).await.status, 201);
            let (all, quick) = Box::pin(eventually("the trip has its effect", async || {
                let (all, quick) = self.ages().await;
                (all > before && is_settled(pool).await).then_some((all, quick))
            }))
            .await;
            (all - before == quick - quick_before).then_some(())
        }))
        .await;
    }

    async fn end(self) {
        for replica in self.replicas {
            replica.signal("TERM").await;
            let (status, _) = replica.ended().await;
            assert!(status.success(), "an orderly end");
        }
        drop(self.kafka);
        self.scene.end().await;
    }

    /// Records so far, and those of them that had their effect within a second.
    async fn ages(&self) -> (u64, u64) {
        let mut ages = (0, 0);
        for place in 0..REPLICAS {
            let page = Client::new(&format!("http://{}", self.shared.address(place)), None);
            let metrics = Metrics::new(page.get("/metrics").await.text());
            ages.0 += metrics.count("trip_event_lag_seconds_count", &[]);
            ages.1 += metrics.count("trip_event_lag_seconds_bucket", &["le=\"1.0\""]);
        }
        ages
    }
}

/// Whether every event has been published, as far as Postgres knows.
async fn is_settled(pool: &PgPool) -> bool {
    let open: i64 = sqlx::query_scalar("SELECT count(*) FROM event_outbox")
        .fetch_one(pool)
        .await
        .expect("a number");
    open == 0
}

fn read(message: &OwnedMessage) -> (Uuid, Event) {
    let schema = message
        .headers()
        .and_then(|headers| headers.get(0).value)
        .expect("a schema");
    let schema = std::str::from_utf8(schema).expect("text");
    let event = codec::decode(schema, message.payload().expect("bytes")).expect("readable");
    (event.id.0, event)
}

/// Reads the topic until nothing more can come: all that changes a score is in the inbox, then the outbox is empty,
/// then nothing is left to read.
async fn whole_topic(scene: &Scene, pool: &PgPool) -> BTreeMap<Uuid, Event> {
    let (_, topic) = scene.kafka();
    let (mut reader, mut events) = (TopicReader::new(scene, topic).await, BTreeMap::new());
    Box::pin(eventually("all events have their effects", async || {
        events.extend(reader.rest().await.iter().map(read));
        let noted: i64 = sqlx::query_scalar("SELECT count(*) FROM event_inbox")
            .fetch_one(pool)
            .await
            .expect("a number");
        let scoring = |event: &&Event| event.body.name().changes_exposure();
        let all_noted = events.values().filter(scoring).count() == usize::try_from(noted).expect("a count");
        let is_settled = all_noted && is_settled(pool).await;
        let last = reader.rest().await;
        let is_read = last.is_empty();
        events.extend(last.iter().map(read));
        (is_settled && is_read).then_some(())
    }))
    .await;
    reader.close().await;
    events
}

/// Every acknowledged trip is on record, every trip on record was told of by one event, and every driver's score stands
/// for exactly those trips.
async fn trips_have_their_effects(pool: &PgPool, acknowledged: &[Uuid], events: &BTreeMap<Uuid, Event>) {
    let mut told = Vec::new();
    for event in events.values() {
        if let EventBody::TripRecorded(trip) = &event.body {
            told.push(trip.trip_id.0);
        }
    }
    let once: BTreeSet<Uuid> = told.iter().copied().collect();
    assert_eq!(once.len(), told.len(), "a trip was told of by two events");
    let recorded: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM trips WHERE id = ANY($1)")
        .bind(&told)
        .fetch_all(pool)
        .await
        .expect("trips");
    assert_eq!(recorded.len(), told.len(), "told of, and not on record");
    let lost: Vec<_> = acknowledged.iter().filter(|trip| !once.contains(trip)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let wrong: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT driver_id, r.trips, count(t.id) FROM risk_scores r JOIN trips t USING (driver_id)
          GROUP BY driver_id, r.trips HAVING r.trips <> count(t.id)",
    )
    .fetch_all(pool)
    .await
    .expect("scores");
    assert!(wrong.is_empty(), "driver, trips scored, trips: {wrong:?}");
}

/// Changes of each driver's score follow each other without a gap and without a repetition, up to the score that is.
async fn scores_are_told_once(pool: &PgPool, events: &BTreeMap<Uuid, Event>) {
    let mut by_driver: BTreeMap<i64, Vec<&RiskChanged>> = BTreeMap::new();
    for event in events.values() {
        if let EventBody::RiskChanged(risk) = &event.body {
            by_driver.entry(risk.driver_id.0).or_default().push(risk);
        }
    }
    assert!(!by_driver.is_empty());
    for (driver, mut changes) in by_driver {
        changes.sort_by_key(|risk| risk.version);
        for pair in changes.windows(2) {
            assert!(pair[0].version < pair[1].version, "{driver}: {pair:?}");
            assert_eq!(Some(pair[0].score), pair[1].before, "{driver}: {pair:?}");
        }
        let now: i32 = sqlx::query_scalar("SELECT points_x100 FROM risk_scores WHERE driver_id = $1")
            .bind(driver)
            .fetch_one(pool)
            .await
            .expect("a score");
        assert_eq!(
            changes.last().map(|risk| risk.score.hundredths()),
            Some(now),
            "{driver}"
        );
    }
}

/// Every watcher gets to see every event, once, and nothing else.
async fn everything_is_shown_once(shown: &[Arc<Mutex<Shown>>], events: &BTreeMap<Uuid, Event>) {
    for shown in shown {
        Box::pin(eventually("all events are shown", async || {
            let shown = shown.lock().expect("no panic");
            assert!(shown.gaps.is_empty(), "{:?}", shown.gaps);
            events.keys().all(|name| shown.events.contains_key(name)).then_some(())
        }))
        .await;
        let shown = shown.lock().expect("no panic");
        println!("{} connections", shown.connections);
        let doubled: Vec<_> = shown.events.iter().filter(|(_, times)| **times > 1).collect();
        assert!(doubled.is_empty(), "shown again: {doubled:?}");
        assert_eq!(shown.events.len(), events.len(), "shown, and not in the topic");
    }
}

#[tokio::test]
async fn what_is_acknowledged_has_its_effect_once_whatever_is_killed() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut harms = HARMS.repeat(rounds());
    harms.shuffle(&mut chance);
    let mut fleet = Fleet::start(chance).await;
    let shared = Arc::clone(&fleet.shared);
    let (over_for_watchers, over_for_writers) = (CancellationToken::new(), CancellationToken::new());
    let (mut watchers, mut writers) = (JoinSet::new(), JoinSet::new());
    let shown: [Arc<Mutex<Shown>>; WATCHERS] = Default::default();
    for (number, shown) in shown.iter().enumerate() {
        let (shared, over) = (Arc::clone(&shared), over_for_watchers.clone());
        watchers.spawn(watch(number, Arc::clone(shown), shared, over));
    }
    eventually("all watch", async || {
        let has_begun = |shown: &Arc<Mutex<Shown>>| shown.lock().expect("no panic").position.is_some();
        shown.iter().all(has_begun).then_some(())
    })
    .await;
    for writer in 0..WRITERS {
        writers.spawn(write(writer, Arc::clone(&shared), over_for_writers.clone()));
    }
    for harm in harms {
        fleet.a_while().await;
        fleet.harm(harm).await;
    }
    fleet.a_while().await;
    over_for_writers.cancel();
    let acknowledged = writers.join_all().await.concat();

    let pool = fleet.scene.pool(2).await;
    let events = whole_topic(&fleet.scene, &pool).await;
    println!("{} writes acknowledged, {} events", acknowledged.len(), events.len());
    trips_have_their_effects(&pool, &acknowledged, &events).await;
    scores_are_told_once(&pool, &events).await;
    everything_is_shown_once(&shown, &events).await;
    over_for_watchers.cancel();
    watchers.join_all().await;
    fleet.age_is_low(&pool).await;
    pool.close().await;
    fleet.end().await;
}
