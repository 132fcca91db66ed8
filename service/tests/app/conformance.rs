//! Whether the WebSockets of the service keep to RFC 6455: kosoku runs the cases of the Autobahn test suite against the
//! service's own server and settings, with a route that sends back what it gets. (The hub itself says other things than
//! what it hears, so that no suite could judge it.)

use axum::Router;
use axum::extract::WebSocketUpgrade;
use axum::extract::ws::Message;
use axum::response::Response;
use axum::routing::get;
use insurance_service::config::Config;
use insurance_service::live::{READ_BUFFER_BYTES, WRITE_BUFFER_BYTES};
use insurance_service::server::serve;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::support::python_program;

const VERSION: &str = "0.1.0";
/// The suite sends messages of 16 MiB; the hub takes far less.
const MESSAGE_MAX_BYTES: usize = 64 * 1024 * 1024;

async fn echo(upgrade: WebSocketUpgrade) -> Response {
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(MESSAGE_MAX_BYTES)
        .max_frame_size(MESSAGE_MAX_BYTES);
    upgrade.on_upgrade(|mut socket| async move {
        while let Some(Ok(message)) = socket.recv().await {
            let says = matches!(message, Message::Text(_) | Message::Binary(_));
            if says && socket.send(message).await.is_err() {
                return;
            }
        }
    })
}

/// Cases of compressed messages (RFC 7692), which the service does not offer: frames are small, and compressing them
/// would cost each client its own state and each frame its sharing.
const COMPRESSION: [&str; 2] = ["12.*", "13.*"];

/// The cases of a report, by name.
fn cases(report: &serde_json::Value) -> Vec<(&String, &serde_json::Value)> {
    let agents = report.as_object().into_iter().flat_map(serde_json::Map::values);
    agents.filter_map(serde_json::Value::as_object).flatten().collect()
}

fn has_failed(case: &serde_json::Value) -> bool {
    ["behavior", "behaviorClose"].iter().any(|part| case[part] == "FAILED")
}

#[tokio::test]
async fn websockets_keep_to_the_standard() {
    let program = python_program("kosoku", VERSION, &["--help"]).await;
    let http = Config::read(&|name| match name {
        "DATABASE_URL" => Some("postgres://nobody@127.0.0.1:1/none".into()),
        "CACHE_ENABLED" => Some("false".into()),
        "KAFKA_BROKERS" => Some("127.0.0.1:1".into()),
        _ => None,
    })
    .expect("a valid environment")
    .http;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, Router::new().route("/", get(echo)), http, stop.clone()));
    let reports = tempfile::tempdir().expect("a directory");
    let output = Command::new(program)
        .args(["-m", "fuzzingclient", &address])
        .args(COMPRESSION.iter().flat_map(|cases| ["-x", cases]))
        .arg("-o")
        .arg(reports.path())
        .kill_on_drop(true)
        .output()
        .await
        .expect("runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let index =
        std::fs::read_to_string(reports.path().join("index.json")).unwrap_or_else(|error| panic!("{error}: {told}"));
    let report: serde_json::Value = serde_json::from_str(&index).expect("JSON");
    let cases = cases(&report);
    let failed: Vec<_> = cases.iter().filter(|(_, case)| has_failed(case)).collect();
    assert!(failed.is_empty(), "{failed:?}\n{told}");
    assert!(cases.len() > 200, "{told}");
    assert!(output.status.success(), "{told}");
    stop.cancel();
    serving.await.expect("an end");
}
