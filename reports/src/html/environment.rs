//! Where and on what the run took place, and how to repeat it.

use std::collections::BTreeMap;

use measure::record::{Model, Record, Server, Subject};

use crate::format;

/// The section.
pub(super) struct Environment {
    pub(super) command: String,
    /// Tables of names and values, each with a heading.
    pub(super) facts: Vec<Facts>,
    pub(super) servers: Vec<ServerRow>,
    pub(super) subjects: Vec<SubjectRow>,
    /// Whether users waited for answers: the guide explains what that means for the times.
    pub(super) closed_model: bool,
    pub(super) schema_version: u32,
}

/// Names and values under one heading.
pub(super) struct Facts {
    pub(super) heading: &'static str,
    pub(super) rows: Vec<(&'static str, String)>,
}

/// One server of the stack.
pub(super) struct ServerRow {
    pub(super) name: String,
    pub(super) provider: String,
    pub(super) version: String,
    pub(super) settings: Vec<String>,
    pub(super) note: Option<String>,
}

/// One subject.
pub(super) struct SubjectRow {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) profile: Option<String>,
    pub(super) git: Option<String>,
    pub(super) binary: Option<String>,
    pub(super) env: Vec<String>,
}

pub(super) fn environment(record: &Record) -> Environment {
    Environment {
        command: record.command.clone(),
        facts: vec![machine(record), harness(record), workload(record)],
        servers: record
            .stack
            .iter()
            .map(|(name, server)| server_row(name, server))
            .collect(),
        subjects: record.subjects.iter().map(subject_row).collect(),
        closed_model: record.workload.model == Model::Closed,
        schema_version: record.schema_version,
    }
}

fn machine(record: &Record) -> Facts {
    let machine = &record.machine;
    let rows = vec![
        ("CPU", machine.cpu.clone()),
        ("Cores", machine.cores.to_string()),
        ("Memory", format!("{} MiB", format::count(machine.memory_mb))),
        ("Kernel", machine.kernel.clone()),
        ("Virtualisation", machine.virtualisation.clone()),
    ];
    Facts {
        heading: "Machine",
        rows,
    }
}

fn harness(record: &Record) -> Facts {
    let rows = vec![
        ("Version", record.tool.version.clone()),
        ("Git", record.tool.git.clone()),
        ("Build", record.tool.build.clone()),
        ("Record", record.id.clone()),
        ("Started", format::moment(&record.created_at)),
    ];
    Facts {
        heading: "Harness",
        rows,
    }
}

fn workload(record: &Record) -> Facts {
    let workload = &record.workload;
    let model = match workload.model {
        Model::Closed => "closed",
        Model::Open => "open",
    };
    let rows = vec![
        ("Name", workload.name.clone()),
        ("Model", model.to_owned()),
        ("Seed", workload.seed.to_string()),
        ("SHA-256", workload.sha256.clone()),
    ];
    Facts {
        heading: "Workload",
        rows,
    }
}

fn server_row(name: &str, server: &Server) -> ServerRow {
    ServerRow {
        name: name.to_owned(),
        provider: server.provider.clone(),
        version: server.version.clone(),
        settings: assignments(&server.settings),
        note: server.note.clone(),
    }
}

fn subject_row(subject: &Subject) -> SubjectRow {
    SubjectRow {
        name: subject.name.clone(),
        kind: subject.kind.clone(),
        profile: subject.profile.clone(),
        git: subject.git.clone(),
        binary: subject.binary_sha256.clone(),
        env: assignments(&subject.env),
    }
}

fn assignments(values: &BTreeMap<String, String>) -> Vec<String> {
    values.iter().map(|(name, value)| format!("{name} = {value}")).collect()
}
