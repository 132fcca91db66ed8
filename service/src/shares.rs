//! How much of something one client may have at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So many maps, that hardly two clients meet at one lock.
const SHARDS: usize = 64;

/// Counts by client. Only clients that have something are kept, so that the size is bounded by what is given out.
pub struct Shares<C> {
    inner: Arc<Inner<C>>,
}

struct Inner<C> {
    max: usize,
    hasher: RandomState,
    /// Held for a look-up; never across an await.
    shards: [Mutex<HashMap<C, usize>>; SHARDS],
}

/// One of what a client may have; given back when it is dropped.
#[must_use = "a share is given back when it is dropped"]
pub struct Share<C: Copy + Eq + Hash> {
    client: C,
    inner: Arc<Inner<C>>,
}

impl<C: Copy + Eq + Hash> Shares<C> {
    /// At most `max` for each client.
    pub fn new(max: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                max,
                hasher: RandomState::new(),
                shards: std::array::from_fn(|_| Mutex::default()),
            }),
        }
    }

    /// One for `client`, unless it has all that it may have.
    pub fn take(&self, client: C) -> Option<Share<C>> {
        let mut shard = self.inner.shard(&client);
        let taken = shard.entry(client).or_default();
        if *taken >= self.inner.max {
            return None;
        }
        *taken += 1;
        drop(shard);
        Some(Share {
            client,
            inner: Arc::clone(&self.inner),
        })
    }
}

impl<C: Hash> Inner<C> {
    fn shard(&self, client: &C) -> MutexGuard<'_, HashMap<C, usize>> {
        #[expect(clippy::cast_possible_truncation, reason = "the remainder is below SHARDS")]
        let index = (self.hasher.hash_one(client) % SHARDS as u64) as usize;
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Copy + Eq + Hash> Drop for Share<C> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.inner.shard(&self.client).entry(self.client) {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_own_and_nothing_is_kept_of_who_has_none() {
        let shares = Shares::new(2);
        let (one, other) = (shares.take(1), shares.take(1));
        assert!(one.is_some() && other.is_some() && shares.take(1).is_none());
        assert!(shares.take(2).is_some());
        drop(one);
        let again = shares.take(1);
        assert!(again.is_some() && shares.take(1).is_none());
        drop((other, again));
        assert!(shares.inner.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}
