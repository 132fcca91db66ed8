//! Whose tokens do not count any more: read from the database now and then, so that no request has to ask.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::auth::TokenKeys;
use crate::store::users;

/// How often the database is asked. A demoted administrator keeps what the token allows for so long.
const PERIOD: Duration = Duration::from_secs(5);
/// Added to the lifetime of a token before a revocation is forgotten: clocks differ, and so may the configurations of
/// two replicas for a while.
const MARGIN: Duration = Duration::from_hours(24);

/// The role that reads revocations.
pub struct Revoking {
    /// Where they are.
    pub pool: PgPool,
    /// Whom they are told.
    pub tokens: Arc<TokenKeys>,
    /// How long a token lives.
    pub token_ttl: Duration,
}

impl Revoking {
    /// Runs until `stop`. While the database is away, what was known last holds.
    pub async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(async {
            loop {
                self.read().await;
                tokio::time::sleep(PERIOD).await;
            }
        })
        .await;
    }

    async fn read(&self) {
        match users::revocations(&self.pool, self.token_ttl + MARGIN).await {
            Ok(revocations) => self.tokens.revoke(revocations),
            Err(error) => tracing::warn!(%error, "revoked tokens are not known for now"),
        }
    }
}
