//! The endpoint cache: its Redis, its sizes and its lifetimes. Whether it is on at all is a profile switch.

use std::time::Duration;

use tiered_cache::Strategy;

use super::profile::{STRATEGIES, Switches};
use super::reader::{Reader, Secret, one_of, whole_from_0, whole_from_1};

const DEFAULT_NAMESPACE: &str = "ins";
/// 64 MiB holds the details and the score of some 20,000 drivers at about 1.5 KB each with their bookkeeping.
const DEFAULT_L1_BYTES: u64 = 64 << 20;
const MAX_TTL_S: u64 = 86_400;
/// Some thirty loads in five minutes: nothing to the database, and soon enough to find a write that invalidates nothing
/// before its day is over.
const DEFAULT_VERIFY_S: u64 = 300;
/// More loads in a second than the database of the reference service can take.
const MAX_PREDICTED: u64 = 10_000;
/// An hour, after which what was observed is old.
const MAX_TUNING_S: u64 = 3_600;

/// Another strategy for a share of the keys, to be compared with the profile's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CacheExperiment {
    /// What arm B does.
    pub strategy: Strategy,
    /// Its share of the keys, 0 to 1.
    pub share: f64,
}

/// The cache side.
#[derive(Debug, Clone)]
pub struct CacheConfig {
    /// `REDIS_URL`, `redis://host:port`, no default; needed only while the cache is on.
    pub redis_url: Secret,
    /// `REDIS_PASSWORD`, text, default none.
    pub redis_password: Option<Secret>,
    /// `CACHE_NAMESPACE`, text, default `ins`: the prefix of every Redis key and channel.
    pub namespace: String,
    /// `CACHE_L1_BYTES`, bytes, default 67108864: the bound of the in-process tier.
    pub l1_capacity_bytes: u64,
    /// `CACHE_TTL_DEFAULT`, seconds, default 300: the lifetime of every endpoint without a variable of its own
    /// (drivers, their list, trips and statistics, and the resource metrics).
    pub ttl_default: Duration,
    /// `CACHE_TTL_DASHBOARD`, seconds, default 60.
    pub ttl_dashboard: Duration,
    /// `CACHE_TTL_RISK`, seconds, default 600.
    pub ttl_risk: Duration,
    /// `CACHE_TTL_PRICING`, seconds, default 600.
    pub ttl_pricing: Duration,
    /// `CACHE_PREDICTIVE_WARMING`, loads per second, default 0 = off: up to so many popular answers that have ended are
    /// loaded again before somebody asks. Nothing counts what is popular while it is off.
    pub predictive_warming: usize,
    /// `CACHE_TUNING`, seconds between two decisions, default 0 = off: lifetimes (1 to 4 times the configured ones) and
    /// the size of the in-process tier (a quarter of `CACHE_L1_BYTES` to all of it) follow what is observed.
    pub tuning: Duration,
    /// `CACHE_VERIFY_EVERY`, seconds, default 300, 0 = off: so often, twenty cached answers and all those about the
    /// portfolio are compared with the database.
    pub verify_every: Duration,
    /// `CACHE_VERIFY_ONE_IN`, hits, default 0 = off: one in so many hits in memory is compared with the database.
    pub verify_one_in: u32,
    /// `CACHE_EXPERIMENT`, `STRATEGY:PERCENT` as in `refresh-ahead:50`, default none: this share of the keys is cached
    /// by another strategy than `CACHE_STRATEGY`, and the metrics tell both arms apart. Not with `planned` on either
    /// side, which knows no tags.
    pub experiment: Option<CacheExperiment>,
}

