//! Stamps: how an L1 entry knows that nothing it depends on was invalidated since before it was loaded.
//!
//! Every tag belongs to one of 65,536 counters ([`STRIPES`]); an invalidation adds one to the counters of its tags, and
//! a flush adds one to the epoch. A load notes the counters before it reads anything; its entry is good for as long as
//! they have not moved. Deciding *when* to bump is not done here (see `invalidate` and `subscribe`).

use std::sync::atomic::Ordering;

use crate::{
    sync::{AtomicU64, STRIPES},
    tag::Tag,
};

/// The counters of this process.
///
/// Bumps release and loads acquire: who sees a bump also sees what happened before it, and in particular starts its
/// load after the commit that the bump stands for. Counters of 64 bits never come round.
#[derive(Debug)]
pub(crate) struct Stamps {
    epoch: AtomicU64,
    stripes: Box<[AtomicU64]>,
}

/// The counters of one set of tags at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    epoch: u64,
    stripes: Box<[(u16, u64)]>,
}

impl Stamps {
    pub(crate) fn new() -> Self {
        Self {
            epoch: AtomicU64::new(0),
            stripes: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The counters of `tags` and of the endpoint now. Must be taken before the load that it is to vouch for.
    pub(crate) fn take(&self, tags: &[Tag], endpoint_stripe: u16) -> Stamp {
        let stripes = tags.iter().map(Tag::stripe).chain([endpoint_stripe]);
        Stamp {
            epoch: self.epoch(),
            stripes: stripes.map(|stripe| (stripe, self.stripe(stripe))).collect(),
        }
    }

    /// Whether `stamp` was taken for exactly these `tags` and none of its counters has moved. Loads only.
    pub(crate) fn hold(&self, stamp: &Stamp, tags: &[Tag]) -> bool {
        // One more: the endpoint's.
        stamp.stripes.len() == tags.len() + 1
            && stamp
                .stripes
                .iter()
                .zip(tags)
                .all(|(&(stripe, _), tag)| stripe == tag.stripe())
            && self.are_at(stamp)
    }

    /// Whether none of the counters of `stamp` has moved.
    pub(crate) fn are_at(&self, stamp: &Stamp) -> bool {
        stamp.epoch == self.epoch()
            && stamp
                .stripes
                .iter()
                .all(|&(stripe, value)| value == self.stripe(stripe))
    }

    /// Ends everything that depends on one of `tags`.
    pub(crate) fn bump(&self, tags: &[Tag]) {
        for tag in tags {
            if tag.is_all() {
                self.bump_epoch();
            } else {
                self.stripes[usize::from(tag.stripe()) % STRIPES].fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    /// Ends everything: the answer to any doubt.
    pub(crate) fn bump_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn stripe(&self, stripe: u16) -> u64 {
        self.stripes[usize::from(stripe) % STRIPES].load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stripe of an endpoint that no tag here shares.
    const ENDPOINT: u16 = 7;

    fn tags(names: &[&str]) -> Vec<Tag> {
        names.iter().map(|&name| Tag::new(name)).collect()
    }

    #[test]
    fn a_stamp_holds_until_one_of_its_tags_is_bumped() {
        let stamps = Stamps::new();
        let deps = tags(&["driver:1", "list"]);
        let stamp = stamps.take(&deps, ENDPOINT);
        assert!(stamps.hold(&stamp, &deps));
        stamps.bump(&tags(&["driver:2"]));
        assert!(stamps.hold(&stamp, &deps), "driver:2 is no dependency");
        stamps.bump(&tags(&["list"]));
        assert!(!stamps.hold(&stamp, &deps));
        assert!(!stamps.are_at(&stamp));
    }

    #[test]
    fn the_epoch_and_the_tag_all_end_everything() {
        let stamps = Stamps::new();
        let deps = tags(&["driver:1"]);
        let first = stamps.take(&deps, ENDPOINT);
        stamps.bump_epoch();
        assert!(!stamps.hold(&first, &deps));
        let second = stamps.take(&deps, ENDPOINT);
        stamps.bump(&[Tag::all()]);
        assert!(!stamps.hold(&second, &deps));
        assert_eq!(stamps.epoch(), 2);
    }

    #[test]
    fn a_stamp_of_other_tags_does_not_hold() {
        let stamps = Stamps::new();
        let stamp = stamps.take(&tags(&["a"]), ENDPOINT);
        assert!(!stamps.hold(&stamp, &tags(&["b"])));
        assert!(!stamps.hold(&stamp, &tags(&["a", "b"])));
        assert!(!stamps.hold(&stamp, &[]));
    }

    #[test]
    fn the_tag_of_the_endpoint_ends_all_of_its_entries() {
        let stamps = Stamps::new();
        let stamp = stamps.take(&[], Tag::endpoint("risk").stripe());
        stamps.bump(&[Tag::endpoint("premium")]);
        assert!(stamps.hold(&stamp, &[]));
        stamps.bump(&[Tag::endpoint("risk")]);
        assert!(!stamps.hold(&stamp, &[]));
    }

    #[test]
    fn an_entry_without_tags_depends_on_the_epoch_alone() {
        let stamps = Stamps::new();
        let stamp = stamps.take(&[], ENDPOINT);
        stamps.bump(&tags(&["a"]));
        assert!(stamps.hold(&stamp, &[]));
        stamps.bump_epoch();
        assert!(!stamps.hold(&stamp, &[]));
    }
}
