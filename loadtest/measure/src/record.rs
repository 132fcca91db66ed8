//! The record of a run (`record.json`, schema version 1): plain data, as written to disk.
//!
//! A record holds what was counted (`rounds`), what was derived from it (`summary`, `comparisons`, `targets`) and what
//! it was derived on (`machine`, `stack`, `workload`, `subjects`). `reports` draws it without computing anything.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

mod baseline;
mod capacity;
mod consistency;
mod failures;
mod family;
mod flow;
mod gate;
mod series;
mod stream;
mod topic;
mod transport;

pub use baseline::{Baseline, BaselineEvidence, BaselineRun};
pub use capacity::{Capacity, CapacityOutcome, CapacityStep, Scaling, StepKind};
pub use consistency::{Consistency, MAX_STALE_EXAMPLES, StaleRead};
pub use failures::{FailureClass, FailureGroup, Failures, MAX_FAILURE_EXAMPLES};
pub use family::Family;
pub use flow::{Arrivals, Flow, LATE_US, PULSE_STEP_MS, Pauses, Pulse};
pub use gate::{CANARY, FamilyVerdict, GateDecision, GateSlice, ResidentCpu};
pub use series::{ProbeCost, Series};
pub use stream::{Stream, StreamSummary};
pub use topic::{Topic, TopicBacklog, TopicEffects, TopicProduced, TopicSummary};
pub use transport::{Compressed, ConnectionSummary, Connections, Hops, StepTimes, Transport};

/// Version of this format. A reader refuses a newer one.
pub const SCHEMA_VERSION: u32 = 1;

/// One run of the harness. The default is a record that nobody has judged, of nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Record {
    /// Version of the format, now 1 ([`SCHEMA_VERSION`]). A reader refuses a newer one.
    pub schema_version: u32,
    /// The purpose of the run, which decides how it is judged. Records of older builds lack it; reading one fills it
    /// in.
    #[serde(default)]
    pub purpose: Purpose,
    /// Unique and sortable by time, e.g. `20261123T101500-7f3a`.
    pub id: String,
    /// When the run started.
    pub created_at: DateTime<Utc>,
    /// The command line that repeats the run.
    pub command: String,
    /// The harness itself.
    pub tool: Tool,
    /// Where it ran.
    pub machine: Machine,
    /// Servers by name: `postgres`, `redis`, `kafka`.
    pub stack: BTreeMap<String, Server>,
    /// The load that was driven.
    pub workload: WorkloadId,
    /// The subjects measured; the first is the one compared against ("before").
    pub subjects: Vec<Subject>,
    /// One entry per launch of a subject, in the order in which they ran.
    pub rounds: Vec<Round>,
    /// Per subject name: figures over all its rounds.
    pub summary: BTreeMap<String, Summary>,
    /// Second subject against the first, one entry per endpoint and family.
    pub comparisons: Vec<Comparison>,
    /// The targets file, judged.
    pub targets: Vec<TargetResult>,
    /// Self-checks of the harness and the machine.
    pub checks: Vec<Check>,
    /// The overall judgement.
    pub verdict: Verdict,
    /// The exit code that goes with it (docs/ARCHITECTURE.md lists them).
    pub exit_code: u8,
    /// One sentence for people: why this verdict.
    pub verdict_reason: String,
    /// How the gate decided; absent in other runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateDecision>,
    /// Comparison with stored baselines; absent where none were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Baseline>,
    /// How much load it took; absent in runs that did not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// Features that an ablation switched off, one subject each; empty in other runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ablation: Vec<Ablated>,
    /// Ids of the records that this one was merged from; empty for one that was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged_from: Vec<String>,
    /// SHA-256, hexadecimal, over what was measured: everything above but what follows from it (summary, comparisons,
    /// judgements). Written when the record is saved and compared when it is read; a record without it, or with
    /// another, is said to be edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Record {
    /// The way of the requests to a subject. Builds that did not say knew only one.
    pub fn transport_of(&self, subject: &str) -> Transport {
        let mut rounds = self.rounds.iter().filter(|round| round.subject == subject);
        rounds.find_map(|round| round.transport.clone()).unwrap_or_default()
    }

    /// Names of the subject compared against, where there is more than one, and of the one judged: the first and the
    /// last.
    pub fn sides(&self) -> (Option<&str>, &str) {
        match self.subjects.as_slice() {
            [before, .., after] => (Some(&before.name), &after.name),
            [only] => (None, &only.name),
            [] => (None, ""),
        }
    }
}

