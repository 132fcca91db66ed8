//! Records of several generators that drove one load, as one: counts and histograms are added, percentiles never
//! averaged.
//!
//! What belongs here: which records are alike, and adding them. What does not: reading files (`store`, `hlog`), and
//! everything that is derived from rounds (`judge`).

use std::collections::BTreeSet;

use crate::histogram::{HistogramError, LatencyHistogram, SliceHistogram};
use crate::record::{
    Arrivals, Check, Consistency, EndpointCounts, MAX_STALE_EXAMPLES, Phase, Purpose, Record, Round, Shard, Slice,
    Transport, WorkloadId,
};
use crate::targets::TargetSpec;

mod round;

pub(crate) use round::add_phase;

/// Why records do not merge.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// One record is one already.
    #[error("merging needs two records or more, {0} given")]
    TooFew(usize),
    /// They are not of one load.
    #[error("record {id} does not belong to record {first}: {what}")]
    Unlike {
        /// The first record.
        first: String,
        /// The one that differs.
        id: String,
        /// The difference.
        what: String,
    },
    /// A histogram cannot be read.
    #[error("record {id}, {place}: {source}")]
    Histogram {
        /// The record.
        id: String,
        /// Where in it.
        place: String,
        /// The fault of the histogram.
        source: HistogramError,
    },
}

/// Merges the records of generators that drove the same subjects with the same workload at the same time.
///
/// The merged record keeps the machine, the stack and the probes of the subject from the first one (all generators read
/// the same servers); of metrics of a generator and its machine the largest value; metrics per request are left out,
/// since each generator divided by its own requests. Users and rates are added.
///
/// It is not judged yet: it has the targets that its records were measured with, and of their checks any that failed.
pub fn records(records: &[Record]) -> Result<Record, MergeError> {
    let [first, others @ ..] = records else {
        return Err(MergeError::TooFew(0));
    };
    if others.is_empty() {
        return Err(MergeError::TooFew(1));
    }
    others.iter().try_for_each(|other| like(first, other))?;
    for (index, other) in records.iter().enumerate() {
        records[..index].iter().try_for_each(|one| different(one, other))?;
    }
    Ok(Record {
        id: format!("{}-merged-{}", first.id, records.len()),
        rounds: round::merge_all(records)?,
        workload: workload(records),
        merged_from: records.iter().flat_map(generators).map(str::to_owned).collect(),
        checks: checks(records),
        schema_version: first.schema_version,
        purpose: first.purpose,
        created_at: first.created_at,
        command: first.command.clone(),
        tool: first.tool.clone(),
        machine: first.machine.clone(),
        stack: first.stack.clone(),
        subjects: first.subjects.clone(),
        targets: first.targets.clone(),
        ablation: first.ablation.clone(),
        ..Record::default()
    })
}

/// The checks of the records, each as found by every generator that failed it: what spoilt one of them spoilt the load.
/// Those that the merged rounds allow are made again when it is judged.
fn checks(records: &[Record]) -> Vec<Check> {
    let failed = |name: &str| {
        let found = records.iter().flat_map(|record| {
            let own = record.checks.iter().filter(|check| check.name == name && !check.ok);
            own.map(|check| (format!("{} (record {})", check.detail, record.id), check))
        });
        let found: Vec<(String, &Check)> = found.collect();
        let details: Vec<&str> = found.iter().map(|(detail, _)| detail.as_str()).collect();
        found.first().map(|(_, check)| Check {
            detail: details.join("; "),
            ..(*check).clone()
        })
    };
    let mut all: Vec<Check> = Vec::new();
    for check in records.iter().flat_map(|record| &record.checks) {
        if all.iter().all(|known| known.name != check.name) {
            all.push(failed(&check.name).unwrap_or_else(|| check.clone()));
        }
    }
    all
}

/// Users and rates of generators add up; the seed is the first one's, and none of them drove it alone.
fn workload(records: &[Record]) -> WorkloadId {
    let users = records.iter().map(|record| record.workload.users).sum();
    let rate_per_s = records.iter().map(|record| record.workload.rate_per_s).sum();
    WorkloadId {
        users,
        rate_per_s,
        shard: None,
        ..records[0].workload.clone()
    }
}

/// Refuses the first thing in which `other` is not of the load of `first`.
fn like(first: &Record, other: &Record) -> Result<(), MergeError> {
    let unlike = |what: String| MergeError::Unlike {
        first: first.id.clone(),
        id: other.id.clone(),
        what,
    };
    match first.purpose {
        Purpose::Gate => return Err(unlike("a gate's slices belong to one generator".to_owned())),
        Purpose::Capacity => return Err(unlike("a search for capacity belongs to one generator".to_owned())),
        Purpose::Report | Purpose::Ablation => (),
    }
    differences(first, other)
        .into_iter()
        .find(|(_, one, another)| one != another)
        .map_or(Ok(()), |(what, one, another)| {
            Err(unlike(format!("{what} is {another}, not {one}")))
        })
}

