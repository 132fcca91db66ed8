//! Events past the happy path.

use insurance_service::codec;
use insurance_service::domain::events::{EventBody, EventName};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedMessage};
use serde_json::json;

use crate::support::{App, Scene, eventually, executable, messages, publish};

async fn record_and_wait_for_score(app: &App, driver: i64) {
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {"speeding": 2}});
    let recorded = app
        .driver(driver)
        .post(&format!("/drivers/{driver}/trips"), &trip)
        .await
        .version();
    let client = app.admin();
    eventually("the score follows the trip", async || {
        (client.get(&format!("/risk/{driver}/current")).await.version() > recorded).then_some(())
    })
    .await;
}

fn header(message: &OwnedMessage, name: &str) -> Option<Vec<u8>> {
    let headers = message.headers()?;
    headers
        .iter()
        .find(|header: &Header<'_, &[u8]>| header.key == name)?
        .value
        .map(<[u8]>::to_vec)
}

/// Of a message that cannot be read: it neither holds up those behind it nor is it lost.
#[tokio::test]
async fn an_unreadable_message_becomes_a_dead_letter_with_its_origin() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    publish(&scene, [(1, "trip-recorded/9", &b"no event at all"[..])]).await;
    eventually("the message is put aside", async || {
        (app.metrics().await.count("events_dead_lettered_total", &[]) == 1).then_some(())
    })
    .await;
    assert_eq!(app.metrics().await.count("trip_events_undecodable_total", &[]), 1);
    record_and_wait_for_score(&app, 1).await;

    let (_, topic) = scene.kafka();
    let [letter] = &messages(&scene, &format!("{topic}.DLT"), 1).await[..] else {
        panic!("one letter");
    };
    assert_eq!(
        (letter.payload(), letter.key()),
        (Some(&b"no event at all"[..]), Some(&b"1"[..]))
    );
    let told = |name: &str| header(letter, &format!("kafka_dlt-{name}")).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(told("original-topic"), topic.as_bytes());
    assert_eq!(
        told("original-partition"),
        letter.partition().to_be_bytes(),
        "the same partition"
    );
    assert_eq!(told("original-offset"), 0_i64.to_be_bytes());
    assert_eq!(told("original-timestamp").len(), 8);
    assert_eq!(told("original-consumer-group"), topic.as_bytes());
    assert_eq!(told("exception-fqcn"), b"CodecError::Schema");
    assert!(String::from_utf8_lossy(&told("exception-message")).contains("trip-recorded/9"));
    assert_eq!(
        header(letter, "schema").as_deref(),
        Some(&b"trip-recorded/9"[..]),
        "its own headers are kept"
    );
    app.stop().await;
    scene.end().await;
}

async fn replay(scene: &Scene, arguments: &[&str]) -> String {
    let mut command = executable();
    let output = command
        .arg("replay")
        .args(arguments)
        .envs(scene.environment())
        .output()
        .await
        .expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// 1. Two messages are put aside. 2. A look at them changes nothing. 3. One goes back, then the other, as they were.
/// 4. The service, which still cannot read them, puts them aside again.
#[tokio::test]
async fn dead_letters_go_back_when_they_are_told_to() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let unreadable = [(1, "event/9", &b"one"[..]), (2, "event/9", &b"two"[..])];
    publish(&scene, unreadable).await;
    let put_aside = async |count: u64| {
        eventually("messages are put aside", async || {
            (app.metrics().await.count("events_dead_lettered_total", &[]) == count).then_some(())
        })
        .await;
    };
    put_aside(2).await;
    assert_eq!(
        replay(&scene, &["--dry-run"]).await,
        "found 2 dead letters, 0 are left\n"
    );
    assert_eq!(
        replay(&scene, &["--max", "1"]).await,
        "sent back 1 dead letters, 1 are left\n"
    );
    put_aside(3).await;
    assert_eq!(
        replay(&scene, &["--max", "1"]).await,
        "sent back 1 dead letters, 1 are left\n"
    );
    put_aside(4).await;
    let (_, topic) = scene.kafka();
    let sent_back = messages(&scene, topic, 4).await;
    for message in &sent_back {
        let headers = message.headers().expect("headers");
        assert_eq!(headers.count(), 1, "only its own: {message:?}");
    }
    let ones = sent_back
        .iter()
        .filter(|message| message.payload() == Some(b"one"))
        .count();
    assert!((1..=3).contains(&ones), "{ones}");
    app.stop().await;
    scene.end().await;
}

