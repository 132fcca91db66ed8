//! What goes in and out of the cache: the body, its version, and where an answer came from.

use bytes::Bytes;

use crate::{place::Place, tag::Tag};

/// A cached answer, ready to send. Cloning copies a pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The response body, exactly as it goes out.
    pub body: Bytes,
    /// The version of the row behind it, as the loader gave it.
    pub version: i64,
}

impl Entry {
    /// An entry from its body and version.
    pub fn new(body: impl Into<Bytes>, version: i64) -> Self {
        Self {
            body: body.into(),
            version,
        }
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// This process's memory.
    L1,
    /// Redis.
    L2,
    /// The loader: a miss.
    Db,
    /// An aged but not invalidated entry, because the loader failed or took too long.
    Stale,
}

impl Tier {
    /// The name in headers and metrics: `l1`, `l2`, `db` or `stale`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::Db => "db",
            Self::Stale => "stale",
        }
    }
}

/// The answer to one read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The entry, or `None` if the loader says that there is no such thing.
    pub entry: Option<Entry>,
    /// Where it came from.
    pub tier: Tier,
}

impl Served {
    pub(crate) fn new(entry: Option<Entry>, tier: Tier) -> Self {
        Self { entry, tier }
    }
}

/// What an invalidation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalidated {
    /// Its place in the row of all invalidations of the namespace; `None` without Redis and for an empty set of tags.
    pub place: Option<Place>,
}

/// What a flush did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// As in [`Invalidated`].
    pub place: Option<Place>,
    /// The tags that were invalidated: `all`, or one for each endpoint.
    pub tags: Vec<Tag>,
    /// How many dead entries were freed in Redis.
    pub freed: u64,
}
