//! The test kit of the end-to-end tests: starts the real `loadtest` binary in a directory of its own, follows what it
//! says, and knows every process it started. Beside it stand the services that tests measure.

mod cheat;
mod http;
mod stale;
mod stall;
mod throwaway;
mod workload;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use measure::record::{Check, Record};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

pub(crate) use cheat::{Cheat, Trick};
pub(crate) use http::{Request, Response, Server};
pub(crate) use stale::Stale;
pub(crate) use stall::{Stall, pause};
pub(crate) use throwaway::ThrowAway;
pub(crate) use workload::{WorkloadText, closed, edited, even, even_at, p95_text, page, target_text};

/// Longer than any run of these tests takes on a slow machine; a hang fails instead of blocking for ever.
const PATIENCE: Duration = Duration::from_mins(5);
/// Lines of a run that may wait for the test to read them.
const LINES: usize = 10_000;

/// The directory of the release binaries, as `cargo xtask test` gives it or where plain cargo puts them.
pub(crate) fn bin_dir() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release");
    let dir = std::env::var_os("LOADTEST_BIN_DIR").map_or_else(default, PathBuf::from);
    for name in ["loadtest", "insurance-service"] {
        assert!(
            dir.join(name).is_file(),
            "{} is missing: run `cargo xtask test`, or `cargo build --release -p loadtest -p insurance-service` first",
            dir.join(name).display()
        );
    }
    dir
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(path)
        .canonicalize()
        .unwrap()
}

/// A file of these tests.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Runs measure: a second one on the same cores would be measured too, so tests take turns.
static ONE_AT_A_TIME: RwLock<()> = RwLock::new(());

/// A directory for one run: its output, and the temporary directory of everything it starts.
pub(crate) struct Workplace {
    dir: TempDir,
    _turn: Option<Turn>,
}

