//! Live clients: what they see, miss, and get back.

use std::collections::BTreeMap;

use chrono::Utc;
use insurance_service::codec::{self, Encoded, Format};
use insurance_service::domain::drivers::{DriverStatus, DriverUpdated};
use insurance_service::domain::events::{Event, EventBody};
use insurance_service::domain::ids::DriverId;
use insurance_service::domain::regions::Region;
use serde_json::json;

use crate::support::{App, LiveClient, Scene, Token, eventually, publish};

async fn record_trip(app: &App, driver: i64) -> i64 {
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {"speeding": 2}});
    let recorded = app
        .driver(driver)
        .post(&format!("/drivers/{driver}/trips"), &trip)
        .await;
    assert_eq!(recorded.status, 201, "{recorded:?}");
    recorded.version()
}

/// An event about `driver` that needs no rows, and its name.
fn update(driver: i64, version: i64) -> (String, i64, Encoded) {
    let event = Event::of_now(EventBody::DriverUpdated(DriverUpdated {
        driver_id: DriverId(driver),
        version,
        status: DriverStatus::Active,
    }));
    let encoded = codec::encode(&event, Format::Protobuf).expect("writable");
    (event.id.0.to_string(), driver, encoded)
}

/// Publishes events past the service; gives their names.
async fn publish_updates(scene: &Scene, drivers: impl IntoIterator<Item = i64>) -> Vec<String> {
    let updates: Vec<_> = (1..)
        .zip(drivers)
        .map(|(version, driver)| update(driver, version))
        .collect();
    let messages = updates
        .iter()
        .map(|(_, driver, encoded)| (*driver, encoded.schema, &encoded.bytes[..]));
    publish(scene, messages).await;
    updates.into_iter().map(|(name, ..)| name).collect()
}

/// Reads until every one of these was seen; then each must have been seen once.
async fn sees_each_once(client: &mut LiveClient, names: &[String]) {
    while !names.iter().all(|name| client.seen.contains_key(name)) {
        client.message().await;
    }
    let doubled: BTreeMap<_, _> = client.seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
}

