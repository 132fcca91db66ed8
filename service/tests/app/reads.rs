//! Reading, with the cache and without.

use serde_json::json;

use crate::support::{App, DRIVERS, Scene};

const SUMMARY: &str = "/admin/dashboard/summary";

fn paths() -> Vec<String> {
    let ids = [1, 2, 77, DRIVERS];
    let of_drivers = ids
        .iter()
        .flat_map(|id| [format!("/admin/drivers/{id}"), format!("/risk/{id}/current")]);
    std::iter::once(SUMMARY.to_owned()).chain(of_drivers).collect()
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
        bodies.push((answer.text().to_owned(), (path != SUMMARY).then(|| answer.version())));
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
        assert_eq!(first.header("x-version").is_some(), path != SUMMARY, "{path}");
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
        json!({"done": 41, "total": 41}),
        "the summary, and two answers for each driver"
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
