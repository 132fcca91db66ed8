//! One client, or one locked table, does not take from the others what they need.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{App, Scene, eventually};

fn credentials(username: &str, password: &str) -> Value {
    json!({"username": username, "password": password})
}

/// Answers to so many logins at once, by their status.
async fn logins(app: &App, names: impl Iterator<Item = String>) -> BTreeMap<u16, usize> {
    let tries = names.map(|name| async move {
        let answer = app.nobody().post("/auth/token", &credentials(&name, "a guess")).await;
        answer.status
    });
    let mut counts = BTreeMap::new();
    for status in join_all(tries).await {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn wrong_passwords_at_once_are_checked_as_often_as_one_after_another() {
    let scene = Scene::new().await;
    let app = scene.app().set("LOGIN_ATTEMPTS_PER_MINUTE", "5").start().await;
    let by_name = logins(&app, (0..90).map(|_| "driver1".to_owned())).await;
    assert_eq!(by_name.get(&401), Some(&5), "{by_name:?}");
    assert_eq!(by_name.get(&429), Some(&85), "{by_name:?}");
    // Nobody else is kept out.
    let other = app
        .nobody()
        .post("/auth/token", &credentials("admin", "admin-password"))
        .await;
    assert_eq!(other.status, 200, "{other:?}");
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn an_address_that_tries_many_names_has_to_wait_and_others_have_not() {
    let scene = Scene::new().await;
    let app = scene
        .app()
        .set("LOGIN_ATTEMPTS_PER_MINUTE_PER_ADDRESS", "6")
        .set("HTTP_CLIENT_ADDRESS_HEADER", "x-forwarded-for")
        .start()
        .await;
    let by_address = logins(&app, (0..90).map(|name| format!("name{name}"))).await;
    assert_eq!(by_address.get(&401), Some(&6), "{by_address:?}");
    assert_eq!(by_address.get(&429), Some(&84), "{by_address:?}");
    // The last address is the proxy's word; those before it are the client's.
    let right = credentials("admin", "admin-password");
    let login = async |addresses: &str| {
        let nobody = app.nobody();
        let answer = nobody
            .post_with("/auth/token", &right, "x-forwarded-for", addresses)
            .await;
        answer.status
    };
    assert_eq!(login("198.51.100.7").await, 200);
    assert_eq!(login("198.51.100.7, 127.0.0.1").await, 429);
    app.stop().await;
    scene.end().await;
}

/// 1. Somebody locks a table for long. 2. Reads of it come in numbers that the pool does not have. 3. Whoever reads
/// something else is answered, and the replica stays ready.
#[tokio::test]
async fn a_locked_table_takes_neither_readiness_nor_other_routes() {
    let scene = Scene::new().await;
    let app = scene
        .app()
        .set("CACHE_ENABLED", "false")
        .set("DATABASE_POOL_SIZE", "4")
        .set("DATABASE_LOCK_TIMEOUT_MS", "500")
        .start_ready()
        .await;
    let pool = scene.pool(1).await;
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE trips")
        .execute(&mut *lock)
        .await
        .expect("locked");

    let admin = app.admin();
    let stuck = join_all((1..=120).map(|driver| {
        let admin = &admin;
        async move { admin.get(&format!("/drivers/{driver}/trips")).await }
    }));
    let others = async {
        scene.until_waiting_for_a_lock(4).await;
        let other = app.admin();
        for _ in 0..10 {
            let overview = other.get("/admin/dashboard/claims-overview").await;
            assert_eq!(overview.status, 200, "{overview:?}");
            let ready = app.nobody().get("/health/ready").await;
            assert_eq!(
                (ready.status, &ready.json()["status"]),
                (200, &json!("ready")),
                "{ready:?}"
            );
        }
    };
    let (stuck, ()) = tokio::join!(stuck, others);
    for answer in stuck {
        answer.problem(503);
    }
    lock.rollback().await.expect("unlocked");
    eventually("trips are read again", async || {
        (admin.get("/drivers/1/trips").await.status == 200).then_some(())
    })
    .await;
    pool.close().await;
    app.stop().await;
    scene.end().await;
}

fn trip(events_of_a_kind: i32) -> Value {
    let events: BTreeMap<_, _> = ["speeding", "harsh_braking", "harsh_acceleration", "harsh_cornering"]
        .map(|kind| (kind, events_of_a_kind))
        .into();
    json!({"duration_s": 3_600, "distance_m": 24_000, "night_share_pct": 25, "events": events})
}

/// 1. One driver's row is locked for long. 2. That driver's device sends trips in numbers that the pool does not have,
/// and hangs up. 3. Other drivers' trips are recorded, and answers that need the database come.
#[tokio::test]
async fn a_driver_who_sends_without_pause_takes_no_connections_from_others() {
    let scene = Scene::new().await;
    let app = scene
        .app()
        .set("CACHE_ENABLED", "false")
        .set("DATABASE_POOL_SIZE", "4")
        .set("DATABASE_LOCK_TIMEOUT_MS", "30000")
        .set("DATABASE_STATEMENT_TIMEOUT_MS", "30000")
        .start()
        .await;
    let pool = scene.pool(1).await;
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("SELECT FROM drivers WHERE id = 1 FOR UPDATE")
        .execute(&mut *lock)
        .await
        .expect("locked");

    let device = app.driver(1);
    for _ in 0..5 {
        let body = trip(1);
        let sent = join_all((0..8).map(|_| device.post("/drivers/1/trips", &body)));
        let hung_up = tokio::time::timeout(std::time::Duration::from_millis(100), sent).await;
        assert!(hung_up.is_err(), "the driver's row is locked");
    }
    scene.until_waiting_for_a_lock(1).await;
    for driver in 2..=9 {
        let recorded = app
            .driver(driver)
            .post(&format!("/drivers/{driver}/trips"), &trip(1))
            .await;
        assert_eq!(recorded.status, 201, "{recorded:?}");
        assert_eq!(app.admin().get(&format!("/admin/drivers/{driver}")).await.status, 200);
    }
    lock.rollback().await.expect("unlocked");
    pool.close().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_driver_has_a_share_of_the_places_and_administrators_have_all() {
    let scene = Scene::new().await;
    let app = scene.app().set("HTTP_MAX_IN_FLIGHT_PER_DRIVER", "2").start().await;
    let pool = scene.pool(1).await;
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE drivers")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let (one, admin) = (app.driver(1), app.admin());
    let two = async { tokio::join!(one.get("/risk/1/current"), one.get("/pricing/1/premium")) };
    let ((first, second), ()) = tokio::join!(two, async {
        scene.until_waiting_for_a_lock(2).await;
        let third = one.get("/drivers/1/statistics").await;
        third.problem(429);
        assert_eq!(third.header("retry-after"), Some("1"));
        lock.rollback().await.expect("unlocked");
    });
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(one.get("/drivers/1/statistics").await.status, 200);
    let many = join_all((1..=9).map(|driver| {
        let admin = &admin;
        async move { admin.get(&format!("/risk/{driver}/current")).await.status }
    }));
    assert!(many.await.iter().all(|status| *status == 200));
    pool.close().await;
    app.stop().await;
    scene.end().await;
}

/// Each write makes stale what others ask for: the dashboards of everybody.
#[tokio::test]
async fn a_driver_writes_so_often_in_a_minute_and_reads_and_others_go_on() {
    let scene = Scene::new().await;
    let app = scene.app().set("HTTP_WRITES_PER_MINUTE_PER_DRIVER", "3").start().await;
    let (one, other, admin) = (app.driver(1), app.driver(2), app.admin());
    for _ in 0..3 {
        assert_eq!(one.post("/drivers/1/trips", &trip(1)).await.status, 201);
    }
    let refused = one.post("/drivers/1/trips", &trip(1)).await;
    refused.problem(429);
    let wait_s: u64 = refused.header("retry-after").expect("a hint").parse().expect("seconds");
    assert!((1..=60).contains(&wait_s), "{wait_s}");
    assert_eq!(one.get("/risk/1/current").await.status, 200);
    assert_eq!(other.post("/drivers/2/trips", &trip(1)).await.status, 201);
    for _ in 0..4 {
        assert_eq!(admin.post("/drivers/1/trips", &trip(1)).await.status, 201);
    }
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_page_of_trips_full_of_events_is_cut_short_and_leads_on() {
    let scene = Scene::new().await;
    for profile in ["phase1", "phase2"] {
        let app = scene.app().profile(profile).start().await;
        let driver = app.driver(190);
        driver.post("/drivers/190/trips", &trip(101)).await.problem(422);
        let body = trip(100);
        let sent: Vec<Value> = join_all((0..7).map(|_| driver.post("/drivers/190/trips", &body)))
            .await
            .iter()
            .map(|answer| answer.json()["trip_id"].clone())
            .collect();
        let mut seen = Vec::new();
        let mut path = "/drivers/190/trips?limit=200".to_owned();
        loop {
            let page = driver.get(&path).await;
            assert!(page.bytes().len() < 300_000, "{} bytes", page.bytes().len());
            let page = page.json();
            let items = page["items"].as_array().expect("rows").clone();
            let events: usize = items
                .iter()
                .map(|trip| trip["events"].as_array().expect("events").len())
                .sum();
            assert!(events <= 2_000 && !items.is_empty(), "{events} events");
            seen.extend(items.into_iter().map(|trip| trip["id"].clone()));
            let Some(next) = page["next_cursor"].as_str() else {
                break;
            };
            path = format!("/drivers/190/trips?limit=200&cursor={next}");
        }
        let distinct: std::collections::HashSet<_> = seen.iter().map(Value::to_string).collect();
        assert_eq!(distinct.len(), seen.len(), "{profile}: a row twice");
        assert!(sent.iter().all(|id| seen.contains(id)), "{profile}: a row is missing");
        app.stop().await;
    }
    scene.end().await;
}

#[tokio::test]
async fn a_drivers_details_show_the_newest_claims_only() {
    let scene = Scene::new().await;
    let pool = scene.pool(1).await;
    sqlx::query(
        "INSERT INTO claims (driver_id, amount_cents, status, occurred_on)
         SELECT 5, 100 + n, 'open', date '2026-01-01' - n FROM generate_series(1, 150) n",
    )
    .execute(&pool)
    .await
    .expect("claims");
    pool.close().await;
    let mut answers = Vec::new();
    for profile in ["phase1", "phase2"] {
        let app = scene.app().profile(profile).start().await;
        let claims = app.admin().get("/admin/drivers/5").await.json()["claims"].clone();
        let days: Vec<String> = claims
            .as_array()
            .expect("claims")
            .iter()
            .map(|claim| claim["occurred_on"].to_string())
            .collect();
        assert_eq!(days.len(), 100, "{profile}");
        assert!(days.is_sorted_by(|one, next| one >= next), "{profile}: {days:?}");
        answers.push(claims);
        app.stop().await;
    }
    assert_eq!(answers[0], answers[1]);
    scene.end().await;
}

/// A way to Redis that counts who takes it.
struct Counted {
    url: String,
    connections: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Counted {
    async fn before(redis_url: &str) -> Self {
        let upstream = redis_url
            .trim_start_matches("redis://")
            .trim_end_matches('/')
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("redis://{}", listener.local_addr().expect("an address"));
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let mut server = TcpStream::connect(&upstream).await.expect("Redis");
                open.spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
            }
        });
        Self {
            url,
            connections,
            accepting,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[tokio::test]
async fn probes_and_scrapes_keep_their_connection() {
    let scene = Scene::new().await;
    let counted = Counted::before(&scene.redis_url()).await;
    let app = scene.app().set("REDIS_URL", &counted.url).start_ready().await;
    app.metrics().await;
    let before = counted.connections.load(Ordering::Relaxed);
    for _ in 0..10 {
        let report = eventually("a report of now", async || {
            let report = app.nobody().get("/health/ready").await.json();
            (report["redis"]["ok"] == true).then_some(report)
        })
        .await;
        assert_eq!(report["status"], "ready");
        assert!(app.metrics().await.sum("cache_memory_bytes", &["tier=\"l2\""]) > 0.0);
    }
    assert_eq!(counted.connections.load(Ordering::Relaxed), before);
    app.stop().await;
    drop(counted);
    scene.end().await;
}
