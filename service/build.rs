//! Puts the git revision into the binary, so that `--version` and every measured record can name the build.

use std::process::Command;

fn main() {
    println!("cargo:rustc-env=SERVICE_GIT_REVISION={}", revision());
    for path in ["src", "cache/src", "migrations", "Cargo.toml", "build.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }
    // Every commit, checkout and reset writes this log. In a worktree it is not under `.git`, hence the question to
    // git.
    if let Some(head_log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={head_log}");
    }
}

/// `0123456789ab`, with `-dirty` when the service's folder differs from that revision; `unknown` outside git.
fn revision() -> String {
    let Some(revision) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--", "."]) {
        Some(changes) if !changes.is_empty() => format!("{revision}-dirty"),
        _ => revision,
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
