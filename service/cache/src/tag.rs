//! Tags: what an answer depends on. A write names the tags whose data it changed; every answer that carries one of them
//! is out of date from then on.

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
    sync::Arc,
};

use crate::key::Key;

/// The name of the tag that every answer carries without being told to.
const ALL: &str = "all";

/// One thing that answers depend on, such as `driver:42`. Cloning copies a pointer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    name: Arc<str>,
    stripe: u16,
}

impl Tag {
    /// A tag by name. Names are compared byte by byte.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        let name = name.into();
        let stripe = stripe_of(&[&name]);
        Self { name, stripe }
    }

    /// The tag that every answer depends on: invalidating it empties the cache of all replicas in constant time.
    pub fn all() -> Self {
        Self::new(ALL)
    }

    /// The tag that every answer of an endpoint depends on without being told to: `endpoint:NAME`. Invalidating it
    /// empties the endpoint in constant time.
    pub fn endpoint(endpoint: &str) -> Self {
        Self::new(format!("endpoint:{endpoint}"))
    }

    /// The tag of one answer, which typed values carry: invalidating it removes that answer.
    pub fn key(key: &Key) -> Self {
        Self::new(format!("key:{key}"))
    }

    /// The name given to [`Tag::new`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which of the stamps stands for this tag in this process. Two tags may share one: the price is a needless miss.
    pub(crate) fn stripe(&self) -> u16 {
        self.stripe
    }

    pub(crate) fn is_all(&self) -> bool {
        &*self.name == ALL
    }
}

/// The stripe of [`Tag::endpoint`], without building the tag.
pub(crate) fn endpoint_stripe(endpoint: &str) -> u16 {
    stripe_of(&["endpoint:", endpoint])
}

/// The low 16 bits of `SipHash` with fixed keys. A client who makes tags collide gains only misses.
fn stripe_of(parts: &[&str]) -> u16 {
    let mut hasher = DefaultHasher::new();
    for part in parts {
        hasher.write(part.as_bytes());
    }
    let [low, high, ..] = hasher.finish().to_le_bytes();
    u16::from_le_bytes([low, high])
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stripe_of_an_endpoint_is_that_of_its_tag() {
        assert_eq!(Tag::endpoint("risk").stripe(), endpoint_stripe("risk"));
        assert_eq!(Tag::endpoint("risk"), Tag::new("endpoint:risk"));
    }

    #[test]
    fn tags_are_equal_by_name() {
        assert_eq!(Tag::new("driver:1"), Tag::new(String::from("driver:1")));
        assert_ne!(Tag::new("driver:1"), Tag::new("driver:2"));
        assert!(Tag::all().is_all());
        assert!(!Tag::new("driver:1").is_all());
    }
}
