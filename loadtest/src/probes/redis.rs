//! Redis as it counts itself, from INFO.

use redis::{InfoDict, aio::MultiplexedConnection};

use crate::error::HarnessError;

/// One moment of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct RedisReading {
    pub(super) used_bytes: u64,
    pub(super) commands: u64,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) evicted: u64,
}

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

    pub(super) async fn read(&mut self) -> Result<RedisReading, HarnessError> {
        let info: InfoDict = redis::cmd("INFO")
            .arg(&["memory", "stats"])
            .query_async(&mut self.connection)
            .await
            .map_err(|error| unavailable(&error))?;
        let field = |name: &str| info.get(name).unwrap_or_default();
        Ok(RedisReading {
            used_bytes: field("used_memory"),
            commands: field("total_commands_processed"),
            hits: field("keyspace_hits"),
            misses: field("keyspace_misses"),
            evicted: field("evicted_keys"),
        })
    }
}

fn unavailable(error: &redis::RedisError) -> HarnessError {
    HarnessError::Probe(format!(
        "probe of Redis: {error}; is REDIS_URL right and the server up?"
    ))
}
