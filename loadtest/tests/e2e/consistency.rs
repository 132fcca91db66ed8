//! The stale-read detector against a service that forgets to invalidate, and against one that does not.

use crate::support::{Stale, WorkloadText, Workplace, closed};

/// Half reads, half writes; a write must be seen after 5 ms.
const ITEMS: &str = r#"
[consistency]
bound_ms = 5
[feeders.item]
uniform = { min = 0, max = 99 }
[endpoints.read]
path = "/items/{item}"
entity = "item:{item}"
[endpoints.write]
method = "POST"
path = "/items/{item}"
write = true
entity = "item:{item}"
[journeys.read]
weight = 3
steps = [{ endpoint = "read" }]
[journeys.write]
weight = 1
steps = [{ endpoint = "write" }]
"#;

/// As fast as ten users can.
fn items() -> String {
    let text = WorkloadText {
        name: "items",
        measure_s: 6.0,
        drain_s: 2.0,
        model: &closed(10),
        warm_up: "duration_s = 0.5\nthink_time_scale = 1\n",
        rest: ITEMS,
        ..WorkloadText::default()
    };
    text.to_string()
}

/// One write in a thousand is not invalidated: every stale read that is reported is of such a write.
#[test]
fn finds_the_invalidation_that_was_forgotten_and_no_other() {
    let place = Workplace::new();
    let stale = Stale::start(Some(1_000));
    let (_, record) = place.measure(&items(), stale.server.address, &[]);
    let found = record.rounds[0].consistency.as_ref().unwrap();
    let forgotten = stale.forgotten();
    assert!(
        found.writes > 1_000 && !forgotten.is_empty(),
        "too few writes to forget one: {}",
        found.writes
    );
    assert!(
        found.stale_reads > 0,
        "{} forgotten, none found in {} reads",
        forgotten.len(),
        found.reads
    );
    for example in &found.examples {
        let id: usize = example.entity.trim_start_matches("item:").parse().unwrap();
        assert!(
            forgotten.contains(&(id, example.expected_version)),
            "{example:?} was invalidated"
        );
        assert!(
            example.seen_version < example.expected_version && example.behind_ms > 5.0,
            "{example:?}"
        );
    }
    assert!(
        (record.summary.values().next().unwrap().metrics["cache.stale_reads"].value - found.stale_reads as f64).abs()
            < 1e-9
    );
}

#[test]
fn finds_nothing_where_nothing_is_wrong() {
    let place = Workplace::new();
    let sound = Stale::start(None);
    let (_, record) = place.measure(&items(), sound.server.address, &[]);
    let found = record.rounds[0].consistency.as_ref().unwrap();
    assert!(
        found.reads > 1_000 && found.writes > 300,
        "{} reads, {} writes",
        found.reads,
        found.writes
    );
    assert_eq!((found.stale_reads, found.examples.len()), (0, 0));
}
