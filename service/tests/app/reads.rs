//! Reading, with the cache and without.

use serde_json::json;

use crate::support::{Answer, App, DRIVERS, Scene};

const SUMMARY: &str = "/admin/dashboard/summary";
/// Answers that belong to no single driver, and so have no version.
const PORTFOLIO: [&str; 8] = [
    SUMMARY,
    "/admin/dashboard/trip-activity",
    "/admin/dashboard/risk-distribution",
    "/admin/dashboard/safety-events",
    "/admin/dashboard/claims-overview",
    "/admin/resources/metrics",
    "/admin/drivers",
    "/admin/drivers?limit=7",
];

/// All twelve cached routes, those about a driver for several.
fn paths() -> Vec<String> {
    let ids = [1, 2, 77, DRIVERS];
    let of_drivers = ids.iter().flat_map(|id| {
        [
            format!("/admin/drivers/{id}"),
            format!("/risk/{id}/current"),
            format!("/pricing/{id}/premium"),
            format!("/drivers/{id}/statistics"),
            format!("/drivers/{id}/trips"),
            format!("/drivers/{id}/trips?limit=3"),
        ]
    });
    PORTFOLIO.into_iter().map(str::to_owned).chain(of_drivers).collect()
}

fn is_about_a_driver(path: &str) -> bool {
    !PORTFOLIO.contains(&path)
}

async fn bodies(app: &App) -> Vec<(String, Option<i64>)> {
    let admin = app.admin();
    let mut bodies = Vec::new();
    for path in paths() {
        let answer = admin.get(&path).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/json")),
            "{answer:?}"
        );
        bodies.push((
            answer.text().to_owned(),
            is_about_a_driver(&path).then(|| answer.version()),
        ));
    }
    bodies
}

