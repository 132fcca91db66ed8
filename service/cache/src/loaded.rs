//! What a loader brings: a value, or that there is none, and what it wants of the cache for this one answer.

use std::time::Duration;

use crate::entry::Entry;

/// The result of a load. A loader that has no wishes returns an `Option` of its value, which becomes one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T = Entry> {
    pub(crate) value: Option<T>,
    pub(crate) version: i64,
    pub(crate) ttl: Option<Duration>,
    pub(crate) is_kept: bool,
}

impl<T> Loaded<T> {
    /// A value.
    pub const fn new(value: T) -> Self {
        Self::of(Some(value))
    }

    /// There is no such thing.
    pub const fn nothing() -> Self {
        Self::of(None)
    }

    const fn of(value: Option<T>) -> Self {
        Self {
            value,
            version: 0,
            ttl: None,
            is_kept: true,
        }
    }

    /// The version of a typed value, which [`Entry::version`] has for others. Default: 0.
    #[must_use]
    pub const fn with_version(mut self, version: i64) -> Self {
        self.version = version;
        self
    }

    /// Serves this answer for `ttl` instead of the policy's TTL; jitter applies all the same.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Answers those who wait, and keeps nothing: an answer that is only half there, or of one moment.
    #[must_use]
    pub const fn do_not_keep(mut self) -> Self {
        self.is_kept = false;
        self
    }

    /// The same with another value; an error takes its place.
    pub(crate) fn try_map<U, E>(self, map: impl FnOnce(T, i64) -> Result<U, E>) -> Result<Loaded<U>, E> {
        let version = self.version;
        Ok(Loaded {
            value: self.value.map(|value| map(value, version)).transpose()?,
            version,
            ttl: self.ttl,
            is_kept: self.is_kept,
        })
    }
}

impl<T> From<Option<T>> for Loaded<T> {
    fn from(value: Option<T>) -> Self {
        Self::of(value)
    }
}
