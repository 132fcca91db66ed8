//! Puts the git revision into the binary: a record must say which harness wrote it.

use std::process::Command;

/// What the harness is made of, seen from this folder: a change there may make the tree dirty.
const SOURCES: [&str; 6] = [
    ".",
    "../reports",
    "../scenarios",
    "../testcontainers",
    "../Cargo.toml",
    "../Cargo.lock",
];

fn main() {
    println!("cargo:rustc-env=LOADTEST_GIT={}", revision());
    for path in SOURCES {
        println!("cargo:rerun-if-changed={path}");
    }
    // Every commit, checkout and reset writes this log; the index would not do, since `git status` rewrites it and a
    // build would follow each. In a worktree the log is not under `.git`, hence the question to git.
    if let Some(head_log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={head_log}");
    }
}

/// `0123456789ab`, with `-dirty` when a tracked file differs from that revision; `unknown` outside git.
fn revision() -> String {
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if !changes.is_empty() => format!("{head}-dirty"),
        _ => head,
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
