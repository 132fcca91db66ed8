//! The digest of a record: what was measured, as a hash.
//!
//! What belongs here: which parts of a record are data, and their one way to bytes. What does not: what follows from a
//! digest that does not fit (`store`).
//!
//! Hashed is the JSON itself and not the types of this build, so that a record of an older build, whose fields another
//! build reads with defaults, keeps its digest. What follows from the data (summary, comparisons, judgements) is left
//! out: it is computed again whenever a record is read.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::checks::FOUND_ONCE;

/// Parts of a record that follow from the others.
const DERIVED: [&str; 9] = [
    "summary",
    "comparisons",
    "verdict",
    "exit_code",
    "verdict_reason",
    "gate",
    "baseline",
    "digest",
    // Some of them are data all the same, see `of`.
    "checks",
];

/// Parts of a target that its file gave; the others are its judgement.
const OF_TARGET: [&str; 7] = ["id", "priority", "metric", "endpoint", "source", "limit", "not_yet"];

/// SHA-256, hexadecimal, over the data of a record.
pub(super) fn of(record: &Value) -> String {
    let mut hash = Sha256::new();
    let nothing = Map::new();
    let parts = record.as_object().unwrap_or(&nothing);
    let kept = parts.iter().filter(|(name, _)| !DERIVED.contains(&name.as_str()));
    for (name, value) in sorted(kept) {
        text(&mut hash, name);
        if name == "targets" {
            list(value).for_each(|target| object(&mut hash, target, |key| OF_TARGET.contains(&key)));
        } else {
            feed(&mut hash, value);
        }
    }
    for check in parts.get("checks").into_iter().flat_map(list) {
        let name = check.get("name").and_then(Value::as_str).unwrap_or_default();
        if FOUND_ONCE.contains(&name) {
            object(&mut hash, check, |key| ["name", "ok", "detail"].contains(&key));
        }
    }
    hex::encode(hash.finalize())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn sorted<'v>(pairs: impl Iterator<Item = (&'v String, &'v Value)>) -> Vec<(&'v String, &'v Value)> {
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by_key(|(name, _)| *name);
    pairs
}

fn object(hash: &mut Sha256, value: &Value, keeps: impl Fn(&str) -> bool) {
    hash.update(b"{");
    let pairs = value.as_object().into_iter().flatten();
    for (name, value) in sorted(pairs.filter(|(name, _)| keeps(name.as_str()))) {
        text(hash, name);
        feed(hash, value);
    }
    hash.update(b"}");
}

/// Each kind of value begins with a mark of its own, and a text with its length, so that no two values give the same
/// bytes.
fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(yes) => hash.update(if *yes { b"t" } else { b"f" }),
        Value::Number(number) => text(hash, &number.to_string()),
        Value::String(string) => text(hash, string),
        Value::Array(items) => {
            hash.update(b"[");
            for item in items {
                feed(hash, item);
            }
            hash.update(b"]");
        }
        Value::Object(_) => object(hash, value, |_| true),
    }
}

fn text(hash: &mut Sha256, text: &str) {
    hash.update(format!("\"{}:", text.len()));
    hash.update(text);
}