#[tokio::test]
async fn a_trip_and_the_score_that_follows_it_are_shown() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), json!({})).await;
    let version = record_trip(&app, 5).await;
    let trip = client.event("trip_recorded").await;
    assert_eq!(
        (&trip["driver_id"], &trip["version"]),
        (&json!(5), &json!(version)),
        "{trip}"
    );
    assert_eq!(trip["region"], Region::of(DriverId(5)).as_str());
    let age_ms = Utc::now().timestamp_millis() - trip["at_ms"].as_i64().expect("a time");
    assert!((0..60_000).contains(&age_ms), "{trip}");
    let scored = client.event("risk_changed").await;
    assert_eq!(
        (&scored["driver_id"], &scored["version"]),
        (&json!(5), &json!(version + 1)),
        "{scored}"
    );
    // What a client that reads now sees is not older than the event.
    assert!(app.admin().get("/risk/5/current").await.version() > version);
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn every_kind_of_event_is_shown() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), json!({"drivers": [6]})).await;
    record_trip(&app, 6).await;
    let noticed = client.event("safety_event").await;
    assert_eq!(
        (&noticed["noticed"], &noticed["count"]),
        (&json!("speeding"), &json!(2)),
        "{noticed}"
    );
    let claim = json!({"amount_cents": 5_000, "occurred_on": "2026-01-01"});
    let filed = app.driver(6).post("/drivers/6/claims", &claim).await.json();
    assert_eq!(client.event("claim_filed").await["claim_id"], filed["id"]);
    let change = json!({"amount_cents": 7_000});
    app.admin().patch(&format!("/claims/{}", filed["id"]), &change).await;
    assert_eq!(client.event("claim_changed").await["amount_cents"], 7_000);
    app.admin()
        .patch("/admin/drivers/6", &json!({"status": "suspended"}))
        .await;
    assert_eq!(client.event("driver_updated").await["status"], "suspended");
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_subscription_is_what_is_shown_and_can_be_changed() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let region = Region::of(DriverId(3));
    let wishes = [
        json!({"drivers": [3]}),
        json!({"regions": [region], "kinds": ["driver_updated"]}),
        json!({"drivers": [3, 4], "regions": [region]}),
    ];
    let mut client = LiveClient::connect(app.address(), &Token::admin()).await;
    for wish in wishes {
        client.subscribe(wish.clone()).await;
        publish_updates(&scene, [4, 5, 6]).await;
        let [expected] = &publish_updates(&scene, [3]).await[..] else {
            panic!("one name");
        };
        let shown = client.event("driver_updated").await;
        assert_eq!(shown["event_id"], expected.as_str(), "{wish}: {shown}");
    }
    client.subscribe(json!({"kinds": ["trip_recorded"]})).await;
    publish_updates(&scene, [3]).await;
    client.say(r#"{"type": "unsubscribe"}"#).await;
    let answer = client.message().await;
    assert_eq!(answer["type"], "unsubscribed", "nothing was shown before: {answer}");
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_driver_sees_that_driver_only_in_every_profile() {
    let scene = Scene::new().await;
    for profile in ["phase1", "planned", "phase2"] {
        let app = scene.app().profile(profile).start_ready().await;
        let mut client = LiveClient::subscribed(app.address(), &Token::driver(7), json!({})).await;
        publish_updates(&scene, [8, 9]).await;
        let own = publish_updates(&scene, [7]).await;
        assert_eq!(
            client.event("driver_updated").await["event_id"],
            own[0].as_str(),
            "{profile}"
        );
        client.say(r#"{"type": "subscribe", "drivers": [7, 8]}"#).await;
        let refused = client.message().await;
        assert_eq!(refused["type"], "error", "{refused}");
        assert!(refused["detail"].as_str().expect("words").contains('8'), "{refused}");
        client.leave().await;
        app.stop().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn in_phase1_everything_is_shown_to_everybody_one_by_one() {
    let scene = Scene::new().await;
    let app = scene.app().profile("phase1").start_ready().await;
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), json!({"drivers": [1]})).await;
    let names = publish_updates(&scene, [2, 3, 4]).await;
    for _ in names {
        let frame = client.message().await;
        assert_eq!(frame["events"].as_array().map(Vec::len), Some(1), "{frame}");
    }
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn an_event_that_comes_twice_is_shown_once_and_has_one_effect() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), json!({})).await;
    let (name, driver, encoded) = update(5, 1);
    publish(&scene, [(driver, encoded.schema, &encoded.bytes[..]); 3]).await;
    let mut after = publish_updates(&scene, [5]).await;
    after.push(name);
    sees_each_once(&mut client, &after).await;
    assert_eq!(app.metrics().await.count("live_events_repeated_total", &[]), 2);
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

/// The group shares the scoring, and each replica shows everything.
#[tokio::test]
async fn every_replica_shows_every_event() {
    let scene = Scene::new().await;
    let (one, other) = (scene.app().start_ready().await, scene.app().start_ready().await);
    let mut clients = Vec::new();
    for app in [&one, &other] {
        clients.push(LiveClient::subscribed(app.address(), &Token::admin(), json!({})).await);
    }
    let names = publish_updates(&scene, 1..=60).await;
    for client in &mut clients {
        sees_each_once(client, &names).await;
    }
    for client in clients {
        client.leave().await;
    }
    one.stop().await;
    other.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_has_missed_and_nothing_twice() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), json!({})).await;
    let mut names = publish_updates(&scene, 1..=30).await;
    sees_each_once(&mut client, &names).await;
    let (position, seen) = (client.position.clone(), client.seen.clone());
    client.leave().await;

    names.extend(publish_updates(&scene, 31..=90).await);
    let mut client = LiveClient::connect(app.address(), &Token::admin()).await;
    client.seen = seen;
    client.subscribe(json!({"position": position})).await;
    names.extend(publish_updates(&scene, 91..=99).await);
    sees_each_once(&mut client, &names).await;
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