/// A place in the line of runs.
enum Turn {
    Alone(#[expect(dead_code, reason = "held until the workplace goes")] RwLockWriteGuard<'static, ()>),
    Shared(#[expect(dead_code, reason = "held until the workplace goes")] RwLockReadGuard<'static, ()>),
}

impl Workplace {
    pub(crate) fn new() -> Self {
        // A test that failed has no state that another could find broken.
        let turn = ONE_AT_A_TIME.write().unwrap_or_else(PoisonError::into_inner);
        Self::with_turn(Some(Turn::Alone(turn)))
    }

    /// One that shares its turn with others of its kind: for small loads whose figures are far from any limit.
    pub(crate) fn new_shared() -> Self {
        let turn = ONE_AT_A_TIME.read().unwrap_or_else(PoisonError::into_inner);
        Self::with_turn(Some(Turn::Shared(turn)))
    }

    /// One that takes no turn: for runs whose times nobody looks at.
    pub(crate) fn new_beside() -> Self {
        Self::with_turn(None)
    }

    fn with_turn(turn: Option<Turn>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Postgres runs as another user and must be able to pass through.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let workplace = Self { dir, _turn: turn };
        fs::create_dir(workplace.tmp()).unwrap();
        fs::set_permissions(workplace.tmp(), fs::Permissions::from_mode(0o1777)).unwrap();
        workplace
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn record(&self) -> Record {
        Record::load(&self.out().join("record.json")).unwrap()
    }

    /// Starts `loadtest compare` of the release build: phase1 against phase2, output going to `out()`.
    pub(crate) fn compare(&self, arguments: &[&str]) -> Running {
        let subjects = ["profile:phase1", "profile:phase2"];
        self.release_loadtest(
            &[
                &["compare"],
                arguments,
                &["--out", self.out().to_str().unwrap()],
                &subjects,
            ]
            .concat(),
        )
    }

    /// Starts the `loadtest` that was built with the tests; `--out` is not given.
    pub(crate) fn loadtest<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Running {
        self.start(Path::new(env!("CARGO_BIN_EXE_loadtest")), arguments)
    }

    /// A gate of two profiles under this workload is refused as a usage error with these words.
    pub(crate) fn assert_gate_refused(&self, workload: &Path, words: &str) {
        let file = workload.to_str().unwrap();
        let gate = ["compare", "--workload", file, "--model", "open"];
        let finished = self
            .loadtest(&[&gate[..], &["profile:phase1", "profile:phase2"]].concat())
            .finish();
        finished.assert_code(2);
        finished.assert_says(words);
    }

    /// Starts the release build, where what is tested depends on speed; `--out` is not given.
    pub(crate) fn release_loadtest<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Running {
        self.start(&bin_dir().join("loadtest"), arguments)
    }

    fn start<S: AsRef<OsStr>>(&self, binary: &Path, arguments: &[S]) -> Running {
        let mut command = Command::new(binary);
        command.args(arguments).env("TMPDIR", self.tmp());
        Running::start(command)
    }

    /// Runs the workload `text` against `server` to its end, with further arguments, and gives its record.
    pub(crate) fn measure(&self, text: &str, server: SocketAddr, arguments: &[&str]) -> (Finished, Record) {
        let finished = self.loadtest(&self.run_arguments(text, server, arguments)).finish();
        let record = self.record();
        (finished, record)
    }

    /// Runs the workload `text` against `server` with the release build, and gives its record.
    pub(crate) fn measure_release(&self, text: &str, server: SocketAddr, arguments: &[&str]) -> Record {
        self.release_loadtest(&self.run_arguments(text, server, arguments))
            .finish();
        self.record()
    }

    /// `run` of the workload `text` against `server`, output going to `out()`, with further arguments.
    pub(crate) fn run_arguments(&self, text: &str, server: SocketAddr, arguments: &[&str]) -> Vec<String> {
        self.arguments("run", &self.write("workload.toml", text), server, arguments)
    }

    /// `COMMAND --workload FILE --subject url:... --out DIR` and further arguments.
    pub(crate) fn arguments(&self, command: &str, workload: &Path, server: SocketAddr, more: &[&str]) -> Vec<String> {
        let (workload, out) = (workload.to_str().unwrap(), self.out());
        let subject = format!("url:http://{server}");
        let own = [
            command,
            "--workload",
            workload,
            "--subject",
            &subject,
            "--out",
            out.to_str().unwrap(),
        ];
        own.iter().chain(more).map(ToString::to_string).collect()
    }

    /// Nothing is left of a run: no directory, and none of the processes it started.
    pub(crate) fn assert_nothing_left(&self, finished: &Finished) {
        let left: Vec<_> = fs::read_dir(self.tmp())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        for (pid, name) in &finished.started {
            let still = process_name(*pid).is_some_and(|now| now == *name);
            assert!(!still, "process {pid} ({name}) is left behind");
        }
    }
}

/// A run under way.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    /// Pid and name of everything the run has been seen to start.
    started: BTreeSet<(i32, String)>,
}

/// A run that ended.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    /// Everything it said, on both channels.
    pub(crate) text: String,
    pub(crate) started: BTreeSet<(i32, String)>,
}

impl Finished {
    pub(crate) fn assert_code(&self, code: i32) {
        assert_eq!(self.status.code(), Some(code), "it said:\n{}", self.text);
    }

