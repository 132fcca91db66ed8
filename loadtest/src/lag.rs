//! How late the harness's own timers fire while it drives load: a generator that cannot keep its own appointments measures
//! itself.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use measure::histogram::LatencyHistogram;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

/// Often enough for a 99th percentile within seconds, seldom enough to cost nothing.
const EVERY: Duration = Duration::from_millis(20);

/// Measures until it is dropped.
pub(crate) struct LagMeter {
    task: JoinHandle<()>,
    late: Arc<Mutex<LatencyHistogram>>,
}

impl LagMeter {
    /// Starts on the current runtime, where the users of the closed model run too.
    pub(crate) fn start() -> Self {
        let late = Arc::new(Mutex::new(LatencyHistogram::new()));
        let task = tokio::spawn(keep_appointments(Arc::clone(&late)));
        Self { task, late }
    }

    /// The 99th percentile so far, milliseconds; absent before the first appointment.
    pub(crate) fn p99_ms(&self) -> Option<f64> {
        let late = self.late.lock().expect("nothing panics while holding it");
        late.quantile_us(0.99).map(|us| us as f64 / 1000.0)
    }
}

impl Drop for LagMeter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep_appointments(late: Arc<Mutex<LatencyHistogram>>) {
    loop {
        let due = Instant::now() + EVERY;
        sleep_until(due).await;
        let late_us = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        late.lock().expect("nothing panics while holding it").record_us(late_us);
    }
}
