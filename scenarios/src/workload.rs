//! A workload that has been checked and compiled, and what follows from it.
//!
//! The journeys of a workload are what users do: a user picks a journey by weight, draws its variables once, sends its
//! requests in order and pauses after each answer.

use std::path::Path;

use rand::{Rng, RngExt as _};
use serde::Deserialize;

use crate::arrivals::{Arrive, DEFAULT_CONNECTIONS, OpenModel, Rate, Spacing};
use crate::body::BodyTemplate;
use crate::check;
use crate::error::InputError;
use crate::expect::Expect;
use crate::feeder::{Feeder, Sequences};
use crate::source::Source;
use crate::template::Template;
use crate::think_time::ThinkTime;
use crate::vars::Vars;

/// What load is driven.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    /// Its name in records and reports.
    pub name: String,
    /// Hash of the file's bytes, hexadecimal: the identity of the workload in a record.
    pub sha256: String,
    /// How requests may arrive; a run chooses one.
    pub models: Models,
    /// What happens before anything counts.
    pub warm_up: WarmUp,
    /// Seconds measured per launch.
    pub measure_s: f64,
    /// Seconds that requests in flight get at the end before they are recorded as censored.
    pub drain_s: f64,
    /// Blocks of a full run.
    pub blocks: u32,
    /// The same for a quick run.
    pub quick: Quick,
    /// What the database holds.
    pub dataset: Dataset,
    /// Whose versions are followed, and how soon a write must be seen.
    pub consistency: Option<Consistency>,
    /// Which of the subject's own metrics go into the record.
    pub prometheus: Option<Prometheus>,
    /// Sent once per launch before the load, in order.
    pub setup: Vec<SetupRequest>,
    /// Variables that journeys draw.
    pub feeders: Vec<Feeder>,
    /// What is requested. Journeys refer to it by index.
    pub endpoints: Vec<Endpoint>,
    /// What users do; at least one has a weight.
    pub journeys: Vec<Journey>,
    /// Variables there are, extracted and drawn.
    pub(crate) slots: usize,
}

/// How requests may arrive; at least one is there.
#[derive(Debug, Clone, PartialEq)]
pub struct Models {
    /// A fixed number of users.
    pub closed: Option<ClosedModel>,
    /// Arrivals at a rate.
    pub open: Option<OpenModel>,
}

/// A fixed number of users, each waiting for its answer and thinking before the next request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClosedModel {
    /// Concurrent users.
    pub users: u32,
    /// Seconds over which they start.
    pub ramp_s: f64,
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

/// The load before the measured phase, not recorded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUp {
    /// Seconds, in a full run.
    pub duration_s: f64,
    /// Pauses are multiplied by this (above 0, at most 1), so that caches fill faster than in real time.
    pub think_time_scale: f64,
}

/// Durations of a quick run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quick {
    /// Seconds of warm-up per launch.
    pub warm_up_s: f64,
    /// Seconds measured per launch.
    pub measure_s: f64,
    /// Blocks.
    pub blocks: u32,
}

/// Durations of one run, full or quick.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Seconds of warm-up per launch.
    pub warm_up_s: f64,
    /// Seconds measured per launch.
    pub measure_s: f64,
    /// Seconds that requests in flight get at the end.
    pub drain_s: f64,
    /// Blocks.
    pub blocks: u32,
}

/// What the database holds before a launch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dataset {
    /// Arguments to the subject's own binary that fill an empty database; empty when there is nothing to fill.
    pub seed_command: Vec<String>,
}

/// HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// The default.
    #[default]
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Method {
    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// A request by name: what is sent and what must come back.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The name under which it is counted.
    pub name: String,
    /// Method.
    pub method: Method,
    /// Path and query, percent-encoded when rendered; starts with a slash.
    pub path: Template,
    /// Headers by lower-case name. With a body, `content-type: application/json` is among them unless the file gives its
    /// own.
    pub headers: Vec<(String, Template)>,
    /// JSON body.
    pub body: Option<BodyTemplate>,
    /// What must come back.
    pub expect: Expect,
    /// Whether it changes data.
    pub write: bool,
    /// Which entity's version the answer carries, e.g. `driver:42`; only with [`Workload::consistency`].
    pub entity: Option<Template>,
    /// Milliseconds after which the request counts as an error.
    pub timeout_ms: u64,
    /// Feeders (by index) whose variables it uses, in the order of the file.
    pub feeders: Vec<usize>,
}

