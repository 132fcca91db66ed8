//! Live and ready.

use serde_json::json;

use crate::support::{Scene, eventually};

#[tokio::test]
async fn ready_says_how_each_dependency_answers() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let report = app.nobody().get("/health/ready").await.json();
    assert_eq!(
        (&report["status"], &report["profile"]),
        (&json!("ready"), &json!("phase2"))
    );
    for dependency in ["postgres", "redis"] {
        assert_eq!(report[dependency]["ok"], true, "{report}");
        assert!(
            report[dependency]["latency_ms"].as_f64().expect("a number") > 0.0,
            "{report}"
        );
    }
    assert_eq!(
        report["kafka_consumer"],
        json!({"ok": true, "partitions": 2}),
        "{report}"
    );
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn with_the_cache_off_redis_is_not_asked() {
    let scene = Scene::new().await;
    let app = scene
        .app()
        .profile("phase1")
        .set("REDIS_URL", "redis://127.0.0.1:1")
        .start_ready()
        .await;
    let report = app.nobody().get("/health/ready").await.json();
    assert_eq!((&report["redis"], &report["profile"]), (&json!(null), &json!("phase1")));
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn without_redis_the_service_is_degraded_and_not_dead() {
    let scene = Scene::new().await;
    let app = scene.app().set("REDIS_URL", "redis://127.0.0.1:1").start_ready().await;
    let ready = app.nobody().get("/health/ready").await;
    let report = ready.json();
    assert_eq!(
        (ready.status, &report["status"], &report["redis"]["ok"]),
        (200, &json!("degraded"), &json!(false))
    );
    assert_eq!(app.admin().get("/admin/drivers/1").await.status, 200);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_replica_that_has_not_joined_its_group_yet_is_not_ready() {
    let scene = Scene::new().await;
    let app = scene.app().set("KAFKA_BROKERS", "127.0.0.1:1").start().await;
    let ready = app.nobody().get("/health/ready").await;
    assert_eq!((ready.status, &ready.json()["status"]), (503, &json!("not_ready")));
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn without_postgres_it_lives_is_not_ready_and_says_what_it_cannot_answer() {
    let scene = Scene::isolated().await;
    let app = scene.app().start_ready().await;
    assert_eq!(app.admin().get("/admin/drivers/1").await.tier(), "db");
    scene.stop_postgres().await;

    let report = eventually("not ready", async || {
        let ready = app.nobody().get("/health/ready").await;
        (ready.status == 503).then(|| ready.json())
    })
    .await;
    assert_eq!(
        (&report["status"], &report["postgres"]["ok"]),
        (&json!("not_ready"), &json!(false))
    );
    assert_eq!(app.nobody().get("/health/live").await.status, 200);
    app.admin().get("/admin/drivers/2").await.problem(503);
    app.stop().await;
}
