//! Does the cache tell the truth? Some answers are compared with the database now and then, as the plan asks.

use std::time::Duration;

use tiered_cache::TieredCache;
use tokio_util::sync::CancellationToken;

use crate::metrics::CacheMetrics;

/// Answers of one look.
const ANSWERS: usize = 20;

/// The role that compares.
pub struct Verifying {
    /// What is looked at.
    pub cache: TieredCache,
    /// How often.
    pub every: Duration,
    /// Where answers are counted; those that differ the cache itself reports.
    pub metrics: CacheMetrics,
}

impl Verifying {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                tokio::time::sleep(self.every).await;
                let verified = self.cache.verify(ANSWERS).await;
                self.metrics.count_verified(verified.checked);
            }
        })
        .await;
    }
}