#[tokio::test]
async fn both_profiles_give_the_same_answers_to_the_byte() {
    let scene = Scene::new().await;
    let before = scene.app().profile("phase1").start().await;
    let after = scene.app().profile("phase2").start().await;
    let (expected, from_store) = (bodies(&before).await, bodies(&after).await);
    assert_eq!(expected, from_store);
    assert_eq!(expected, bodies(&after).await, "from the cache");
    before.stop().await;
    after.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn the_first_read_comes_from_the_store_and_the_second_from_memory() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    for path in paths() {
        let (first, second) = (app.admin().get(&path).await, app.admin().get(&path).await);
        assert_eq!((first.tier(), second.tier()), ("db", "l1"), "{path}");
        assert_eq!(first.text(), second.text(), "{path}");
        assert_eq!(first.header("x-version"), second.header("x-version"), "{path}");
        assert_eq!(first.header("x-version").is_some(), is_about_a_driver(&path), "{path}");
    }
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_second_replica_finds_the_answer_in_redis() {
    let scene = Scene::new().await;
    let (one, other) = (scene.app().start().await, scene.app().start().await);
    let loaded = one.admin().get("/admin/drivers/5").await;
    let found = other.admin().get("/admin/drivers/5").await;
    assert_eq!((loaded.tier(), found.tier()), ("db", "l2"));
    assert_eq!((loaded.text(), loaded.version()), (found.text(), found.version()));
    one.stop().await;
    other.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn with_the_cache_off_every_read_says_so() {
    let scene = Scene::new().await;
    let app = scene.app().set("CACHE_ENABLED", "false").start().await;
    for _ in 0..2 {
        assert_eq!(app.admin().get("/admin/drivers/3").await.tier(), "off");
    }
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_fresh_replica_is_warm_before_it_is_ready() {
    let scene = Scene::new().await;
    let app = scene.app().set("CACHE_WARM_DRIVERS", "20").start_ready().await;
    let warm = app.nobody().get("/health/ready").await.json()["warm"].clone();
    assert_eq!(
        warm,
        json!({"done": 47, "total": 47}),
        "seven about the portfolio, and two for each driver"
    );
    assert_eq!(
        app.metrics().await.count("cache_misses_total", &[]),
        0,
        "warming is no request"
    );
    assert_eq!(app.admin().get(SUMMARY).await.tier(), "l1");
    for path in ["/admin/drivers", "/risk"] {
        assert_eq!(in_memory(&app, path).await, 20, "{path}");
    }
    app.stop().await;
    scene.end().await;
}

/// Of how many drivers the answer is in memory.
async fn in_memory(app: &App, path: &str) -> usize {
    let (admin, end) = (app.admin(), if path == "/risk" { "/current" } else { "" });
    let mut found = 0;
    for id in 1..=DRIVERS {
        found += usize::from(admin.get(&format!("{path}/{id}{end}")).await.tier() == "l1");
    }
    found
}

/// The plan's own cache: found in Redis, never in memory, and ended by name when something changes.
#[tokio::test]
async fn the_cache_as_planned_answers_from_redis_and_is_ended_by_name() {
    let scene = Scene::new().await;
    let app = scene
        .app()
        .profile("planned")
        .set("CACHE_WARM_DRIVERS", "0")
        .start()
        .await;
    let admin = app.admin();
    for path in paths() {
        let tiers = [admin.get(&path).await, admin.get(&path).await, admin.get(&path).await];
        assert_eq!(tiers.each_ref().map(Answer::tier), ["db", "l2", "l2"], "{path}");
        assert_eq!(tiers[0].text(), tiers[2].text(), "{path}");
        assert_eq!(tiers[0].header("x-version"), tiers[2].header("x-version"), "{path}");
    }
    let trip = json!({"duration_s": 600, "distance_m": 5_000, "night_share_pct": 0, "events": {}});
    let recorded = admin.post("/drivers/77/trips", &trip).await;
    assert_eq!(
        (recorded.status, recorded.header("x-cache-seq")),
        (201, None),
        "{recorded:?}"
    );
    assert_eq!(admin.get("/drivers/77/trips").await.tier(), "db");
    assert_eq!(admin.get("/admin/dashboard/trip-activity").await.tier(), "db");
    assert!(admin.get("/admin/drivers/77").await.version() >= recorded.version());
    let metrics = app.metrics().await;
    assert_eq!(metrics.count("cache_hits_total", &["tier=\"l1\""]), 0);
    assert!(metrics.count("cache_hits_total", &["tier=\"l2\""]) > 0);
    let flushed = admin.post("/admin/cache/flush", &json!({})).await;
    assert_eq!((flushed.status, &flushed.json()["seq"]), (200, &json!(null)));
    assert_eq!(admin.get("/risk/1/current").await.tier(), "db");
    app.stop().await;
    scene.end().await;
}

/// The endpoint cache off, the results of expensive queries kept: they are counted apart, and end when the data change.
#[tokio::test]
async fn results_of_expensive_queries_can_be_kept_alone() {
    let scene = Scene::new().await;
    let app = scene.app().profile("phase1").set("QUERY_CACHE", "on").start().await;
    let plain = scene.app().profile("phase1").start().await;
    let admin = app.admin();
    let activity = async || admin.get("/admin/dashboard/trip-activity").await;
    let first = activity().await;
    assert_eq!((first.tier(), activity().await.text()), ("off", first.text()));
    let expected = plain.admin().get("/admin/dashboard/trip-activity").await;
    assert_eq!(first.text(), expected.text());
    let lookups = async |result: &str| {
        let labels = ["query=\"trip_activity\"", result];
        app.metrics().await.count("query_cache_lookups_total", &labels)
    };
    assert_eq!(
        (lookups("result=\"miss\"").await, lookups("result=\"hit\"").await),
        (1, 1)
    );
    let trip = json!({"duration_s": 600, "distance_m": 5_000, "night_share_pct": 0, "events": {}});
    assert_eq!(admin.post("/drivers/5/trips", &trip).await.status, 201);
    let trips = |answer: &Answer| answer.json()["trips"].as_i64().expect("a number");
    assert_eq!(trips(&activity().await), trips(&first) + 1);
    assert_eq!(app.metrics().await.count("cache_hits_total", &[]), 0);
    app.stop().await;
    plain.stop().await;
    scene.end().await;
}