/// Purpose of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Figures, targets and large effects.
    #[default]
    Report,
    /// Small regressions, from interleaved slices.
    Gate,
    /// The share of each feature in the figures: each subject but the first lacks one.
    Ablation,
    /// The highest rate that holds the targets.
    Capacity,
}

/// A feature of an ablation: the first subject has it, and this one has it switched off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ablated {
    /// The feature.
    pub feature: String,
    /// One line about it.
    pub what: String,
    /// The subject without it; its comparisons have the first subject as `before`.
    pub subject: String,
    /// The variables that switched it off.
    pub off: BTreeMap<String, String>,
}

/// The harness that wrote a record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tool {
    /// Crate version.
    pub version: String,
    /// Git revision it was built from, `-dirty` appended when the tree had changes, `unknown` outside a checkout.
    pub git: String,
    /// `release` or `debug`.
    pub build: String,
}

/// The machine a record was measured on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Machine {
    /// CPU model name.
    pub cpu: String,
    /// Logical cores available to the process.
    pub cores: u32,
    /// Total memory, MiB.
    pub memory_mb: u64,
    /// Kernel release.
    pub kernel: String,
    /// `none`, or what the kernel says it runs under.
    pub virtualisation: String,
}

/// One server of the stack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Server {
    /// `external`, `containers`, `native` or `embedded`.
    pub provider: String,
    /// As the server itself says.
    pub version: String,
    /// Settings that bear on the figures, e.g. `fsync = on`.
    pub settings: BTreeMap<String, String>,
    /// A caution for the reader, e.g. that an embedded Kafka says nothing about throughput.
    pub note: Option<String>,
}

/// Identity of a workload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkloadId {
    /// Its `name`.
    pub name: String,
    /// Hash of the file's bytes, hexadecimal.
    pub sha256: String,
    /// Seed of every random choice of the run.
    pub seed: u64,
    /// Which of several generators that drove this load together this one was; absent where it was alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// Closed or open.
    pub model: Model,
    /// Concurrent users (closed model).
    pub users: Option<u32>,
    /// Requests due per second over the mix (open model), the mean over the measured phase where it changes.
    pub rate_per_s: Option<f64>,
    /// How the arrivals of the open model come: `poisson`, `uniform`, `step`, `ramp`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<String>,
    /// Whether sessions of several requests arrive, so that `rate_per_s` is the rate of requests expected from them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sessions: bool,
    /// How the rate changes within the measured phase, in order and without gaps; none where it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stretches: Vec<RateStretch>,
    /// Mean think time over the mix, milliseconds (closed model).
    pub think_time_mean_ms: Option<f64>,
    /// Seconds of warm-up per launch, not recorded.
    pub warm_up_s: f64,
    /// Seconds measured per launch.
    pub measure_s: f64,
    /// Seconds that requests in flight got at the end of a launch at most; 0 in records of older builds, which did not
    /// say.
    #[serde(default)]
    pub drain_s: f64,
    /// Blocks: each launches every subject once.
    pub blocks: u32,
    /// Requests after which the measured phase of a launch ended, where its time did not end before; absent where time
    /// alone ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
}

/// One of several generators of one load. Each draws its own keys, pauses and arrivals from the seed that they share;
/// the order of launches is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Shard {
    /// Its number, from 1.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

/// A part of the measured phase in which the rate stays or changes evenly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RateStretch {
    /// Its beginning, seconds after the beginning of the measured phase.
    pub from_s: f64,
    /// Its end, seconds after the beginning of the measured phase.
    pub to_s: f64,
    /// Arrivals per second at its beginning.
    pub from_per_s: f64,
    /// Arrivals per second at its end.
    pub to_per_s: f64,
}

impl RateStretch {
    /// Whether the rate stays.
    pub fn is_level(&self) -> bool {
        (self.from_per_s - self.to_per_s).abs() < f64::EPSILON
    }
}

/// Load model (Schroeder, Wierman, Harchol-Balter, NSDI 2006). Never mixed within a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// A fixed number of users, each waiting for its answer and thinking before the next request.
    #[default]
    Closed,
    /// Arrivals at a rate that does not depend on the answers.
    Open,
}

