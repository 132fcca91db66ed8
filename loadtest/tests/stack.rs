//! `loadtest stack` and `loadtest doctor`, as people call them: the real command, with a state and a temporary
//! directory of its own.

#![expect(
    clippy::unwrap_used,
    reason = "a test that meets the unexpected fails, and so do its helpers"
)]

use std::{
    fs::Permissions,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

/// Where the servers' directories and the memory of them go.
struct Room(TempDir);

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Open to the user that servers run as when the tests run as root.
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        Self(dir)
    }

    fn tmp(&self) -> std::path::PathBuf {
        self.0.path().join("tmp")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.prepared(Command::new(env!("CARGO_BIN_EXE_loadtest")));
        command.args(words);
        command
    }

    /// In this room, and with no servers given from outside.
    fn prepared(&self, mut command: Command) -> Command {
        command
            .env("TMPDIR", self.tmp())
            .env("LOADTEST_STATE_DIR", self.0.path().join("state"));
        for variable in [
            "DATABASE_URL",
            "REDIS_URL",
            "REDIS_PASSWORD",
            "KAFKA_BROKERS",
            "STACK_PROVIDER",
        ] {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs it to success and gives what it printed.
    fn ok(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The keeper in the foreground, once everything is up.
    fn keeper(&self) -> Child {
        let mut command = self.command(&["stack", "up", "--foreground", "--stack", "embedded"]);
        let mut keeper = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
        assert!(
            lines.any(|line| line.unwrap() == "up"),
            "the keeper ended before everything was up"
        );
        keeper
    }

    /// Directories and lock files in the temporary directory.
    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.tmp()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    fn assert_nothing_left(&self) {
        assert_eq!(self.left(), Vec::<String>::new());
        assert_eq!(processes_in(&self.tmp()), Vec::<u32>::new());
    }
}

fn processes_in(directory: &Path) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let works_there =
        |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(directory));
    pids.filter(works_there).collect()
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

#[test]
fn servers_stay_up_until_they_are_told_to_go() {
    let room = Room::new();
    assert_eq!(room.run(&["stack", "status"]).status.code(), Some(3));
    let up = room.ok(&["stack", "up", "--stack", "embedded"]);
    assert!(up.contains("postgres ") && up.contains("loadtest stack down"), "{up}");
    let status = room.ok(&["stack", "status"]);
    assert!(status.contains("kafka ") && status.contains("embedded"), "{status}");
    let again = room.ok(&["stack", "up"]);
    assert!(again.starts_with("already up:") && again.contains(&status), "{again}");

    // A shell that evaluates the addresses reaches the servers by them.
    let binary = env!("CARGO_BIN_EXE_loadtest");
    let script = format!("eval \"$({binary} stack env)\" && {binary} doctor");
    let mut shell = room.prepared(Command::new("sh"));
    let output = shell.args(["-c", &script]).output().unwrap();
    let doctor = String::from_utf8_lossy(&output.stdout);
    for server in ["postgres", "redis", "kafka"] {
        assert!(doctor.contains(&format!("{server}: auto takes external")), "{output:?}");
    }

    assert!(room.ok(&["stack", "down"]).contains("the servers are down"));
    room.assert_nothing_left();
    assert_eq!(room.run(&["stack", "env"]).status.code(), Some(3));
    assert!(room.ok(&["stack", "down"]).contains("nothing was up"));
}

/// 1. A shell with a file open, as with a lock or a pipe, brings the servers up and ends. 2. They stay up, and nobody
///    has the file open: who waits for its end waits no longer.
#[test]
fn what_the_caller_had_open_ends_with_the_caller() {
    let room = Room::new();
    let held = room.0.path().join("held");
    let (path, binary) = (held.display(), env!("CARGO_BIN_EXE_loadtest"));
    let script = format!("exec 9>{path} && exec {binary} stack up --stack embedded");
    let mut shell = room.prepared(Command::new("sh"));
    let output = shell.args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let holders = holders_of(&held);
    room.ok(&["stack", "down"]);
    assert_eq!(holders, [""; 0]);
    room.assert_nothing_left();
}

/// The command lines of all who have a file open.
fn holders_of(file: &Path) -> Vec<String> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let holds = |process: &Path| {
        let open = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut targets = open.filter_map(|fd| std::fs::read_link(fd.path()).ok());
        targets.any(|target| target == file)
    };
    let holders = all.map(|entry| entry.path()).filter(|process| holds(process));
    let names = holders.map(|process| std::fs::read(process.join("cmdline")).unwrap_or_default());
    names
        .map(|name| String::from_utf8_lossy(&name).replace('\0', " "))
        .collect()
}

#[test]
fn ctrl_c_and_sigterm_end_them_in_order() {
    for sent in [Signal::SIGINT, Signal::SIGTERM] {
        let room = Room::new();
        let mut keeper = room.keeper();
        let second = room.run(&["stack", "up", "--foreground"]);
        assert_eq!(second.status.code(), Some(2), "{second:?}");
        signal(&keeper, sent);
        assert!(keeper.wait().unwrap().success(), "{sent}");
        room.assert_nothing_left();
    }
}

#[test]
fn what_a_killed_keeper_left_is_removed() {
    let room = Room::new();
    let mut keeper = room.keeper();
    signal(&keeper, Signal::SIGKILL);
    keeper.wait().unwrap();
    assert_eq!(room.run(&["stack", "status"]).status.code(), Some(3));
    assert!(!processes_in(&room.tmp()).is_empty(), "the servers went by themselves");
    let down = room.ok(&["stack", "down"]);
    assert!(down.contains("removed what a killed run left: "), "{down}");
    room.assert_nothing_left();
}

#[test]
fn a_start_that_fails_says_why() {
    let room = Room::new();
    let output = room.run(&["stack", "up", "--stack", "external"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("DATABASE_URL"), "{said}");
    room.assert_nothing_left();
}

#[test]
fn doctor_names_every_way() {
    let room = Room::new();
    let said = room.ok(&["doctor"]);
    for server in ["postgres", "redis", "kafka"] {
        assert!(said.contains(&format!("{server}: auto takes ")), "{said}");
    }
    for line in [
        "DATABASE_URL is not set",
        "redis-server",
        "librdkafka's mock broker",
        "generator: sends with",
    ] {
        assert!(said.contains(line), "{said}");
    }
}
