//! Whether the OpenAPI document is true: schemathesis makes requests out of it, good and bad ones, and compares every
//! answer with what the document promises. All of its checks, against the service on real servers.
//!
//! A normal run makes enough requests of each operation to see every documented refusal; with `CONTRACT_TESTS_LONG` set
//! it makes 5,000 and more. Both are seeded, so that a finding can be had again.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::support::{Scene, Token, python_program};

const VERSION: &str = "4.32.5";
/// Requests per operation and phase, at most.
const EXAMPLES: &str = "12";
const EXAMPLES_LONG: &str = "250";

fn is_long() -> bool {
    std::env::var_os("CONTRACT_TESTS_LONG").is_some()
}

/// A directory with the settings in it, where the program may leave what it remembers.
async fn room() -> PathBuf {
    let room = Path::new(env!("CARGO_TARGET_TMPDIR")).join("contract");
    tokio::fs::create_dir_all(&room).await.expect("a directory");
    let settings = include_str!("../schemathesis.toml");
    tokio::fs::write(room.join("schemathesis.toml"), settings)
        .await
        .expect("the settings");
    room
}

#[tokio::test]
async fn every_answer_is_as_the_document_says() {
    let program = python_program("schemathesis", VERSION, &["--version"]).await;
    let scene = Scene::new().await;
    let app = scene.app().start_ready().await;
    let room = room().await;
    let examples = if is_long() { EXAMPLES_LONG } else { EXAMPLES };
    let output = Command::new(program)
        .args(["run", &format!("http://{}/openapi.json", app.address())])
        .args(["--header", &format!("Authorization: Bearer {}", Token::admin().0)])
        .args(["--max-examples", examples, "--seed", "1", "--continue-on-failure"])
        .current_dir(room)
        .env("NO_COLOR", "1")
        .kill_on_drop(true)
        .output()
        .await
        .expect("runs");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    assert!(
        output.status.success(),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    app.stop().await;
    scene.end().await;
}
