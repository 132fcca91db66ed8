//! How late the timers of the threads that send fire while they drive load: a generator that cannot keep its own
//! appointments measures itself.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use measure::histogram::LatencyHistogram;
use tokio::time::{Instant, sleep_until};

/// Often enough for a 99th percentile within seconds, seldom enough to cost nothing.
const EVERY: Duration = Duration::from_millis(20);

/// How late timers have fired so far, on all threads that keep appointments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lag {
    late: Arc<Mutex<LatencyHistogram>>,
}

impl Lag {
    /// Waits for one timer after the other on the current runtime, for ever.
    pub(crate) async fn keep_appointments(self) {
        loop {
            let due = Instant::now() + EVERY;
            sleep_until(due).await;
            let late_us = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.late
                .lock()
                .expect("nothing panics while holding it")
                .record_us(late_us);
        }
    }

    /// The 99th percentile so far, milliseconds; absent before the first appointment.
    pub(crate) fn p99_ms(&self) -> Option<f64> {
        let late = self.late.lock().expect("nothing panics while holding it");
        late.quantile_us(0.99).map(|us| us as f64 / 1000.0)
    }
}
