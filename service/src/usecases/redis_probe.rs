//! Asks Redis whether it is there. Apart from the cache's own connection on purpose: the cache goes on without Redis
//! and hides its failures, which is right for requests and wrong for a probe.

use redis::{Client, IntoConnectionInfo, RedisError};

use crate::config::CacheConfig;

/// The memory of Redis, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisMemory {
    /// In use.
    pub used_bytes: u64,
    /// Allowed; 0 = without a limit.
    pub max_bytes: u64,
}

/// Pings over a connection of its own each time, so that the answer says whether new connections work.
pub struct RedisProbe {
    client: Client,
}

impl RedisProbe {
    /// A probe of the cache's Redis. Does not connect.
    pub fn new(config: &CacheConfig) -> Result<Self, RedisError> {
        let mut info = config.redis_url.reveal().into_connection_info()?;
        if let Some(password) = &config.redis_password {
            let settings = info.redis_settings().clone().set_password(password.reveal());
            info = info.set_redis_settings(settings);
        }
        Ok(Self {
            client: Client::open(info)?,
        })
    }

    /// Memory by Redis's own account. The caller bounds the time.
    pub async fn memory(&self) -> Result<RedisMemory, RedisError> {
        let mut connection = self.client.get_multiplexed_async_connection().await?;
        let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
        let number = |name: &str| {
            let mut lines = info.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
        };
        Ok(RedisMemory {
            used_bytes: number("used_memory"),
            max_bytes: number("maxmemory"),
        })
    }

    /// Whether Redis answers. The caller bounds the time.
    pub async fn ping(&self) -> Result<(), RedisError> {
        let mut connection = self.client.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async(&mut connection).await
    }
}
