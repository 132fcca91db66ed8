//! The verdict for machines: small, stable, and nothing that a gate does not need. The record has everything else.

use measure::record::Record;
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
    let targets = record.targets.iter();
    let targets: Vec<Value> = targets.map(|one| without(json!(one), &["source", "detail"])).collect();
    let comparisons = record.comparisons.iter();
    let own = ["before", "after", "p_slower", "p_faster"];
    let comparisons: Vec<Value> = comparisons.map(|one| without(json!(one), &own)).collect();
    let capacity = record.capacity.as_ref().map(|found| {
        let mut value = without(json!(found), &["steps", "scaling"]);
        value["wanted_per_s"] = json!(found.wanted_per_s);
        value
    });
    let value = json!({
        "version": VERSION,
        "record": record.id,
        "verdict": record.verdict,
        "exit_code": record.exit_code,
        "reason": record.verdict_reason,
        "subjects": record.subjects.iter().map(|subject| &subject.name).collect::<Vec<_>>(),
        "failed_checks": failed,
        "targets": targets,
        "comparisons": comparisons,
        "gate": record.gate,
        "baseline": record.baseline,
        "capacity": capacity,
    });
    format!("{value:#}\n")
}

/// Part of the record without fields that a gate does not need: those stand in the record.
fn without(mut part: Value, fields: &[&str]) -> Value {
    if let Some(object) = part.as_object_mut() {
        object.retain(|name, _| !fields.contains(&name.as_str()));
    }
    part
}