impl Endpoint {
    /// The variables it uses.
    pub(crate) fn slots(&self) -> impl Iterator<Item = usize> {
        let headers = self.headers.iter().flat_map(|(_, value)| value.slots());
        let body = self.body.iter().flat_map(BodyTemplate::slots);
        let entity = self.entity.iter().flat_map(Template::slots);
        self.path
            .slots()
            .chain(headers)
            .chain(body)
            .chain(entity)
            .chain(self.expect.slots())
    }
}

/// A request that is sent once before the load, and what is kept of its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct SetupRequest {
    /// The request. It may use what earlier setup requests extracted, but no feeder.
    pub request: Endpoint,
    /// What is kept, for all users.
    pub extract: Vec<Extract>,
}

/// A variable taken from an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// The variable's name.
    pub var: String,
    /// Where its value goes.
    pub slot: usize,
    /// JSON pointer (RFC 6901) into the answer's body.
    pub pointer: String,
}

/// A sequence of requests that one user makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Journey {
    /// Its name.
    pub name: String,
    /// How often it is picked, relative to the others.
    pub weight: u32,
    /// At least one.
    pub steps: Vec<Step>,
    /// Feeders (by index) whose variables its requests use, each once, in the order of the file.
    pub feeders: Vec<usize>,
}

impl Journey {
    /// Whether a step takes something from its answer, so that the steps cannot stand alone.
    pub fn hands_values_on(&self) -> bool {
        self.steps.iter().any(|step| !step.extract.is_empty())
    }
}

/// One request of a journey and the pause after its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Index into [`Workload::endpoints`].
    pub endpoint: usize,
    /// The pause.
    pub think: ThinkTime,
    /// What later steps get from the answer.
    pub extract: Vec<Extract>,
}

impl Workload {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong in it, with lines.
    pub fn load(file: &Path) -> Result<Self, InputError> {
        let source = Source::read(file)?;
        check::workload(source.parse()?, &source)
    }

    /// The same from text; `file` only stands in error messages.
    ///
    /// # Errors
    /// Everything that is wrong in it, with lines.
    pub fn parse(file: &Path, text: &str) -> Result<Self, InputError> {
        let source = Source::from_text(file, text.to_owned());
        check::workload(source.parse()?, &source)
    }

    /// Durations of a full or a quick run.
    pub fn schedule(&self, quick: bool) -> Schedule {
        let (warm_up_s, measure_s, blocks) = if quick {
            (self.quick.warm_up_s, self.quick.measure_s, self.quick.blocks)
        } else {
            (self.warm_up.duration_s, self.measure_s, self.blocks)
        };
        Schedule {
            warm_up_s,
            measure_s,
            drain_s: self.drain_s,
            blocks,
        }
    }

    /// Names of the endpoints, in their order.
    pub fn endpoint_names(&self) -> Vec<&str> {
        self.endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect()
    }

    /// Variables without values: the setup fills in its part, then each user takes a clone.
    pub fn new_vars(&self) -> Vars {
        Vars::new(self.slots)
    }

    /// How far the sequences of a round have come: nowhere yet.
    pub fn new_sequences(&self) -> Sequences {
        Sequences::new(self.feeders.len())
    }

    /// Draws the variables of `feeders` (of [`Journey::feeders`] for a pass through a journey, of [`Endpoint::feeders`] for a
    /// single request). Same generator state and sequences, same values.
    pub fn draw<R: Rng + ?Sized>(&self, feeders: &[usize], sequences: &Sequences, rng: &mut R, vars: &mut Vars) {
        for &index in feeders {
            self.feeders[index].draw(index, sequences, rng, vars);
        }
    }

