//! A workload: from a file as it is written to one that can be driven.
//!
//! The journeys of a workload are what users do: a user picks a journey by weight, draws its variables once, sends its
//! requests in order and pauses after each answer.
//!
//! What belongs here: the file as a whole and its small tables. Each larger part has a file of its own (`model`,
//! `request`, `journey`, `feeder`, `think_time`), which holds the keys as they are written, the type that they become
//! and the check between the two. No check stops at the first mistake: a value that is wrong is noted and replaced by
//! something harmless, and the workload is handed out only if nothing was noted.

use std::path::Path;

use rand::Rng;
use serde::Deserialize;
use toml::Spanned;

use crate::arrivals::{Arrive, DEFAULT_CONNECTIONS, OpenModel, Spacing};
use crate::error::InputError;
use crate::feeder::{self, Feeder, RawFeeder, Sequences};
use crate::http::{Http, RawHttp, Secrets};
use crate::journey::{self, Journey, RawJourney};
use crate::kafka::{self, RawTopic, Topic};
use crate::model::{Models, RawModels};
use crate::payload::Body;
use crate::rate::Rate;
use crate::request::{self, Endpoint, RawRequest, SetupRequest};
use crate::source::{Findings, Named, Source, named};
use crate::syntax::{check_header_name, check_path};
use crate::think_time::RawThinkTime;
use crate::vars::{VarNames, Vars};
use crate::websocket::{self, LiveStream, RawLiveStream};

/// The header of the reference service; another service's is given in the file.
const DEFAULT_VERSION_HEADER: &str = "x-version";

/// A workload that has been checked and compiled: everything about the load that is driven.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its name in records and reports.
    pub name: String,
    /// Hash of the file's bytes, hexadecimal: the identity of the workload in a record.
    pub sha256: String,
    /// Load models; a run chooses one.
    pub models: Models,
    /// During the warm-up pauses are multiplied by this (above 0, at most 1), so that caches fill faster than in real
    /// time.
    pub warm_up_think_scale: f64,
    full: Schedule,
    quick: Schedule,
    /// Content of the database.
    pub dataset: Dataset,
    /// What holds for all requests.
    pub http: Http,
    /// Values that must stand in no record.
    pub secrets: Secrets,
    /// Bound within which a write must be seen, where versions are followed.
    pub consistency: Option<Consistency>,
    /// Metrics of the subject itself that go into the record.
    pub prometheus: Option<Prometheus>,
    /// Sent once per launch before the load, in order.
    pub setup: Vec<SetupRequest>,
    /// Variables that journeys draw. Journeys and endpoints refer to them by index.
    pub(crate) feeders: Vec<Feeder>,
    /// Requests by name. Journeys refer to them by index.
    pub endpoints: Vec<Endpoint>,
    /// Sequences of requests that users make; at least one has a weight.
    pub journeys: Vec<Journey>,
    /// Live streams that clients watch meanwhile.
    pub streams: Vec<LiveStream>,
    /// Topics of Kafka that are watched meanwhile, and written to.
    pub topics: Vec<Topic>,
    /// Number of variables, extracted and drawn.
    pub(crate) slots: usize,
}

/// Following versions: after an acknowledged write, a read that begins later than the bound must not get an older one.
#[derive(Debug, Clone, PartialEq)]
pub struct Consistency {
    /// Milliseconds after which a write must be seen.
    pub bound_ms: f64,
    /// Lower-case name of the header that carries an entity's version, a whole number that grows with each write.
    pub version_header: String,
}

/// A page of metrics in Prometheus' text form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prometheus {
    /// On the subject itself.
    pub path: String,
    /// Metrics that go into the record, each summed over its labels.
    pub keep: Vec<String>,
}

/// Durations of one run, full or quick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Seconds of warm-up per launch, which is not recorded.
    pub warm_up_s: f64,
    /// Seconds measured per launch.
    pub measure_s: f64,
    /// Seconds that requests in flight get at the end before they are recorded as censored.
    pub drain_s: f64,
    /// Blocks.
    pub blocks: u32,
}

