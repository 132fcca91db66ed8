//! What every part of a cache needs to know the time and to say what it did.

use std::{sync::Arc, time::Duration};

use crate::{clock::Clock, observer::Observer, stats::Counters};

pub(crate) struct Context {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
    pub(crate) counters: Counters,
    #[cfg(test)]
    pub(crate) pauses: Option<Arc<crate::tests::Pauses>>,
}

/// A moment between two steps of the protocol, where a test may hold a task back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    StampTaken,
    L2Read,
    LoadBegins,
    LoadEnded,
    L2Stored,
    L1Filled,
    InvalidationBegins,
    RedisInvalidated,
    MessageArrived,
}

impl Context {
    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    /// The time that a read starts: coarse, unless an observer wants to know how long it takes.
    pub(crate) fn start_of_read(&self) -> Duration {
        if self.observer.is_some() {
            self.now()
        } else {
            self.clock.coarse()
        }
    }

    /// Time since `started`, which came from [`Context::now`].
    pub(crate) fn since(&self, started: Duration) -> Duration {
        self.now().saturating_sub(started)
    }

    /// Tells the observer, if there is one; without one, not even the clock is read.
    pub(crate) fn observe(&self, tell: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer {
            tell(observer.as_ref());
        }
    }

    /// Where a test may hold a task back; nothing at all otherwise.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests it says where to hold")]
    #[inline]
    pub(crate) fn reach(&self, _step: Step) -> std::future::Ready<()> {
        std::future::ready(())
    }

    #[cfg(test)]
    pub(crate) async fn reach(&self, step: Step) {
        if let Some(pauses) = &self.pauses {
            pauses.reach(step).await;
        }
    }
}
