//! Recording trips, and what everybody sees afterwards.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use stack::proxy::Fault;
use tiered_cache::Place;

use crate::support::{Answer, App, Client, Scene, eventually};

/// A trip of now: the newest, so that a driver's details show it.
fn trip() -> Value {
    json!({
        "duration_s": 1_800, "distance_m": 24_000, "night_share_pct": 25,
        "events": {"speeding": 3, "harsh_braking": 1, "harsh_acceleration": 0, "harsh_cornering": 2},
    })
}

async fn record(client: &Client, driver: i64) -> Answer {
    let answer = client.post(&format!("/drivers/{driver}/trips"), &trip()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer
}

fn shows_trip(details: &Answer, trip_id: &Value) -> bool {
    let details = details.json();
    let trips = details["recent_trips"].as_array().expect("trips").clone();
    trips.iter().any(|trip| trip["id"] == *trip_id)
}

/// Reads a driver's details until the score has followed the trip of `version`; no read may go back.
async fn rescored(client: &Client, driver: i64, version: i64) -> i64 {
    let mut newest = version;
    eventually("the score follows the trip", async || {
        let seen = client.get(&format!("/risk/{driver}/current")).await.version();
        assert!(seen >= newest, "the version went back from {newest} to {seen}");
        newest = seen;
        (seen > version).then_some(seen)
    })
    .await
}

async fn a_trip_is_seen_at_once_and_scored_soon(app: &App) {
    let (admin, driver) = (app.admin(), app.driver(9));
    // Fill the cache first, so that there is something to be out of date.
    let old = admin.get("/admin/drivers/9").await.version();
    let old_trips = admin.get("/admin/dashboard/summary").await.json()["trips"]
        .as_i64()
        .expect("a number");
    admin.get("/risk/9/current").await;

    let recorded = record(&driver, 9).await;
    let receipt = recorded.json();
    assert_eq!(
        (&receipt["driver_id"], receipt["version"].as_i64()),
        (&json!(9), Some(recorded.version()))
    );
    assert!(recorded.version() > old);

    let details = admin.get("/admin/drivers/9").await;
    assert!(details.version() >= recorded.version());
    assert!(shows_trip(&details, &receipt["trip_id"]), "{details:?}");
    let trips = admin.get("/admin/dashboard/summary").await.json()["trips"]
        .as_i64()
        .expect("a number");
    assert_eq!(trips, old_trips + 1);
    rescored(&admin, 9, recorded.version()).await;
}

#[tokio::test]
async fn a_trip_is_seen_by_the_next_read_and_scored_soon() {
    let scene = Scene::new().await;
    for profile in ["phase1", "phase2"] {
        let app = scene.app().profile(profile).start_ready().await;
        a_trip_is_seen_at_once_and_scored_soon(&app).await;
        app.stop().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn the_score_itself_follows_the_trip() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let trips = async || {
        app.admin().get("/risk/4/current").await.json()["exposure"]["trips"]
            .as_i64()
            .expect("a number")
    };
    let before = trips().await;
    let recorded = record(&app.driver(4), 4).await;
    rescored(&app.admin(), 4, recorded.version()).await;
    assert_eq!(trips().await, before + 1);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_write_tells_the_place_of_its_invalidation_while_the_cache_is_on() {
    let scene = Scene::new().await;
    let on = scene.app().start().await;
    let place = |answer: &Answer| {
        answer
            .header("x-cache-seq")
            .map(|text| text.parse::<Place>().expect("a place"))
    };
    let (first, second) = (
        place(&record(&on.driver(6), 6).await).expect("a place"),
        place(&record(&on.driver(6), 6).await).expect("a place"),
    );
    assert!(first.number() < second.number(), "{first} and {second}");
    on.stop().await;
    let off = scene.app().profile("phase1").start().await;
    assert_eq!(place(&record(&off.driver(6), 6).await), None);
    off.stop().await;
    scene.end().await;
}

/// Interleaving:
/// 1. one replica writes; the other has the answer from before in memory;
/// 2. the writer's client goes there with the write's `x-cache-seq`, before or after the message: it must not get what
///    was there before;
/// 3. the same while messages cannot come through at all.
#[tokio::test]
async fn a_client_that_names_its_write_never_gets_something_older_elsewhere() {
    let scene = Scene::new().await;
    let proxy = scene.proxy_before_redis().await;
    let (near, far) = (scene.app().start().await, scene.app_behind(&proxy).start().await);
    let reader = far.admin();
    reader.get("/admin/drivers/10").await;
    assert_eq!(reader.get("/admin/drivers/10").await.tier(), "l1");

    for _ in 0..20 {
        let recorded = record(&near.driver(10), 10).await;
        let seq = recorded.header("x-cache-seq").expect("a place").to_owned();
        let seen = reader.get_with("/admin/drivers/10", "x-cache-seq", &seq).await;
        assert!(seen.version() >= recorded.version(), "{seen:?} after {recorded:?}");
    }
    proxy.set(Fault::Stall);
    let recorded = record(&near.driver(10), 10).await;
    let seq = recorded.header("x-cache-seq").expect("a place").to_owned();
    let seen = reader.get_with("/admin/drivers/10", "x-cache-seq", &seq).await;
    assert!(seen.version() >= recorded.version(), "{seen:?} after {recorded:?}");

    for wrong in [
        "",
        "1",
        "-1",
        "0123456789abcdef-",
        "0123456789abcdef-99999999999999999999",
    ] {
        let refused = reader.get_with("/admin/drivers/10", "x-cache-seq", wrong).await;
        refused.problem(400);
    }
    drop(proxy);
    near.stop().await;
    far.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn another_replica_soon_sees_the_trip_and_never_goes_back() {
    let scene = Scene::new().await;
    let (one, other) = (scene.app().start().await, scene.app().start().await);
    let old = other.admin().get("/admin/drivers/8").await.version();
    let recorded = record(&one.driver(8), 8).await;
    let mut newest = old;
    let reader = other.admin();
    eventually("the other replica sees the trip", async || {
        let details = reader.get("/admin/drivers/8").await;
        assert!(
            details.version() >= newest,
            "the version went back from {newest} to {}",
            details.version()
        );
        newest = details.version();
        (newest >= recorded.version()).then(|| assert!(shows_trip(&details, &recorded.json()["trip_id"])))
    })
    .await;
    one.stop().await;
    other.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_trip_may_tell_its_start_and_leave_out_its_events() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let started_at = Utc::now() - TimeDelta::hours(3);
    let body =
        json!({"started_at": started_at, "duration_s": 60, "distance_m": 500, "night_share_pct": 0, "events": {}});
    let answer = app.driver(3).post("/drivers/3/trips", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_claim_is_seen_at_once_raises_the_score_soon_and_is_final_once_settled() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let (admin, driver) = (app.admin(), app.driver(11));
    let overview = async || admin.get("/admin/dashboard/claims-overview").await.json();
    let points = async || {
        admin.get("/risk/11/current").await.json()["points"]
            .as_f64()
            .expect("points")
    };
    let (before, points_before) = (overview().await, points().await);
    admin.get("/admin/drivers/11").await;

    let body = json!({"amount_cents": 123_456, "occurred_on": "2026-01-15"});
    let filed = driver.post("/drivers/11/claims", &body).await;
    assert_eq!(filed.status, 201, "{filed:?}");
    let claim = filed.json();
    assert_eq!(
        (&claim["driver_id"], &claim["status"], &claim["amount_cents"]),
        (&json!(11), &json!("open"), &json!(123_456))
    );
    let details = admin.get("/admin/drivers/11").await;
    assert!(details.version() >= filed.version());
    let listed = details.json()["claims"].as_array().expect("claims").clone();
    assert!(listed.iter().any(|one| one["id"] == claim["id"]), "{details:?}");
    assert_eq!(
        overview().await["open"]["claims"],
        json!(before["open"]["claims"].as_i64().expect("a number") + 1)
    );
    eventually("the score follows the claim", async || {
        (points().await > points_before).then_some(())
    })
    .await;

    let path = format!("/claims/{}", claim["id"]);
    let settled = admin
        .patch(&path, &json!({"status": "paid", "amount_cents": 100_000}))
        .await;
    assert_eq!((settled.status, &settled.json()["status"]), (200, &json!("paid")));
    assert!(settled.version() > filed.version());
    let after = overview().await;
    assert_eq!(after["open"], before["open"]);
    let incurred = |overview: &Value| overview["incurred_cents"].as_i64().expect("cents");
    assert_eq!(incurred(&after), incurred(&before) + 100_000);
    let detail = admin.patch(&path, &json!({"status": "rejected"})).await.problem(409);
    assert!(detail.contains("final"), "{detail}");
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_changed_driver_is_seen_at_once_wherever_drivers_are_shown() {
    let scene = Scene::new().await;
    for profile in ["phase1", "phase2"] {
        let app = scene.app().profile(profile).start().await;
        let admin = app.admin();
        let active = async || admin.get("/admin/dashboard/summary").await.json()["active_drivers"].as_i64();
        admin.patch("/admin/drivers/12", &json!({"status": "active"})).await;
        let before = active().await.expect("a number");
        admin.get("/admin/drivers/12").await;
        admin.get("/admin/drivers?limit=200").await;
        let name = format!("Grace {profile}");
        let changed = admin
            .patch("/admin/drivers/12", &json!({"name": name, "status": "suspended"}))
            .await;
        assert_eq!(changed.status, 200, "{changed:?}");
        let details = admin.get("/admin/drivers/12").await;
        assert!(details.version() >= changed.version());
        assert_eq!(details.json()["driver"], changed.json());
        let list = admin.get("/admin/drivers?limit=200").await.json();
        let item = list["items"]
            .as_array()
            .expect("items")
            .iter()
            .find(|item| item["id"] == 12)
            .cloned();
        assert_eq!(item.expect("the driver")["name"], json!(name));
        assert_eq!(active().await, Some(before - 1));
        app.stop().await;
    }
    scene.end().await;
}
