//! What a read, a miss, an invalidation and a key cost, each beside its rival with the same types and the same way of
//! awaiting, so that their ratio is the cache's own cost. The table of ratios stands at the end, and in
//! `target/criterion/ratios.json`.

mod codecs;
mod flights;
mod hits;
mod operations;
mod redis_paths;

use std::{convert::Infallible, time::Duration};

use benches::{
    ratios::{self, Goal, Row},
    sample_body,
};
use criterion::Criterion;
use tiered_cache::{Entry, Key, Policy, Tag};
use tokio::runtime::Runtime;

/// Entries in each cache: more than one, so that nothing stays in the processor by chance; few enough to be resident.
const ENTRIES: u32 = 1_000;
const HOT: u32 = 42;

fn key(id: u32) -> Key {
    Key::new("driver_details").part(id)
}

fn tags(id: u32) -> [Tag; 2] {
    [Tag::new(format!("driver:{id}")), Tag::new("drivers")]
}

/// Long-lived: nothing expires during a run.
fn policy() -> Policy {
    Policy::ttl(Duration::from_hours(24)).with_early_refresh(0.0)
}

async fn load() -> Result<Option<Entry>, Infallible> {
    Ok(Some(Entry::new(sample_body(), 1)))
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30)
        .configure_from_args();
    hits::l1(&mut criterion, &runtime);
    hits::key_building(&mut criterion);
    codecs::json(&mut criterion);
    flights::waiters(&mut criterion, &runtime);
    let mut rows = hits::allocations(&runtime);
    rows.extend(flights::stampede(&runtime));
    rows.extend(redis_paths::all(&mut criterion, &runtime));
    rows.extend(operations::all(&runtime));
    criterion.final_summary();
    finish(rows);
}

/// Pairs of benchmarks and what their ratio should be.
const PAIRS: [(&str, &str, &str, Goal); 13] = [
    (
        "L1 hit vs moka",
        "l1_hit/tiered_cache",
        "l1_hit/moka",
        Goal::AtMost(1.25),
    ),
    (
        "L1 hit with metrics vs moka",
        "l1_hit/tiered_cache_observed",
        "l1_hit/moka",
        Goal::AtMost(1.5),
    ),
    (
        "L1 hit vs quick_cache",
        "l1_hit/tiered_cache",
        "l1_hit/quick_cache",
        Goal::None,
    ),
    (
        "L1 hit vs foyer (memory)",
        "l1_hit/tiered_cache",
        "l1_hit/foyer",
        Goal::None,
    ),
    (
        "L1 hit vs cached (LRU)",
        "l1_hit/tiered_cache",
        "l1_hit/cached",
        Goal::None,
    ),
    (
        "L1 hit vs HashMap + lock",
        "l1_hit/tiered_cache",
        "l1_hit/hash_map",
        Goal::None,
    ),
    (
        "moka with expiry and clock vs moka",
        "l1_hit/moka_aged",
        "l1_hit/moka",
        Goal::None,
    ),
    (
        "key building vs format!",
        "key_building/key",
        "key_building/format",
        Goal::None,
    ),
    (
        "single flight, 1 waiter, vs moka's get_with",
        "single_flight/tiered_cache/1",
        "single_flight/moka_get_with/1",
        Goal::None,
    ),
    (
        "single flight, 100 waiters, vs moka's get_with",
        "single_flight/tiered_cache/100",
        "single_flight/moka_get_with/100",
        Goal::None,
    ),
    (
        "single flight, 1,000 waiters, vs moka's get_with",
        "single_flight/tiered_cache/1000",
        "single_flight/moka_get_with/1000",
        Goal::None,
    ),
    (
        "reading an event's JSON vs writing it",
        "codecs/event_from_json",
        "codecs/event_to_json",
        Goal::None,
    ),
    (
        "L2 hit vs L1 hit",
        "l2/tiered_cache",
        "l1_hit/tiered_cache",
        Goal::AtLeast(50.0),
    ),
];

fn finish(measured: Vec<Row>) {
    let home = ratios::criterion_home();
    let mut rows: Vec<Row> = PAIRS
        .iter()
        .filter_map(|&(what, figure, rival, goal)| {
            Some(Row {
                what: what.to_owned(),
                figure: ratios::median_ns(&home, figure)?,
                rival: ratios::median_ns(&home, rival)?,
                unit: "ns",
                goal,
            })
        })
        .collect();
    rows.extend(measured);
    println!("\n{}", ratios::table(&rows));
    let path = home.join("ratios.json");
    let written = ratios::json(&rows)
        .map_err(std::io::Error::other)
        .and_then(|text| std::fs::write(&path, text));
    match written {
        Ok(()) => println!("written to {}", path.display()),
        Err(error) => eprintln!("{} cannot be written: {error}", path.display()),
    }
}
