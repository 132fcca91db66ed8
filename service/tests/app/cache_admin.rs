//! Orders of the operators to the cache.

use serde_json::json;

use crate::support::{Answer, App, Scene, eventually};

const RISK: &str = "/risk/3/current";
const DETAILS: &str = "/admin/drivers/3";

async fn fill(app: &App) {
    for path in [RISK, DETAILS, "/risk/4/current"] {
        app.admin().get(path).await;
        assert_eq!(app.admin().get(path).await.tier(), "l1", "{path}");
    }
}

async fn flush(app: &App, body: serde_json::Value) {
    let answer = app.admin().post("/admin/cache/flush", &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.json()["seq"].is_string(), "{answer:?}");
}

#[tokio::test]
async fn a_flush_ends_what_it_names_and_nothing_else() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let tier = async |path: &str| app.admin().get(path).await.tier().to_owned();
    fill(&app).await;
    flush(&app, json!({"driver": 3})).await;
    assert_eq!([tier(RISK).await, tier("/risk/4/current").await], ["db", "l1"]);
    fill(&app).await;
    flush(&app, json!({"endpoint": "risk_current"})).await;
    assert_eq!([tier(RISK).await, tier(DETAILS).await], ["db", "l1"]);
    fill(&app).await;
    flush(&app, json!({"pattern": "risk_*:3"})).await;
    assert_eq!([tier(RISK).await, tier(DETAILS).await], ["db", "l1"]);
    fill(&app).await;
    flush(&app, json!({})).await;
    assert_eq!([tier(RISK).await, tier(DETAILS).await], ["db", "db"]);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_with_the_nearest_that_does() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let refused = async |path: &str, body: serde_json::Value| app.admin().post(path, &body).await.problem(422);
    let detail = refused("/admin/cache/flush", json!({"endpoint": "risk_curent"})).await;
    assert!(detail.contains("did you mean `risk_current`"), "{detail}");
    refused("/admin/cache/flush", json!({"endpoint": "premium", "driver": 1})).await;
    refused("/admin/cache/flush", json!({"driver": 0})).await;
    refused("/admin/cache/warm", json!({"drivers": 0})).await;
    refused("/admin/cache/flush", json!({"pattern": "risk_*", "driver": 1})).await;
    refused("/admin/cache/flush", json!({"pattern": ""})).await;
    refused("/admin/cache/verify", json!({"answers": 101})).await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn warming_on_order_fills_the_cache() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let begun = app.admin().post("/admin/cache/warm", &json!({"drivers": 50})).await;
    assert_eq!((begun.status, &begun.json()["drivers"]), (202, &json!(50)));
    eventually("the cache is warm", async || {
        let stats = app.admin().get("/admin/cache/stats").await.json();
        // Seven about the portfolio, and two for each driver.
        (stats["loads"].as_u64().expect("a number") == 107).then_some(())
    })
    .await;
    assert_eq!(app.admin().get("/admin/dashboard/summary").await.tier(), "l1");
    app.stop().await;
    scene.end().await;
}

/// With every invalidation skipped on purpose, the cache is wrong after a write: verifying must find and mend it.
#[tokio::test]
async fn verifying_finds_what_differs_and_removes_it() {
    let scene = Scene::new().await;
    let app = scene.app().set("FAULTS", "skip_invalidation:1/1").start().await;
    let admin = app.admin();
    let verify = async || {
        let answer = admin.post("/admin/cache/verify", &json!({"answers": 100})).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let activity = async || admin.get("/admin/dashboard/trip-activity").await;
    let trips = |answer: &Answer| answer.json()["trips"].as_i64().expect("a number");
    let old = activity().await;
    // Others that are kept: about the portfolio, about a driver, and a page from the middle of a list.
    let next = admin.get("/admin/drivers?limit=7").await.json()["next_cursor"].clone();
    let page = format!("/admin/drivers?limit=7&cursor={}", next.as_str().expect("a cursor"));
    for path in [RISK, DETAILS, "/drivers/3/trips?limit=2", &page] {
        admin.get(path).await;
    }
    let clean = verify().await;
    assert_eq!(
        (&clean["checked"], &clean["different"], &clean["failed"]),
        (&json!(6), &json!(0), &json!(0)),
        "everything that is cached: {clean}"
    );

    let trip = json!({"duration_s": 600, "distance_m": 5_000, "night_share_pct": 0, "events": {}});
    assert_eq!(admin.post("/drivers/3/trips", &trip).await.status, 201);
    let stale = activity().await;
    assert_eq!(
        (stale.tier(), trips(&stale)),
        ("l1", trips(&old)),
        "the fault does what it says"
    );

    let found = verify().await;
    assert_eq!(found["by_endpoint"]["trip_activity"], 1, "{found}");
    assert!(app.metrics().await.count("cache_inconsistent_answers_total", &[]) > 0);
    assert_eq!(trips(&activity().await), trips(&old) + 1);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn the_sampler_compares_hits_with_the_database() {
    let scene = Scene::new().await;
    let app = scene.app().set("CACHE_VERIFY_ONE_IN", "1").start().await;
    let count = async |figure: &str| {
        let stats = app.admin().get("/admin/cache/stats").await.json();
        stats[figure].as_u64().expect("a number")
    };
    eventually("a hit is compared", async || {
        app.admin().get("/risk/3/current").await;
        (count("sampled").await > 0).then_some(())
    })
    .await;
    assert_eq!(count("inconsistent").await, 0);
    app.stop().await;
    scene.end().await;
}

/// 1. An answer is cached. 2. Its row is changed past the service, which nobody tells the cache. 3. The cache finds out
/// by itself, long before the answer would end.
#[tokio::test]
async fn answers_are_compared_with_the_database_now_and_then() {
    let scene = Scene::new().await;
    let app = scene.app().set("CACHE_VERIFY_EVERY_S", "1").start().await;
    let name = async || app.admin().get(DETAILS).await.json()["driver"]["name"].clone();
    assert_ne!(name().await, json!("Changed Past"));
    let pool = scene.pool(1).await;
    sqlx::query("UPDATE drivers SET name = 'Changed Past' WHERE id = 3")
        .execute(&pool)
        .await
        .expect("changed");
    pool.close().await;
    eventually("the answer is true again", async || {
        (name().await == json!("Changed Past")).then_some(())
    })
    .await;
    let metrics = app.metrics().await;
    assert!(metrics.count("cache_inconsistent_answers_total", &[]) > 0);
    assert!(metrics.count("cache_verified_answers_total", &[]) > 0);
    app.stop().await;
    scene.end().await;
}
