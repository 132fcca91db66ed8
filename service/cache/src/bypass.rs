//! Tags for which Redis is not trusted here: an invalidation of them did not get through, so Redis may still hold
//! entries from before the write. Reads of such tags go to the loader until a later invalidation of the same tags
//! succeeded.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use crate::tag::Tag;

/// More tags than a service writes during a short outage, at about 100 bytes each. Beyond it the set no longer knows
/// which tags are safe, and Redis is bypassed altogether.
const MAX_TAGS: usize = 10_000;

/// The set. An empty one costs a reader one atomic load.
#[derive(Debug, Default)]
pub(crate) struct Bypass {
    /// Locked by writers, and by readers while something is in it; never across an await.
    state: Mutex<State>,
    occupied: AtomicBool,
    next_mark: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Each tag with the mark of its newest failure.
    tags: HashMap<Tag, u64>,
    /// The mark of the newest failure that found the set full.
    overflow: Option<u64>,
}

/// A moment in the order of failures and attempts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(u64);

impl Bypass {
    /// Must be taken before an invalidation is sent: its success covers the failures before this mark, not later ones.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.next_mark.fetch_add(1, Ordering::SeqCst))
    }

    /// Stops trusting Redis for `tags`. Must be called before the stamps are bumped: a load that starts with the new
    /// stamp has to find the tags in here.
    pub(crate) fn add(&self, tags: &[Tag]) {
        let mut state = self.lock();
        let Mark(mark) = self.mark();
        for tag in tags {
            if state.tags.len() < MAX_TAGS || state.tags.contains_key(tag) {
                state.tags.insert(tag.clone(), mark);
            } else {
                state.overflow = Some(mark);
            }
        }
        self.occupied.store(true, Ordering::Release);
    }

    /// An invalidation of `tags` that was sent after `began` succeeded.
    pub(crate) fn confirm(&self, tags: &[Tag], Mark(began): Mark) {
        if !self.occupied.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.lock();
        if tags.iter().any(Tag::is_all) {
            state.tags.retain(|_, &mut mark| mark > began);
            state.overflow = state.overflow.filter(|&mark| mark > began);
        }
        for tag in tags {
            if state.tags.get(tag).is_some_and(|&mark| mark < began) {
                state.tags.remove(tag);
            }
        }
        self.occupied.store(!state.is_empty(), Ordering::Release);
    }

    /// Whether Redis must not be asked for an answer with these `tags`. Must be called after the stamp was taken.
    pub(crate) fn covers(&self, tags: &[Tag]) -> bool {
        if !self.occupied.load(Ordering::Acquire) {
            return false;
        }
        let state = self.lock();
        let every_answer = state.overflow.is_some() || state.tags.keys().any(Tag::is_all);
        every_answer || tags.iter().any(|tag| state.tags.contains_key(tag))
    }

    /// Up to `limit` tags whose invalidation is to be repeated: `all` alone if the set overflowed.
    pub(crate) fn to_repeat(&self, limit: usize) -> Vec<Tag> {
        if !self.occupied.load(Ordering::Acquire) {
            return Vec::new();
        }
        let state = self.lock();
        if state.overflow.is_some() {
            return vec![Tag::all()];
        }
        state.tags.keys().take(limit).cloned().collect()
    }

    pub(crate) fn len(&self) -> u64 {
        self.lock().tags.len() as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two changes of the state, so a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.overflow.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(names: &[&str]) -> Vec<Tag> {
        names.iter().map(|&name| Tag::new(name)).collect()
    }

    #[test]
    fn covers_what_failed_until_a_later_success() {
        let bypass = Bypass::default();
        assert!(!bypass.covers(&tags(&["a"])));
        bypass.add(&tags(&["a", "b"]));
        assert!(bypass.covers(&tags(&["x", "a"])));
        assert!(!bypass.covers(&tags(&["x"])));
        let began = bypass.mark();
        bypass.confirm(&tags(&["a"]), began);
        assert!(!bypass.covers(&tags(&["a"])));
        assert!(bypass.covers(&tags(&["b"])));
    }

    /// 1. Writer 1 sends its invalidation.
    /// 2. Writer 2 commits; its invalidation fails.
    /// 3. Redis answers writer 1 late. The tag must stay: Redis may have served writer 1 before writer 2's commit.
    #[test]
    fn a_success_that_began_before_a_failure_does_not_clear_it() {
        let bypass = Bypass::default();
        let first = bypass.mark();
        bypass.add(&tags(&["a"]));
        bypass.confirm(&tags(&["a"]), first);
        assert!(bypass.covers(&tags(&["a"])));
        bypass.confirm(&[Tag::all()], first);
        assert!(bypass.covers(&tags(&["a"])));
    }

    #[test]
    fn an_overflow_bypasses_everything_until_all_is_confirmed() {
        let bypass = Bypass::default();
        for id in 0..=MAX_TAGS {
            bypass.add(&[Tag::new(format!("t:{id}"))]);
        }
        assert_eq!(bypass.len(), MAX_TAGS as u64);
        assert!(bypass.covers(&tags(&["never seen"])));
        assert_eq!(bypass.to_repeat(3), [Tag::all()]);
        let began = bypass.mark();
        bypass.confirm(&[Tag::all()], began);
        assert!(!bypass.covers(&tags(&["never seen", "t:1"])));
        assert!(bypass.to_repeat(3).is_empty());
    }

    #[test]
    fn a_failed_flush_bypasses_everything() {
        let bypass = Bypass::default();
        bypass.add(&[Tag::all()]);
        assert!(bypass.covers(&[]));
    }
}
