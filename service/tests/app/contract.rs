//! Whether the OpenAPI document is true: schemathesis makes requests out of it, good and bad ones, and compares every
//! answer with what the document promises. All of its checks, against the service on real servers.
//!
//! A normal run makes enough requests of each operation to see every documented refusal; with `CONTRACT_TESTS_LONG` set
//! it makes 5,000 and more. Both are seeded, so that a finding can be had again.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::support::{Scene, Token};

const VERSION: &str = "4.32.5";
const INSTALL: &str = "sudo apt-get install -y --no-install-recommends python3 python3-venv (and reach PyPI once)";
/// Requests per operation and phase, at most.
const EXAMPLES: &str = "12";
const EXAMPLES_LONG: &str = "250";

fn is_long() -> bool {
    std::env::var_os("CONTRACT_TESTS_LONG").is_some()
}

/// The program, in an environment of its own under the target directory; installed when it is not there.
async fn schemathesis() -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("schemathesis-{VERSION}"));
    let program = environment.join("bin/schemathesis");
    if !runs(&program, &["--version"]).await {
        // Whatever is left of an installation that was cut short.
        let _gone = tokio::fs::remove_dir_all(&environment).await;
        let directory = environment.to_str().expect("a readable path");
        must_run(Path::new("python3"), &["-m", "venv", directory]).await;
        let pip = environment.join("bin/pip");
        must_run(&pip, &["install", "--quiet", &format!("schemathesis=={VERSION}")]).await;
    }
    program
}

async fn runs(program: &Path, arguments: &[&str]) -> bool {
    let quiet = || Stdio::null();
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(quiet()).stderr(quiet()).status().await;
    status.is_ok_and(|status| status.success())
}

async fn must_run(program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().await;
    let told = match output {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    panic!(
        "cannot run {} {arguments:?}: {told}\ninstall it: {INSTALL}",
        program.display()
    );
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
    let program = schemathesis().await;
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