/// One thing measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subject {
    /// Name used in `rounds` and `summary`, unique within the record, e.g. `phase1`.
    pub name: String,
    /// `profile`, `git`, `bin`, `image` or `url`.
    pub kind: String,
    /// Profile of its service, when it has one.
    pub profile: Option<String>,
    /// Git revision of the build, when known.
    pub git: Option<String>,
    /// SHA-256 of the measured binary, hexadecimal, when it was started by the harness.
    pub binary_sha256: Option<String>,
    /// Environment given to it, secrets left out.
    pub env: BTreeMap<String, String>,
}

/// One launch of one subject under load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Round {
    /// Block number from 0; a block launches every subject once.
    pub block: u32,
    /// Position within the whole run, from 0.
    pub order: u32,
    /// Subject name.
    pub subject: String,
    /// When its load started.
    pub started_at: DateTime<Utc>,
    /// How its requests travelled; absent in records of builds that knew only HTTP/1.1 in plain text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    /// Its phases; times in milliseconds since `started_at`.
    pub phases: Vec<Phase>,
    /// One-second windows of the measured phase.
    pub slices: Vec<Slice>,
    /// Values of probes over the measured phase by metric name, e.g. `service.rss_mb`.
    pub probes: BTreeMap<String, f64>,
    /// Metrics that count something in something, e.g. `cache.hit_ratio` = hits in lookups.
    pub ratios: BTreeMap<String, Ratio>,
    /// Metrics whose counter fell while it was watched, because whoever keeps it was restarted or reset: they have no
    /// value in this round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resets: Vec<String>,
    /// Values of probes over time, over the whole round, warm-up included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub series: Vec<Series>,
    /// Cost of the probes themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probe_costs: Vec<ProbeCost>,
    /// Results of following versions; absent where the workload follows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// Live streams that clients watched, by name; their messages are judged as an endpoint's requests are, beside the
    /// whole mix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub streams: BTreeMap<String, Stream>,
    /// Topics of Kafka that were watched and written to, by name; their records, effects (`NAME.effect`) and produced
    /// messages (`NAME.produced`) are judged as an endpoint's requests are, beside the whole mix.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, Topic>,
    /// CPU time of the subject over a block of a gate; absent in other runs, and where it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_cpu: Option<ResidentCpu>,
    /// Failures of the whole round, warm-up and drain included, by endpoint and kind, with examples; most frequent
    /// first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureGroup>,
    /// Interleaved slices of the gate, in order; empty in other runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gate_slices: Vec<GateSlice>,
}

/// A counted ratio: kept as counts so that it merges exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ratio {
    /// Events.
    pub numerator: u64,
    /// Opportunities.
    pub denominator: u64,
}

/// Name of the phase before the measured one.
pub const PHASE_WARM_UP: &str = "warm_up";
/// Name of the phase that verdicts are made of.
pub const PHASE_MEASURE: &str = "measure";
/// Name of the phase in which requests in flight may end.
pub const PHASE_DRAIN: &str = "drain";

/// A span of a round. Only `measure` counts for verdicts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Phase {
    /// `warm_up`, `measure` or `drain`.
    pub name: String,
    /// Its beginning, milliseconds since the round's start.
    pub start_ms: u64,
    /// Its end, milliseconds since the round's start.
    pub end_ms: u64,
    /// By endpoint name. A request belongs to the phase in which it was due to start.
    pub endpoints: BTreeMap<String, EndpointCounts>,
    /// Requests in flight; of the measured phase only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Flow>,
    /// Arrivals; of the measured phase of the open model only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Arrivals>,
    /// By endpoint name, of endpoints that follow redirects: the requests that their requests consist of. An endpoint's
    /// own figures are those of the whole way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hops: BTreeMap<String, Hops>,
    /// Connections made for its requests; absent in records of builds that did not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
    /// The phase in tenths of a second; of the measured phase only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulse: Option<Pulse>,
}

