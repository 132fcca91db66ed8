//! Stopping.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Scene, eventually};

async fn read_until(connection: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut buffer = [0; 1024];
        let read = connection.read(&mut buffer).await.expect("readable");
        assert_ne!(read, 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
    }
    text
}

/// 1. The request's head arrives, and its handler waits for the body (the 100 proves it). 2. The stop begins.
/// 3. The body arrives. 4. The answer must come, although the service is stopping.
#[tokio::test]
async fn a_request_in_flight_is_finished() {
    let scene = Scene::new().await;
    let app = scene.app().start().await;
    let body = r#"{"username":"admin","password":"admin-password"}"#;
    let head = format!(
        "POST /auth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut connection = TcpStream::connect(app.address()).await.expect("connects");
    connection.write_all(head.as_bytes()).await.expect("writes");
    assert!(
        read_until(&mut connection, "\r\n\r\n")
            .await
            .starts_with("HTTP/1.1 100")
    );
    app.begin_stop();
    connection.write_all(body.as_bytes()).await.expect("writes");
    assert!(read_until(&mut connection, "}").await.starts_with("HTTP/1.1 200"));
    app.stop().await;
    scene.end().await;
}

/// 1. A head begins and does not end. 2. The stop begins. It must not wait for the head, however long it would drain.
#[tokio::test]
async fn a_head_that_does_not_come_does_not_hold_the_stop() {
    let scene = Scene::new().await;
    let app = scene.app().set("SHUTDOWN_DRAIN_MS", "600000").start().await;
    let mut half = TcpStream::connect(app.address()).await.expect("connects");
    half.write_all(b"GET /health/live HTTP/1.1\r\nhost:")
        .await
        .expect("writes");
    // Answered on the same port afterwards, so that the half has been accepted.
    assert_eq!(app.nobody().get("/health/live").await.status, 200);
    let stopped = tokio::time::timeout(PATIENCE, app.stop()).await;
    stopped.expect("stopped although a head was on its way");
    drop(half);
    scene.end().await;
}

/// 1. The stop begins. 2. Balancers hear of it. 3. Meanwhile everything is answered, on new connections too.
#[tokio::test]
async fn a_lame_duck_answers_and_says_that_it_stops() {
    let scene = Scene::new().await;
    let app = scene.app().set("SHUTDOWN_LAME_DUCK_MS", "4000").start_ready().await;
    app.begin_stop();
    let report = eventually("balancers hear of the stop", async || {
        let ready = app.nobody().get("/health/ready").await;
        (ready.status == 503).then(|| ready.json())
    })
    .await;
    assert_eq!(report["status"], "stopping");
    assert_eq!(app.admin().get("/admin/drivers/1").await.status, 200);
    app.stop().await;
    scene.end().await;
}
