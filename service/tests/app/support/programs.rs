//! Programs that the tests run beside the servers. One that is missing fails the test with the command that installs
//! it.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Runs `promtool` with `input`; fails the test when it complains.
pub(crate) async fn promtool(arguments: &[&str], input: &str) {
    let started = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.unwrap_or_else(|error| {
        panic!("cannot run promtool ({error}); install it: sudo apt-get install -y --no-install-recommends prometheus")
    });
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).await.expect("written");
    drop(stdin);
    let output = child.wait_with_output().await.expect("an end");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.is_empty(),
        "promtool {arguments:?}: {told}\n{input}"
    );
}