    /// Arrivals at `rate_per_s` for a workload whose file gives no open model: sessions where journeys hand values from step
    /// to step, single requests elsewhere.
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

    /// Mean number of requests that follow from one arrival.
    pub fn requests_per_arrival(&self, arrive: Arrive) -> f64 {
        match arrive {
            Arrive::Requests => 1.0,
            Arrive::Sessions => self.requests_per_journey().iter().sum(),
        }
    }

    /// Picks journeys by weight.
    pub fn journey_mix(&self) -> Mix {
        Mix::new(self.journeys.iter().map(|journey| u64::from(journey.weight)))
    }

    /// Picks endpoints by the share that the journeys give them.
    pub fn endpoint_mix(&self) -> Mix {
        let mut weights = vec![0; self.endpoints.len()];
        for journey in &self.journeys {
            for step in &journey.steps {
                weights[step.endpoint] += u64::from(journey.weight);
            }
        }
        Mix::new(weights)
    }

    /// Picks every endpoint that the journeys use equally often: what a gate is driven with, since an endpoint that is rare in
    /// the mix would have too few requests to be judged.
    pub fn equal_mix(&self) -> Mix {
        let shares = self.requests_per_journey();
        Mix::new(shares.into_iter().map(|share| u64::from(share > 0.0)))
    }

    /// Endpoints that the journeys use.
    pub fn used_endpoints(&self) -> usize {
        self.requests_per_journey().iter().filter(|share| **share > 0.0).count()
    }

    /// Expected number of requests in one journey, by endpoint index.
    pub fn requests_per_journey(&self) -> Vec<f64> {
        let mut requests = vec![0.0; self.endpoints.len()];
        for (share, journey) in self.weighted() {
            for step in &journey.steps {
                requests[step.endpoint] += share;
            }
        }
        requests
    }

    /// Expected share of each endpoint in all requests, by endpoint index; sums to 1.
    pub fn request_shares(&self) -> Vec<f64> {
        let requests = self.requests_per_journey();
        let total: f64 = requests.iter().sum();
        requests.iter().map(|count| count / total).collect()
    }

    /// Expected share of requests that change data, 0 to 1.
    pub fn write_share(&self) -> f64 {
        let shares = self.request_shares();
        self.endpoints
            .iter()
            .zip(shares)
            .filter(|(endpoint, _)| endpoint.write)
            .map(|(_, share)| share)
            .sum()
    }

    /// Expected pause after a request, milliseconds: Z of the closed model's X (R + Z) = N.
    pub fn mean_think_ms(&self) -> f64 {
        let (mut think_ms, mut requests) = (0.0, 0.0);
        for (share, journey) in self.weighted() {
            think_ms += share * journey.steps.iter().map(|step| step.think.mean_ms()).sum::<f64>();
            requests += share * journey.steps.len() as f64;
        }
        think_ms / requests
    }

    /// Journeys with their share, 0 to 1.
    fn weighted(&self) -> impl Iterator<Item = (f64, &Journey)> {
        let total: u64 = self.journeys.iter().map(|journey| u64::from(journey.weight)).sum();
        self.journeys
            .iter()
            .map(move |journey| (f64::from(journey.weight) / total as f64, journey))
    }
}

/// Picks among things by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// Sums of the weights up to and including each thing.
    cumulative: Vec<u64>,
}

impl Mix {
    /// At least one weight is above 0.
    fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let cumulative = weights.into_iter().scan(0, |total, weight| {
            *total += weight;
            Some(*total)
        });
        Self {
            cumulative: cumulative.collect(),
        }
    }

    /// The position of a thing. Never one of weight 0.
    pub fn pick<R: Rng + ?Sized>(&self, rng: &mut R) -> usize {
        let total = self.cumulative.last().copied().unwrap_or_default();
        let ticket = rng.random_range(0..total);
        self.cumulative.partition_point(|&up_to| up_to <= ticket)
    }
}
