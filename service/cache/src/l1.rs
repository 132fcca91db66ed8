//! L1: answers in this process's memory. Holds the entries, the stamps that decide whether they are current, and the gate
//! that closes while invalidations of other replicas may be missed.
//!
//! A hit takes no lock of ours, does no I/O and allocates nothing. L1 is filled in one place: [`L1::fill`], called by the
//! flight that loaded the answer. Entries that died stay in memory until they are replaced or evicted by weight.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;

use crate::{
    entry::Entry,
    key::Key,
    stamps::{Stamp, Stamps},
    tag::Tag,
};

/// Weight of an entry beside its body and key: the entry itself, its stamp, moka's bookkeeping, and the header that a body
/// which came from Redis keeps alive. Rounded up from the sizes of these parts.
const ENTRY_OVERHEAD_BYTES: usize = 320;

#[derive(Debug)]
pub(crate) struct L1 {
    entries: Cache<Box<str>, Arc<Kept>>,
    stamps: Stamps,
    /// Whether entries may be served: every invalidation made anywhere reaches this process.
    open: AtomicBool,
}

/// An entry with what is needed to judge it.
#[derive(Debug)]
struct Kept {
    entry: Entry,
    stamp: Stamp,
    /// On the cache's monotonic clock.
    fresh_until: Duration,
}

impl L1 {
    /// An empty L1 that holds up to `capacity_bytes`, with the gate open or closed.
    pub(crate) fn new(capacity_bytes: u64, open: bool) -> Self {
        Self {
            entries: Cache::builder().max_capacity(capacity_bytes).weigher(weight).build(),
            stamps: Stamps::new(),
            open: AtomicBool::new(open),
        }
    }

    pub(crate) fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// The entry of `key`, if nothing it depends on was invalidated since before its load, and it is young enough at `now`.
    pub(crate) fn get(&self, key: &Key, tags: &[Tag], now: Duration) -> Option<Entry> {
        if !self.is_open() {
            return None;
        }
        let kept = self.entries.get(key.as_str())?;
        (now < kept.fresh_until && self.stamps.hold(&kept.stamp, tags)).then(|| kept.entry.clone())
    }

    /// Stores what was loaded after `stamp` was taken. An invalidation since then makes it dead on arrival; the check here
    /// only keeps a dead entry from displacing a live one.
    pub(crate) fn fill(&self, key: &Key, entry: Entry, stamp: Stamp, fresh_until: Duration) {
        if self.stamps.are_at(&stamp) {
            let kept = Kept {
                entry,
                stamp,
                fresh_until,
            };
            self.entries.insert(key.as_str().into(), Arc::new(kept));
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Begins to serve. Everything from before is given up first: invalidations may have been missed meanwhile.
    pub(crate) fn open(&self) {
        self.stamps.bump_epoch();
        self.open.store(true, Ordering::Release);
    }

    /// Stops serving at once, and for good what is in there now.
    pub(crate) fn close(&self) {
        self.open.store(false, Ordering::Release);
        self.stamps.bump_epoch();
    }

    /// Moka's housekeeping, for a timer: left alone, it runs inside the reads of clients.
    pub(crate) fn run_pending_tasks(&self) {
        self.entries.run_pending_tasks();
    }

    pub(crate) fn entry_count(&self) -> u64 {
        self.entries.entry_count()
    }

    pub(crate) fn weight_bytes(&self) -> u64 {
        self.entries.weighted_size()
    }
}

#[expect(
    clippy::borrowed_box,
    reason = "moka hands the weigher a reference to the key as it is stored"
)]
fn weight(key: &Box<str>, kept: &Arc<Kept>) -> u32 {
    // The key is there twice when the body came from Redis, whose header echoes it.
    let bytes = ENTRY_OVERHEAD_BYTES + 2 * key.len() + kept.entry.body.len();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn filled() -> (L1, Key, [Tag; 1]) {
        let l1 = L1::new(1 << 20, true);
        let (key, tags) = (Key::new("e").part(1), [Tag::new("t")]);
        let stamp = l1.stamps().take(&tags);
        l1.fill(&key, Entry::new("body", 7), stamp, SOON);
        (l1, key, tags)
    }

    #[test]
    fn serves_until_the_age_limit_and_not_at_it() {
        let (l1, key, tags) = filled();
        assert_eq!(l1.get(&key, &tags, Duration::ZERO), Some(Entry::new("body", 7)));
        assert_eq!(l1.get(&key, &tags, SOON), None);
    }

    #[test]
    fn an_invalidation_ends_the_entry_and_a_late_fill_does_not_revive_it() {
        let (l1, key, tags) = filled();
        let before = l1.stamps().take(&tags);
        l1.stamps().bump(&tags);
        assert_eq!(l1.get(&key, &tags, Duration::ZERO), None);
        l1.fill(&key, Entry::new("old", 6), before, SOON);
        assert_eq!(l1.get(&key, &tags, Duration::ZERO), None);
    }

    #[test]
    fn a_dead_fill_does_not_displace_a_live_entry() {
        let (l1, key, tags) = filled();
        let before = l1.stamps().take(&tags);
        l1.stamps().bump(&tags);
        let after = l1.stamps().take(&tags);
        l1.fill(&key, Entry::new("new", 8), after, SOON);
        l1.fill(&key, Entry::new("old", 6), before, SOON);
        assert_eq!(l1.get(&key, &tags, Duration::ZERO), Some(Entry::new("new", 8)));
    }

    #[test]
    fn a_closed_gate_serves_nothing_and_reopening_serves_nothing_from_before() {
        let (l1, key, tags) = filled();
        l1.close();
        assert_eq!(l1.get(&key, &tags, Duration::ZERO), None);
        let while_closed = l1.stamps().take(&tags);
        l1.open();
        l1.fill(&key, Entry::new("missed", 6), while_closed, SOON);
        assert_eq!(l1.get(&key, &tags, Duration::ZERO), None);
    }

    #[test]
    fn other_tags_than_those_it_was_filled_with_are_a_miss() {
        let (l1, key, _) = filled();
        assert_eq!(l1.get(&key, &[Tag::new("other")], Duration::ZERO), None);
    }

    #[test]
    fn capacity_bounds_the_weight() {
        let l1 = L1::new(10_000, true);
        for id in 0..1_000 {
            let stamp = l1.stamps().take(&[]);
            l1.fill(&Key::new("e").part(id), Entry::new(vec![0; 1_000], 1), stamp, SOON);
        }
        l1.run_pending_tasks();
        assert!(l1.weight_bytes() <= 10_000, "{} bytes", l1.weight_bytes());
        assert!(l1.entry_count() > 0);
    }
}