/// 1. A client sees some events of one replica. 2. That replica stops: the client is told to come back. 3. Events
///    happen.
/// 4. Another replica starts, with a history that it reads anew.
#[tokio::test]
async fn a_restart_loses_and_doubles_nothing() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), json!({})).await;
    let mut names = publish_updates(&scene, 1..=30).await;
    sees_each_once(&mut client, &names).await;
    let told_to_come_back = async {
        assert_eq!(client.close_code().await, 1012);
        let left = (client.position.clone(), client.seen.clone());
        client.leave().await;
        left
    };
    let ((position, seen), ()) = tokio::join!(told_to_come_back, app.stop());

    names.extend(publish_updates(&scene, 31..=60).await);
    let app = scene.app().start().await;
    let mut client = LiveClient::connect(app.address(), &Token::admin()).await;
    client.seen = seen;
    client.subscribe(json!({"position": position})).await;
    sees_each_once(&mut client, &names).await;
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn one_that_was_away_for_too_long_is_told_to_load_anew() {
    let scene = Scene::new().await;
    let app = scene.app().set("LIVE_HISTORY_EVENTS", "20").start_ready().await;
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), json!({})).await;
    let names = publish_updates(&scene, 1..=5).await;
    sees_each_once(&mut client, &names).await;
    let position = client.position.clone().expect("a position");
    let names = publish_updates(&scene, 1..=100).await;
    sees_each_once(&mut client, &names).await;

    let told = client.subscribe(json!({"position": position})).await;
    assert_eq!((told.len(), &told[0]["type"]), (1, &json!("reload")), "{told:?}");
    let names = publish_updates(&scene, [1]).await;
    sees_each_once(&mut client, &names).await;
    let told = client.subscribe(json!({"position": format!("7{position}")})).await;
    assert_eq!(
        (told.len(), &told[0]["type"]),
        (1, &json!("reload")),
        "another epoch: {told:?}"
    );
    client.say(r#"{"type": "subscribe", "position": "here"}"#).await;
    assert_eq!(client.message().await["type"], "error");
    let metrics = app.metrics().await;
    for outcome in ["reload_too_old", "reload_epoch"] {
        assert_eq!(
            metrics.count("live_resumes_total", &[&format!("reason=\"{outcome}\"")]),
            1
        );
    }
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

/// Held for five seconds, in which all of them come.
#[tokio::test]
async fn events_of_a_driver_and_kind_are_merged_for_whoever_asks() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let wish = json!({"coalesce_ms": 5_000});
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), wish).await;
    let names = publish_updates(&scene, [1, 2, 1, 1]).await;
    let frame = client.message().await;
    let events = frame["events"].as_array().expect("events");
    let merged: Vec<(i64, i64)> = events
        .iter()
        .map(|event| {
            (
                event["driver_id"].as_i64().expect("a driver"),
                event["merged"].as_i64().unwrap_or(1),
            )
        })
        .collect();
    assert_eq!(merged, [(1, 3), (2, 1)], "{frame}");
    assert_eq!(events[0]["event_id"], names[3].as_str(), "the newest is shown");
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

