//! Leaves Redis alone after it failed, so that an outage costs those who met it a time-out, and nobody after them.
//! Whether it is back is found out in the background (`L2::try_again`): no request waits for that either.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Closed (operations run), or open.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Orders nothing else, hence relaxed: an operation more or less is no matter.
    open: AtomicBool,
    opened: Notify,
}

impl Breaker {
    /// Whether operations may run.
    pub(super) fn admits(&self) -> bool {
        !self.open.load(Ordering::Relaxed)
    }

    /// Redis failed. True if that opened a closed breaker.
    pub(super) fn fail(&self) -> bool {
        let opened = !self.open.swap(true, Ordering::Relaxed);
        if opened {
            self.opened.notify_one();
        }
        opened
    }

    /// Redis took a write. True if that closed an open breaker.
    pub(super) fn succeed(&self) -> bool {
        // A load before the store: operations that succeed in a row do not fight over the cache line.
        self.open.load(Ordering::Relaxed) && self.open.swap(false, Ordering::Relaxed)
    }

    /// Returns when it is open. For one task: a second would not be told.
    pub(super) async fn wait_until_open(&self) {
        while self.admits() {
            self.opened.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_opens_and_one_success_closes() {
        let breaker = Breaker::default();
        assert!(breaker.admits());
        assert!(breaker.fail());
        assert!(!breaker.admits());
        assert!(!breaker.fail(), "it was open already");
        assert!(breaker.succeed());
        assert!(!breaker.succeed(), "it was closed already");
        assert!(breaker.admits());
    }

    #[tokio::test]
    async fn who_waits_for_it_to_open_is_told_once_it_did() {
        let breaker = Breaker::default();
        let mut waiting = std::pin::pin!(breaker.wait_until_open());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        breaker.fail();
        breaker.succeed();
        assert!(futures_util::poll!(&mut waiting).is_pending(), "it is closed again");
        breaker.fail();
        assert!(futures_util::poll!(&mut waiting).is_ready());
    }
}
