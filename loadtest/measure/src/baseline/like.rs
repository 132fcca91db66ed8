//! Which records may be compared: of one workload, one machine, one stack, the same settings, and requests that
//! travelled the same way.

use crate::record::{Connections, EndpointCounts, PHASE_MEASURE, Record, Round, Subject};

/// Shares of connections that are told apart: what differs by less may be chance.
const TOLD_APART: f64 = 0.1;
/// TLS handshakes from which on their kinds are a share; of fewer one more or less would change it.
const ENOUGH_HANDSHAKES: u64 = 20;

/// Everything in which `baseline` is not like `record`, in words; empty where a ratio of the two is one of the
/// subjects.
///
/// The number of blocks and the seed may differ: more blocks are more evidence, and another seed draws other requests
/// of the same mix.
pub(super) fn differences(record: &Record, baseline: &Record) -> Vec<String> {
    let differing = facts(record).into_iter().zip(facts(baseline));
    let differing = differing.filter(|((_, here), (_, there))| here != there);
    differing
        .map(|((what, here), (_, there))| format!("{what} {there} there, {here} here"))
        .chain(different_shares(record, baseline))
        .collect()
}

/// A share of something in a record; `None` where there was too little of it.
type Share = fn(&Record) -> Option<f64>;

/// Shares in which the connections of the two differ: of requests that had to make one, and of TLS handshakes that were
/// resumed. Both multiply what a request costs, and neither is a property of the code that is compared.
fn different_shares(record: &Record, baseline: &Record) -> Vec<String> {
    let both = |share: Share| (share(record), share(baseline));
    let shares = [
        ("of the requests needed a new connection", both(new_connections)),
        ("of the TLS handshakes were resumed", both(resumed_handshakes)),
    ];
    let differing = shares.into_iter().filter_map(|(what, (here, there))| {
        let (here, there) = (here?, there?);
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        ((here - there).abs() > TOLD_APART).then(|| format!("{} {what} there, {} here", percent(there), percent(here)))
    });
    differing.collect()
}

/// Share of the requests of the measured phases that a connection was made for; `None` where nothing counted them.
fn new_connections(record: &Record) -> Option<f64> {
    let phases = judged_rounds(record).flat_map(|round| &round.phases);
    let (mut opened, mut sent) = (0, 0);
    for phase in phases.filter(|phase| phase.name == PHASE_MEASURE) {
        opened += phase.connections.as_ref()?.opened;
        sent += phase.endpoints.values().map(EndpointCounts::sent).sum::<u64>();
    }
    (sent > 0).then(|| opened as f64 / sent as f64)
}

/// Share of all TLS handshakes that were resumed; `None` where there were too few.
fn resumed_handshakes(record: &Record) -> Option<f64> {
    let phases = judged_rounds(record).flat_map(|round| &round.phases);
    let counted: Vec<&Connections> = phases.filter_map(|phase| phase.connections.as_ref()).collect();
    let resumed: u64 = counted.iter().map(|one| one.resumed_handshakes).sum();
    let all = resumed + counted.iter().map(|one| one.full_handshakes).sum::<u64>();
    (all >= ENOUGH_HANDSHAKES).then(|| resumed as f64 / all as f64)
}

/// Rounds of the subject that is judged.
fn judged_rounds(record: &Record) -> impl Iterator<Item = &Round> {
    let (_, judged) = record.sides();
    record.rounds.iter().filter(move |round| round.subject == judged)
}

fn facts(record: &Record) -> Vec<(&'static str, String)> {
    let (workload, machine) = (&record.workload, &record.machine);
    let load = [
        workload.users.map(|users| format!("{users} users")),
        workload.rate_per_s.map(|rate| format!("{rate}/s")),
        workload.arrivals.clone(),
        workload
            .requests
            .map(|requests| format!("{requests} requests a launch")),
    ];
    let load: Vec<String> = load.into_iter().flatten().collect();
    let transport = record.transport_of(record.sides().1);
    vec![
        (
            "the workload is",
            format!("{} ({})", workload.name, short(&workload.sha256)),
        ),
        ("the load model is", format!("{:?}", workload.model).to_lowercase()),
        ("the load is", load.join(", ")),
        ("the protocol is", transport.protocol.clone()),
        ("the encryption is", transport.encryption()),
        ("the streams of a connection are", transport.streams.to_string()),
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
