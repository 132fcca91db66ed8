//! Memory that Redis uses, from INFO.

use redis::{InfoDict, aio::MultiplexedConnection};

use crate::error::HarnessError;

/// A connection of its own.
pub(crate) struct Memory {
    connection: MultiplexedConnection,
}

impl Memory {
    pub(crate) async fn connect(url: &str) -> Result<Self, HarnessError> {
        let client = redis::Client::open(url).map_err(|error| unavailable(&error))?;
        let connection = client
            .get_multiplexed_async_connection()
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(Self { connection })
    }

    /// `used_memory` of INFO, bytes.
    pub(crate) async fn used_bytes(&mut self) -> Result<u64, HarnessError> {
        let info: InfoDict = redis::cmd("INFO")
            .arg("memory")
            .query_async(&mut self.connection)
            .await
            .map_err(|error| unavailable(&error))?;
        Ok(info.get("used_memory").unwrap_or_default())
    }
}

fn unavailable(error: &redis::RedisError) -> HarnessError {
    HarnessError::Unavailable(format!(
        "probe of Redis: {error}; is REDIS_URL right and the server up?"
    ))
}
