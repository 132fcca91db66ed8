//! Where Redis is.

use std::{fmt, time::Duration};

/// Where Redis is and how long it may take. Needs Redis 6 or later.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port[/database]`. `rediss://` (TLS) is refused: this crate is built without it.
    pub url: String,
    /// Takes precedence over a password in the URL.
    pub password: Option<String>,
    /// How long one operation may take before the cache goes on without Redis. Default: 100 ms.
    pub command_timeout: Duration,
    /// From this size on, bodies are compressed in Redis (not in memory). Default: never. Means nothing without the
    /// feature `compression`.
    pub compress_from_bytes: usize,
    /// How long connecting may take, and how long [`CacheBuilder::build`](crate::CacheBuilder::build) waits for Redis.
    /// Default: 1 s.
    pub connect_timeout: Duration,
}

impl RedisSettings {
    /// Settings for the server at `url`, with the defaults for the rest.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            command_timeout: Duration::from_millis(100),
            compress_from_bytes: usize::MAX,
            connect_timeout: Duration::from_secs(1),
        }
    }

    pub(crate) fn asks_for_tls(&self) -> bool {
        let (scheme, _) = self.url.split_once("://").unwrap_or_default();
        ["rediss", "valkeys"].iter().any(|tls| scheme.eq_ignore_ascii_case(tls))
    }
}

// The URL may hold a password.
impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("command_timeout", &self.command_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_do_not_print_the_password() {
        let settings = RedisSettings::new("redis://:secret@127.0.0.1:6379");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
