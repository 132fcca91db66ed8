//! Whatever way a process with a stack ends, nothing of it is left: a pass, a failing test, a panic, Ctrl-C, SIGTERM;
//! and after kill -9, the next start removes it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stack::wait::Patience;
use stack::{Choice, Kafka, Postgres, Redis, Stack, StackError, StackOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::containers::containers_of;
use crate::support::{Room, containers, embedded, ok};

/// Tells [`victim`] how to end.
const ENDING: &str = "STACK_TEST_VICTIM";
/// Line that it prints once its servers are up.
const READY: &str = "the servers are up";

/// Not a test by itself: the process that the others start, with servers of its own.
#[test]
fn victim() {
    let Ok(ending) = std::env::var(ENDING) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(live_and_end(&ending));
}

async fn live_and_end(ending: &str) {
    let options = ok(StackOptions::from_env());
    if ending == "give up" {
        return give_up(&options).await;
    }
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    let mut interrupt = signal(SignalKind::interrupt()).unwrap();
    let stack = ok(start(&options, ending).await);
    println!("{READY}");
    match ending {
        "pass" => ok(stack.stop().await),
        "fail" => assert_eq!(1, 2, "a test that fails on purpose"),
        "panic" => {
            let task = tokio::spawn(async move {
                let _alive_until_the_panic = stack;
                panic!("on purpose");
            });
            assert!(task.await.unwrap_err().is_panic());
        }
        // As the harness does: a signal is an orderly return.
        _ => tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        },
    }
}

/// The whole stack where signals end it. Elsewhere without a real Kafka, which takes long to start and goes like the
/// others.
async fn start(options: &StackOptions, ending: &str) -> Result<Stack, StackError> {
    if ["signal", "hang"].contains(&ending) {
        return Stack::start(options, &mut |_| ()).await;
    }
    Ok(Stack {
        postgres: Postgres::start(options).await?,
        redis: Redis::start(options).await?,
        kafka: Kafka::start(&embedded()).await?,
    })
}

/// 1. The engine is asked to create a container. 2. It is there, but nobody got hold of it yet. 3. The future that
///    waits for it is dropped, as by Ctrl-C, and the process ends.
async fn give_up(options: &StackOptions) {
    let appears = async {
        let mut patience = Patience::new(Duration::from_secs(30));
        while containers_of(std::process::id()).await.is_empty() {
            patience.pause().await.unwrap();
        }
    };
    tokio::select! {
        biased;
        () = appears => println!("{READY}"),
        started = Redis::start(options) => panic!("it was up before it was seen: {started:?}"),
    }
}

/// The victim, from outside.
struct Victim {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Victim {
    /// Starts it and waits until its servers are up.
    fn start(ending: &str, choice: Choice, room: &Room) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "killed::victim", "--nocapture"])
            .env(ENDING, ending)
            .env("STACK_PROVIDER", choice.to_string())
            .env("TMPDIR", room.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(READY) {
            line.clear();
            assert_ne!(
                output.read_line(&mut line).unwrap(),
                0,
                "the victim ended before its servers were up"
            );
        }
        Self { child, output }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Signal 0, which harms nobody, stands for `None`.
    fn signal(&self, signal: impl Into<Option<Signal>>) {
        kill(Pid::from_raw(self.pid().cast_signed()), signal).unwrap();
    }

    /// Waits for its end, reading on so that it is never blocked.
    fn end(mut self) -> ExitStatus {
        std::io::copy(&mut self.output, &mut std::io::sink()).unwrap();
        self.child.wait().unwrap()
    }
}

/// Ends in one of the orderly ways; afterwards nothing is there.
async fn ends(ending: &str, send: Option<Signal>, succeeds: bool) {
    let room = Room::new();
    let victim = Victim::start(ending, Choice::Native, &room);
    victim.signal(send);
    assert_eq!(victim.end().success(), succeeds, "{ending}");
    room.assert_nothing_left();

    if containers().is_none() {
        return;
    }
    let victim = Victim::start(ending, Choice::Containers, &room);
    let pid = victim.pid();
    victim.signal(send);
    assert_eq!(victim.end().success(), succeeds, "{ending}");
    assert_eq!(containers_of(pid).await, []);
    room.assert_nothing_left();
}

#[tokio::test]
async fn by_passing() {
    ends("pass", None, true).await;
}

#[tokio::test]
async fn by_a_test_that_fails() {
    ends("fail", None, false).await;
}

#[tokio::test]
async fn by_a_panic_in_a_task() {
    ends("panic", None, true).await;
}

#[tokio::test]
async fn by_ctrl_c() {
    ends("signal", Some(Signal::SIGINT), true).await;
}

#[tokio::test]
async fn by_sigterm() {
    ends("signal", Some(Signal::SIGTERM), true).await;
}

#[tokio::test]
async fn by_kill_9_with_native_servers() {
    let room = Room::new();
    let victim = Victim::start("hang", Choice::Native, &room);
    assert_eq!(
        stack::sweep(&room.native()).await,
        Vec::<String>::new(),
        "servers of a living owner were removed"
    );
    victim.signal(Signal::SIGKILL);
    assert!(!victim.end().success());
    assert_eq!(room.directories().len(), 3);
    assert!(room.processes().len() > 3, "the servers went by themselves");

    let mut lines = Vec::new();
    let next = ok(Stack::start(&room.native(), &mut |line| lines.push(line.to_owned())).await);
    let removed = lines
        .iter()
        .filter(|line| line.starts_with("removed what a killed run left: "))
        .count();
    assert!(removed >= 3, "{lines:?}");
    assert_eq!(room.directories().len(), 3, "only the next one's are there");
    ok(next.stop().await);
    room.assert_nothing_left();
}

#[tokio::test]
async fn by_kill_9_with_containers() {
    let Some(options) = containers() else { return };
    let room = Room::new();
    let victim = Victim::start("hang", Choice::Containers, &room);
    let pid = victim.pid();
    stack::sweep(&options).await;
    assert_eq!(
        containers_of(pid).await.len(),
        3,
        "containers of a living owner were removed"
    );
    victim.signal(Signal::SIGKILL);
    assert!(!victim.end().success());
    // Another test's start may have been quicker; then there is nothing left to remove, which is what counts.
    stack::sweep(&options).await;
    assert_eq!(containers_of(pid).await, []);
    room.assert_nothing_left();
}

#[tokio::test]
async fn by_giving_up_the_start_of_a_container() {
    if containers().is_none() {
        return;
    }
    let room = Room::new();
    let victim = Victim::start("give up", Choice::Containers, &room);
    let pid = victim.pid();
    assert!(victim.end().success());
    assert_eq!(containers_of(pid).await, []);
}
