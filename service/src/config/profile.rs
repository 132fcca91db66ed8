//! The profiles: presets of the switches that make the service the one before or the one after.
//!
//! What belongs here: the switches and their presets, so that a report can show what each change bought. The settings
//! that a profile does not touch stand with their concern.

use tiered_cache::Strategy;

use super::reader::{Reader, one_of, switch, whole_from_0};
use crate::codec::Format;

/// A named preset of all switches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Before: no cache, N+1 queries and aggregates per request, one Kafka message of JSON at a time, every event to
    /// every live client.
    Phase1,
    /// The plan as written: Redis alone (JSON, TTL, no lock, deletion by pattern), the queries as before, batched
    /// Kafka.
    Planned,
    /// After: tiered cache, joined queries, batched and compressed Kafka messages of Protobuf, live clients that get
    /// what they have subscribed to.
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

const FORMATS: &[(&str, Format)] = &[("json", Format::Json), ("protobuf", Format::Protobuf)];

/// How batches of Kafka messages are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// Fast.
    Lz4,
    /// A fifth smaller, for more CPU.
    Zstd,
}

impl Compression {
    /// As librdkafka spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

const COMPRESSIONS: &[(&str, Compression)] = &[
    (Compression::None.as_str(), Compression::None),
    (Compression::Lz4.as_str(), Compression::Lz4),
    (Compression::Zstd.as_str(), Compression::Zstd),
];

/// How the group takes events in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consuming {
    /// As librdkafka does by default, one message at a time.
    Defaults,
    /// In batches, soon, with partitions that stay where they are at a rebalance.
    Tuned,
}

const CONSUMING: &[(&str, Consuming)] = &[("defaults", Consuming::Defaults), ("tuned", Consuming::Tuned)];

/// The most drivers to warm: beyond it the first minutes of a replica would go into warming rather than serving.
const MAX_WARM_DRIVERS: u64 = 100_000;

/// The profile's switches. Each starts from the preset and can be set alone.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
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
    /// `KAFKA_BATCHING`, on or off, default from the profile (phase1 off, the others on): messages that
    /// wait (`KAFKA_LINGER_MS`, or for the batch before them) go out together, or each at once and alone.
    pub kafka_batching: bool,
    /// `KAFKA_COMPRESSION`, `none`, `lz4` or `zstd`, default from the profile (phase1 `none`, the others `lz4`): how
    /// batches are packed.
    pub kafka_compression: Compression,
    /// `KAFKA_SCHEMA`, `json` or `protobuf`, default from the profile (phase2 `protobuf`, the others `json`): the form
    /// in which events are written. Both are read.
    pub event_format: Format,
    /// `KAFKA_CONSUMER`, `defaults` or `tuned`, default from the profile (phase1 `defaults`, the others `tuned`): one
    /// message at a time by librdkafka's defaults, or in batches, fetched soon, with cooperative rebalances. Never let
    /// replicas of one group differ in this.
    pub kafka_consumer: Consuming,
    /// `LIVE_FILTERING`, on or off, default from the profile (phase2 on, the others off): live clients get what they
    /// have subscribed to, or everything that they may see.
    pub live_filtering: bool,
    /// `LIVE_BATCHING`, on or off, default from the profile (phase1 off, the others on): events of a few milliseconds
    /// go to live clients in one frame, or each in one of its own.
    pub live_batching: bool,
    /// `LIVE_DEDUPE`, on or off, default from the profile (phase2 on, the others off): an event that Kafka delivers
    /// twice is shown once.
    pub live_dedupe: bool,
    /// `CACHE_WARM_DRIVERS`, drivers, default from the profile (phase1 0, planned 200, phase2 10000), 0 = off: how many
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
                kafka_compression: Compression::None,
                event_format: Format::Json,
                kafka_consumer: Consuming::Defaults,
                live_filtering: false,
                live_batching: false,
                live_dedupe: false,
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
                kafka_compression: Compression::Lz4,
                event_format: Format::Json,
                kafka_consumer: Consuming::Tuned,
                live_filtering: false,
                live_batching: true,
                live_dedupe: false,
                warm_drivers: 200,
            },
            Profile::Phase2 => Self {
                profile,
                cache_enabled: true,
                cache_strategy: Strategy::ReadThrough,
                query_cache: false,
                queries: Queries::Tuned,
                kafka_batching: true,
                kafka_compression: Compression::Lz4,
                event_format: Format::Protobuf,
                kafka_consumer: Consuming::Tuned,
                live_filtering: true,
                live_batching: true,
                live_dedupe: true,
                warm_drivers: 10_000,
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
            kafka_compression: reader.or("KAFKA_COMPRESSION", preset.kafka_compression, one_of(COMPRESSIONS)),
            event_format: reader.or("KAFKA_SCHEMA", preset.event_format, one_of(FORMATS)),
            kafka_consumer: reader.or("KAFKA_CONSUMER", preset.kafka_consumer, one_of(CONSUMING)),
            live_filtering: reader.or("LIVE_FILTERING", preset.live_filtering, switch),
            live_batching: reader.or("LIVE_BATCHING", preset.live_batching, switch),
            live_dedupe: reader.or("LIVE_DEDUPE", preset.live_dedupe, switch),
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
