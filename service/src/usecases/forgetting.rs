//! Forgetting events that cannot come again any more.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store::inbox;

/// How often: a part of the shortest time that events are kept for.
const PERIOD: Duration = Duration::from_mins(1);

/// The role that forgets.
pub struct Forgetting {
    /// Where the inbox is.
    pub pool: PgPool,
    /// How long an event that comes again is known.
    pub keep: Duration,
}

impl Forgetting {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                tokio::time::sleep(PERIOD).await;
                if let Err(error) = inbox::forget_all(&self.pool, self.keep).await {
                    tracing::warn!(%error, "old events are not forgotten for now");
                }
            }
        })
        .await;
    }
}
