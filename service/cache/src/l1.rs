//! L1: answers in this process's memory. Holds the entries, the stamps that decide whether they are current, and the
//! lease during which they may be served: it ends when invalidations of other replicas may be missed.
//!
//! A hit takes no lock but the map's own (one of many, for reading), does no I/O and allocates nothing. L1 is filled in
//! one place: [`L1::fill`], called by the flight that loaded the answer. Entries that died stay in memory until they
//! are replaced or evicted by weight.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::{Weighter, sync::Cache};

use crate::{
    clock::as_nanos,
    entry::Entry,
    key::Key,
    stamps::{Stamp, Stamps},
    tag::Tag,
};

/// Weight of an entry beside its body and key: the entry itself, its stamp, the map's bookkeeping, and the header that
/// a body which came from Redis keeps alive. Rounded up from the sizes of these parts.
const ENTRY_OVERHEAD_BYTES: usize = 320;

/// What an entry weighs when nothing is known yet: the map's first tables are sized by it.
const USUAL_ENTRY_BYTES: u64 = 2_048;

/// The lease of a cache that has no other replicas to hear of.
const ENDLESS: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct L1 {
    entries: Cache<Box<str>, Arc<Kept>, Weight>,
    stamps: Stamps,
    /// Until when entries may be served, in nanoseconds of the cache's monotonic clock; 0 is not at all.
    lease_until_ns: AtomicU64,
}

/// An entry with what is needed to judge it. Times are on the cache's monotonic clock.
#[derive(Debug)]
pub(crate) struct Kept {
    /// `None`: there is no such thing.
    pub(crate) entry: Option<Entry>,
    pub(crate) stamp: Stamp,
    pub(crate) times: Times,
    /// Set by the one reader that loads it anew.
    pub(crate) refreshing: AtomicBool,
}

/// When an entry was loaded, and what may be done with it until when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// By the loading replica's wall clock, in ms since 1970.
    pub(crate) created_ms: u64,
    pub(crate) fresh_until: Duration,
    /// After this, whoever reads it loads it anew.
    pub(crate) refresh_from: Duration,
    /// Until then it may be served if the loader fails.
    pub(crate) aged_until: Duration,
}

/// Why there is nothing to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Invalidations may have been missed.
    NoLease,
    /// Never loaded, or evicted.
    Absent,
    /// There, and no longer true.
    Invalidated,
}

impl Kept {
    pub(crate) fn is_fresh(&self, now: Duration) -> bool {
        now < self.times.fresh_until
    }

    /// True for one reader of an entry that is about to expire.
    pub(crate) fn wants_refresh(&self, now: Duration) -> bool {
        now >= self.times.refresh_from && !self.refreshing.swap(true, Ordering::Relaxed)
    }
}

impl L1 {
    /// An empty L1 that holds up to `capacity_bytes`. With `endless`, it needs no lease.
    pub(crate) fn new(capacity_bytes: u64, endless: bool) -> Self {
        let entries = usize::try_from(capacity_bytes / USUAL_ENTRY_BYTES).unwrap_or(usize::MAX);
        Self {
            entries: Cache::with_weighter(entries, capacity_bytes, Weight),
            stamps: Stamps::new(),
            lease_until_ns: AtomicU64::new(if endless { ENDLESS } else { 0 }),
        }
    }

    pub(crate) fn stamps(&self) -> &Stamps {
        &self.stamps
    }

    /// The entry of `key`, fresh or aged, if the lease holds and nothing it depends on was invalidated since before its
    /// load.
    pub(crate) fn get(&self, key: &Key, tags: &[Tag], now: Duration) -> Result<Arc<Kept>, Missing> {
        if !self.is_open(now) {
            return Err(Missing::NoLease);
        }
        self.get_without_lease(key, tags)
    }

    /// The entry of `key` whether or not the lease holds, for those who rather answer with something old than not at
    /// all.
    pub(crate) fn get_without_lease(&self, key: &Key, tags: &[Tag]) -> Result<Arc<Kept>, Missing> {
        let kept = self.entries.get(key.as_str()).ok_or(Missing::Absent)?;
        if self.stamps.hold(&kept.stamp, tags) {
            Ok(kept)
        } else {
            Err(Missing::Invalidated)
        }
    }

    /// Stores what was loaded after its stamp was taken. An invalidation since then makes it dead on arrival; the check
    /// here only keeps a dead entry from displacing a live one.
    pub(crate) fn fill(&self, key: &Key, entry: Option<Entry>, stamp: Stamp, times: Times) {
        if self.stamps.are_at(&stamp) {
            let kept = Kept {
                entry,
                stamp,
                times,
                refreshing: AtomicBool::new(false),
            };
            self.entries.insert(key.as_str().into(), Arc::new(kept));
        }
    }

    /// Whether entries may be served at `now`.
    pub(crate) fn is_open(&self, now: Duration) -> bool {
        as_nanos(now) < self.lease_until_ns.load(Ordering::Acquire)
    }