/// Content of the database before a launch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Arguments to the subject's own binary that fill an empty database; empty when there is nothing to fill.
    pub seed_command: Vec<String>,
}

impl Workload {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong in it, with lines.
    pub fn load(file: &Path) -> Result<Self, InputError> {
        let source = Source::read(file)?;
        let (raw, findings) = source.read_into()?;
        check(raw, &source, findings)
    }

    /// Reads and checks the text of a file, whose name only stands in error messages.
    ///
    /// # Errors
    /// Everything that is wrong in it, with lines.
    pub fn parse(file: &Path, text: &str) -> Result<Self, InputError> {
        let source = Source::from_text(file, text.to_owned());
        let (raw, findings) = source.read_into()?;
        check(raw, &source, findings)
    }

    /// Durations of a full or a quick run.
    pub fn schedule(&self, quick: bool) -> Schedule {
        if quick { self.quick } else { self.full }
    }

    /// Names of the endpoints, in their order.
    pub fn endpoint_names(&self) -> Vec<&str> {
        self.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect()
    }

    /// Names under which times are counted, so that a target can be about one: endpoints, live streams, then topics.
    pub fn counted_names(&self) -> Vec<&str> {
        let streams = self.streams.iter().map(|stream| stream.name.as_str());
        let topics = self.topics.iter().flat_map(Topic::counted_names);
        self.endpoint_names().into_iter().chain(streams).chain(topics).collect()
    }

    /// Variables without values: the setup fills in its part, then each user takes a clone.
    pub fn new_vars(&self) -> Vars {
        Vars::new(self.slots)
    }

    /// Sequences at their beginning, for a round.
    pub fn new_sequences(&self) -> Sequences {
        Sequences::new(self.feeders.len())
    }

    /// Draws the variables of `feeders` (of [`Journey::feeders`] for a pass through a journey, of [`Endpoint::feeders`]
    /// for a single request). Same generator state and sequences, same values but for those of `uuid`.
    pub fn draw<R: Rng + ?Sized>(&self, feeders: &[usize], sequences: &Sequences, rng: &mut R, vars: &mut Vars) {
        for &index in feeders {
            self.feeders[index].draw(index, sequences, rng, vars);
        }
    }

    /// Arrivals at `rate_per_s` for a workload whose file gives no open model: sessions where journeys hand values from
    /// step to step, single requests elsewhere.
    pub fn open_model_at(&self, rate_per_s: f64) -> OpenModel {
        let chained = self.journeys.iter().any(Journey::hands_values_on);
        OpenModel {
            arrive: if chained { Arrive::Sessions } else { Arrive::Requests },
            spacing: Spacing::Poisson,
            rate: Rate::constant(rate_per_s),
            ramp_s: 0.0,
            connections: DEFAULT_CONNECTIONS,
        }
    }
}

