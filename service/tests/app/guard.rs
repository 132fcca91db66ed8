//! What stands around every route: load shedding, the time-out, faults on purpose.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{App, Scene, eventually};

const CREDENTIALS: &str = r#"{"username":"admin","password":"admin-password"}"#;

/// A request whose body is waited for; the 100 proves that it is.
async fn half_a_request(app: &App) -> TcpStream {
    let head = format!(
        "POST /auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        CREDENTIALS.len()
    );
    let mut connection = TcpStream::connect(app.address()).await.expect("connects");
    connection.write_all(head.as_bytes()).await.expect("writes");
    assert!(read(&mut connection).await.starts_with("HTTP/1.1 100"));
    connection
}

async fn read(connection: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let read = connection.read(&mut buffer).await.expect("readable");
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

#[tokio::test]
async fn beyond_the_bound_requests_are_refused_at_once_and_operators_are_not() {
    let scene = Scene::new().await;
    let app = scene.app().set("HTTP_MAX_IN_FLIGHT", "1").start_ready().await;
    let (pool, admin) = (scene.pool(1).await, app.admin());
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE drivers")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let (waiting, ()) = tokio::join!(admin.get("/admin/drivers/1"), async {
        scene.until_waiting_for_a_lock(1).await;
        let refused = app.admin().get("/risk/1/current").await;
        refused.problem(503);
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(app.nobody().get("/health/live").await.status, 200);
        assert_eq!(app.nobody().get("/health/ready").await.status, 200);
        let metrics = app.metrics().await;
        assert_eq!(metrics.sum("http_requests_in_flight", &[]).to_string(), "1");
        assert_eq!(
            metrics.count("http_requests_shed_total", &["route=\"/risk/{id}/current\""]),
            1
        );
        lock.rollback().await.expect("unlocked");
    });
    assert_eq!(waiting.status, 200, "{waiting:?}");
    assert_eq!(app.admin().get("/risk/1/current").await.status, 200);
    pool.close().await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_503() {
    let scene = Scene::new().await;
    let app = scene.app().set("HTTP_TIMEOUT_MS", "20").start().await;
    let pool = scene.pool(1).await;
    let mut lock = pool.begin().await.expect("a transaction");
    sqlx::query("LOCK TABLE drivers")
        .execute(&mut *lock)
        .await
        .expect("locked");
    let late = app.admin().get("/admin/drivers/1").await;
    late.problem(503);
    assert!(late.text().contains("problem:timed-out"), "{late:?}");
    lock.rollback().await.expect("unlocked");
    pool.close().await;
    app.stop().await;
    scene.end().await;
}

/// 1. More bodies begin than there are places, and do not end. 2. Everybody else is answered. 3. A body that goes on is
/// answered, too.
#[tokio::test]
async fn bodies_that_do_not_come_take_no_place_from_anybody() {
    let scene = Scene::new().await;
    let app = scene.app().set("HTTP_MAX_IN_FLIGHT", "4").start().await;
    let mut halves = Vec::new();
    for _ in 0..40 {
        halves.push(half_a_request(&app).await);
    }
    for driver in 1..=10 {
        let answer = app.admin().get(&format!("/risk/{driver}/current")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let mut last = halves.pop().expect("a connection");
    last.write_all(CREDENTIALS.as_bytes()).await.expect("writes");
    assert!(read(&mut last).await.starts_with("HTTP/1.1 200"));
    drop((halves, last));
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn a_body_has_its_time_and_its_size() {
    let scene = Scene::new().await;
    let app = scene.app().set("HTTP_BODY_TIMEOUT_MS", "50").start().await;
    let late = read(&mut half_a_request(&app).await).await;
    assert!(
        late.starts_with("HTTP/1.1 408") && late.contains("problem:body-timed-out"),
        "{late}"
    );
    // One that says beforehand that it is too large is not read; one that does not say is cut off.
    let mut announced = TcpStream::connect(app.address()).await.expect("connects");
    let head = "POST /auth/token HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n";
    announced.write_all(head.as_bytes()).await.expect("writes");
    assert!(read(&mut announced).await.starts_with("HTTP/1.1 413"));
    let mut chunked = TcpStream::connect(app.address()).await.expect("connects");
    let head = "POST /auth/token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n8000\r\n";
    chunked.write_all(head.as_bytes()).await.expect("writes");
    chunked.write_all(&vec![b' '; 0x8000]).await.expect("writes");
    assert!(read(&mut chunked).await.starts_with("HTTP/1.1 413"));
    drop((announced, chunked));
    app.stop().await;
    scene.end().await;
}

/// 1. The head of a request begins. 2. Its end does not come. 3. The connection is closed, while another on which whole
/// requests come goes on.
#[tokio::test]
async fn a_head_that_does_not_come_whole_closes_its_connection() {
    let scene = Scene::new().await;
    let app = scene.app().set("HTTP_HEAD_TIMEOUT_MS", "50").start().await;
    let mut slow = TcpStream::connect(app.address()).await.expect("connects");
    slow.write_all(b"GET /health/live HTTP/1.1\r\nhost:")
        .await
        .expect("writes");
    assert_eq!(read(&mut slow).await, "", "closed without an answer");
    assert_eq!(app.nobody().get("/health/live").await.status, 200);
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn an_address_has_a_share_of_the_connections() {
    let scene = Scene::new().await;
    let app = scene.app().set("HTTP_MAX_CONNECTIONS_PER_ADDRESS", "2").start().await;
    let (first, second) = (half_a_request(&app).await, half_a_request(&app).await);
    let mut third = TcpStream::connect(app.address()).await.expect("connects");
    assert_eq!(third.read(&mut [0; 16]).await.expect("readable"), 0, "closed at once");
    drop((first, second));
    eventually("there is room again", async || {
        let mut connection = TcpStream::connect(app.address()).await.expect("connects");
        let request = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";
        let _closed_already = connection.write_all(request).await;
        let mut buffer = [0; 64];
        let read = connection.read(&mut buffer).await.unwrap_or_default();
        buffer[..read].starts_with(b"HTTP/1.1 200").then_some(())
    })
    .await;
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn faults_on_purpose_strike_and_are_said() {
    let scene = Scene::new().await;
    let faults = "error:premium:1/2,sleep:risk_current:30ms,cpu:driver_statistics:5ms,pause:1/1000:1ms";
    let app = scene.app().set("FAULTS", faults).start_ready().await;
    let admin = app.admin();
    assert_eq!(admin.get("/pricing/1/premium").await.status, 200);
    admin.get("/pricing/1/premium").await.problem(500);
    assert_eq!(admin.get("/pricing/1/premium").await.status, 200);
    for (path, least) in [("/risk/1/current", 30), ("/drivers/1/statistics", 5)] {
        let started = Instant::now();
        assert_eq!(admin.get(path).await.status, 200);
        assert!(started.elapsed() >= Duration::from_millis(least), "{path}");
    }
    let said = app.nobody().get("/health/ready").await.json()["faults"].clone();
    assert_eq!(said, json!(faults.split(',').collect::<Vec<_>>()));
    let metrics = app.metrics().await;
    assert_eq!(
        metrics
            .sum("fault_active", &["fault=\"error:premium:1/2\""])
            .to_string(),
        "1"
    );
    app.stop().await;
    scene.end().await;
}

#[tokio::test]
async fn without_faults_nothing_is_said_of_them() {
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    assert_eq!(app.nobody().get("/health/ready").await.json().get("faults"), None);
    assert!(!app.metrics().await.text().contains("fault_active{"));
    app.stop().await;
    scene.end().await;
}
