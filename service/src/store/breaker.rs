//! Reads that get stuck are not tried by everybody at once.
//!
//! Whoever waits for a locked table holds a connection meanwhile, and there are only so many. So when reads of a
//! purpose were given up as overdue, only one of that purpose is tried at a time until one gets through; the others are
//! refused at once, and the connections are left to reads that can be answered.

use std::sync::atomic::{AtomicU8, Ordering};

use super::StoreError;

const CLOSED: u8 = 0;
/// The last one was overdue, and nobody tries.
const OPEN: u8 = 1;
/// The last one was overdue, and somebody tries.
const TRIED: u8 = 2;

/// State of the reads of one purpose. The orderings are relaxed: nothing else is read by its leave.
#[derive(Debug)]
pub(super) struct Breaker {
    doing: &'static str,
    state: AtomicU8,
}

/// Leave to read. Dropped without [`Leave::note`] (the client went away), it says nothing about the database.
pub(super) struct Leave<'b> {
    breaker: &'b Breaker,
    is_trial: bool,
}

impl Breaker {
    pub(super) const fn new(doing: &'static str) -> Self {
        Self {
            doing,
            state: AtomicU8::new(CLOSED),
        }
    }

    /// Leave to read, unless reads of this purpose are stuck and somebody is finding out whether they still are.
    pub(super) fn enter(&self) -> Result<Leave<'_>, StoreError> {
        let entered = self
            .state
            .compare_exchange(OPEN, TRIED, Ordering::Relaxed, Ordering::Relaxed);
        match entered {
            Ok(_) => Ok(self.leave(true)),
            Err(CLOSED) => Ok(self.leave(false)),
            Err(_) => Err(StoreError::Stuck { doing: self.doing }),
        }
    }

    const fn leave(&self, is_trial: bool) -> Leave<'_> {
        Leave {
            breaker: self,
            is_trial,
        }
    }
}

impl Leave<'_> {
    /// Hands the connection on that was waited for, unless reads got stuck meanwhile: a queue of those who would get
    /// stuck next is as bad as those who are.
    pub(super) fn unless_stuck<C>(&self, connection: C) -> Result<C, StoreError> {
        if self.is_trial || self.breaker.state.load(Ordering::Relaxed) == CLOSED {
            Ok(connection)
        } else {
            Err(StoreError::Stuck {
                doing: self.breaker.doing,
            })
        }
    }

    /// Learns from the outcome of the read, and hands it on.
    pub(super) fn note<T>(mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        let is_overdue = outcome.as_ref().err().is_some_and(StoreError::is_overdue);
        // One that began before the others got stuck does not take the trial from whoever has it.
        if is_overdue && !self.is_trial {
            let state = &self.breaker.state;
            let _open_already = state.compare_exchange(CLOSED, OPEN, Ordering::Relaxed, Ordering::Relaxed);
        }
        if !is_overdue && outcome.is_ok() {
            self.breaker.state.store(CLOSED, Ordering::Relaxed);
            self.is_trial = false;
        }
        outcome
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.is_trial {
            self.breaker.state.store(OPEN, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Result<(), StoreError> {
        Err(StoreError::Stuck { doing: "a test" })
    }

    #[test]
    fn while_reads_are_stuck_one_at_a_time_tries() {
        let breaker = Breaker::new("a test");
        breaker.state.store(OPEN, Ordering::Relaxed);
        let trial = breaker.enter().expect("the trial");
        assert!(breaker.enter().is_err());
        drop(trial);
        let trial = breaker.enter().expect("another trial");
        assert!(trial.note(failed()).is_err());
        let trial = breaker.enter().expect("another trial");
        assert!(trial.note(Ok(())).is_ok());
        let (_one, _other) = (breaker.enter().expect("closed"), breaker.enter().expect("closed"));
    }

    #[test]
    fn other_failures_are_not_held_against_anybody() {
        let breaker = Breaker::new("a test");
        assert!(breaker.enter().expect("closed").note(failed()).is_err());
        let (_one, _other) = (breaker.enter().expect("closed"), breaker.enter().expect("closed"));
    }
}