/// A workload as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWorkload {
    /// That of the file when absent.
    name: Option<Spanned<String>>,
    /// None when absent: the command line may give one.
    #[serde(default)]
    model: RawModels,
    #[serde(default)]
    warm_up: RawWarmUp,
    measure_s: Option<Spanned<f64>>,
    drain_s: Option<Spanned<f64>>,
    blocks: Option<Spanned<u32>>,
    #[serde(default)]
    quick: RawQuick,
    #[serde(default)]
    dataset: Dataset,
    #[serde(default)]
    http: RawHttp,
    consistency: Option<RawConsistency>,
    #[serde(default)]
    probes: RawProbes,
    #[serde(default, deserialize_with = "named")]
    setup: Named<RawRequest>,
    #[serde(default, deserialize_with = "named")]
    feeders: Named<RawFeeder>,
    #[serde(default, deserialize_with = "named")]
    think_times: Named<RawThinkTime>,
    #[serde(default, deserialize_with = "named")]
    endpoints: Named<RawRequest>,
    #[serde(default, deserialize_with = "named")]
    journeys: Named<RawJourney>,
    #[serde(default, deserialize_with = "named")]
    websocket: Named<RawLiveStream>,
    #[serde(default, deserialize_with = "named")]
    kafka: Named<RawTopic>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWarmUp {
    duration_s: Option<Spanned<f64>>,
    /// 1 when absent: pauses as they are.
    think_time_scale: Option<Spanned<f64>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuick {
    warm_up_s: Option<Spanned<f64>>,
    measure_s: Option<Spanned<f64>>,
    blocks: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConsistency {
    bound_ms: Spanned<f64>,
    /// [`DEFAULT_VERSION_HEADER`] when absent.
    version_header: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProbes {
    prometheus: Option<RawPrometheus>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrometheus {
    path: Spanned<String>,
    #[serde(default)]
    keep: Vec<Spanned<String>>,
}

fn check(raw: RawWorkload, source: &Source, mut findings: Findings<'_>) -> Result<Workload, InputError> {
    let full = full_schedule(&raw, &mut findings);
    let mut names = VarNames::default();
    // The order matters: a setup request sees what earlier ones extracted, endpoints see everything.
    let setup = request::check_setup(raw.setup, &raw.http, &mut names, &mut findings);
    let (feeders, files) = feeder::check(raw.feeders, source, &mut names, &mut findings);
    let handed = journey::define_handed(&raw.journeys, &raw.endpoints, &mut names, &mut findings);
    websocket::define_position(&raw.websocket, &mut names, &mut findings);
    let versioned = raw.consistency.is_some();
    let endpoints = request::check_endpoints(raw.endpoints, &raw.http, &names, &feeders, versioned, &mut findings);
    let think_times = raw.think_times.into_iter();
    let think_times: Vec<_> = think_times
        .map(|(name, think)| (name.into_inner(), think.check(&mut findings)))
        .collect();
    let known = journey::Known {
        endpoints: &endpoints,
        think_times: &think_times,
        handed,
        names: &names,
    };
    let journeys = journey::check(raw.journeys, &known, &mut findings);
    let streams = websocket::Known {
        endpoints: &endpoints,
        feeders: &feeders,
        http: &raw.http,
        names: &names,
    };
    let streams = websocket::check(raw.websocket, &streams, &mut findings);
    let taken = endpoints.iter().map(|endpoint| endpoint.name.as_str());
    let topics = kafka::Known {
        endpoints: &endpoints,
        feeders: &feeders,
        names: &names,
        taken: taken.chain(streams.iter().map(|stream| stream.name.as_str())).collect(),
    };
    let topics = kafka::check(raw.kafka, &topics, &mut findings);
    let workload = Workload {
        name: raw
            .name
            .as_ref()
            .map_or_else(|| source.stem(), |name| findings.not_empty("name", name)),
        sha256: source.sha256_with(files.iter().map(Vec::as_slice).chain(body_files(&setup, &endpoints))),
        models: raw.model.check(&journeys, &mut findings),
        warm_up_think_scale: raw
            .warm_up
            .think_time_scale
            .as_ref()
            .map_or(1.0, |scale| think_scale(scale, &mut findings)),
        quick: quick_schedule(&raw.quick, &full, &mut findings),
        full,
        dataset: raw.dataset,
        http: raw.http.check(&mut findings),
        secrets: findings.take_secrets(),
        consistency: raw.consistency.as_ref().map(|raw| consistency(raw, &mut findings)),
        prometheus: raw.probes.prometheus.as_ref().map(|raw| prometheus(raw, &mut findings)),
        setup,
        feeders,
        endpoints,
        journeys,
        streams,
        topics,
        slots: names.len(),
    };
    findings.finish(workload)
}

/// Files that are sent: a workload with another one is another workload.
fn body_files<'w>(setup: &'w [SetupRequest], endpoints: &'w [Endpoint]) -> impl Iterator<Item = &'w [u8]> {
    let requests = setup.iter().map(|setup| &setup.request).chain(endpoints);
    requests.flat_map(|request| &request.body).flat_map(Body::files)
}

/// Durations of a file that does not say.
const DEFAULT: Schedule = Schedule {
    warm_up_s: 5.0,
    measure_s: 30.0,
    // As long as the longest wait for an answer of a file that does not say. It ends when nothing is in flight.
    drain_s: 10.0,
    // Fewer give no interval.
    blocks: 5,
};
/// At most, of a quick run of a file that does not say.
const DEFAULT_QUICK: Schedule = Schedule {
    warm_up_s: 2.0,
    measure_s: 5.0,
    blocks: 2,
    ..DEFAULT
};

fn full_schedule(raw: &RawWorkload, findings: &mut Findings<'_>) -> Schedule {
    let warm_up_s = raw.warm_up.duration_s.as_ref();
    let (measure_s, drain_s, blocks) = (raw.measure_s.as_ref(), raw.drain_s.as_ref(), raw.blocks.as_ref());
    Schedule {
        warm_up_s: warm_up_s.map_or(DEFAULT.warm_up_s, |s| findings.seconds_or_none("duration_s", s)),
        measure_s: measure_s.map_or(DEFAULT.measure_s, |s| findings.seconds("measure_s", s)),
        drain_s: drain_s.map_or(DEFAULT.drain_s, |s| findings.seconds_or_none("drain_s", s)),
        blocks: blocks.map_or(DEFAULT.blocks, |blocks| findings.at_least_one("blocks", blocks)),
    }
}

/// What a file does not say of a quick run is that of a full one, but not more than [`DEFAULT_QUICK`].
fn quick_schedule(raw: &RawQuick, full: &Schedule, findings: &mut Findings<'_>) -> Schedule {
    let (warm_up_s, measure_s, blocks) = (raw.warm_up_s.as_ref(), raw.measure_s.as_ref(), raw.blocks.as_ref());
    Schedule {
        warm_up_s: warm_up_s.map_or(full.warm_up_s.min(DEFAULT_QUICK.warm_up_s), |s| {
            findings.seconds_or_none("warm_up_s", s)
        }),
        measure_s: measure_s.map_or(full.measure_s.min(DEFAULT_QUICK.measure_s), |s| {
            findings.seconds("measure_s", s)
        }),
        drain_s: full.drain_s,
        blocks: blocks.map_or(full.blocks.min(DEFAULT_QUICK.blocks), |blocks| {
            findings.at_least_one("blocks", blocks)
        }),
    }
}

fn think_scale(raw: &Spanned<f64>, findings: &mut Findings<'_>) -> f64 {
    let scale = findings.positive("think_time_scale", raw);
    findings.require(scale <= 1.0 || scale.is_infinite(), &raw.span(), || {
        format!("`think_time_scale` is {scale}: above 1 the warm-up would be slower than what is measured")
    });
    scale
}

fn consistency(raw: &RawConsistency, findings: &mut Findings<'_>) -> Consistency {
    let header = raw.version_header.as_ref();
    Consistency {
        bound_ms: findings.not_negative("bound_ms", &raw.bound_ms),
        version_header: header.map_or(DEFAULT_VERSION_HEADER.to_owned(), |name| {
            check_header_name(name, findings)
        }),
    }
}

fn prometheus(raw: &RawPrometheus, findings: &mut Findings<'_>) -> Prometheus {
    check_path(&raw.path, findings);
    for name in &raw.keep {
        let mut chars = name.get_ref().chars();
        let valid = chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        findings.require(valid && !name.get_ref().is_empty(), &name.span(), || {
            format!("`{name}` is no name of a Prometheus metric: letters, digits, `_` and `:`, without labels")
        });
    }
    Prometheus {
        path: raw.path.get_ref().clone(),
        keep: raw.keep.iter().map(|name| name.get_ref().clone()).collect(),
    }
}
