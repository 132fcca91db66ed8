//! What the service does not take: a problem document each time, and nothing written.

use serde_json::{Value, json};

use crate::support::{DRIVERS, Scene};

const TRIPS: &str = "/drivers/1/trips";

fn with(field: &str, value: Value) -> Value {
    let mut trip = json!({"duration_s": 600, "distance_m": 5_000, "night_share_pct": 10, "events": {"speeding": 1}});
    trip.as_object_mut().expect("an object").insert(field.to_owned(), value);
    trip
}

#[tokio::test]
async fn a_trip_that_breaks_a_rule_names_the_rule_and_is_not_recorded() {
    let scene = Scene::new().await;
    let app = scene.app().profile("phase1").start().await;
    let version = async || app.admin().get("/admin/drivers/1").await.version();
    let before = version().await;
    let cases = [
        ("duration_s", json!(0), "duration_s"),
        ("distance_m", json!(-1), "distance_m"),
        ("distance_m", json!(600 * 71), "m/s"),
        ("night_share_pct", json!(101), "night_share_pct"),
        ("night_share_pct", json!("ten"), "night_share_pct"),
        ("events", json!({"speeding": 100_000}), "speeding"),
        ("events", json!({"speding": 1}), "speding"),
        ("started_at", json!("1999-01-01T00:00:00Z"), "started_at"),
        ("started_at", json!("2999-01-01T00:00:00Z"), "started_at"),
        ("started_at", json!("yesterday"), "started_at"),
        ("wheels", json!(4), "wheels"),
    ];
    for (field, value, named) in cases {
        let detail = app
            .driver(1)
            .post(TRIPS, &with(field, value.clone()))
            .await
            .problem(422);
        assert!(detail.contains(named), "{field} = {value}: {detail}");
    }
    assert_eq!(version().await, before);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_body_that_is_none_is_refused_before_it_is_understood() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let driver = app.driver(1);
    driver
        .post_raw(TRIPS, "application/json", "{\"duration_s\": ")
        .await
        .problem(400);
    driver.post_raw(TRIPS, "application/json", "").await.problem(400);
    let array = driver.post_raw(TRIPS, "application/json", "[1, 2]").await.problem(422);
    assert!(array.contains("object"), "{array}");
    driver.post_raw(TRIPS, "text/plain", "{}").await.problem(415);
    driver.post_raw(TRIPS, "", "{}").await.problem(415);
    driver
        .post_raw(TRIPS, "application/json", " ".repeat(64 * 1024))
        .await
        .problem(413);
    app.nobody()
        .post("/auth/token", &json!({"username": "admin"}))
        .await
        .problem(422);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_not_there() {
    let scene = Scene::new().await;
    for profile in ["phase1", "phase2"] {
        let app = scene.app().profile(profile).start().await;
        let (admin, unknown) = (app.admin(), i64::from(DRIVERS) + 1);
        admin.get(&format!("/admin/drivers/{unknown}")).await.problem(404);
        admin.get(&format!("/risk/{unknown}/current")).await.problem(404);
        admin
            .post(&format!("/drivers/{unknown}/trips"), &with("duration_s", json!(900)))
            .await
            .problem(404);
        for id in ["0", "-1", "one", "99999999999999999999"] {
            admin.get(&format!("/admin/drivers/{id}")).await.problem(400);
            admin.get(&format!("/risk/{id}/current")).await.problem(400);
        }
        admin.get("/admin/driver/1").await.problem(404);
        let wrong_method = admin.delete("/admin/drivers/1").await;
        wrong_method.problem(405);
        assert_eq!(wrong_method.header("allow"), Some("GET,HEAD,PATCH"));
        app.stop().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn a_claim_or_a_change_that_breaks_a_rule_names_the_rule() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let (admin, driver) = (app.admin(), app.driver(1));
    let claims = [
        (json!({"amount_cents": 0, "occurred_on": "2026-01-01"}), "amount_cents"),
        (
            json!({"amount_cents": 1_000_000_001, "occurred_on": "2026-01-01"}),
            "amount_cents",
        ),
        (json!({"amount_cents": 5, "occurred_on": "2999-01-01"}), "future"),
        (json!({"amount_cents": 5, "occurred_on": "1999-12-31"}), "2000-01-01"),
        (json!({"amount_cents": 5}), "occurred_on"),
    ];
    for (body, named) in claims {
        let detail = driver.post("/drivers/1/claims", &body).await.problem(422);
        assert!(detail.contains(named), "{body}: {detail}");
    }
    let changes = [
        (json!({}), "empty"),
        (json!({"name": ""}), "name"),
        (json!({"email": "nobody"}), "email"),
        (json!({"status": "gone"}), "status"),
        (json!({"licence": "DL1"}), "licence"),
        (json!({"name": null, "status": "active"}), "null"),
    ];
    for (body, named) in changes {
        let detail = admin.patch("/admin/drivers/1", &body).await.problem(422);
        assert!(detail.contains(named), "{body}: {detail}");
    }
    admin
        .patch("/claims/999999999", &json!({"status": "paid"}))
        .await
        .problem(404);
    admin.patch("/claims/0", &json!({"status": "paid"})).await.problem(400);
    let taken = admin.get("/admin/drivers/2").await.json()["driver"]["email"].clone();
    let detail = admin
        .patch("/admin/drivers/1", &json!({"email": taken}))
        .await
        .problem(409);
    assert!(detail.contains("email"), "{detail}");
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_page_that_there_is_not_is_refused() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let admin = app.admin();
    let cursor = admin.get("/drivers/1/trips?limit=1").await.json()["next_cursor"]
        .as_str()
        .expect("another page")
        .to_owned();
    let mut tampered = cursor.clone();
    let last = if tampered.pop() == Some('A') { 'B' } else { 'A' };
    tampered.push(last);
    let refused = [
        "/admin/drivers?limit=0".to_owned(),
        "/admin/drivers?limit=201".to_owned(),
        "/admin/drivers?limit=many".to_owned(),
        "/admin/drivers?page=2".to_owned(),
        "/admin/drivers?cursor=".to_owned(),
        format!("/admin/drivers?cursor={cursor}"),
        format!("/drivers/2/trips?cursor={cursor}"),
        format!("/drivers/1/trips?cursor={tampered}"),
    ];
    for path in refused {
        admin.get(&path).await.problem(400);
    }
    assert_eq!(
        admin
            .get(&format!("/drivers/1/trips?limit=200&cursor={cursor}"))
            .await
            .status,
        200
    );
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn headers_and_uris_have_their_limits() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let long = "x".repeat(17 * 1024);
    app.admin()
        .get_with("/risk/1/current", "x-long", &long)
        .await
        .problem(431);
    app.admin()
        .get(&format!("/risk/1/current?{}", "x".repeat(5_000)))
        .await
        .problem(414);
    app.stop().await;
    scene.end().await;
}
