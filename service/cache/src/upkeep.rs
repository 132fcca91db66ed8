//! What runs in the background beside the subscriber, and how it all ends.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval, sleep},
};

use crate::state::Core;

/// Other replicas serve old answers until a failed invalidation is repeated; a Redis that refuses gets four a second.
const REPEAT_PERIOD: Duration = Duration::from_millis(250);

/// Pause between two attempts to connect: the first, and the longest. Doubled each time, because a server that refuses
/// its service may do so for hours; short beside the second within which L1 is to be back.
const CONNECT_PAUSE: Duration = Duration::from_millis(50);
const CONNECT_PAUSE_MAX: Duration = Duration::from_millis(200);

/// Memory fills up over minutes.
const MEMORY_PERIOD: Duration = Duration::from_secs(10);

/// The share of its limit from which on a full Redis is worth a warning.
const MEMORY_ALARM_SHARE: f64 = 0.9;

/// Keeps a connection for commands open, until the task is aborted.
pub(crate) async fn keep_connected(core: Arc<Core>) {
    let Some(l2) = &core.l2 else { return };
    let mut reported = false;
    let mut pause = CONNECT_PAUSE;
    loop {
        match l2.open().await {
            Ok(renewed) => {
                (reported, pause) = (false, CONNECT_PAUSE);
                if renewed {
                    tracing::info!("Redis was started anew, or is new to this cache: everything was invalidated");
                    core.renewals.send_modify(|count| *count += 1);
                }
                core.repeat_failed().await;
                l2.wait_until_linked(false).await;
            }
            Err(failure) => {
                if !reported {
                    let error = &failure as &dyn std::error::Error;
                    tracing::warn!(error, "Redis cannot be reached, or does not take what the cache writes");
                }
                reported = true;
                pause = (pause * 2).min(CONNECT_PAUSE_MAX);
            }
        }
        sleep(pause).await;
    }
}

/// Ends outages in which the connection holds, until the task is aborted.
pub(crate) async fn try_again(core: Arc<Core>) {
    let Some(l2) = &core.l2 else { return };
    loop {
        l2.try_again().await;
    }
}

/// Repeats invalidations that Redis did not take, until the task is aborted.
pub(crate) async fn repeat_failed(core: Arc<Core>) {
    let mut timer = timer(REPEAT_PERIOD);
    loop {
        timer.tick().await;
        core.repeat_failed().await;
    }
}

/// Looks how full Redis is, until the task is aborted.
pub(crate) async fn watch_memory(core: Arc<Core>) {
    let Some(l2) = &core.l2 else { return };
    l2.wait_until_linked(true).await;
    let mut timer = timer(MEMORY_PERIOD);
    let mut alarmed = false;
    loop {
        timer.tick().await;
        let Some(share) = look_at_memory(&core).await else {
            continue;
        };
        let is_full = share >= MEMORY_ALARM_SHARE;
        if is_full && !alarmed {
            tracing::warn!(
                percent = (share * 100.0).round(),
                "Redis is nearly full: it evicts, or will"
            );
        }
        alarmed = is_full;
    }
}

async fn look_at_memory(core: &Core) -> Option<f64> {
    let memory = core.l2.as_ref()?.memory().await.ok()?;
    core.context.counters.note_memory(memory);
    memory.share()
}

/// Ticks now, and then once in each `period`; a tick that comes late moves those after it.
pub(crate) fn timer(period: Duration) -> Interval {
    let mut timer = interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// The background tasks of one cache; they end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<Vec<JoinHandle<()>>>);

impl Tasks {
    /// Starts one more.
    pub(crate) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) {
        let task = tokio::spawn(async move {
            work.await;
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Ends the tasks and waits until they are gone.
    pub(crate) async fn stop(&self) {
        for task in self.abort() {
            // The error says that it was aborted.
            let _ = task.await;
        }
    }

    fn abort(&self) -> Vec<JoinHandle<()>> {
        let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.iter().for_each(JoinHandle::abort);
        tasks
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.abort();
    }
}
