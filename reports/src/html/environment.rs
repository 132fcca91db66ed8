//! Where and on what the run took place, and how to repeat it.

use std::collections::BTreeMap;

use measure::figures;
use measure::record::{Model, Record};

use crate::document::Kind::{Code, Hash, Name, Prose, Words};
use crate::document::{Cell, Table};

/// The section.
pub(super) struct Environment {
    /// Tables of names and values, each with a heading.
    pub(super) facts: [Facts; 3],
    pub(super) servers: Table,
    pub(super) subjects: Table,
    /// Whether users waited for answers: the guide explains what that means for the times.
    pub(super) closed_model: bool,
}

/// A heading, and names with their values.
type Facts = (&'static str, Vec<(&'static str, String)>);

pub(super) fn environment(record: &Record) -> Environment {
    Environment {
        facts: facts(record),
        servers: servers(record),
        subjects: subjects(record),
        closed_model: record.workload.model == Model::Closed,
    }
}

fn facts(record: &Record) -> [Facts; 3] {
    let (machine, workload) = (&record.machine, &record.workload);
    let model = match workload.model {
        Model::Closed => "closed",
        Model::Open => "open",
    };
    let of_machine = vec![
        ("CPU", machine.cpu.clone()),
        ("Cores", machine.cores.to_string()),
        ("Memory", format!("{} MiB", figures::count(machine.memory_mb))),
        ("Kernel", machine.kernel.clone()),
        ("Virtualisation", machine.virtualisation.clone()),
    ];
    let of_harness = vec![
        ("Version", record.tool.version.clone()),
        ("Git", record.tool.git.clone()),
        ("Build", record.tool.build.clone()),
        ("Record", record.id.clone()),
        ("Started", figures::moment(&record.created_at)),
    ];
    let of_workload = vec![
        ("Name", workload.name.clone()),
        ("Model", model.to_owned()),
        ("Seed", workload.seed.to_string()),
        ("SHA-256", workload.sha256.clone()),
    ];
    [
        ("Machine", of_machine),
        ("Harness", of_harness),
        ("Workload", of_workload),
    ]
}

fn subjects(record: &Record) -> Table {
    let table = Table::of(
        &record.subjects,
        &[
            (Name, "Subject", |subject| subject.name.as_str().into()),
            (Words, "Kind", |subject| subject.kind.as_str().into()),
            (Words, "Profile", |subject| subject.profile.clone().into()),
            (Words, "Git", |subject| {
                Cell::code(subject.git.iter().cloned().collect())
            }),
            (Hash, "Binary, SHA-256", |subject| {
                Cell::code(subject.binary_sha256.iter().cloned().collect())
            }),
            (Code, "Environment", |subject| assignments(&subject.env)),
        ],
    );
    table.captioned("Table of subjects", "What was measured")
}

fn servers(record: &Record) -> Table {
    let table = Table::of(
        &record.stack,
        &[
            (Name, "Server", |(name, _)| name.as_str().into()),
            (Words, "Provider", |(_, server)| server.provider.as_str().into()),
            (Words, "Version", |(_, server)| server.version.as_str().into()),
            (Code, "Settings that bear on the figures", |(_, server)| {
                assignments(&server.settings)
            }),
            (Prose, "Note", |(_, server)| server.note.clone().into()),
        ],
    );
    table.captioned("Table of servers", "The stack under the subjects")
}

fn assignments(values: &BTreeMap<String, String>) -> Cell {
    Cell::code(values.iter().map(|(name, value)| format!("{name} = {value}")).collect())
}
