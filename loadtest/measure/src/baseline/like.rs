//! Which records may be compared: of one workload, one machine, one stack and the same settings.

use crate::record::{Record, Subject};

/// Everything in which `baseline` is not like `record`, in words; empty where a ratio of the two is one of the
/// subjects.
///
/// The number of blocks and the seed may differ: more blocks are more evidence, and another seed draws other requests
/// of the same mix.
pub(super) fn differences(record: &Record, baseline: &Record) -> Vec<String> {
    facts(record)
        .into_iter()
        .zip(facts(baseline))
        .filter(|((_, here), (_, there))| here != there)
        .map(|((what, here), (_, there))| format!("{what} {there} there, {here} here"))
        .collect()
}

fn facts(record: &Record) -> Vec<(&'static str, String)> {
    let (workload, machine) = (&record.workload, &record.machine);
    let load = [
        workload.users.map(|users| format!("{users} users")),
        workload.rate_per_s.map(|rate| format!("{rate}/s")),
        workload.arrivals.clone(),
    ];
    let load: Vec<String> = load.into_iter().flatten().collect();
    vec![
        (
            "the workload is",
            format!("{} ({})", workload.name, short(&workload.sha256)),
        ),
        ("the load model is", format!("{:?}", workload.model).to_lowercase()),
        ("the load is", load.join(", ")),
        (
            "the length of a launch is",
            format!("{} s + {} s", workload.warm_up_s, workload.measure_s),
        ),
        ("the processor is", format!("{}, {} cores", machine.cpu, machine.cores)),
        ("the memory is", format!("{} MiB", machine.memory_mb)),
        ("the kernel is", machine.kernel.clone()),
        ("the virtualisation is", machine.virtualisation.clone()),
        ("the stack is", stack(record)),
        ("the harness is", format!("a {} build", record.tool.build)),
        (
            "the subject is",
            record.subjects.last().map_or_else(String::new, subject),
        ),
    ]
}

/// Enough of a hash to tell two apart.
fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

fn stack(record: &Record) -> String {
    let servers = record.stack.iter().map(|(name, server)| {
        let settings: Vec<String> = server
            .settings
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        format!("{name} {} {} ({})", server.provider, server.version, settings.join(" "))
    });
    let servers: Vec<String> = servers.collect();
    if servers.is_empty() {
        "not started by the harness".to_owned()
    } else {
        servers.join(", ")
    }
}

/// Its settings, not its build, which is what the comparison is about. Of an address only the host: two builds of a
/// service listen on two ports.
fn subject(subject: &Subject) -> String {
    if subject.kind == "url" {
        let host = subject
            .name
            .rsplit_once(':')
            .map_or(subject.name.as_str(), |(host, _)| host);
        return format!("a service at {host}");
    }
    let env: Vec<String> = subject
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    format!(
        "started with {}",
        if env.is_empty() {
            "no settings".to_owned()
        } else {
            env.join(" ")
        }
    )
}