/// Refuses two records that are the same run, or that sent the same requests at the same moments: each would count
/// twice what one generator did.
fn different(one: &Record, other: &Record) -> Result<(), MergeError> {
    let unlike = |what: String| {
        Err(MergeError::Unlike {
            first: one.id.clone(),
            id: other.id.clone(),
            what,
        })
    };
    if let Some(id) = generators(one).intersection(&generators(other)).next() {
        return unlike(format!("both hold the run {id}, which would be counted twice"));
    }
    if one.rounds == other.rounds {
        return unlike("it has the same content, which would be counted twice".to_owned());
    }
    let (here, there) = (&one.workload, &other.workload);
    let apart = match (here.shard, there.shard) {
        (Some(a), Some(b)) => a.of == b.of && a.index != b.index,
        _ => false,
    };
    let merged = !one.merged_from.is_empty() || !other.merged_from.is_empty();
    if here.seed == there.seed && !apart && !merged {
        return unlike(format!(
            "both were driven with seed {} as {} and {}, and so sent the same keys at the same moments: give each \
             generator its part with --shard 1/{n}, --shard 2/{n}, ...",
            here.seed,
            part(here.shard),
            part(there.shard),
            n = 2
        ));
    }
    Ok(())
}

fn part(shard: Option<Shard>) -> String {
    shard.map_or_else(
        || "the only generator".to_owned(),
        |shard| format!("{}/{}", shard.index, shard.of),
    )
}

/// Ids of the runs in a record.
fn generators(record: &Record) -> BTreeSet<&str> {
    if record.merged_from.is_empty() {
        BTreeSet::from([record.id.as_str()])
    } else {
        record.merged_from.iter().map(String::as_str).collect()
    }
}

/// Facts that must be equal, as text: name, in the first record, in the other.
fn differences(first: &Record, other: &Record) -> Vec<(&'static str, String, String)> {
    let facts = |record: &Record| {
        let WorkloadId {
            name,
            sha256,
            model,
            arrivals,
            warm_up_s,
            measure_s,
            blocks,
            ..
        } = &record.workload;
        [
            ("the purpose", format!("{:?}", record.purpose).to_lowercase()),
            ("the load model", format!("{model:?}").to_lowercase()),
            ("the workload", format!("{name} ({sha256})")),
            ("the arrival process", arrivals.clone().unwrap_or_default()),
            ("the length", format!("{warm_up_s} s + {measure_s} s, {blocks} blocks")),
            (
                "the harness",
                format!(
                    "{} {}, {} build",
                    record.tool.version, record.tool.git, record.tool.build
                ),
            ),
            ("the stack", format!("{:?}", record.stack)),
            ("the subjects", subjects(record)),
            ("the way of the requests", format!("{:?}", transports(record))),
            ("the rounds", rounds(record)),
            ("the endpoints", endpoints(record)),
            ("the targets", format!("{:?}", targets_of(record))),
        ]
    };
    facts(first)
        .into_iter()
        .zip(facts(other))
        .map(|((what, one), (_, another))| (what, one, another))
        .collect()
}

fn subjects(record: &Record) -> String {
    let shown = record.subjects.iter().map(|subject| {
        let build = subject.binary_sha256.as_deref().unwrap_or("no binary");
        format!("{} ({build})", subject.name)
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The way of the requests of each round.
fn transports(record: &Record) -> Vec<Transport> {
    let rounds = record.rounds.iter();
    rounds
        .map(|round| round.transport.clone().unwrap_or_default())
        .collect()
}

fn rounds(record: &Record) -> String {
    let shown = record
        .rounds
        .iter()
        .map(|round| format!("{} in block {}", round.subject, round.block));
    shown.collect::<Vec<_>>().join(", ")
}

fn endpoints(record: &Record) -> String {
    let names: BTreeSet<&String> = record
        .rounds
        .iter()
        .flat_map(|round| &round.phases)
        .flat_map(|phase| phase.endpoints.keys())
        .collect();
    names.into_iter().cloned().collect::<Vec<_>>().join(", ")
}

fn targets_of(record: &Record) -> Vec<TargetSpec> {
    record.targets.iter().map(TargetSpec::of_result).collect()
}

#[cfg(test)]
mod tests;