    pub(crate) fn assert_says(&self, part: &str) {
        assert!(self.text.contains(part), "it does not say {part:?}:\n{}", self.text);
    }
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = sync_channel(LINES);
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let forward = send.clone();
        std::thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| forward.send(line))
        });
        std::thread::spawn(move || {
            BufReader::new(stderr)
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| send.send(line))
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
            started: BTreeSet::new(),
        }
    }

    /// Reads on until a line contains `part`.
    pub(crate) fn wait_for(&mut self, part: &str) {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let found = line.contains(part);
                    self.keep(line);
                    if found {
                        return;
                    }
                }
                Err(error) => panic!("{error} before {part:?}; it said:\n{}", self.seen.join("\n")),
            }
        }
    }

    /// Sends a signal to the harness.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Kills the service that the harness runs now.
    pub(crate) fn kill_service(&self) {
        let (pid, _) = descendants(self.child.id().cast_signed())
            .into_iter()
            .find(|(_, name)| name.starts_with("insurance-serv"))
            .expect("the service runs");
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }

    /// Waits for the end.
    pub(crate) fn finish(mut self) -> Finished {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => self.keep(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it hangs; it said:\n{}", self.seen.join("\n")),
            }
        }
        Finished {
            status: self.child.wait().unwrap(),
            text: self.seen.join("\n"),
            started: std::mem::take(&mut self.started),
        }
    }

    /// Each line is a moment to look at what runs: servers and services say something when they are up.
    fn keep(&mut self, line: String) {
        self.started.extend(descendants(self.child.id().cast_signed()));
        self.seen.push(line);
    }
}

impl Drop for Running {
    /// A test that failed half way must not leave its run behind; the harness then stops what it started.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::SIGINT);
            let _ = self.child.wait();
        }
    }
}

/// Checks that fail for what goes on outside of a run.
const FROM_OUTSIDE: [&str; 3] = [
    "the hypervisor took little time",
    "no other job used the machine",
    "the generator's timers were on time",
];
/// A shared machine is left alone for one run in that many.
const ATTEMPTS: usize = 3;

/// Measures until a run was not disturbed from outside, and demands its exit code.
pub(crate) fn judged(code: i32, measure: impl Fn(&Workplace) -> Finished) -> (Workplace, Finished, Record) {
    for attempt in 1.. {
        let place = Workplace::new();
        let finished = measure(&place);
        let record = place.record();
        let failed = |name: &&str| !check(&record, name).ok;
        let disturbed: Vec<_> = FROM_OUTSIDE.iter().filter(|name| failed(name)).collect();
        let repeat = finished.status.code() == Some(4) && !disturbed.is_empty() && attempt < ATTEMPTS;
        if !repeat {
            finished.assert_code(code);
            return (place, finished, record);
        }
        eprintln!("measured again: {disturbed:?} failed");
    }
    unreachable!("the last attempt returns or panics")
}

/// Everything that a command said, on both channels.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
pub(crate) fn assert_ends(output: &Output, code: i32, says: &[&str]) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in says {
        assert!(text.contains(part), "it does not say {part:?}:\n{text}");
    }
}

/// Both subjects were measured once in each block, in as many as were `planned`, and in more only where the machine was
/// disturbed in some.
#[track_caller]
pub(crate) fn assert_blocks(record: &Record, planned: usize) {
    let blocks = record.rounds.len() / 2;
    assert_eq!(record.rounds.len(), 2 * blocks);
    let again = record
        .checks
        .iter()
        .find(|check| check.name == "disturbed blocks were measured again");
    assert!(
        blocks == planned || (blocks > planned && again.is_some()),
        "{blocks} blocks, planned {planned}; {again:?}"
    );
}

/// The self-check of that name.
pub(crate) fn check<'r>(record: &'r Record, name: &str) -> &'r Check {
    let found = record.checks.iter().find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("no check {name:?} among {:#?}", record.checks))
}

/// Every process below `root`, with its name.
fn descendants(root: i32) -> BTreeSet<(i32, String)> {
    let all: Vec<_> = procfs::process::all_processes()
        .unwrap()
        .filter_map(|process| process.ok()?.stat().ok())
        .map(|stat| (stat.pid, stat.ppid, stat.comm))
        .collect();
    let mut found = BTreeSet::new();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (pid, _, name) in all.iter().filter(|(_, ppid, _)| *ppid == parent) {
            parents.push(*pid);
            found.insert((*pid, name.clone()));
        }
    }
    found
}

fn process_name(pid: i32) -> Option<String> {
    let stat = procfs::process::Process::new(pid).ok()?.stat().ok()?;
    (stat.state != 'Z').then_some(stat.comm)
}
