//! The endpoint cache: its Redis, its sizes and its lifetimes. Whether it is on at all is a profile switch.

use std::time::Duration;

use tiered_cache::Strategy;

use super::address;
use super::profile::Switches;
use super::reader::{Reader, Secret, whole_from_0, whole_from_1};

const DEFAULT_NAMESPACE: &str = "ins";
/// 64 MiB holds the details and the score of some 20,000 drivers at about 1.5 KB each with their bookkeeping.
const DEFAULT_L1_BYTES: u64 = 64 << 20;
const MAX_TTL_S: u64 = 86_400;
/// Some thirty loads in five minutes: nothing to the database, and soon enough to find a write that invalidates nothing
/// before its day is over.
const DEFAULT_VERIFY_EVERY_S: u64 = 300;
/// Variables of what was measured and bought nothing (docs/CACHE.md). To take them and do nothing would mislead.
const REMOVED: [&str; 3] = ["CACHE_EXPERIMENT", "CACHE_PREDICTIVE_WARMING", "CACHE_TUNING"];

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
    /// `CACHE_VERIFY_EVERY_S`, seconds, default 300, 0 = off: so often, twenty cached answers and all those about the
    /// portfolio are compared with the database.
    pub verify_every: Duration,
    /// `CACHE_VERIFY_ONE_IN`, hits, default 0 = off: one in so many hits in memory is compared with the database.
    pub verify_one_in: u32,
}

impl CacheConfig {
    pub(super) fn read(reader: &mut Reader<'_>, switches: Switches) -> Self {
        refuse_removed(reader);
        Self {
            redis_url: Secret::new(redis_url(reader, switches.needs_cache())),
            redis_password: reader.secret("REDIS_PASSWORD"),
            namespace: reader.or("CACHE_NAMESPACE", DEFAULT_NAMESPACE.to_owned(), namespace),
            l1_capacity_bytes: reader.or("CACHE_L1_BYTES", DEFAULT_L1_BYTES, whole_from_1(1 << 40)),
            ttl_default: seconds(reader, "CACHE_TTL_DEFAULT", 300),
            ttl_dashboard: seconds(reader, "CACHE_TTL_DASHBOARD", 60),
            ttl_risk: seconds(reader, "CACHE_TTL_RISK", 600),
            ttl_pricing: seconds(reader, "CACHE_TTL_PRICING", 600),
            verify_every: Duration::from_secs(reader.or(
                "CACHE_VERIFY_EVERY_S",
                DEFAULT_VERIFY_EVERY_S,
                whole_from_0(MAX_TTL_S),
            )),
            verify_one_in: verify_one_in(reader, switches),
        }
    }
}

fn refuse_removed(reader: &mut Reader<'_>) {
    for variable in REMOVED {
        if reader.text(variable).is_some() {
            let why = "was removed, because it bought nothing when it was measured (docs/CACHE.md): unset it";
            reader.refuse(variable, why.to_owned());
        }
    }
}

/// The sampler compares hits in memory: with strategies that keep nothing there it would do nothing, and is refused.
fn verify_one_in(reader: &mut Reader<'_>, switches: Switches) -> u32 {
    const VARIABLE: &str = "CACHE_VERIFY_ONE_IN";
    let one_in = reader.or(VARIABLE, 0_u64, whole_from_0(u64::from(u32::MAX)));
    let strategy = switches.cache_strategy;
    if one_in > 0 && matches!(strategy, Strategy::Off | Strategy::Planned) {
        let strategy = strategy.as_str();
        reader.refuse(
            VARIABLE,
            format!("is on with CACHE_STRATEGY={strategy}, which keeps nothing in memory"),
        );
    }
    u32::try_from(one_in).unwrap_or_default()
}

fn redis_url(reader: &mut Reader<'_>, needed: bool) -> String {
    if !needed {
        return reader.text("REDIS_URL").unwrap_or_default();
    }
    let url = reader.required(
        "REDIS_URL",
        "redis://127.0.0.1:6379, or turn the cache off by CACHE_ENABLED=false",
    );
    if let Some(problem) = url_problem(&url) {
        reader.refuse("REDIS_URL", problem);
    }
    url
}

/// The value is never repeated: it may hold a password.
fn url_problem(url: &str) -> Option<String> {
    if url.is_empty() {
        // That it is not set has been said.
        return None;
    }
    if url.starts_with("rediss://") {
        return Some(
            "asks for TLS (rediss://), which this build does not have; reach Redis by a private network or a local TLS \
             proxy (stunnel, a sidecar), with redis://"
                .to_owned(),
        );
    }
    match url.strip_prefix("redis://") {
        Some(rest) => address::problem(rest, "REDIS_PASSWORD"),
        None => Some("does not start with redis://".to_owned()),
    }
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
