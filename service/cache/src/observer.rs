//! What the cache tells whoever keeps its metrics. No metrics library here: the service connects one by implementing
//! [`Observer`].

use std::time::Duration;

use crate::entry::Tier;

/// Is told what happens inside the cache.
///
/// The methods are called on the path of requests: they MUST return within nanoseconds, and neither block nor panic.
/// All have a body that does nothing.
pub trait Observer: Send + Sync + 'static {
    /// A read was answered; called once for each read. [`Tier::Db`] is a miss (also when the loader failed or another
    /// client's load was shared), every other tier a hit.
    fn lookup(&self, endpoint: &'static str, tier: Tier, elapsed: Duration) {
        let _ = (endpoint, tier, elapsed);
    }

    /// Redis refused a loaded answer, because one of its tags was invalidated during the load.
    fn fill_rejected(&self, endpoint: &'static str) {
        let _ = endpoint;
    }

    /// An invalidation made here came to its end; `confirmed` is false if Redis did not take it.
    fn invalidated(&self, tags: usize, elapsed: Duration, confirmed: bool) {
        let _ = (tags, elapsed, confirmed);
    }

    /// Another replica's invalidation was applied here. `lag_ms` is the difference of the two machines' wall clocks.
    fn received(&self, tags: usize, lag_ms: u64) {
        let _ = (tags, lag_ms);
    }

    /// The subscription to other replicas' invalidations works and L1 is served again (`true`), or it was lost
    /// (`false`).
    fn l1_gate(&self, open: bool) {
        let _ = open;
    }

    /// A cached answer differed from the source's at every look. It was removed.
    fn inconsistent(&self, endpoint: &'static str) {
        let _ = endpoint;
    }

    /// A Redis operation failed or timed out.
    fn redis_failed(&self, operation: &'static str) {
        let _ = operation;
    }
}
