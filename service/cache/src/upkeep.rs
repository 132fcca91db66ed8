//! What runs in the background beside the subscriber, and how it all ends.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};

use crate::state::Core;

/// Long beside the work of one round, short enough that moka's queues do not fill up under a busy server.
const HOUSEKEEPING_PERIOD: Duration = Duration::from_millis(100);

/// Other replicas serve old answers until a failed invalidation is repeated; a Redis that refuses gets four a second.
const REPEAT_PERIOD: Duration = Duration::from_millis(250);

/// Moka's housekeeping, until the task is aborted.
pub(crate) async fn keep_house(core: Arc<Core>) {
    let mut timer = timer(HOUSEKEEPING_PERIOD);
    loop {
        timer.tick().await;
        core.l1.run_pending_tasks();
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

fn timer(period: Duration) -> Interval {
    let mut timer = interval(period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// The background tasks of one cache; they end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<Vec<JoinHandle<()>>>);

impl Tasks {
    pub(crate) fn new(tasks: Vec<JoinHandle<()>>) -> Self {
        Self(Mutex::new(tasks))
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
