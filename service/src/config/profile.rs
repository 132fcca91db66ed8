//! The profiles: presets of the switches that make the service the one before or the one after.
//!
//! What belongs here: the switches and their presets, so that a report can show what each change bought. The settings
//! that a profile does not touch stand with their concern.

use tiered_cache::Strategy;

use super::reader::{Reader, one_of, switch, whole_from_0};

/// A named preset of all switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Before: no cache, N+1 queries and aggregates per request, one Kafka message at a time.
    Phase1,
    /// The plan as written: Redis alone (JSON, TTL, no lock, deletion by pattern), the queries as before, batched
    /// Kafka.
    Planned,
    /// After: tiered cache, joined queries, batched and compressed Kafka messages.
    Phase2,
}

impl Profile {
    /// As `PROFILE` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Phase1 => "phase1",
            Self::Planned => "planned",
            Self::Phase2 => "phase2",
        }
    }
}

const PROFILES: &[(&str, Profile)] = &[
    (Profile::Phase1.name(), Profile::Phase1),
    (Profile::Planned.name(), Profile::Planned),
    (Profile::Phase2.name(), Profile::Phase2),
];

/// Which queries the store runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queries {
    /// As they were: N+1 and per-request aggregates.
    Phase1,
    /// Joins and incremental aggregates.
    Tuned,
}

const QUERIES: &[(&str, Queries)] = &[("phase1", Queries::Phase1), ("tuned", Queries::Tuned)];

const STRATEGIES: &[(&str, Strategy)] = &[
    (Strategy::ReadThrough.as_str(), Strategy::ReadThrough),
    (Strategy::CacheAside.as_str(), Strategy::CacheAside),
    (Strategy::RefreshAhead.as_str(), Strategy::RefreshAhead),
    (Strategy::Off.as_str(), Strategy::Off),
    (Strategy::Planned.as_str(), Strategy::Planned),
];

/// The most drivers to warm: beyond it the first minutes of a replica would go into warming rather than serving.
const MAX_WARM_DRIVERS: u64 = 100_000;

/// The profile's switches. Each starts from the preset and can be set alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switches {
    /// `PROFILE`, `phase1`, `planned` or `phase2`, default `phase2`: the preset of everything below.
    pub profile: Profile,
    /// `CACHE_ENABLED`, true or false, default from the profile (phase1 false, the others true): the endpoint cache.
    pub cache_enabled: bool,
    /// `CACHE_STRATEGY`, default from the profile (planned `planned`, the others `read-through`): how the cache and the
    /// store work together. Means nothing while the cache is off.
    /// - `read-through`: the cache loads, once for all who miss together; a write ends what it changed.
    /// - `cache-aside`: each request that misses loads for itself.
    /// - `refresh-ahead`: as read-through, and what is read late in its lifetime is loaded anew in the background.
    /// - `off`: every request loads.
    /// - `planned`: the plan's own sample: Redis alone, no lock, deletion by pattern.
    pub cache_strategy: Strategy,
    /// `QUERY_CACHE`, on or off, default off: keeps the results of the queries that take more than 50 ms, of which the
    /// tuned queries have none. Not together with the strategy `planned`, which knows no tags to end them by.
    pub query_cache: bool,
    /// `QUERIES`, `phase1` or `tuned`, default from the profile: which SQL the store runs.
    pub queries: Queries,
    /// `KAFKA_BATCHING`, on or off, default from the profile (phase1 off, the others on): linger and lz4, or neither.
    pub kafka_batching: bool,
    /// `CACHE_WARM_DRIVERS`, drivers, default from the profile (phase1 0, planned 200, phase2 4000), 0 = off: how many
    /// of the busiest drivers are loaded into the cache at start-up. Means nothing while the cache is off.
    pub warm_drivers: u32,
}

impl Switches {
    /// The preset of a profile.
    pub fn preset(profile: Profile) -> Self {
        match profile {
            Profile::Phase1 => Self {
                profile,
                cache_enabled: false,
                cache_strategy: Strategy::ReadThrough,
                query_cache: false,
                queries: Queries::Phase1,
                kafka_batching: false,
                warm_drivers: 0,
            },
            // Few drivers to warm: each answer costs these queries some forty statements.
            Profile::Planned => Self {
                profile,
                cache_enabled: true,
                cache_strategy: Strategy::Planned,
                query_cache: false,
                queries: Queries::Phase1,
                kafka_batching: true,
                warm_drivers: 200,
            },
            Profile::Phase2 => Self {
                profile,
                cache_enabled: true,
                cache_strategy: Strategy::ReadThrough,
                query_cache: false,
                queries: Queries::Tuned,
                kafka_batching: true,
                warm_drivers: 4_000,
            },
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let preset = Self::preset(reader.or("PROFILE", Profile::Phase2, one_of(PROFILES)));
        let warm_drivers = reader.or(
            "CACHE_WARM_DRIVERS",
            u64::from(preset.warm_drivers),
            whole_from_0(MAX_WARM_DRIVERS),
        );
        let switches = Self {
            profile: preset.profile,
            cache_enabled: reader.or("CACHE_ENABLED", preset.cache_enabled, switch),
            cache_strategy: reader.or("CACHE_STRATEGY", preset.cache_strategy, one_of(STRATEGIES)),
            query_cache: reader.or("QUERY_CACHE", preset.query_cache, switch),
            queries: reader.or("QUERIES", preset.queries, one_of(QUERIES)),
            kafka_batching: reader.or("KAFKA_BATCHING", preset.kafka_batching, switch),
            warm_drivers: u32::try_from(warm_drivers).unwrap_or(preset.warm_drivers),
        };
        if switches.query_cache && switches.cache_strategy == Strategy::Planned {
            reader.refuse(
                "QUERY_CACHE",
                "is on with CACHE_STRATEGY=planned; turn one of them off".to_owned(),
            );
        }
        switches
    }

    /// Whether anything is cached at all.
    pub const fn needs_cache(&self) -> bool {
        self.cache_enabled || self.query_cache
    }
}
