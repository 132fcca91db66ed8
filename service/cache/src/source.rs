//! Where answers come from when no client brings a loader: for warming and verification.

use std::{error::Error, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;

use crate::{entry::Entry, key::Key, policy::Policy, tag::Tag};

/// Samples that run at the same time; further hits are not sampled meanwhile, so that a slow database is not asked
/// more.
const MAX_SAMPLES: usize = 16;

/// When a difference is looked at again.
const LOOK_AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), Duration::from_mins(1)];

/// Anything that loading can fail with.
pub type SourceError = Box<dyn Error + Send + Sync>;

/// The source of truth, by key; given once, by [`CacheBuilder::source`](crate::CacheBuilder::source).
pub trait Source: Send + Sync + 'static {
    /// The answer to `key`, from the primary of the database.
    fn load(&self, key: Key) -> BoxFuture<'static, Result<Option<Entry>, SourceError>>;

    /// What the answer to `key` depends on: the same tags as with every read of it.
    fn tags(&self, key: &Key) -> Vec<Tag>;

    /// How it is cached: the same policy as with every read of it.
    fn policy(&self, key: &Key) -> Policy;
}

/// The source of a cache that was given none: every load fails.
pub(crate) struct NoSource;

impl Source for NoSource {
    fn load(&self, _key: Key) -> BoxFuture<'static, Result<Option<Entry>, SourceError>> {
        Box::pin(async { Err("the cache was built without a source".into()) })
    }

    fn tags(&self, _key: &Key) -> Vec<Tag> {
        Vec::new()
    }

    fn policy(&self, _key: &Key) -> Policy {
        Policy::ttl(Duration::ZERO)
    }
}

/// Which hits are compared with a fresh load, and when a difference is looked at again.
#[derive(Clone, Debug)]
pub(crate) struct Sampler {
    pub(crate) one_in: u32,
    pub(crate) places: Arc<Semaphore>,
    pub(crate) look_again: Arc<[Duration]>,
}

impl Sampler {
    pub(crate) fn new(one_in: u32, look_again: Option<Vec<Duration>>) -> Self {
        Self {
            one_in: one_in.max(1),
            places: Arc::new(Semaphore::new(MAX_SAMPLES)),
            look_again: look_again.map_or_else(|| LOOK_AGAIN.into(), Into::into),
        }
    }
}
