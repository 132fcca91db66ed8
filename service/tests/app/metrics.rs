//! What the service counts.

use crate::support::{App, Scene, eventually};

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
        ("cache_hits", "counter"),
        ("cache_misses", "counter"),
        ("cache_latency_seconds", "histogram"),
        ("cache_memory_bytes", "gauge"),
        ("http_requests", "counter"),
        ("http_request_duration_seconds", "histogram"),
    ];
    for (name, kind) in types {
        assert!(
            metrics.text().contains(&format!("# TYPE {name} {kind}\n")),
            "{name}: {}",
            metrics.text()
        );
    }
    assert!(metrics.text().ends_with("# EOF\n"));
    eventually("L1 weighs something", async || {
        (app.metrics().await.sum("cache_memory_bytes", &["tier=\"l1\""]) > 0.0).then_some(())
    })
    .await;
    app.stop().await;
    scene.end().await;
}