/// An event that fails by its own fault, among others of its partition. 1. The others have their effects. 2. It is put
/// aside. 3. What was wrong is mended, and it goes back: it has its effect, too.
#[tokio::test]
async fn an_event_that_always_fails_is_put_aside_and_has_its_effect_when_it_is_replayed() {
    let scene = Scene::new().await;
    let app = scene.app().set("EVENT_ATTEMPTS", "2").start_ready().await;
    let pool = scene.pool(1).await;
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
                  BEGIN
                      IF NEW.driver_id = 13 THEN RAISE EXCEPTION 'not this one'; END IF;
                      RETURN NEW;
                  END $$;
                  CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON risk_scores FOR EACH ROW EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(refuse).execute(&pool).await.expect("refuses");
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {"speeding": 2}});
    let recorded = app.driver(13).post("/drivers/13/trips", &trip).await.version();
    for driver in 10..20 {
        if driver != 13 {
            record_and_wait_for_score(&app, driver).await;
        }
    }
    eventually("the event is put aside", async || {
        (app.metrics().await.count("events_dead_lettered_total", &[]) == 1).then_some(())
    })
    .await;
    let (_, topic) = scene.kafka();
    let letters = messages(&scene, &format!("{topic}.DLT"), 1).await;
    assert_eq!(
        header(&letters[0], "kafka_dlt-exception-fqcn").as_deref(),
        Some(&b"StoreError"[..])
    );
    let told = header(&letters[0], "kafka_dlt-exception-message").expect("words");
    assert!(String::from_utf8_lossy(&told).contains("not this one"));

    sqlx::raw_sql("DROP TRIGGER refuse ON risk_scores")
        .execute(&pool)
        .await
        .expect("mended");
    pool.close().await;
    assert_eq!(replay(&scene, &[]).await, "sent back 1 dead letters, 0 are left\n");
    let client = app.admin();
    eventually("the score follows the trip", async || {
        (client.get("/risk/13/current").await.version() > recorded).then_some(())
    })
    .await;
    app.stop().await;
    scene.end().await;
}