    /// Every invalidation that was made before now minus the length of a lease has been applied here. Returns whether
    /// there was no lease at all before.
    pub(crate) fn renew_lease(&self, until: Duration) -> bool {
        self.lease_until_ns.swap(as_nanos(until), Ordering::AcqRel) == 0
    }

    /// Stops serving at once: invalidations may be missed from now on. Returns whether there was a lease.
    pub(crate) fn end_lease(&self) -> bool {
        self.lease_until_ns.swap(0, Ordering::AcqRel) != 0
    }

    pub(crate) fn entry_count(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn weight_bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// The keys of all entries, dead ones included. In no order, and not cheap: for operators and background work.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Box<str>> {
        self.entries.iter().map(|(key, _)| key)
    }
}

/// What an entry counts for.
#[derive(Clone, Debug)]
struct Weight;

impl Weighter<Box<str>, Arc<Kept>> for Weight {
    fn weight(&self, key: &Box<str>, kept: &Arc<Kept>) -> u64 {
        let body = kept.entry.as_ref().map_or(0, |entry| entry.body.len());
        // The key is there twice when the body came from Redis, whose header echoes it.
        (ENTRY_OVERHEAD_BYTES + 2 * key.len() + body) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const LATER: Duration = Duration::from_secs(20);

    fn times() -> Times {
        Times {
            created_ms: 0,
            fresh_until: SOON,
            refresh_from: Duration::from_secs(9),
            aged_until: LATER,
        }
    }

    fn take(l1: &L1, key: &Key, tags: &[Tag]) -> Stamp {
        l1.stamps().take(tags, key.endpoint_stripe())
    }

    fn filled() -> (L1, Key, [Tag; 1]) {
        let l1 = L1::new(1 << 20, true);
        let (key, tags) = (Key::new("e").part(1), [Tag::new("t")]);
        let stamp = take(&l1, &key, &tags);
        l1.fill(&key, Some(Entry::new("body", 7)), stamp, times());
        (l1, key, tags)
    }

    fn version(l1: &L1, key: &Key, tags: &[Tag]) -> Option<i64> {
        let kept = l1.get(key, tags, Duration::ZERO).ok()?;
        kept.entry.as_ref().map(|entry| entry.version)
    }

    #[test]
    fn an_entry_is_fresh_until_its_limit_and_then_aged() {
        let (l1, key, tags) = filled();
        let kept = l1.get(&key, &tags, SOON).expect("kept");
        assert!(kept.is_fresh(Duration::ZERO) && !kept.is_fresh(SOON));
    }

    #[test]
    fn one_reader_refreshes() {
        let (l1, key, tags) = filled();
        let kept = l1.get(&key, &tags, Duration::ZERO).expect("kept");
        assert!(!kept.wants_refresh(Duration::ZERO));
        assert!(kept.wants_refresh(Duration::from_secs(9)));
        assert!(!kept.wants_refresh(Duration::from_secs(9)));
    }

    #[test]
    fn an_invalidation_ends_the_entry_and_a_late_fill_does_not_revive_it() {
        let (l1, key, tags) = filled();
        let before = take(&l1, &key, &tags);
        l1.stamps().bump(&tags);
        assert_eq!(version(&l1, &key, &tags), None);
        l1.fill(&key, Some(Entry::new("old", 6)), before, times());
        assert_eq!(version(&l1, &key, &tags), None);
    }

    #[test]
    fn a_dead_fill_does_not_displace_a_live_entry() {
        let (l1, key, tags) = filled();
        let before = take(&l1, &key, &tags);
        l1.stamps().bump(&tags);
        let after = take(&l1, &key, &tags);
        l1.fill(&key, Some(Entry::new("new", 8)), after, times());
        l1.fill(&key, Some(Entry::new("old", 6)), before, times());
        assert_eq!(version(&l1, &key, &tags), Some(8));
    }

    #[test]
    fn nothing_is_served_without_a_lease_and_it_comes_back_with_one() {
        let (l1, key, tags) = filled();
        assert!(l1.end_lease());
        assert_eq!(version(&l1, &key, &tags), None);
        assert!(l1.renew_lease(Duration::from_secs(1)));
        assert_eq!(version(&l1, &key, &tags), Some(7));
        let run_out = l1.get(&key, &tags, Duration::from_secs(1));
        assert_eq!(run_out.err(), Some(Missing::NoLease));
        assert!(l1.get_without_lease(&key, &tags).is_ok());
    }

    #[test]
    fn other_tags_than_those_it_was_filled_with_are_a_miss() {
        let (l1, key, _) = filled();
        assert_eq!(version(&l1, &key, &[Tag::new("other")]), None);
    }

    fn fill_many(l1: &L1) {
        for id in 0..1_000 {
            let key = Key::new("e").part(id);
            let stamp = take(l1, &key, &[]);
            l1.fill(&key, Some(Entry::new(vec![0; 1_000], 1)), stamp, times());
        }
    }

    #[test]
    fn capacity_bounds_the_weight() {
        let l1 = L1::new(10_000, true);
        fill_many(&l1);
        assert!(l1.weight_bytes() <= 10_100, "{} bytes", l1.weight_bytes());
        assert!(l1.entry_count() > 0);
    }
}
