//! How an answer may be used: a value that the caller passes with each read. What is out of date because of a write is
//! not decided here (see `stamps`).

use std::time::Duration;

use crate::clock::as_millis;

/// The share of the TTL by which entries expire earlier at random, unless the policy says otherwise.
const DEFAULT_JITTER: f64 = 0.05;

/// Refreshes begin about one load before the end of the TTL (`XFetch`).
const DEFAULT_BETA: f64 = 1.0;

/// Longer limits count as this one: beyond it, sums of times would no longer fit everywhere.
const MAX_TTL: Duration = Duration::from_hours(365 * 24);

/// With [`Strategy::RefreshAhead`], an entry that is read after this share of its TTL is loaded anew in the background.
const REFRESH_AHEAD_SHARE: f64 = 0.8;

/// How cache and loader work together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Strategy {
    /// The cache loads: one load for all who miss together, on all replicas.
    #[default]
    ReadThrough,
    /// Each client that misses loads for itself, then offers the answer to the cache.
    CacheAside,
    /// As read-through; and what is asked for late in its TTL is loaded anew in the background.
    RefreshAhead,
    /// No cache: every read loads.
    Off,
    /// What the sample code of the plan does, with its faults, so that they can be measured: Redis only, no lock, no
    /// generations. Its entries end by their TTL or by
    /// [`TieredCache::delete_planned`](crate::TieredCache::delete_planned).
    Planned,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ReadThrough,
        Self::CacheAside,
        Self::RefreshAhead,
        Self::Off,
        Self::Planned,
    ];

    /// The name in configuration and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadThrough => "read-through",
            Self::CacheAside => "cache-aside",
            Self::RefreshAhead => "refresh-ahead",
            Self::Off => "off",
            Self::Planned => "planned",
        }
    }
}

/// Limits and manner of one kind of answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    ttl: Duration,
    hard_ttl: Option<Duration>,
    negative_ttl: Option<Duration>,
    jitter: f64,
    pub(crate) beta: f64,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) hard_timeout: Option<Duration>,
    pub(crate) serves_disconnected: bool,
    pub(crate) fleet_lock: bool,
    pub(crate) strategy: Strategy,
}

impl Policy {
    /// Answers are served for `ttl` after they were loaded. Zero means: load each time, sharing only running loads.
    pub const fn ttl(ttl: Duration) -> Self {
        Self {
            ttl: at_most(ttl, MAX_TTL),
            hard_ttl: None,
            negative_ttl: None,
            jitter: DEFAULT_JITTER,
            beta: DEFAULT_BETA,
            soft_timeout: None,
            hard_timeout: None,
            serves_disconnected: false,
            fleet_lock: true,
            strategy: Strategy::ReadThrough,
        }
    }

    /// Fail-safe: how long an entry is kept; default: as long as it is served. In the time between the two limits it is
    /// *aged*: served, as [`Tier::Stale`](crate::Tier::Stale), only when the loader fails or exceeds a time-out, and
    /// never when it was invalidated. Shorter than the TTL, it counts as the TTL.
    #[must_use]
    pub const fn with_hard_ttl(mut self, hard_ttl: Duration) -> Self {
        self.hard_ttl = Some(at_most(hard_ttl, MAX_TTL));
        self
    }