/// 1. One client takes nothing: the system's buffers fill, then its queue, which overflows. 2. It is disconnected, and
/// nothing is left of its queue. 3. Another one, whose queue has room for what it subscribed to, misses nothing
/// meanwhile.
#[tokio::test]
async fn a_client_that_takes_nothing_is_disconnected_and_others_miss_nothing() {
    const OF_THE_OTHER: usize = 20;
    let scene = Scene::new().await;
    // A round is some six times as much as the queue holds.
    let app = scene.app().set("LIVE_QUEUE_KIB", "64").set("LIVE_SLOW_MS", "3000");
    let app = app.start_ready().await;
    let slow = LiveClient::subscribed_with_small_window(app.address(), &Token::admin(), json!({})).await;
    let some: Vec<_> = (0..OF_THE_OTHER).collect();
    let mut quick = LiveClient::subscribed(app.address(), &Token::admin(), json!({"drivers": some})).await;
    let closed = async || app.metrics().await.count("live_closed_total", &["reason=\"slow\""]);
    eventually("the slow client is disconnected", async || {
        let names = publish_updates(&scene, 0..1_800).await;
        sees_each_once(&mut quick, &names[..OF_THE_OTHER]).await;
        (closed().await == 1).then_some(())
    })
    .await;
    assert!(app.metrics().await.count("live_events_dropped_total", &[]) > 0);
    eventually("the other is left, and nothing of the slow one's queue", async || {
        let metrics = app.metrics().await;
        let left = ["live_clients", "live_queued_bytes"].map(|name| metrics.count(name, &[]));
        (left == [1, 0]).then_some(())
    })
    .await;
    drop(slow);
    quick.leave().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn no_more_clients_are_let_in_than_there_may_be_nor_faster() {
    let scene = Scene::new().await;
    let app = scene.app().set("LIVE_MAX_CONNECTIONS", "2").start_ready().await;
    let admin = Token::admin();
    let first = LiveClient::connect(app.address(), &admin).await;
    let second = LiveClient::connect(app.address(), &admin).await;
    assert_eq!(
        LiveClient::try_connect(app.address(), Some(&admin)).await.err(),
        Some(503)
    );
    assert!(app.metrics().await.count("live_refused_total", &["reason=\"full\""]) >= 1);
    first.leave().await;
    let third = LiveClient::connect(app.address(), &admin).await;
    third.leave().await;
    second.leave().await;
    app.stop().await;

    let app = scene.app().set("LIVE_CONNECTS_PER_S", "1").start_ready().await;
    let mut clients = Vec::new();
    eventually("they come too fast", async || {
        match LiveClient::try_connect(app.address(), Some(&admin)).await {
            Ok(client) => {
                clients.push(client);
                None
            }
            Err(status) => {
                assert_eq!(status, 503);
                (app.metrics().await.count("live_refused_total", &["reason=\"rate\""]) >= 1).then_some(())
            }
        }
    })
    .await;
    for client in clients {
        client.leave().await;
    }
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn without_a_valid_token_nobody_is_let_in() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let refused = async |token: Option<&Token>| LiveClient::try_connect(app.address(), token).await.err();
    assert_eq!(refused(None).await, Some(401));
    for token in [Token::expired(), Token::forged(), Token::unsigned()] {
        assert_eq!(refused(Some(&token)).await, Some(401), "{token:?}");
    }
    let mut browser = LiveClient::connect_as_browser(app.address(), &Token::driver(3)).await;
    browser.subscribe(json!({"drivers": [3]})).await;
    browser.leave().await;
    app.nobody().get("/live").await.problem(401);
    let plain = app.admin().get("/live").await;
    plain.problem(426);
    assert_eq!(plain.header("upgrade"), Some("websocket"));
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_ends_its_connections() {
    let scene = Scene::new().await;
    let app = scene.app().set("LIVE_PING_S", "1").start_ready().await;
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), json!({})).await;
    let pool = scene.pool(1).await;
    sqlx::query("INSERT INTO token_revocations VALUES ('someone', now())")
        .execute(&pool)
        .await
        .expect("revoked");
    pool.close().await;
    assert_eq!(client.close_code().await, 4001);
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn what_is_no_message_is_refused_with_a_reason_and_not_for_ever() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let mut client = LiveClient::connect(app.address(), &Token::admin()).await;
    for (said, expected) in [
        ("hello", "expected"),
        (r#"{"type": "join"}"#, "subscribe"),
        (r#"{"type": "subscribe", "driver": 5}"#, "drivers"),
        (r#"{"type": "subscribe", "kinds": ["trips"]}"#, "trip_recorded"),
        (r#"{"type": "subscribe", "coalesce_ms": 60000}"#, "10000"),
    ] {
        client.say(said).await;
        let refused = client.message().await;
        let detail = refused["detail"].as_str().unwrap_or_else(|| panic!("{refused}"));
        assert!(detail.contains(expected), "{said}: {detail}");
    }
    client.subscribe(json!({})).await;
    let code = loop {
        client.say("hello").await;
        if let Err(code) = client.frame().await {
            break code;
        }
    };
    assert_eq!(code, 1008);
    client.leave().await;
    app.stop().await;
    scene.end().await;
}

/// 1. Kafka is away: nobody is let in, and everything else is answered. 2. The stop does not wait for it.
#[tokio::test]
async fn without_kafka_live_clients_wait_and_nobody_else() {
    let scene = Scene::new().await;
    let app = scene.app().set("KAFKA_BROKERS", "127.0.0.1:1").start().await;
    assert_eq!(
        LiveClient::try_connect(app.address(), Some(&Token::admin()))
            .await
            .err(),
        Some(503)
    );
    assert_eq!(app.admin().get("/admin/drivers/1").await.status, 200);
    app.stop().await;
    scene.end().await;
}

/// The frames of one batch are shared, and hold what the client asked for: counted by the service and by the client.
#[tokio::test]
async fn what_is_counted_is_what_was_sent() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let mut client = LiveClient::subscribed(app.address(), &Token::admin(), json!({})).await;
    let names = publish_updates(&scene, 1..=50).await;
    sees_each_once(&mut client, &names).await;
    let count = async |name: &str| app.metrics().await.count(name, &[]);
    eventually("all events are counted", async || {
        (count("live_events_total").await == 50).then_some(())
    })
    .await;
    assert!(count("live_frames_total").await >= 2, "the answer and the events");
    assert!(count("live_latency_seconds_count").await >= 1);
    assert_eq!(count("live_clients").await, 1);
    client.leave().await;
    eventually("it has left", async || (count("live_clients").await == 0).then_some(())).await;
    app.stop().await;
    scene.end().await;
}
