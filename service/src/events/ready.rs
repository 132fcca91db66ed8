//! Rows of the outbox that their writers hand over: committed, and what they invalidate is invalidated. So no event is
//! shown before the answers that it changes have ended.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Rows that may wait here: some seconds of a full write load, 80 KB. Beyond it a row is left in the outbox, where the
/// relay finds it by its age.
const WAITING_MAX: usize = 10_000;

/// Rows that wait for the relay; shared between it and the writers.
#[derive(Debug, Clone, Default)]
pub struct ReadyEvents(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Held for a copy; never across an await.
    rows: Mutex<Vec<i64>>,
    wake: Notify,
}

impl ReadyEvents {
    /// Hands rows over. Never waits.
    pub fn push(&self, new: Vec<i64>) {
        if new.is_empty() {
            return;
        }
        let mut rows = self.0.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let room = WAITING_MAX.saturating_sub(rows.len());
        rows.extend(new.into_iter().take(room));
        drop(rows);
        self.0.wake.notify_one();
    }

    /// Takes the oldest, at most `limit`.
    pub(super) fn take(&self, limit: usize) -> Vec<i64> {
        let mut rows = self.0.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = rows.len().min(limit);
        rows.drain(..taken).collect()
    }

    /// Returns when rows have been handed over since the last call.
    pub(super) async fn woken(&self) {
        self.0.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_are_taken_first_and_what_finds_no_room_is_left_to_the_outbox() {
        let ready = ReadyEvents::default();
        ready.push((0..10_500).collect());
        ready.woken().await;
        assert_eq!(ready.take(2), [0, 1]);
        assert_eq!(ready.take(usize::MAX).len(), WAITING_MAX - 2);
        assert!(ready.take(1).is_empty());
    }
}