impl CacheConfig {
    pub(super) fn read(reader: &mut Reader<'_>, switches: Switches) -> Self {
        Self {
            redis_url: Secret::new(redis_url(reader, switches.needs_cache())),
            redis_password: reader.text("REDIS_PASSWORD").map(Secret::new),
            namespace: reader.or("CACHE_NAMESPACE", DEFAULT_NAMESPACE.to_owned(), namespace),
            l1_capacity_bytes: reader.or("CACHE_L1_BYTES", DEFAULT_L1_BYTES, whole_from_1(1 << 40)),
            ttl_default: seconds(reader, "CACHE_TTL_DEFAULT", 300),
            ttl_dashboard: seconds(reader, "CACHE_TTL_DASHBOARD", 60),
            ttl_risk: seconds(reader, "CACHE_TTL_RISK", 600),
            ttl_pricing: seconds(reader, "CACHE_TTL_PRICING", 600),
            predictive_warming: extra(reader, "CACHE_PREDICTIVE_WARMING", MAX_PREDICTED, switches),
            tuning: Duration::from_secs(extra(reader, "CACHE_TUNING", MAX_TUNING_S, switches)),
            verify_every: Duration::from_secs(reader.or(
                "CACHE_VERIFY_EVERY",
                DEFAULT_VERIFY_S,
                whole_from_0(MAX_TTL_S),
            )),
            verify_one_in: extra(reader, "CACHE_VERIFY_ONE_IN", u32::MAX.into(), switches),
            experiment: experiment(reader, switches),
        }
    }
}

/// A number that switches something on which works on the answers in memory: with strategies that keep none there, it
/// would do nothing, and is refused.
fn extra<T: TryFrom<u64> + Default>(
    reader: &mut Reader<'_>,
    variable: &'static str,
    max: u64,
    switches: Switches,
) -> T {
    let value = reader.or(variable, 0, whole_from_0(max));
    let strategy = switches.cache_strategy;
    if value > 0 && matches!(strategy, Strategy::Off | Strategy::Planned) {
        let strategy = strategy.as_str();
        reader.refuse(
            variable,
            format!("is on with CACHE_STRATEGY={strategy}, which keeps nothing in memory"),
        );
    }
    T::try_from(value).unwrap_or_default()
}

fn experiment(reader: &mut Reader<'_>, switches: Switches) -> Option<CacheExperiment> {
    let experiment = reader.optional("CACHE_EXPERIMENT", read_experiment)?;
    if switches.cache_strategy == Strategy::Planned {
        reader.refuse(
            "CACHE_EXPERIMENT",
            "is on with CACHE_STRATEGY=planned; turn one of them off".to_owned(),
        );
    }
    Some(experiment)
}

fn read_experiment(text: &str) -> Result<CacheExperiment, String> {
    let form = || format!("`{text}` is not STRATEGY:PERCENT; give for example refresh-ahead:50");
    let (strategy, percent) = text.split_once(':').ok_or_else(form)?;
    let percent: f64 = percent.trim_end_matches('%').parse().map_err(|_| form())?;
    if !(0.0..=100.0).contains(&percent) {
        return Err(format!("`{percent}` is not a percentage from 0 to 100"));
    }
    match one_of(STRATEGIES)(strategy)? {
        Strategy::Planned => Err("arm B cannot be `planned`, which knows no tags".to_owned()),
        strategy => Ok(CacheExperiment {
            strategy,
            share: percent / 100.0,
        }),
    }
}

fn redis_url(reader: &mut Reader<'_>, needed: bool) -> String {
    if !needed {
        return reader.text("REDIS_URL").unwrap_or_default();
    }
    let url = reader.required(
        "REDIS_URL",
        "redis://127.0.0.1:6379, or turn the cache off by CACHE_ENABLED=false",
    );
    if !(url.is_empty() || url.starts_with("redis://") || url.starts_with("rediss://")) {
        reader.refuse("REDIS_URL", "does not start with redis://".to_owned());
    }
    url
}

/// Letters, digits, `-`, `_` and `.`: a namespace stands inside Redis keys, where `:` and braces have a meaning.
fn namespace(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "`{text}` holds something else than letters, digits, `-`, `_` and `.`"
        ))
    }
}

fn seconds(reader: &mut Reader<'_>, variable: &'static str, default_s: u64) -> Duration {
    Duration::from_secs(reader.or(variable, default_s, whole_from_1(MAX_TTL_S)))
}
