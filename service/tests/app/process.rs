//! The executable itself: what it prints, which signals it obeys, which codes it exits with.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::support::{Process, Scene, executable};

async fn serve_until(name: &str, scene: &Scene) {
    let process = Process::serve(scene.environment()).await;
    assert_eq!(process.client(None).get("/health/live").await.status, 200);
    process.signal(name).await;
    let (status, rest) = process.ended().await;
    assert_eq!(rest, "", "exactly one line on stdout");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn it_serves_until_a_signal_and_exits_with_0() {
    let scene = Scene::new().await;
    serve_until("TERM", &scene).await;
    serve_until("INT", &scene).await;
    scene.end().await;
}

#[tokio::test]
async fn a_wrong_environment_is_refused_as_a_whole() {
    let output = executable()
        .env("PROFILE", "phase3")
        .env("DATABASE_POOL_SIZE", "many")
        .output()
        .await
        .expect("runs");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{told}");
    for variable in [
        "PROFILE",
        "DATABASE_URL",
        "DATABASE_POOL_SIZE",
        "REDIS_URL",
        "KAFKA_BROKERS",
    ] {
        assert!(told.contains(variable), "{variable} is missing in {told}");
    }
    assert_eq!(output.stdout, b"");
}

#[tokio::test]
async fn a_fault_of_a_route_that_there_is_not_is_refused_with_the_nearest() {
    let mut command = executable();
    command
        .env("DATABASE_URL", "postgres://user:p@127.0.0.1:1/portfolio")
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .env("KAFKA_BROKERS", "127.0.0.1:1")
        .env("BIND_ADDR", "127.0.0.1:0")
        .env("FAULTS", "sleep:risk_curent:5ms");
    let output = command.output().await.expect("runs");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("did you mean `risk_current`"), "{told}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named_without_its_password() {
    let mut command = executable();
    command
        .env("DATABASE_URL", "postgres://user:hunter2@127.0.0.1:1/portfolio")
        .arg("migrate");
    let output = command.output().await.expect("runs");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("127.0.0.1:1/portfolio") && !told.contains("hunter2"),
        "{told}"
    );
}

#[tokio::test]
async fn version_and_help_tell_what_there_is_to_know() {
    let run = async |arguments: &[&str]| {
        let output = executable().args(arguments).output().await.expect("runs");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    assert!(run(&["--version"]).await.contains(env!("CARGO_PKG_VERSION")));
    for command in ["serve", "migrate", "seed"] {
        assert!(run(&[command, "--help"]).await.contains("Example:"), "{command}");
    }
    assert!(run(&["--help"]).await.contains("seed"));
}

#[tokio::test]
async fn a_secret_that_is_no_text_is_refused_and_not_taken_for_none() {
    let mut command = executable();
    command
        .env("DATABASE_URL", "postgres://user:p@127.0.0.1:1/portfolio")
        .env("REDIS_URL", "redis://127.0.0.1:1")
        .env("KAFKA_BROKERS", "127.0.0.1:1")
        .env("JWT_SECRET", OsStr::from_bytes(&[0xff; 40]));
    let output = command.output().await.expect("runs");
    let told = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("JWT_SECRET: is not UTF-8"), "{told}");
}

/// Whatever a password does to the address that it stands in, none of it is shown.
#[tokio::test]
async fn no_piece_of_a_password_is_shown() {
    let addresses = [
        "postgres://user:hun?ter2=x@127.0.0.1:1/portfolio",
        "postgres://user:hun#ter2@127.0.0.1:1/portfolio",
        "postgres://user:hun/ter2@127.0.0.1:1/portfolio",
        "postgres://user:hun@ter2@127.0.0.1:1/portfolio",
        "postgres://user@127.0.0.1:1/portfolio?hun=ter2",
        "postgres://user@127.0.0.1:hunter2/portfolio",
    ];
    for address in addresses {
        let mut command = executable();
        command
            .env("DATABASE_URL", address)
            .env("RUST_LOG", "trace")
            .arg("migrate");
        let output = command.output().await.expect("runs");
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8(told).expect("text");
        assert_eq!(output.status.code(), Some(2), "{address}: {told}");
        assert!(!told.contains("hun") && !told.contains("ter2"), "{address}: {told}");
        assert!(told.contains("DATABASE_PASSWORD"), "{address}: {told}");
    }
}
