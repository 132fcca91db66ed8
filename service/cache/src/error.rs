//! Everything that can go wrong and reaches the caller. A failing Redis reaches a reader never, a writer as
//! [`InvalidateError`].

use std::{sync::Arc, time::Duration};

/// The cache could not be built: its settings are wrong. A Redis that does not answer is no such error.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The namespace would not keep its Redis keys apart from those of others.
    #[error("cache namespace `{0}` must be 1 to 64 characters out of A-Z a-z 0-9 _ - .")]
    Namespace(String),
    /// The Redis URL asks for TLS.
    #[error(
        "the Redis URL of the cache asks for TLS (rediss://), which this build does not have: use redis:// in a \
         private network, or a TLS tunnel beside the process"
    )]
    Tls,
    /// The Redis URL cannot be read, or asks for something that this build cannot do.
    #[error("the Redis URL of the cache cannot be used (expected redis://[user:password@]host:port[/db])")]
    Redis(#[source] redis::RedisError),
}

/// A read found nothing in the cache, and loading failed too. Every client that waited for the load gets the same
/// error.
#[derive(Debug, thiserror::Error)]
pub enum LoadError<E> {
    /// The loader returned this error. It was not cached: the next read loads again.
    #[error("the loader of a cached answer failed")]
    Loader(#[source] Arc<E>),
    /// The loader took longer than the policy's hard time-out, and there was no aged answer to give instead.
    #[error("the loader of a cached answer did not come back within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The load ended without a result: the loader panicked, or the runtime is shutting down.
    #[error("the loader of a cached answer panicked or was stopped")]
    Aborted,
}

/// Redis did not take an invalidation. This replica has applied it and no longer trusts Redis for these tags; other
/// replicas have not heard of it. The cache repeats it by itself while the process lives; a caller that must not lose
/// it keeps its own record (an outbox row) and calls again.
#[derive(Debug, thiserror::Error)]
#[error("{tags} tag(s) were invalidated on this replica only")]
pub struct InvalidateError {
    /// How many tags the call named.
    pub tags: usize,
    /// Why Redis did not take it.
    #[source]
    pub cause: RedisFailure,
}

/// Why a Redis operation did not happen, or may not have happened.
#[derive(Debug, thiserror::Error)]
pub enum RedisFailure {
    /// There is no connection now; one is opened in the background.
    #[error("there is no connection to Redis; one is being opened")]
    NotConnected,
    /// Redis failed and did not answer since; it is asked again and again in the background.
    #[error("Redis failed a moment ago; whether it is back is asked in the background")]
    BreakerOpen,
    /// No answer within the command time-out. The command may still take effect.
    #[error("Redis did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// Redis or the connection to it reported an error.
    #[error("Redis reported an error")]
    Redis(#[from] redis::RedisError),
    /// The task that talked to Redis was stopped.
    #[error("the task that talked to Redis was stopped")]
    Aborted,
}