/// Counts of one endpoint in one phase.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndpointCounts {
    /// Answers as expected; their times are in `hdr`.
    pub count: u64,
    /// Answers not as expected, refused connections, time-outs; their times are not in `hdr`.
    pub errors: u64,
    /// Still in flight when the drain ended (invariant 8).
    pub censored: u64,
    /// The errors and the censored by class; absent where there is none, and in records of builds that did not count
    /// them.
    #[serde(default, skip_serializing_if = "Failures::is_empty")]
    pub failures: Failures,
    /// Requests that were sent a second time: the server had closed the idle connection before a byte of the answer
    /// came, and the method may be repeated (RFC 9110, 9.2.2). Each is one request, and counted above by how it ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// Bytes of bodies of the `count` answers as they came.
    pub bytes: u64,
    /// Those of them that came compressed (gzip, br).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub compressed_bytes: u64,
    /// What those were unpacked.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub content_bytes: u64,
    /// Response times of the `count` answers, from the intended start to the last byte of the body (in the closed model
    /// the intended start is the send): `HdrHistogram` V2-deflate, base64, microseconds.
    pub hdr: String,
    /// Service times of the `count` answers, from the actual send: as `hdr`; the open model only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_hdr: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl EndpointCounts {
    /// Everything sent.
    pub fn sent(&self) -> u64 {
        self.count + self.errors + self.censored
    }
}

/// One second of the measured phase, all endpoints together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Slice {
    /// Milliseconds since the start of the measured phase.
    pub start_ms: u64,
    /// Answers as expected to requests that started in this second.
    pub count: u64,
    /// Answers not as expected; the censored stand in `failures`.
    pub errors: u64,
    /// Requests of this second without an answer as expected, by endpoint and class; endpoints without any are absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failures: BTreeMap<String, Failures>,
    /// Median, absent without answers.
    pub p50_ms: Option<f64>,
    /// 95th percentile, absent without answers.
    pub p95_ms: Option<f64>,
    /// Response times with 2 digits, V2-deflate, base64, microseconds: what the percentiles come from, so that slices
    /// merge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdr: Option<String>,
    /// 99th percentile of the send lateness in this second; the open model only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness_p99_ms: Option<f64>,
}

/// Figures of one subject over all its rounds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Summary {
    /// By endpoint name, and `all` for the whole mix.
    pub endpoints: BTreeMap<String, EndpointSummary>,
    /// By metric name.
    pub metrics: BTreeMap<String, MetricSummary>,
    /// Arrivals over all rounds; the open model only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<ArrivalSummary>,
    /// Connections over all rounds; absent in records of builds that did not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<ConnectionSummary>,
    /// Results of following versions over all rounds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consistency: Option<ConsistencySummary>,
    /// Live streams over all rounds, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub streams: BTreeMap<String, StreamSummary>,
    /// Topics of Kafka over all rounds, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub topics: BTreeMap<String, TopicSummary>,
    /// Failures of all rounds, warm-up and drain included, by endpoint and kind, with examples; most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<FailureGroup>,
}

/// Arrivals of the open model over all rounds of a subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArrivalSummary {
    /// Due by the schedule.
    pub intended: u64,
    /// Sent.
    pub sent: u64,
    /// Sent later than 1 ms ([`LATE_US`]) against the schedule.
    pub late: u64,
    /// Not sent for want of a free worker.
    pub dropped: u64,
    /// Due per second.
    pub intended_per_s: f64,
    /// Answered per second, errors included.
    pub achieved_per_s: f64,
    /// Median of the send lateness, milliseconds.
    pub lateness_p50_ms: f64,
    /// 99th percentile of the send lateness, milliseconds.
    pub lateness_p99_ms: f64,
    /// Largest send lateness, milliseconds.
    pub lateness_max_ms: f64,
    /// Percentile curve of the send lateness: (quantile, milliseconds).
    pub curve: Vec<(f64, f64)>,
}

/// Consistency over all rounds of a subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConsistencySummary {
    /// The bound, milliseconds.
    pub bound_ms: f64,
    /// Reads judged.
    pub reads: u64,
    /// Writes acknowledged.
    pub writes: u64,
    /// Stale reads.
    pub stale_reads: u64,
    /// Median of the propagation times, milliseconds.
    pub propagation_p50_ms: f64,
    /// 99th percentile of the propagation times, milliseconds.
    pub propagation_p99_ms: f64,
    /// Largest propagation time, milliseconds.
    pub propagation_max_ms: f64,
    /// The percentile curve of the propagation times: (quantile, milliseconds).
    pub curve: Vec<(f64, f64)>,
}

/// The name under which the whole mix stands in [`Summary::endpoints`].
pub const ALL_ENDPOINTS: &str = "all";

