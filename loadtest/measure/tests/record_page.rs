//! docs/RECORD.md and docs/record.schema.json are what the types of the record say.
//!
//! After a change of those types: `UPDATE_DOCS=1 cargo test -p measure --test record_page`.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use measure::record::Record;
use serde_json::Value;

/// Set to 1 it makes the test write the two files instead of comparing them.
const VARIABLE: &str = "UPDATE_DOCS";

const HEAD: &str = "\
# The record

`record.json` is what a run leaves: what was counted, what follows from it, and what it was measured with. Reports are
drawn from it, and `loadtest judge`, `merge` and `history` read it. This page lists its fields, type by type;
[record.schema.json](record.schema.json) is the same as a JSON Schema (draft 2020-12), for programs.

A field marked \"if any\" is left out of a record that has none. A reader ignores fields that it does not know: new ones
come without a new version of the format. Histograms are in HdrHistogram's V2 form, deflated, base64.

Page and schema are made from the types in `loadtest/measure/src/record.rs`, and a test holds them to it. After a change
of those types: `UPDATE_DOCS=1 cargo test -p measure --test record_page`.
";

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

#[test]
fn page_and_schema_are_those_of_the_types() {
    let schema = schema();
    let files = [
        ("RECORD.md", page(&schema)),
        ("record.schema.json", format!("{schema:#}\n")),
    ];
    let write = std::env::var(VARIABLE).is_ok_and(|value| value == "1");
    for (name, wanted) in files {
        if write {
            std::fs::write(docs(name), wanted).expect("docs is writable");
        } else {
            let found = std::fs::read_to_string(docs(name)).unwrap_or_default();
            assert!(
                found == wanted,
                "docs/{name} is not what the types of the record say: \
                 {VARIABLE}=1 cargo test -p measure --test record_page"
            );
        }
    }
}

/// A record of a real run (tests/data/record.json), as this build saves it, with the parts that only other runs have.
#[test]
fn a_saved_record_follows_the_schema() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("record.json");
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/record.json");
    let mut record = json(&stored);
    for (part, value) in parts().as_object().expect("parts") {
        record[part] = value.clone();
        let record: Record = serde_json::from_value(record.clone()).expect("a record");
        record.save(&file).expect("a record that can be saved");
        assert_eq!(mistakes(&json(&file)), "", "with {part}");
    }
    record["rounds"][0]["block"] = "first".into();
    assert!(mistakes(&record).contains("/rounds/0/block"), "{}", mistakes(&record));
}

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).expect("a file")).expect("JSON")
}

/// Parts of a record that a run of one subject has not.
fn parts() -> Value {
    serde_json::json!({
        "gate": {
            "stage1_blocks": 24, "stage2_blocks": 0, "repeated_blocks": 0, "dropped_pairs": 0, "canary": true,
            "families": [{ "family": "latency_p95", "outcome": "pass", "mde": 0.02, "detail": "5 not slower" }],
        },
        "comparisons": [{
            "family": "latency_p95", "endpoint": "all", "before": "a", "after": "b", "blocks": 24, "ratio": 1.01,
            "ratio_low": 0.99, "ratio_high": 1.03, "p_slower": 0.4, "p_faster": 0.6, "mde": 0.02, "outcome": "pass",
        }],
        "baseline": {
            "runs": [{
                "id": "20261123T101500-7f3a", "at": "2026-11-23T10:15:00Z", "subject": "a", "git": null, "blocks": 5,
            }],
            "evidence": "blocks", "limit": 1.5, "comparisons": [], "shows": "large slowdowns",
            "cannot_show": "small ones",
        },
        "targets": [{
            "id": "fast", "priority": "P0", "metric": "http.p95_ms", "endpoint": "all", "source": "a line",
            "limit": { "below": 10.0 }, "observed": 3.5, "interval": [3.0, 4.0], "verdict": "pass", "detail": "",
        }],
        "capacity": {
            "goals": ["fast"],
            "steps": [{
                "kind": "doubling", "rate_per_s": 100.0, "goal": "fast", "above": 1, "of": 200, "allowed": 0.05,
                "above_by_service": 1, "p50_ms": 1.0, "p95_ms": null, "achieved_per_s": 100.0, "in_flight": 0.2,
                "dropped": 0, "lateness_p99_ms": 0.1, "hdr": "",
            }],
            "outcome": "found", "crossing_per_s": 200.0, "interval_per_s": [190.0, 210.0], "advertised_per_s": 190.0,
            "soak_s": 600.0, "failed_soaks": 0,
            "scaling": {
                "lambda": 1000.0, "sigma": 0.02, "kappa": 0.0, "largest_n": 8.0, "peak_n": 7.0,
                "peak_per_s": [900.0, 800.0, 1000.0],
            },
        },
        "ablation": [{ "feature": "cache", "what": "a line", "subject": "b", "off": { "CACHE_ENABLED": "false" } }],
    })
}

/// Where a record does not follow the schema; empty where it does.
fn mistakes(record: &Value) -> String {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("record.schema.json", schema()).expect("a schema");
    let index = compiler.compile("record.schema.json", &mut schemas).expect("a schema");
    let checked = schemas.validate(record, index);
    checked.err().map(|error| error.to_string()).unwrap_or_default()
}

/// The schema of what is written.
fn schema() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12().for_serialize();
    settings.into_generator().into_root_schema_for::<Record>().to_value()
}

