//! Whatever way a stack ends, its processes and directories go with it.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use stack::wait::Patience;
use stack::{Postgres, Provider, Redis, Stack, StackError};

use crate::support::{Room, ok};

fn pids(stack: &Stack) -> [u32; 3] {
    [stack.postgres.pid(), stack.redis.pid(), stack.kafka.pid()].map(Option::unwrap)
}

/// A stack with its three processes.
async fn start(room: &Room) -> (Stack, [u32; 3]) {
    let stack = ok(Stack::start(&room.native(), &mut |_| ()).await);
    let running = room.processes();
    let pids = pids(&stack);
    assert!(
        pids.iter().all(|pid| running.contains(pid)),
        "not all of {pids:?} are among {running:?}"
    );
    assert!(running.len() > 3, "Postgres has no helpers among {running:?}");
    assert_eq!(room.directories().len(), 3);
    (stack, pids)
}

/// Not even a zombie.
fn assert_reaped(pids: [u32; 3]) {
    for pid in pids {
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "process {pid} is left");
    }
}

#[tokio::test]
async fn after_an_orderly_stop() {
    let room = Room::new();
    let mut lines = Vec::new();
    let stack = ok(Stack::start(&room.native(), &mut |line| lines.push(line.to_owned())).await);
    let redis = format!("redis {}: native, because it was asked for", stack.redis.info().version);
    assert_eq!(lines[1], redis);
    let kafka = format!("kafka {}: native, because it was asked for", stack.kafka.info().version);
    assert_eq!(lines[2], kafka);
    assert_eq!(lines.len(), 3);
    let pids = pids(&stack);
    ok(stack.stop().await);
    assert_reaped(pids);
    room.assert_nothing_left();
}

#[tokio::test]
async fn after_a_panic_in_a_task() {
    let room = Room::new();
    let (stack, pids) = start(&room).await;
    let task = tokio::spawn(async move {
        let _alive_until_the_panic = stack;
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_reaped(pids);
    room.assert_nothing_left();
}

#[test]
fn after_a_panic_outside_any_runtime() {
    let room = Room::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (stack, pids) = runtime.block_on(start(&room));
    drop(runtime);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _alive_until_the_panic = stack;
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    assert_reaped(pids);
    room.assert_nothing_left();
}

/// 1. `initdb` is running, and has just forked `postgres` to fill the new cluster. 2. The future that waits for it is
/// dropped, as by Ctrl-C. 3. `initdb` ends; the child must not be left, nor the directory that it writes to.
#[tokio::test]
async fn after_a_start_that_was_given_up() {
    let room = Room::new();
    let options = room.native();
    tokio::select! {
        biased;
        () = processes_appear(&room, 2) => (),
        started = Postgres::start(&options) => panic!("it was up before it was seen: {started:?}"),
    }
    room.assert_nothing_left();
}

async fn processes_appear(room: &Room, at_least: usize) {
    let mut patience = Patience::new(Duration::from_secs(30));
    while room.processes().len() < at_least {
        patience.pause().await.unwrap();
    }
}

#[tokio::test]
async fn after_a_stack_that_came_up_by_half() {
    let room = Room::new();
    let options = stack::StackOptions {
        redis_server: Some("/bin/false".into()),
        ..room.native()
    };
    let mut lines = 0;
    let error = Stack::start(&options, &mut |_| lines += 1).await.unwrap_err();
    assert!(matches!(error, StackError::Process { .. }), "{error}");
    assert_eq!(lines, 1, "Postgres was not up");
    room.assert_nothing_left();
}

#[tokio::test]
async fn after_a_server_that_was_killed_which_is_reported() {
    let room = Room::new();
    let redis = ok(Redis::start(&room.native()).await);
    assert_eq!(redis.info().provider, Provider::Native);
    let pid = redis.pid().unwrap();
    let process = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
    let mut patience = Patience::new(Duration::from_secs(30));
    while room.processes().contains(&pid) {
        patience.pause().await.unwrap();
    }
    let error = redis.stop().await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("redis (pid {pid}) had ended by itself")) && error.contains("SIGKILL"),
        "{error}"
    );
    room.assert_nothing_left();
}

/// Handles and their futures may be moved to any task.
#[test]
fn stacks_may_be_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent(_: impl Send) {}
    shared::<Stack>();
    shared::<StackError>();
    let options = stack::StackOptions::default();
    sent(Postgres::start(&options));
    sent(Redis::start(&options));
    sent(stack::Kafka::start(&options));
}
