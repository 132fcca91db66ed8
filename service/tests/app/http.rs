//! What the answers promise to clients, caches and proxies.

use std::io::Read as _;

use flate2::read::GzDecoder;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{App, Scene, Token, eventually};

fn trip() -> Value {
    json!({"duration_s": 600, "distance_m": 9_000, "night_share_pct": 0, "events": {"speeding": 2}})
}

async fn token_of(app: &App, name: &str) -> Token {
    let credentials = json!({"username": name, "password": format!("{name}-password")});
    let answer = app.nobody().post("/auth/token", &credentials).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    Token(answer.json()["access_token"].as_str().expect("a token").to_owned())
}

#[tokio::test]
async fn nothing_is_stored_on_the_way() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let (admin, nobody) = (app.admin(), app.nobody());
    let credentials = json!({"username": "admin", "password": "admin-password"});
    let answers = [
        nobody.post("/auth/token", &credentials).await,
        admin.get("/admin/drivers/1").await,
        admin.get("/admin/drivers?limit=200").await,
        app.driver(1).get("/risk/1/current").await,
        app.driver(1).post("/drivers/1/trips", &trip()).await,
        nobody.get("/admin/drivers/1").await,
        admin.get("/nowhere").await,
    ];
    for answer in answers {
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    }
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn an_answer_that_the_client_has_is_not_sent_again() {
    let scene = Scene::new().await;
    for profile in ["phase1", "phase2"] {
        let app = scene.app().profile(profile).start().await;
        let admin = app.admin();
        for path in ["/admin/drivers/3", "/admin/drivers?limit=5", "/admin/dashboard/summary"] {
            let first = admin.get(path).await;
            let tag = first.header("etag").expect("a tag").to_owned();
            let again = admin
                .get_with(path, "if-none-match", &format!("\"other\", {tag}"))
                .await;
            assert_eq!((again.status, again.bytes()), (304, &[][..]), "{profile} {path}");
            assert_eq!(again.header("etag"), Some(&*tag));
            assert_eq!(again.header("x-version"), first.header("x-version"));
            admin.get_with(path, "if-none-match", "no tag").await.problem(400);
            let other = admin.get_with(path, "if-none-match", "\"other\"").await;
            assert_eq!((other.status, other.bytes()), (200, first.bytes()));
        }
        let tag = admin
            .get("/admin/drivers/3")
            .await
            .header("etag")
            .expect("a tag")
            .to_owned();
        let recorded = app.driver(3).post("/drivers/3/trips", &trip()).await;
        assert_eq!(recorded.status, 201);
        let changed = admin.get_with("/admin/drivers/3", "if-none-match", &tag).await;
        assert_eq!(changed.status, 200, "{profile}: the answer has changed");
        app.stop().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_take_it() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let admin = app.admin();
    let path = "/admin/drivers?limit=200";
    let plain = admin.get(path).await;
    assert_eq!(
        (plain.header("content-encoding"), plain.header("vary")),
        (None, Some("accept-encoding"))
    );
    let packed = admin.get_with(path, "accept-encoding", "br;q=1.0, gzip;q=0.8").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(
        packed.bytes().len() * 3 < plain.bytes().len(),
        "{} bytes",
        packed.bytes().len()
    );
    let mut unpacked = Vec::new();
    GzDecoder::new(packed.bytes()).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain.bytes());
    assert_eq!(packed.header("etag"), plain.header("etag"));
    let small = admin.get_with("/risk/1/current", "accept-encoding", "gzip").await;
    assert_eq!(small.header("content-encoding"), None);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_trip_that_is_sent_three_times_is_recorded_once() {
    let scene = Scene::new().await;
    for profile in ["phase1", "phase2"] {
        let app = scene.app().profile(profile).start().await;
        let (driver, key) = (app.driver(7), format!("3f1c-{profile}"));
        let send = async |driver: i64, body: Value, key: &str| {
            let client = app.driver(driver);
            let path = format!("/drivers/{driver}/trips");
            client.post_with(&path, &body, "idempotency-key", key).await
        };
        let receipts = join_all((0..3).map(|_| send(7, trip(), &key))).await;
        for receipt in &receipts {
            assert_eq!(
                (receipt.status, receipt.json()),
                (201, receipts[0].json()),
                "{receipt:?}"
            );
            assert_eq!(receipt.version(), receipts[0].version());
        }
        let id = receipts[0].json()["trip_id"].clone();
        let listed = driver.get("/drivers/7/trips").await.json()["items"].clone();
        let rows = listed
            .as_array()
            .expect("rows")
            .iter()
            .filter(|row| row["id"] == id)
            .count();
        assert_eq!(rows, 1, "{profile}");
        let trips = async || scene.number("SELECT count(*) FROM trips WHERE driver_id = 7").await;
        let before = trips().await;
        // Another trip under the same key is a mistake, another driver's key is another key.
        let mut other = trip();
        other["distance_m"] = json!(9_001);
        let detail = send(7, other.clone(), &key).await.problem(422);
        assert!(detail.contains("Idempotency-Key"), "{detail}");
        assert_eq!(send(8, other.clone(), &key).await.status, 201);
        assert_eq!(trips().await, before);
        let next = send(7, other, &format!("{key}-2")).await;
        assert!(next.status == 201 && next.json()["trip_id"] != id, "{next:?}");
        for wrong in ["", "two words", &"x".repeat(129)] {
            send(7, trip(), wrong).await.problem(400);
        }
        app.stop().await;
    }
    scene.end().await;
}

/// 1. A read waits in its session. 2. The session is ended from outside, as by a restart of Postgres. 3. That is no
/// fault of the service.
#[tokio::test]
async fn a_session_that_is_ended_from_outside_is_a_503() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let (pool, admin) = (scene.pool(2).await, app.admin());
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE drivers")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let (answer, ()) = tokio::join!(admin.get("/admin/drivers/1"), async {
        scene.until_waiting_for_a_lock(1).await;
        sqlx::query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
              WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .execute(&pool)
        .await
        .expect("ended");
    });
    answer.problem(503);
    lock.rollback().await.expect("unlocked");
    assert_eq!(admin.get("/admin/drivers/1").await.status, 200);
    pool.close().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_demoted_administrators_token_ends_soon_and_a_new_one_works() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let old = token_of(&app, "admin").await;
    assert_eq!(app.client(&old).get("/admin/drivers").await.status, 200);
    let pool = scene.pool(1).await;
    sqlx::query("UPDATE users SET role = 'driver', driver_id = 1 WHERE username = 'admin'")
        .execute(&pool)
        .await
        .expect("demoted");
    eventually("the old token is refused", async || {
        (app.client(&old).get("/admin/drivers").await.status == 401).then_some(())
    })
    .await;
    let new = token_of(&app, "admin").await;
    app.client(&new).get("/admin/drivers").await.problem(403);
    assert_eq!(app.client(&new).get("/risk/1/current").await.status, 200);
    // Others keep theirs.
    assert_eq!(app.admin().get("/admin/drivers").await.status, 200);
    pool.close().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_new_key_signs_and_the_one_before_still_verifies() {
    const OLD: &str = "the secret of last year, 32 bytes or more";
    const NEW: &str = "the secret of this year, 32 bytes or more";
    let scene = Scene::new().await;
    let before = scene.app().set("JWT_SECRET", OLD).start().await;
    let after = scene
        .app()
        .set("JWT_SECRET", NEW)
        .set("JWT_SECRET_PREVIOUS", "")
        .start()
        .await;
    let (old, new) = (token_of(&before, "admin").await, token_of(&after, "admin").await);
    after.client(&old).get("/admin/drivers").await.problem(401);
    // A list of words is no list of secrets.
    let previous = OLD.replace(' ', "-");
    let other = scene.app().set("JWT_SECRET", &previous).start().await;
    let listed = token_of(&other, "admin").await;
    let rotated = scene
        .app()
        .set("JWT_SECRET", NEW)
        .set("JWT_SECRET_PREVIOUS", &previous)
        .start()
        .await;
    for token in [&new, &listed] {
        assert_eq!(rotated.client(token).get("/admin/drivers").await.status, 200);
    }
    rotated.client(&old).get("/admin/drivers").await.problem(401);
    before.client(&new).get("/admin/drivers").await.problem(401);
    for app in [before, after, other, rotated] {
        app.stop().await;
    }
    scene.end().await;
}
