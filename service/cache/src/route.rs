//! What a web framework's "this route is cached" is made of: everything that is the same for all requests of one route, as a
//! value. It knows no framework; a service's one line per route builds on [`Route::serve`].

use std::{fmt::Display, future::Future};

use crate::{
    TieredCache,
    entry::{Entry, Served},
    error::LoadError,
    key::Key,
    policy::Policy,
    tag::Tag,
};

/// Inputs that change an answer, as parts of a key: a typed key.
///
/// Implemented for tuples of one to four [`Display`] values. Implement it for a struct of query parameters by adding every
/// field; one that is left out lets two different questions share an answer.
pub trait KeyParts {
    /// Adds the parts, always in the same order.
    fn add_to(&self, key: Key) -> Key;
}

impl KeyParts for () {
    fn add_to(&self, key: Key) -> Key {
        key
    }
}

macro_rules! key_parts_of_tuples {
    ($($name:ident)+) => {
        impl<$($name: Display),+> KeyParts for ($($name,)+) {
            #[expect(non_snake_case, reason = "the type parameters name the fields")]
            fn add_to(&self, key: Key) -> Key {
                let ($($name,)+) = self;
                key$(.part($name))+
            }
        }
    };
}

key_parts_of_tuples!(A);
key_parts_of_tuples!(A B);
key_parts_of_tuples!(A B C);
key_parts_of_tuples!(A B C D);

/// A cached route: its name, what its answers depend on, and how they are cached.
///
/// ```
/// use std::{convert::Infallible, time::Duration};
/// use tiered_cache::{Entry, Policy, Route, Tag, TieredCache};
///
/// static DRIVER: Route<(i64, &str)> = Route::new(
///     "driver_details",
///     Policy::ttl(Duration::from_mins(5)),
///     |(id, _role)| vec![Tag::new(format!("driver:{id}"))],
/// );
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let cache = TieredCache::builder("doc").build().await?;
/// let load = || async { Ok::<_, Infallible>(Some(Entry::new("{}", 1))) };
/// let served = DRIVER.serve(&cache, &(42, "admin"), None, load).await?;
/// assert_eq!(served.entry.map(|entry| entry.version), Some(1));
/// # cache.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Route<P> {
    endpoint: &'static str,
    policy: Policy,
    tags: fn(&P) -> Vec<Tag>,
}

impl<P: KeyParts> Route<P> {
    /// A route. `tags` says what the answer for some inputs depends on.
    pub const fn new(endpoint: &'static str, policy: Policy, tags: fn(&P) -> Vec<Tag>) -> Self {
        Self { endpoint, policy, tags }
    }

    /// The name: label of its metrics and first part of its keys.
    pub const fn endpoint(&self) -> &'static str {
        self.endpoint
    }

    /// How it is cached.
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The same route, cached differently (a TTL from the configuration, say).
    #[must_use]
    pub const fn with_policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The key of these inputs.
    pub fn key(&self, inputs: &P) -> Key {
        inputs.add_to(Key::new(self.endpoint))
    }

    /// What the answer for these inputs depends on.
    pub fn tags(&self, inputs: &P) -> Vec<Tag> {
        (self.tags)(inputs)
    }

    /// Answers one request. `after_seq` is the `x-cache-seq` that the client brought, if any.
    pub async fn serve<E, F, Fut>(
        &self,
        cache: &TieredCache,
        inputs: &P,
        after_seq: Option<u64>,
        loader: F,
    ) -> Result<Served, LoadError<E>>
    where
        E: Send + Sync + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<Entry>, E>> + Send + 'static,
    {
        let (key, tags) = (self.key(inputs), self.tags(inputs));
        cache
            .get_or_load_after(after_seq, &key, &tags, &self.policy, loader)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_input_is_in_the_key() {
        let route: Route<(i64, &str, bool)> = Route::new("r", Policy::ttl(Duration::from_secs(1)), |(id, ..)| {
            vec![Tag::new(format!("driver:{id}"))]
        });
        assert_eq!(route.key(&(1, "admin", true)).parts(), ["1", "admin", "true"]);
        assert_ne!(route.key(&(1, "admin", true)), route.key(&(1, "driver", true)));
        assert_eq!(route.tags(&(7, "", false)), [Tag::new("driver:7")]);
    }
}