/// Name of an endpoint for people.
pub fn endpoint_title(endpoint: &str) -> &str {
    if endpoint == ALL_ENDPOINTS {
        "all requests"
    } else {
        endpoint
    }
}

/// Latency of one endpoint, from the merged histograms (percentiles are never averaged). A request that failed counts
/// in the percentiles as slower than any answer, so that one that lies among them is 60,000 ("over 60 s"); mean,
/// largest and curve are those of the answers. Where nothing was due, all are 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndpointSummary {
    /// Answers as expected.
    pub count: u64,
    /// Answers as expected per second of measured time.
    pub rps: f64,
    /// Requests that failed over everything due, 0 to 1: an unexpected answer or none, not answered when the drain
    /// ended, dropped.
    pub error_rate: f64,
    /// Requests still in flight when the drain ended.
    pub censored: u64,
    /// Arrivals that found no free connection (open model).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: u64,
    /// Errors and censored requests by class.
    #[serde(default, skip_serializing_if = "Failures::is_empty")]
    pub failures: Failures,
    /// Requests that were sent a second time, see `repeated` of the rounds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated: u64,
    /// Mean of the answers, milliseconds.
    pub mean_ms: f64,
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 90th percentile, milliseconds.
    pub p90_ms: f64,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// 99.9th percentile, milliseconds.
    pub p999_ms: f64,
    /// Largest of the answers, milliseconds.
    pub max_ms: f64,
    /// 95 % interval of the 95th percentile (Woodruff, cluster = round); absent with fewer than two rounds.
    pub p95_ci_ms: Option<(f64, f64)>,
    /// Percentile curve of the answers: (quantile 0..1, milliseconds), ascending, log-spaced towards 1.
    pub curve: Vec<(f64, f64)>,
    /// Times of the answers alone; absent where no request failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<ServiceTimes>,
    /// Service times of these answers, from the actual send; the open model only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceTimes>,
}

/// Service times: what the subject took once a request was sent. The response times beside them add the wait for the
/// send, and are what verdicts use.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceTimes {
    /// Mean, milliseconds.
    pub mean_ms: f64,
    /// Median, milliseconds.
    pub p50_ms: f64,
    /// 90th percentile, milliseconds.
    pub p90_ms: f64,
    /// 95th percentile, milliseconds.
    pub p95_ms: f64,
    /// 99th percentile, milliseconds.
    pub p99_ms: f64,
    /// 99.9th percentile, milliseconds.
    pub p999_ms: f64,
    /// Largest, milliseconds.
    pub max_ms: f64,
    /// Percentile curve of the service times: (quantile 0..1, milliseconds), ascending, log-spaced towards 1.
    pub curve: Vec<(f64, f64)>,
}

/// One metric over the rounds of a subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetricSummary {
    /// Mean of the rounds, or the ratio of the summed counts.
    pub value: f64,
    /// 95 % t interval over the rounds; absent with fewer than two.
    pub ci: Option<(f64, f64)>,
    /// Rounds it was seen in.
    pub rounds: u32,
}

/// The second subject against the first, for one endpoint and family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Comparison {
    /// What is compared.
    pub family: Family,
    /// Endpoint name, or `all`.
    pub endpoint: String,
    /// Subject compared against.
    pub before: String,
    /// Subject judged.
    pub after: String,
    /// Blocks that entered.
    pub blocks: u32,
    /// after / before, exp of the Hodges-Lehmann estimate; 0.25 means four times as fast.
    pub ratio: f64,
    /// One-sided 95 % lower bound of the ratio; absent where the number of blocks allows none.
    pub ratio_low: Option<f64>,
    /// One-sided 95 % upper bound of the ratio.
    pub ratio_high: Option<f64>,
    /// Adjusted p of "slower", Westfall-Young over the endpoints of the family.
    pub p_slower: f64,
    /// Adjusted p of "faster".
    pub p_faster: f64,
    /// The smallest change for the worse that this run could see, absent with fewer than two blocks: as a share of the
    /// figure (0.1 = 10 %), or, of families of shares, as the difference of the shares.
    pub mde: Option<f64>,
    /// The conclusion.
    pub outcome: Outcome,
}

