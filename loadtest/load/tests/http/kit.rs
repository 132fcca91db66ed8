//! Drives short loads and adds up what they counted; starts programs that serve.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use load::{Attack, AttackSpec, LoadModel, LoadReport, SliceRules, Stop, Target, fetch_globals};
use measure::record::{Connections, Failures};
use scenarios::{Schedule, Workload};
use stack::{
    process::{Ending, Output, Supervised},
    wait::Patience,
};
use tokio_util::sync::CancellationToken;

/// The models: two users with short pauses; arrivals at equal distances.
pub(crate) const MODELS: [&str; 2] = ["closed", "open"];

/// A workload of both models that lasts half a second, with these tables.
pub(crate) fn workload(tables: &str) -> Workload {
    workload_of("[model.closed]\nusers = 2\n", "connections = 64", tables)
}

/// As [`workload`], with tables of the closed model and keys of the open one.
pub(crate) fn workload_of(closed: &str, open: &str, tables: &str) -> Workload {
    let text = format!(
        "measure_s = 0.4\ndrain_s = 1\n{closed}[model.open]\nspacing = \"even\"\n{open}\n\
         rate = {{ constant = {{ per_s = 100 }} }}\n[warm_up]\nduration_s = 0.2\n\
         [think_times]\nshort = {{ constant = {{ ms = 10 }} }}\n{tables}\n"
    );
    Workload::parse(Path::new("w.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
}

/// The tables of one endpoint, `page`, that users visit again and again.
pub(crate) fn page(keys: &str) -> String {
    format!("[endpoints.page]\n{keys}\n[journeys.visit]\nsteps = [{{ endpoint = \"page\", think = \"short\" }}]\n")
}

/// Drives a workload at a target, setup requests first.
pub(crate) async fn drive(workload: Workload, model: &str, target: Target) -> LoadReport {
    drive_some(workload, model, target, None).await
}

/// As [`drive`], with so many requests measured at most.
pub(crate) async fn drive_some(workload: Workload, model: &str, target: Target, requests: Option<u64>) -> LoadReport {
    let workload = Arc::new(workload);
    let model = match model {
        "closed" => LoadModel::Closed(workload.models.closed.unwrap()),
        _ => LoadModel::Open(workload.models.open.clone().unwrap()),
    };
    let schedule = Schedule {
        blocks: 1,
        ..workload.schedule(false)
    };
    let stop = Stop {
        stop: CancellationToken::new(),
        abort: CancellationToken::new(),
    };
    let globals = fetch_globals(&workload, &target).await.unwrap();
    let spec = AttackSpec {
        streams: vec![],
        topics: vec![],
        workload: &workload,
        model: &model,
        schedule: &schedule,
        target,
        globals,
        seed: 1,
        requests,
        // Answers that come after the measured phase are told by what they were. The mix of a slice is that of its
        // endpoints.
        slice: Some(SliceRules {
            sequences: Arc::new(workload.new_sequences()),
        }),
    };
    Attack::new(spec, &stop).unwrap().run().await.unwrap()
}

/// Sums over all phases.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Counted {
    pub(crate) answers: u64,
    pub(crate) failures: Failures,
    pub(crate) repeated: u64,
}

impl Counted {
    pub(crate) fn requests(&self) -> u64 {
        self.answers + self.failures.total()
    }
}

pub(crate) fn counted(report: &LoadReport) -> Counted {
    let mut sum = Counted::default();
    let endpoints = report.recorded.phases.iter().flat_map(|phase| phase.endpoints.values());
    for counts in endpoints {
        assert_eq!(
            (counts.failures.errors(), counts.failures.unanswered),
            (counts.errors, counts.censored)
        );
        sum.answers += counts.count;
        sum.failures.merge(&counts.failures);
        sum.repeated += counts.repeated;
    }
    sum
}

/// Connections of all phases; without their times.
pub(crate) fn connections(report: &LoadReport) -> Connections {
    let mut sum = Connections::default();
    for phase in &report.recorded.phases {
        let of = phase.connections.as_ref().unwrap();
        sum.opened += of.opened;
        sum.full_handshakes += of.full_handshakes;
        sum.resumed_handshakes += of.resumed_handshakes;
        sum.stream_waits += of.stream_waits;
    }
    sum
}

/// Nothing failed, and something was asked.
#[track_caller]
pub(crate) fn assert_all_answered(report: &LoadReport) -> Counted {
    let found = counted(report);
    assert!(found.failures.is_empty(), "{found:?}: {:?}", report.failures);
    assert!(found.answers >= 10, "{found:?}");
    found
}

/// Longer than any server here takes to start.
const START: Duration = Duration::from_secs(20);
/// Losing the race for a port is rare.
const ATTEMPTS: u32 = 5;

/// A server of its own, ended when it is dropped.
pub(crate) struct Program {
    pub(crate) ports: Vec<u16>,
    _process: Supervised,
}

impl Program {
    /// Starts what `command` makes of as many free ports, and waits until it answers on the first.
    pub(crate) async fn start(ports: usize, log: &Path, command: impl Fn(&[u16]) -> Command) -> Self {
        for attempt in 1.. {
            let ports = free_ports(ports);
            let output = Output::Logged(log);
            let mut process = Supervised::spawn(command(&ports), output, Ending::default()).unwrap();
            let first = SocketAddr::from(([127, 0, 0, 1], ports[0]));
            let ask = async || {
                tokio::net::TcpStream::connect(first)
                    .await
                    .map_err(|error| error.to_string())
            };
            match process.until_ready(&mut Patience::new(START), ask).await {
                Ok(_) => {
                    return Self {
                        ports,
                        _process: process,
                    };
                }
                Err(error) => assert!(attempt < ATTEMPTS, "{error}"),
            }
        }
        unreachable!("the attempts are counted")
    }

    /// Its server on one of its ports.
    pub(crate) fn target(&self, port: usize, host: &str) -> Target {
        let address = SocketAddr::from(([127, 0, 0, 1], self.ports[port]));
        Target::named(vec![address], format!("{host}:{}", self.ports[port]))
    }
}

fn free_ports(count: usize) -> Vec<u16> {
    // All held until all are known.
    let held: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    held.iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect()
}
