//! What the service counts.

use serde_json::json;
use stack::proxy::Fault;

use crate::support::{App, Scene, eventually, promtool};

/// Four reads of one driver's details, one of which misses.
async fn read_four_times(app: &App) {
    for _ in 0..4 {
        assert_eq!(app.admin().get("/admin/drivers/2").await.status, 200);
    }
}

#[tokio::test]
async fn one_request_counts_one_hit_or_one_miss() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    read_four_times(&app).await;
    let metrics = app.metrics().await;
    let endpoint = "endpoint=\"driver_details\"";
    assert_eq!(metrics.count("cache_misses_total", &[endpoint]), 1);
    assert_eq!(metrics.count("cache_hits_total", &[endpoint, "tier=\"l1\""]), 3);
    assert_eq!(metrics.count("cache_hits_total", &[]), 3, "{}", metrics.text());
    assert_eq!(metrics.count("cache_misses_total", &[]), 1, "{}", metrics.text());
    assert_eq!(metrics.count("cache_latency_seconds_count", &[]), 4);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn an_unauthorised_request_is_no_lookup() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    app.driver(2).get("/risk/1/current").await.problem(403);
    let metrics = app.metrics().await;
    assert_eq!(
        metrics.count("cache_hits_total", &[]) + metrics.count("cache_misses_total", &[]),
        0
    );
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn with_the_cache_off_no_hit_and_no_miss_is_counted() {
    let scene = Scene::new().await;
    let app = scene.app().profile("phase1").start().await;
    read_four_times(&app).await;
    let metrics = app.metrics().await;
    assert!(!metrics.text().contains("cache_hits_total{"), "{}", metrics.text());
    assert!(!metrics.text().contains("cache_misses_total{"), "{}", metrics.text());
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    read_four_times(&app).await;
    app.nobody().get("/admin/drivers/2").await.problem(401);
    app.nobody().get("/nowhere/at/all").await.problem(404);
    let metrics = app.metrics().await;
    let route = "route=\"/admin/drivers/{id}\"";
    let of = |labels: &[&str]| metrics.count("http_requests_total", labels);
    assert_eq!(of(&[route, "method=\"GET\"", "status=\"200\""]), 4);
    assert_eq!(of(&[route, "method=\"GET\"", "status=\"401\""]), 1);
    assert_eq!(of(&["route=\"unmatched\"", "status=\"404\""]), 1);
    assert_eq!(metrics.count("http_request_duration_seconds_count", &[route]), 5);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn the_plans_metrics_have_the_plans_names() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    read_four_times(&app).await;
    let metrics = app.metrics().await;
    let types = [
        ("cache_hits_total", "counter"),
        ("cache_misses_total", "counter"),
        ("cache_latency_seconds", "histogram"),
        ("cache_memory_bytes", "gauge"),
        ("http_requests_total", "counter"),
        ("http_request_duration_seconds", "histogram"),
        ("http_requests_in_flight", "gauge"),
        ("http_requests_shed_total", "counter"),
    ];
    for (name, kind) in types {
        assert!(
            metrics.text().contains(&format!("# TYPE {name} {kind}\n")),
            "{name}: {}",
            metrics.text()
        );
    }
    assert!(
        metrics.sum("cache_memory_bytes", &["tier=\"l2\""]) > 0.0,
        "what Redis says"
    );
    eventually("L1 weighs something", async || {
        (app.metrics().await.sum("cache_memory_bytes", &["tier=\"l1\""]) > 0.0).then_some(())
    })
    .await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn openmetrics_is_for_those_who_ask_for_it() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let accept = "application/openmetrics-text; version=1.0.0";
    let asked = app.nobody().get_with("/metrics", "accept", accept).await;
    assert!(
        asked
            .header("content-type")
            .expect("a type")
            .starts_with("application/openmetrics-text")
    );
    assert!(asked.text().contains("# TYPE cache_hits counter\n") && asked.text().ends_with("# EOF\n"));
    let plain = app.nobody().get("/metrics").await;
    assert!(plain.header("content-type").expect("a type").starts_with("text/plain"));
    app.stop().await;
    scene.end().await;
}

