//! Threads that send: each with a single-threaded runtime of its own, so that a request never changes threads and
//! nobody waits for a queue that another thread holds.

use std::io;

use nix::unistd::gettid;
use procfs::process::Process;
use rustix::process::setpriority_process;
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::{runtime, sync::oneshot};

use crate::lag::Lag;

/// Nice value of a thread that sends where real-time priority is not permitted.
const NICE: i32 = -10;

/// Runs the future that `make` gives on a thread of its own, to its end. What it spawned and did not end is dropped
/// before its outcome is there.
pub(crate) fn on_own_thread<T: Send + 'static, F: Future<Output = T>>(
    name: &str,
    lag: Lag,
    make: impl FnOnce() -> F + Send + 'static,
) -> io::Result<oneshot::Receiver<io::Result<T>>> {
    let (done, outcome) = oneshot::channel();
    let thread = move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let ran = runtime.map(|runtime| {
            runtime.spawn(lag.keep_appointments());
            runtime.block_on(make())
        });
        // Nobody waits any more when the command was cancelled.
        let _ = done.send(ran);
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(thread)?;
    Ok(outcome)
}

/// The priority that threads that send have here, as [`measure::metrics::HARNESS_SENDER_PRIORITY`]; none where the
/// kernel does not say.
pub fn priority_here() -> Option<i32> {
    std::thread::spawn(raise_priority).join().ok()?
}

/// Raises the priority of this thread: its wake-ups come before the work of the subject, so that what is measured is
/// the subject's queue and not the generator's place in it. A nice value alone does not achieve that: a kernel without
/// full preemption lets a thread of the same class run on to its next tick.
///
/// Returns the priority that it then has, as [`measure::metrics::HARNESS_SENDER_PRIORITY`]; none where the kernel does
/// not say.
pub(crate) fn raise_priority() -> Option<i32> {
    let round_robin = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
    let real_time = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, round_robin);
    if real_time.is_err() {
        // Without root or CAP_SYS_NICE neither is permitted: then it stays as it is.
        let _ = setpriority_process(None, NICE);
    }
    let this_thread = Process::myself().ok()?.task_from_tid(gettid().as_raw()).ok()?;
    i32::try_from(this_thread.stat().ok()?.priority).ok()
}
