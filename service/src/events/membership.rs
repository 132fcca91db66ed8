//! Whether this replica takes part in its group.

use std::sync::{Mutex, PoisonError};

/// The replica's place in its group.
#[derive(Debug, Default)]
pub struct Membership {
    /// Partitions assigned; `None` = no place in the group (yet). A replica may rightly be assigned none, when there
    /// are more replicas than partitions. Held for a look; never across an await.
    partitions: Mutex<Option<usize>>,
}

impl Membership {
    /// The number of partitions assigned, or `None` before the group has answered.
    pub fn partitions(&self) -> Option<usize> {
        self.with(|partitions| *partitions)
    }

    /// So many more are assigned: all of them by the eager protocol, which takes all away before.
    pub(super) fn assigned(&self, more: usize) {
        self.with(|partitions| *partitions = Some(partitions.unwrap_or_default() + more));
    }

    /// So many are taken away. Without any left, whether there is still a place is for the group to say.
    pub(super) fn revoked(&self, fewer: usize) {
        self.with(|partitions| {
            *partitions = partitions
                .and_then(|had| had.checked_sub(fewer))
                .filter(|left| *left > 0);
        });
    }

    /// The place is lost.
    pub(super) fn lost(&self) {
        self.with(|partitions| *partitions = None);
    }

    /// librdkafka says that the group is at rest, with so many partitions here: with the cooperative protocol a member
    /// whose assignment stays empty is told nothing else.
    pub(super) fn found(&self, assigned: usize) {
        self.with(|partitions| *partitions = Some(assigned));
    }

    fn with<T>(&self, look: impl FnOnce(&mut Option<usize>) -> T) -> T {
        look(&mut self.partitions.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_add_up_and_an_empty_one_is_a_place_once_the_group_says_so() {
        let membership = Membership::default();
        assert_eq!(membership.partitions(), None);
        membership.assigned(3);
        membership.assigned(1);
        membership.revoked(2);
        assert_eq!(membership.partitions(), Some(2));
        membership.revoked(2);
        assert_eq!(membership.partitions(), None);
        membership.found(0);
        assert_eq!(membership.partitions(), Some(0));
        membership.assigned(2);
        membership.lost();
        assert_eq!(membership.partitions(), None);
    }
}