/// More events at once than the producer may hold: the relay waits for room, and all are published.
#[tokio::test]
async fn a_full_queue_makes_the_relay_wait_and_loses_nothing() {
    let scene = Scene::new().await;
    let app = scene.app().set("KAFKA_QUEUE_MESSAGES", "1").start_ready().await;
    let noticed = json!({"speeding": 1, "harsh_braking": 1, "harsh_acceleration": 1, "harsh_cornering": 1});
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": noticed});
    for driver in 1..=5 {
        app.driver(driver)
            .post(&format!("/drivers/{driver}/trips"), &trip)
            .await;
    }
    eventually("all events are published", async || {
        // Of each trip: itself, four kinds of what was noticed, the score.
        (app.metrics().await.count("trip_events_published_total", &[]) == 5 * 6).then_some(())
    })
    .await;
    assert!(app.metrics().await.count("kafka_producer_queue_full_total", &[]) > 0);
    assert_eq!(scene.number("SELECT count(*) FROM event_outbox").await, 0);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn each_way_of_sending_and_taking_in_delivers() {
    let scene = Scene::new().await;
    let ways: [&[(&str, &str)]; 7] = [
        &[("PROFILE", "phase1")],
        &[("PROFILE", "planned")],
        &[("PROFILE", "phase2")],
        &[("KAFKA_BATCHING", "off")],
        &[("KAFKA_COMPRESSION", "zstd")],
        &[("KAFKA_SCHEMA", "json"), ("KAFKA_LINGER_MS", "20")],
        &[("KAFKA_CONSUMER", "defaults")],
    ];
    for way in ways {
        println!("{way:?}");
        let app = way
            .iter()
            .fold(scene.app(), |app, (variable, value)| app.set(variable, value));
        // The plan's own cache may keep an old score for its whole lifetime, when a read meets a write.
        let app = app.set("CACHE_ENABLED", "false").start_ready().await;
        record_and_wait_for_score(&app, 2).await;
        eventually("all events are published", async || {
            // The trip, what was noticed on it, and the score.
            (app.metrics().await.count("trip_events_published_total", &[]) == 3).then_some(())
        })
        .await;
        app.stop().await;
    }
    scene.end().await;
}

/// A group of its own: the protocols of one group's members must not differ.
#[tokio::test]
async fn the_group_may_be_the_brokers_business() {
    let scene = Scene::new().await;
    let start = async || {
        let app = scene.app().set("KAFKA_GROUP_PROTOCOL", "consumer");
        let (_, topic) = scene.kafka();
        app.set("KAFKA_GROUP", &format!("{topic}.next")).start_ready().await
    };
    let one = start().await;
    record_and_wait_for_score(&one, 2).await;
    let other = start().await;
    eventually("they share the partitions", async || {
        let of = async |app: &App| app.metrics().await.sum("trip_event_partitions", &[]);
        ((of(&one).await - 1.0).abs() < f64::EPSILON && (of(&other).await - 1.0).abs() < f64::EPSILON).then_some(())
    })
    .await;
    other.stop().await;
    record_and_wait_for_score(&one, 3).await;
    record_and_wait_for_score(&one, 4).await;
    one.stop().await;
    scene.end().await;
}

/// 1. One replica has both partitions. 2. Another joins and gets one, and the first keeps the other. 3. It leaves, and
/// the first has both again.
#[tokio::test]
async fn partitions_are_shared_and_taken_back_while_events_flow() {
    let scene = Scene::new().await;
    let one = scene.app().start_ready().await;
    let partitions = async |app: &App| app.metrics().await.sum("trip_event_partitions", &[]);
    let has = async |app: &App, count: f64| {
        eventually("partitions move", async || {
            ((partitions(app).await - count).abs() < f64::EPSILON).then_some(())
        })
        .await;
    };
    has(&one, 2.0).await;
    let other = scene.app().start_ready().await;
    has(&other, 1.0).await;
    has(&one, 1.0).await;
    for driver in 10..20 {
        record_and_wait_for_score(&one, driver).await;
    }
    other.stop().await;
    has(&one, 2.0).await;
    for driver in 20..30 {
        record_and_wait_for_score(&one, driver).await;
    }
    let metrics = one.metrics().await;
    assert_eq!(metrics.count("events_dead_lettered_total", &[]), 0);
    assert!(metrics.count("kafka_consumer_rebalances_total", &[]) >= 3);
    one.stop().await;
    scene.end().await;
}

/// What is in the topic is read by whoever reads the form that it names, old and new side by side.
#[tokio::test]
async fn replicas_that_write_different_forms_understand_each_other() {
    let scene = Scene::new().await;
    let old = scene.app().set("KAFKA_SCHEMA", "json").start_ready().await;
    let new = scene.app().start_ready().await;
    for driver in 31..35 {
        record_and_wait_for_score(&old, driver).await;
        record_and_wait_for_score(&new, driver).await;
    }
    let (_, topic) = scene.kafka();
    // Of each trip: itself, what was noticed, the score.
    let sent = messages(&scene, topic, 8 * 3).await;
    let schema = |message: &OwnedMessage| String::from_utf8(header(message, "schema").expect("named")).expect("text");
    let forms: std::collections::BTreeSet<String> = sent.iter().map(schema).collect();
    assert!(
        forms.contains("event/2") && forms.contains("trip-recorded/1+json"),
        "{forms:?}"
    );
    for message in &sent {
        let event = codec::decode(&schema(message), message.payload().expect("bytes")).expect("readable");
        assert_eq!(message.key(), Some(event.body.driver().to_string().as_bytes()));
        assert_eq!(
            message.timestamp().to_millis(),
            event.id.unix_ms(),
            "timed by the event"
        );
        if event.body.name() == EventName::RiskChanged {
            assert!(matches!(event.body, EventBody::RiskChanged(_)));
        }
    }
    old.stop().await;
    new.stop().await;
    scene.end().await;
}

/// 1. Kafka takes nothing. 2. Events pile up in the outbox, up to its bound. 3. Writers are told so, and reads go on.
/// 4. Kafka is back: what was acknowledged has its effect, and writes are taken again.
#[tokio::test]
async fn a_full_outbox_refuses_writes_and_loses_none() {
    let scene = Scene::new().await;
    let mute = scene
        .app()
        .set("KAFKA_BROKERS", "127.0.0.1:1")
        .set("EVENT_OUTBOX_MAX_ROWS", "4")
        .start()
        .await;
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {}});
    let mut accepted = 0;
    eventually("writes are refused", async || {
        let answer = mute.driver(5).post("/drivers/5/trips", &trip).await;
        if answer.status == 201 {
            accepted += 1;
            return None;
        }
        answer.problem(503);
        assert!(answer.header("retry-after").is_some());
        Some(())
    })
    .await;
    assert!(mute.metrics().await.count("event_outbox_refused_writes_total", &[]) >= 1);
    assert_eq!(mute.admin().get("/admin/drivers/5").await.status, 200);
    mute.stop().await;
    assert!(scene.number("SELECT count(*) FROM event_outbox").await >= accepted);

    let app = scene.app().start_ready().await;
    eventually("all is published", async || {
        (scene.number("SELECT count(*) FROM event_outbox").await == 0).then_some(())
    })
    .await;
    let client = app.admin();
    let trips = client.get("/drivers/5/statistics").await.json()["trips"].clone();
    eventually("the score follows all trips", async || {
        (client.get("/risk/5/current").await.json()["exposure"]["trips"] == trips).then_some(())
    })
    .await;
    assert_eq!(app.driver(5).post("/drivers/5/trips", &trip).await.status, 201);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn what_kafka_does_is_seen() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    record_and_wait_for_score(&app, 2).await;
    eventually("librdkafka has told", async || {
        let metrics = app.metrics().await;
        let counted = [
            "kafka_bytes_sent_total",
            "kafka_bytes_received_total",
            "kafka_messages_total",
        ];
        let clients = ["producer", "consumer", "live"].map(|client| format!("client=\"{client}\""));
        let all = counted
            .iter()
            .all(|name| clients.iter().all(|client| metrics.count(name, &[client]) > 0));
        let more = [
            "kafka_producer_batch_messages",
            "kafka_producer_batch_bytes",
            "kafka_round_trip_seconds",
        ];
        (all && more.iter().all(|name| metrics.sum(name, &[]) > 0.0)).then_some(())
    })
    .await;
    eventually("nothing is left of either partition", async || {
        let metrics = app.metrics().await;
        let lags = metrics.text().matches("kafka_consumer_offset_lag{partition=").count();
        (lags == 2 && metrics.count("kafka_consumer_offset_lag", &[]) == 0).then_some(())
    })
    .await;
    app.stop().await;
    scene.end().await;
}

/// A replica that is gone before its event is published: the row waits in the outbox, and the next start works it off.
#[tokio::test]
async fn an_event_left_behind_by_one_replica_is_worked_off_by_the_next() {
    let scene = Scene::new().await;
    let mute = scene.app().set("KAFKA_BROKERS", "127.0.0.1:1").start().await;
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {}});
    let recorded = mute.driver(5).post("/drivers/5/trips", &trip).await.version();
    mute.stop().await;
    let app = scene.app().start_ready().await;
    let client = app.admin();
    eventually("the score follows the trip", async || {
        (client.get("/risk/5/current").await.version() > recorded).then_some(())
    })
    .await;
    app.stop().await;
    scene.end().await;
}
