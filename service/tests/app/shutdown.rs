//! Stopping.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Scene;

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
