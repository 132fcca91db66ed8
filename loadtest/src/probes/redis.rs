//! Redis as it counts itself, from INFO.

use measure::metrics;
use redis::{InfoDict, aio::MultiplexedConnection};

use super::{Probe, sample::MIB, sample::Sample};
use crate::error::HarnessError;

/// A connection of its own.
pub(super) struct Redis {
    connection: MultiplexedConnection,
}

impl Redis {
    pub(super) async fn connect(url: &str) -> Result<Self, HarnessError> {
        let client = redis::Client::open(url).map_err(|error| unavailable(&error))?;
        let connection = client
            .get_multiplexed_async_connection()
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(Self { connection })
    }
}

#[async_trait::async_trait]
impl Probe for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn read(&mut self, sample: &mut Sample) -> Result<(), HarnessError> {
        let info: InfoDict = redis::cmd("INFO")
            .arg(&["memory", "stats"])
            .query_async(&mut self.connection)
            .await
            .map_err(|error| unavailable(&error))?;
        let field = |name: &str| -> u64 { info.get(name).unwrap_or_default() };
        let (hits, misses) = (field("keyspace_hits"), field("keyspace_misses"));
        sample.put(&metrics::REDIS_USED_MEMORY_MB, field("used_memory") as f64 / MIB);
        sample.count(&metrics::REDIS_COMMANDS_PER_S, field("total_commands_processed"));
        sample.count(&metrics::REDIS_EVICTED_KEYS, field("evicted_keys"));
        sample.part(&metrics::REDIS_HIT_RATIO, hits, hits + misses);
        Ok(())
    }
}

fn unavailable(error: &redis::RedisError) -> HarnessError {
    HarnessError::Probe(format!(
        "probe of Redis: {error}; is REDIS_URL right and the server up?"
    ))
}
