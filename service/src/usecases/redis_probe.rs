//! Asks Redis whether it is there. Apart from the cache's own connection on purpose: the cache goes on without Redis
//! and hides its failures, which is right for requests and wrong for a probe.

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, FromRedisValue, IntoConnectionInfo, RedisError};
use tokio::sync::Mutex;

use crate::config::CacheConfig;

/// The memory of Redis, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedisMemory {
    /// In use.
    pub used_bytes: u64,
    /// Allowed; 0 = without a limit.
    pub max_bytes: u64,
}

/// Asks over one connection of its own, which is kept from one question to the next.
pub struct RedisProbe {
    client: Client,
    /// Taken out for a question and put back with its answer: after a failure, or a question that was given up, the next
    /// one connects anew. Held meanwhile, so that questions at the same time do not connect each for itself.
    connection: Mutex<Option<MultiplexedConnection>>,
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
            connection: Mutex::default(),
        })
    }

    /// Memory by Redis's own account. The caller bounds the time.
    pub async fn memory(&self) -> Result<RedisMemory, RedisError> {
        let info: String = self.ask(redis::cmd("INFO").arg("memory")).await?;
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
        self.ask(&redis::cmd("PING")).await
    }

    async fn ask<T: FromRedisValue>(&self, question: &Cmd) -> Result<T, RedisError> {
        let mut kept = self.connection.lock().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.client.get_multiplexed_async_connection().await?,
        };
        let answer = question.query_async(&mut connection).await?;
        *kept = Some(connection);
        Ok(answer)
    }
}
