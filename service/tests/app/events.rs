//! Events past the happy path.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;

use crate::support::{App, Scene, eventually};

async fn publish(scene: &Scene, payload: &str) {
    let (brokers, topic) = scene.kafka();
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .create()
        .expect("a producer");
    let record = FutureRecord::to(topic).key("1").payload(payload);
    producer
        .send(record, Duration::from_secs(10))
        .await
        .map_err(|(error, _)| error)
        .expect("delivered");
}

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

#[tokio::test]
async fn an_unreadable_message_is_passed_over_and_counted() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    publish(&scene, "no event at all").await;
    eventually("the message is passed over", async || {
        (app.metrics().await.count("trip_events_undecodable_total", &[]) == 1).then_some(())
    })
    .await;
    record_and_wait_for_score(&app, 1).await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn each_way_of_sending_delivers() {
    let scene = Scene::new().await;
    for batching in ["on", "off"] {
        let app = scene.app().set("KAFKA_BATCHING", batching).start_ready().await;
        record_and_wait_for_score(&app, 2).await;
        let metrics = app.metrics().await;
        assert_eq!(metrics.count("trip_events_published_total", &[]), 1, "{batching}");
        app.stop().await;
    }
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