/// After every kind of request, so that every series is there.
#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    let scene = Scene::new().await;
    let app = scene.app().set("FAULTS", "sleep:premium:1ms").start_ready().await;
    read_four_times(&app).await;
    app.nobody().get("/nowhere").await.problem(404);
    promtool(&["check", "metrics"], app.metrics().await.text()).await;
    app.stop().await;
    scene.end().await;
}

/// 1. Kafka is away. 2. Events wait in the outbox, and this is seen before anybody misses a score.
#[tokio::test]
async fn an_outbox_that_grows_is_seen() {
    let scene = Scene::new().await;
    let app = scene.app().set("KAFKA_BROKERS", "127.0.0.1:1").start().await;
    assert_eq!(app.metrics().await.count("event_outbox_rows", &[]), 0);
    for _ in 0..3 {
        let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {}});
        assert_eq!(app.driver(5).post("/drivers/5/trips", &trip).await.status, 201);
    }
    eventually("the events wait", async || {
        let metrics = app.metrics().await;
        let waits = metrics.sum("event_outbox_oldest_seconds", &[]) > 0.0;
        (metrics.count("event_outbox_rows", &[]) == 3 && waits).then_some(())
    })
    .await;
    assert!(app.metrics().await.sum("trip_event_partitions", &[]) < 0.0);
    app.stop().await;
    scene.end().await;
}

/// 1. A driver's row is locked. 2. The consumer tries and tries to score that driver.
#[tokio::test]
async fn a_consumer_that_is_stuck_is_seen() {
    let scene = Scene::new().await;
    let app = scene.app().set("DATABASE_LOCK_TIMEOUT_MS", "100").start_ready().await;
    let pool = scene.pool(1).await;
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE risk_scores")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {}});
    assert_eq!(app.driver(5).post("/drivers/5/trips", &trip).await.status, 201);
    let age = async || app.metrics().await.sum("trip_event_batch_age_seconds", &[]);
    eventually("the batch gets old", async || (age().await > 0.3).then_some(())).await;
    assert!(app.metrics().await.count("trip_event_batch_retries_total", &[]) >= 1);
    lock.rollback().await.expect("unlocked");
    eventually("the batch is done", async || (age().await < f64::EPSILON).then_some(())).await;
    pool.close().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_memory_that_is_shut_and_a_pool_that_is_used_up_are_seen() {
    let scene = Scene::new().await;
    let proxy = scene.proxy_before_redis().await;
    let app = scene
        .app_behind(&proxy)
        .set("DATABASE_POOL_SIZE", "5")
        .start_ready()
        .await;
    let gauge = async |name: &str| app.metrics().await.count(name, &[]);
    eventually("L1 is open", async || (gauge("cache_l1_open").await == 1).then_some(())).await;
    proxy.set(Fault::Cut);
    eventually("L1 is shut", async || (gauge("cache_l1_open").await == 0).then_some(())).await;
    let trip = json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {}});
    assert_eq!(app.driver(5).post("/drivers/5/trips", &trip).await.status, 201);
    eventually("tags are bypassed", async || {
        (gauge("cache_bypassed_tags").await > 0).then_some(())
    })
    .await;
    proxy.set(Fault::None);

    let pool = scene.pool(1).await;
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE claims")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let admin = app.admin();
    let reads = (6..=10).map(|driver| {
        let admin = &admin;
        async move { admin.get(&format!("/admin/drivers/{driver}")).await }
    });
    let used_up = async {
        eventually("the pool is used up", async || {
            let metrics = app.metrics().await;
            let (used, max) = (
                metrics.count("database_connections_in_use", &[]),
                metrics.count("database_connections_max", &[]),
            );
            (max == 5 && used == max).then_some(())
        })
        .await;
        assert_eq!(gauge("database_up").await, 1);
    };
    tokio::join!(futures_util::future::join_all(reads), used_up);
    lock.rollback().await.expect("unlocked");
    pool.close().await;
    app.stop().await;
    drop(proxy);
    scene.end().await;
}