/// Conclusion of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Faster, beyond chance.
    Improved,
    /// Not slower by more than the margin.
    Pass,
    /// Slower beyond chance, below the tolerance.
    SlowerWithinTolerance,
    /// Slower beyond chance and tolerance.
    Regress,
    /// The run cannot tell.
    Inconclusive,
    /// Too few requests or blocks to judge.
    InsufficientData,
}

/// How much a target matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Priority {
    /// Must have: a miss fails the run.
    P0,
    /// Should have: a miss fails the run.
    P1,
    /// Nice to have: shown, never fails the run.
    P2,
}

/// One target, judged on the last subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TargetResult {
    /// Identifier from the targets file.
    pub id: String,
    /// How much it matters.
    pub priority: Priority,
    /// Metric name, e.g. `http.p95_ms`.
    pub metric: String,
    /// Endpoint it is about; absent for metrics that have none.
    pub endpoint: Option<String>,
    /// The line of the plan it stands for.
    pub source: String,
    /// The limit that must hold.
    pub limit: Limit,
    /// The value seen, in the unit of the metric (for reductions: the reduction, 0 to 1).
    pub observed: Option<f64>,
    /// 95 % interval of `observed`.
    pub interval: Option<(f64, f64)>,
    /// Why nothing measures it yet, as its file says: without a figure it then does not bind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_yet: Option<String>,
    /// The judgement.
    pub verdict: TargetVerdict,
    /// Whether the machine was disturbed by as much as explains that it does not hold, so that the run decides nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hangs: bool,
    /// Why, where it is not obvious (what is missing, how wide the interval is).
    pub detail: String,
}

/// Limit of a target.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Below this value.
    Below(f64),
    /// Above this value.
    Above(f64),
    /// Reduced by at least this share (0 to 1) against the first subject.
    ReducedBy(f64),
    /// At least this many times that of the first subject.
    MultipliedBy(f64),
}

/// Judgement on one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TargetVerdict {
    /// Holds, with the interval on the right side of the limit.
    Pass,
    /// Missed, with the interval on the wrong side.
    Fail,
    /// The interval covers the limit.
    Inconclusive,
    /// Nothing measured it: never counted as passed.
    NotMeasured,
}

/// One self-check. What a failed one means depends on what it is about.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// e.g. `fsync is on`.
    pub name: String,
    /// Whether it held.
    pub ok: bool,
    /// What it speaks of, and so what its failure means.
    #[serde(default)]
    pub about: About,
    /// The figures behind it.
    pub detail: String,
}

/// Name of the check that a record which was edited fails, however often it is judged or merged.
pub const AS_WRITTEN: &str = "the record is as it was written";

/// What a self-check speaks of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum About {
    /// The generator, the stack or the record itself: failed, the run is invalid.
    #[default]
    Run,
    /// The machine, which can only have lengthened times: failed, what holds in spite of it holds, and the run is
    /// invalid where a verdict hangs on it.
    Machine,
    /// The subject: failed, it is the subject that did not cope.
    Subject,
    /// What the figures can say: failed, they leave something undecided.
    Figures,
}

impl Check {
    pub(crate) fn new(name: &str, ok: bool, detail: String) -> Self {
        Self {
            name: name.to_owned(),
            ok,
            about: About::Run,
            detail,
        }
    }

    pub(crate) fn about(self, about: About) -> Self {
        Self { about, ..self }
    }
}

/// The overall judgement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything that was asked holds. Exit code 0.
    Pass,
    /// Nothing was asked: no target was given, and nothing to compare with. Exit code 0.
    Measured,
    /// The subject or the stack was not available. Exit code 3.
    Unavailable,
    /// The generator, the machine or the stack spoilt it, or nobody has judged the record yet. Exit code 4.
    #[default]
    Invalid,
    /// A P0 or P1 target was missed, or the subject did not cope with the load. Exit code 5.
    TargetsMissed,
    /// Slower than the first subject. Exit code 6.
    Regression,
    /// Some P0 or P1 target, or comparison, could not be decided or was not measured. Exit code 7.
    Inconclusive,
    /// Stopped by the user. Exit code 130, as shells report an interrupt.
    Interrupted,
}

impl Verdict {
    /// The process exit code that stands for this verdict.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Pass | Self::Measured => 0,
            Self::Unavailable => 3,
            Self::Invalid => 4,
            Self::TargetsMissed => 5,
            Self::Regression => 6,
            Self::Inconclusive => 7,
            Self::Interrupted => 130,
        }
    }
}