    /// That there is no such thing is cached too, for so long; default: not at all. The tags must then name what would
    /// create it.
    #[must_use]
    pub const fn with_negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(at_most(ttl, MAX_TTL));
        self
    }

    /// Each entry expires earlier by a random share of its TTL, up to `share` (0 to 0.5; default 0.05), so that entries
    /// that were loaded together do not expire together.
    #[must_use]
    pub const fn with_jitter(mut self, share: f64) -> Self {
        self.jitter = share.clamp(0.0, 0.5);
        self
    }

    /// How eagerly entries are loaded anew before they expire (`XFetch`'s beta; default 1, 0 turns it off).
    #[must_use]
    pub const fn with_early_refresh(mut self, beta: f64) -> Self {
        self.beta = beta.max(0.0);
        self
    }

    /// A client that could get an aged answer waits for the loader only so long; the load goes on and fills the cache.
    /// Means nothing without a hard TTL.
    #[must_use]
    pub const fn with_soft_timeout(mut self, limit: Duration) -> Self {
        self.soft_timeout = Some(limit);
        self
    }

    /// A load that takes longer is given up: the clients get an aged answer or an error.
    #[must_use]
    pub const fn with_hard_timeout(mut self, limit: Duration) -> Self {
        self.hard_timeout = Some(limit);
        self
    }

    /// When the loader fails while invalidations of other replicas cannot be received, serve what is in L1 all the
    /// same. For endpoints that would rather answer with something old than not at all; what was invalidated here is
    /// still not served.
    #[must_use]
    pub const fn serve_l1_while_disconnected(mut self) -> Self {
        self.serves_disconnected = true;
        self
    }

    /// Whether one replica loads for all (default), or each for itself.
    #[must_use]
    pub const fn with_fleet_lock(mut self, locks: bool) -> Self {
        self.fleet_lock = locks;
        self
    }

    /// How cache and loader work together; default: read-through.
    #[must_use]
    pub const fn with_strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// The strategy.
    pub const fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The TTL, before jitter.
    pub const fn base_ttl(&self) -> Duration {
        self.ttl
    }

    /// The limits of one entry. `ttl` is what its loader wants instead of the policy's, `draw` a random number from 0
    /// to 1.
    pub(crate) fn lifetime(&self, ttl: Option<Duration>, draw: f64) -> Lifetime {
        let ttl = ttl.map_or(self.ttl, |ttl| at_most(ttl, MAX_TTL));
        let soft = ttl.mul_f64(1.0 - self.jitter * draw).min(MAX_TTL);
        let hard = self.hard_ttl.unwrap_or(soft).max(soft);
        Lifetime {
            soft_ms: as_millis(soft),
            hard_ms: as_millis(hard),
        }
    }

    /// The limits of "there is no such thing"; `None` if that is not cached.
    pub(crate) fn negative_lifetime(&self, ttl: Option<Duration>, draw: f64) -> Option<Lifetime> {
        let ttl = at_most(ttl.or(self.negative_ttl)?, MAX_TTL);
        let soft_ms = as_millis(ttl.mul_f64(1.0 - self.jitter * draw));
        Some(Lifetime {
            soft_ms,
            hard_ms: soft_ms,
        })
    }

    /// How long before its end an entry is loaded anew by whoever reads it, for an entry that took `load` to load.
    ///
    /// `draw` is a random number from 0 to 1, one for each entry. `XFetch` draws at each read; one draw per entry gives
    /// each replica its own moment, needs no random number in a hit, and does not begin earlier for being asked more
    /// often.
    pub(crate) fn refresh_lead(&self, load: Duration, soft: Duration, draw: f64) -> Duration {
        if self.strategy == Strategy::RefreshAhead {
            return soft.mul_f64(1.0 - REFRESH_AHEAD_SHARE);
        }
        if self.beta == 0.0 {
            return Duration::ZERO;
        }
        let cost = load.max(MIN_REFRESH_COST);
        // Not below one whole cost: a refresh that begins later ends after the entry.
        let before_end = cost.mul_f64(self.beta * (1.0 - draw.clamp(1e-6, 1.0).ln()));
        before_end.min(soft / 2)
    }
}

/// What a refresh costs beside the load: a task, a few round trips, a busy machine. Loads that are quicker count as
/// this long, or the entry would expire while it is being refreshed.
const MIN_REFRESH_COST: Duration = Duration::from_millis(20);

const fn at_most(duration: Duration, limit: Duration) -> Duration {
    if duration.as_nanos() < limit.as_nanos() {
        duration
    } else {
        limit
    }
}

/// The limits of one entry, jitter applied, in milliseconds since it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// Served while younger than this.
    pub(crate) soft_ms: u64,
    /// Kept while younger than this.
    pub(crate) hard_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_only_shortens_and_stays_within_its_share() {
        let policy = Policy::ttl(Duration::from_secs(100)).with_jitter(0.1);
        assert_eq!(policy.lifetime(None, 0.0).soft_ms, 100_000);
        assert_eq!(policy.lifetime(None, 1.0).soft_ms, 90_000);
    }

    #[test]
    fn endless_limits_are_cut_to_a_year() {
        let lifetime = Policy::ttl(Duration::MAX)
            .with_hard_ttl(Duration::MAX)
            .lifetime(None, 0.0);
        assert_eq!(
            (lifetime.soft_ms, lifetime.hard_ms),
            (as_millis(MAX_TTL), as_millis(MAX_TTL))
        );
    }

    #[test]
    fn the_hard_limit_is_never_below_the_soft_one() {
        let policy = Policy::ttl(Duration::from_secs(10)).with_jitter(0.0);
        assert_eq!(policy.lifetime(None, 0.5).hard_ms, 10_000);
        let shorter = policy.with_hard_ttl(Duration::from_secs(1));
        assert_eq!(shorter.lifetime(None, 0.5).hard_ms, 10_000);
        let longer = policy.with_hard_ttl(Duration::from_mins(1));
        assert_eq!(longer.lifetime(None, 0.5).hard_ms, 60_000);
    }

    #[test]
    fn refreshes_begin_earlier_for_dearer_loads_and_never_too_late() {
        let policy = Policy::ttl(Duration::from_mins(1));
        let minute = Duration::from_mins(1);
        let lead = |load_ms, draw| policy.refresh_lead(Duration::from_millis(load_ms), minute, draw);
        assert_eq!(
            lead(100, 1.0),
            Duration::from_millis(100),
            "one load before the end at the latest"
        );
        assert!(lead(100, 0.1) > lead(100, 0.9));
        assert!(lead(1_000, 0.5) > lead(100, 0.5));
        assert_eq!(lead(0, 1.0), MIN_REFRESH_COST);
        assert_eq!(lead(60_000, 0.01), minute / 2, "never before half of the TTL");
        assert_eq!(
            policy.with_early_refresh(0.0).refresh_lead(minute, minute, 0.1),
            Duration::ZERO
        );
        let ahead = policy.with_strategy(Strategy::RefreshAhead);
        assert_eq!(ahead.refresh_lead(Duration::ZERO, minute, 0.5).as_secs(), 12);
    }
}
