//! The verdict for machines: small, stable, and nothing that a gate does not need. The record has everything else.

use measure::record::{Capacity, Comparison, Record, TargetResult};
use serde_json::{Value, json};

/// Version of this document; fields are only added within one.
const VERSION: u32 = 1;

/// The whole document, pretty-printed, ending in a line break.
pub(crate) fn document(record: &Record) -> String {
    let failed: Vec<Value> = record
        .checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| json!({"name": check.name, "detail": check.detail}))
        .collect();
    let value = json!({
        "version": VERSION,
        "record": record.id,
        "verdict": record.verdict,
        "exit_code": record.exit_code,
        "reason": record.verdict_reason,
        "subjects": record.subjects.iter().map(|subject| &subject.name).collect::<Vec<_>>(),
        "failed_checks": failed,
        "targets": record.targets.iter().map(target).collect::<Vec<_>>(),
        "comparisons": record.comparisons.iter().map(comparison).collect::<Vec<_>>(),
        "gate": record.gate,
        "baseline": record.baseline,
        "capacity": record.capacity.as_ref().map(capacity),
    });
    format!("{value:#}\n")
}

fn target(target: &TargetResult) -> Value {
    json!({
        "id": target.id,
        "priority": target.priority,
        "metric": target.metric,
        "endpoint": target.endpoint,
        "limit": target.limit,
        "observed": target.observed,
        "interval": target.interval,
        "verdict": target.verdict,
    })
}

/// Without its steps: those stand in the record.
fn capacity(found: &Capacity) -> Value {
    json!({
        "outcome": found.outcome,
        "advertised_per_s": found.advertised_per_s,
        "wanted_per_s": found.wanted_per_s,
        "crossing_per_s": found.crossing_per_s,
        "interval_per_s": found.interval_per_s,
        "soak_s": found.soak_s,
        "failed_soaks": found.failed_soaks,
        "goals": found.goals,
    })
}

fn comparison(one: &Comparison) -> Value {
    json!({
        "family": one.family,
        "endpoint": one.endpoint,
        "ratio": one.ratio,
        "ratio_low": one.ratio_low,
        "ratio_high": one.ratio_high,
        "mde": one.mde,
        "blocks": one.blocks,
        "outcome": one.outcome,
    })
}
