//! What works on the cache by itself, each switched on by one variable: write-through, predictive warming, tuning and
//! the sampler. (The experiment, warming and verifying are orders or reports of operators: see `cache_admin` and
//! `reads`.)

use serde_json::{Value, json};

use crate::support::{App, Scene, eventually};

const RISK: &str = "/risk/3/current";
const DETAILS: &str = "/admin/drivers/3";
/// Misses that make an answer popular (a score of 8) twice over, however late they are.
const MISSES: u32 = 40;

async fn stats(app: &App) -> Value {
    app.admin().get("/admin/cache/stats").await.json()
}

async fn count(app: &App, figure: &str) -> u64 {
    stats(app).await[figure].as_u64().expect("a number")
}

async fn flush_driver(app: &App) {
    let answer = app.admin().post("/admin/cache/flush", &json!({"driver": 3})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// 1. The answers about a driver are in memory. 2. The driver changes. 3. The next read of each is a hit, with the new
/// version; with read-through it is a miss.
#[tokio::test]
async fn with_write_through_the_next_read_is_a_hit_with_the_new_version() {
    let scene = Scene::new().await;
    for (strategy, tier) in [("write-through", "l1"), ("read-through", "db")] {
        let app = scene.app().set("CACHE_STRATEGY", strategy).start().await;
        let admin = app.admin();
        for path in [DETAILS, RISK] {
            admin.get(path).await;
        }
        let changed = admin.patch(DETAILS, &json!({"name": format!("Ada {strategy}")})).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        let read = admin.get(DETAILS).await;
        assert_eq!((read.tier(), read.version()), (tier, changed.version()), "{read:?}");
        assert_eq!(read.json()["driver"], changed.json());
        assert_eq!(admin.get(RISK).await.tier(), tier, "{strategy}");
        app.stop().await;
    }
    scene.end().await;
}

/// With half of the keys written through, the answers about one driver are divided: some are hits after a write and
/// some are not.
#[tokio::test]
async fn an_experiment_can_try_write_through() {
    let scene = Scene::new().await;
    let app = scene.app().set("CACHE_EXPERIMENT", "write-through:50").start().await;
    let admin = app.admin();
    let mut tiers = Vec::new();
    for id in 1..=8 {
        let path = format!("/admin/drivers/{id}");
        admin.get(&path).await;
        let changed = admin.patch(&path, &json!({"name": format!("Ada {id}")})).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        tiers.push(admin.get(&path).await.tier().to_owned());
    }
    for tier in ["l1", "db"] {
        assert!(tiers.iter().any(|read| read == tier), "{tiers:?}");
    }
    app.stop().await;
    scene.end().await;
}

/// 1. An answer is missed again and again. 2. It ends, and nobody asks. 3. It is there again.
#[tokio::test]
async fn predictive_warming_brings_popular_answers_back() {
    let scene = Scene::new().await;
    let app = scene.app().set("CACHE_PREDICTIVE_WARMING", "64").start().await;
    // Popular: misses score a key, and half of the score is forgotten every ten seconds.
    for _ in 0..MISSES {
        flush_driver(&app).await;
        app.admin().get(RISK).await;
    }
    let before = count(&app, "predicted").await;
    flush_driver(&app).await;
    eventually("it is loaded again", async || {
        (count(&app, "predicted").await > before).then_some(())
    })
    .await;
    assert_eq!(app.admin().get(RISK).await.tier(), "l1");
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn what_is_off_counts_nothing() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    for _ in 0..10 {
        flush_driver(&app).await;
        app.admin().get(RISK).await;
        app.admin().get(RISK).await;
    }
    let stats = stats(&app).await;
    let figures = ["popular", "predicted", "sampled"].map(|figure| stats[figure].as_u64());
    assert_eq!(figures, [Some(0); 3], "{stats}");
    assert_eq!((stats.get("tuning"), stats.get("experiment")), (None, None));
    app.stop().await;
    scene.end().await;
}

/// Answers that live for a second and never change are loaded again and again: their lifetime grows.
#[tokio::test]
async fn tuning_lengthens_a_lifetime_and_says_why() {
    let scene = Scene::new().await;
    let app = scene
        .app()
        .set("CACHE_TUNING", "1")
        .set("CACHE_TTL_RISK", "1")
        .start()
        .await;
    let step = eventually("a lifetime is tuned", async || {
        for id in 1..=40 {
            assert_eq!(app.admin().get(&format!("/risk/{id}/current")).await.status, 200);
        }
        let steps = stats(&app).await["tuning"].as_array().expect("steps").clone();
        steps.into_iter().find(|step| step["what"] == "ttl:risk_current")
    })
    .await;
    assert_eq!((&step["from"], &step["to"]), (&json!(1_000), &json!(1_250)), "{step}");
    assert!(step["reason"].as_str().expect("a text").contains("expiries"), "{step}");
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn the_sampler_compares_hits_with_the_database() {
    let scene = Scene::new().await;
    let app = scene.app().set("CACHE_VERIFY_ONE_IN", "1").start().await;
    eventually("a hit is compared", async || {
        app.admin().get(RISK).await;
        (count(&app, "sampled").await > 0).then_some(())
    })
    .await;
    assert_eq!(count(&app, "inconsistent").await, 0);
    app.stop().await;
    scene.end().await;
}
