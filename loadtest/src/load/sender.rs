//! Threads that send: each with a single-threaded runtime of its own, so that a request never changes threads and nobody waits
//! for a queue that another thread holds.

use std::io;

use tokio::{runtime, sync::oneshot};

use crate::lag::Lag;

/// Runs the future that `make` gives on a thread of its own, to its end. What it spawned and did not end is dropped before its
/// outcome is there.
pub(super) fn on_own_thread<T: Send + 'static, F: Future<Output = T>>(
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