/// A section for each type, in the order in which a reader from the top comes upon them.
fn page(schema: &Value) -> String {
    let order = order_of_fields();
    let (mut text, mut seen) = (HEAD.to_owned(), vec!["Record".to_owned()]);
    let mut next = VecDeque::from(["Record".to_owned()]);
    while let Some(name) = next.pop_front() {
        let definition = match &name[..] {
            "Record" => schema,
            name => &schema["$defs"][name],
        };
        let _ = write!(text, "\n## {name}\n\n{}\n\n", wrapped(&described(definition)));
        text += &table(definition, order.get(&name).map_or(&[], Vec::as_slice));
        for used in references(definition, order.get(&name).map_or(&[], Vec::as_slice)) {
            if !seen.contains(&used) {
                seen.push(used.clone());
                next.push_back(used);
            }
        }
    }
    let all = schema["$defs"].as_object().map_or(0, serde_json::Map::len) + 1;
    assert_eq!(seen.len(), all, "some types of the schema are on no page: {seen:?}");
    text
}

/// The fields of each type in the order of the source, which the schema does not keep.
fn order_of_fields() -> BTreeMap<String, Vec<String>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![source.join("record.rs")];
    let folder = std::fs::read_dir(source.join("record")).expect("src/record");
    files.extend(folder.map(|entry| entry.expect("an entry").path()));
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file).expect("a source file");
        let mut current = String::new();
        for line in text.lines() {
            if let Some(name) = line
                .strip_prefix("pub struct ")
                .and_then(|rest| rest.strip_suffix(" {"))
            {
                name.clone_into(&mut current);
            } else if let Some((field, _)) = line
                .strip_prefix("    pub ")
                .filter(|rest| !rest.starts_with("fn "))
                .and_then(|rest| rest.split_once(": "))
            {
                fields.entry(current.clone()).or_default().push(field.to_owned());
            }
        }
    }
    fields
}

/// The fields of a structure, or the values of an enumeration.
fn table(definition: &Value, order: &[String]) -> String {
    let Some(values) = definition["oneOf"].as_array() else {
        return fields(definition, order);
    };
    let mut text = "| value | meaning |\n|---|---|\n".to_owned();
    for value in values {
        let written = match &value["const"] {
            Value::String(name) => format!("`\"{name}\"`"),
            _ => tagged(value),
        };
        let _ = writeln!(text, "| {written} | {} |", described(value));
    }
    text
}

/// A value that carries a figure: `{"below": number}`.
fn tagged(value: &Value) -> String {
    let properties = value["properties"].as_object().expect("a value with a figure");
    let (name, figure) = properties.iter().next().expect("one figure");
    format!("`{{\"{name}\": {}}}`", type_of(figure))
}

fn fields(definition: &Value, order: &[String]) -> String {
    let required = definition["required"].as_array().cloned().unwrap_or_default();
    let properties = definition["properties"].as_object().expect("a structure");
    assert_eq!(properties.len(), order.len(), "{order:?}: the source has other fields");
    let mut text = "| field | type | meaning |\n|---|---|---|\n".to_owned();
    for name in order {
        let field = &properties[name];
        let written = if required.iter().any(|required| required == name) {
            type_of(field)
        } else {
            format!("{}, if any", type_of(field).trim_end_matches(" or null"))
        };
        let _ = writeln!(text, "| `{name}` | {written} | {} |", described(field));
    }
    text
}

/// The types that a definition names, in the order of its fields.
fn references(definition: &Value, order: &[String]) -> Vec<String> {
    let fields = order.iter().map(|name| &definition["properties"][name]);
    fields.flat_map(reference_of).collect()
}

fn reference_of(schema: &Value) -> Vec<String> {
    if let Some(name) = referenced(schema) {
        return vec![name.to_owned()];
    }
    let within = [&schema["items"], &schema["additionalProperties"]];
    let any = schema["anyOf"].as_array().into_iter().flatten();
    any.chain(within)
        .filter(|within| within.is_object())
        .flat_map(reference_of)
        .collect()
}

fn referenced(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// A type in words.
fn type_of(schema: &Value) -> String {
    if let Some(name) = referenced(schema) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    let alternatives = schema["anyOf"].as_array().or_else(|| schema["type"].as_array());
    if let Some(alternatives) = alternatives {
        let said = alternatives.iter().map(|one| match one {
            Value::String(name) => plain_type(name, schema),
            other => type_of(other),
        });
        return said.collect::<Vec<_>>().join(" or ");
    }
    plain_type(schema["type"].as_str().expect("a type"), schema)
}

fn plain_type(name: &str, schema: &Value) -> String {
    match name {
        "string" if schema["format"] == "date-time" => "time (RFC 3339)".to_owned(),
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => match schema["prefixItems"].as_array() {
            Some(parts) => format!("[{}]", parts.iter().map(type_of).collect::<Vec<_>>().join(", ")),
            None => format!("list of {}", type_of(&schema["items"])),
        },
        "object" => format!("text -> {}", type_of(&schema["additionalProperties"])),
        other => other.to_owned(),
    }
}

/// Prose in lines of at most 120 columns.
fn wrapped(text: &str) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.len() + 1 + word.len() > 120 {
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(if line.is_empty() { "" } else { " " });
        line.push_str(word);
    }
    lines.push(line);
    lines.join("\n")
}

/// The description in one line, without the links of the source.
fn described(schema: &Value) -> String {
    let words = schema["description"]
        .as_str()
        .expect("a doc comment")
        .split_whitespace();
    let mut text = words.collect::<Vec<_>>().join(" ");
    while let Some((before, after)) = text.split_once(" ([`") {
        let (_, after) = after.split_once("`])").expect("the end of a link");
        text = format!("{before}{after}");
    }
    text.replace("[`", "`").replace("`]", "`").replace('|', "\\|")
}
