//! Journeys: their steps, and the variables that one step hands to later ones.

use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use crate::extract::{Extract, RawExtract};
use crate::request::{Endpoint, RawRequest};
use crate::source::{Findings, Named, named};
use crate::think_time::ThinkTime;
use crate::vars::VarNames;

/// A sequence of requests that one user makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Journey {
    /// Its name.
    pub name: String,
    /// Its share among the journeys, relative to their weights.
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
    /// Index into [`crate::Workload::endpoints`].
    pub endpoint: usize,
    /// The pause.
    pub think: ThinkTime,
    /// Variables for later steps, taken from the answer.
    pub extract: Vec<Extract>,
}

/// A journey as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawJourney {
    /// 1 when absent.
    weight: Option<Spanned<u32>>,
    steps: Spanned<Vec<RawStep>>,
}

impl RawJourney {
    fn weight(&self) -> u32 {
        self.weight.as_ref().map_or(1, |weight| *weight.get_ref())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    endpoint: Spanned<String>,
    /// No pause when absent.
    think: Option<Spanned<String>>,
    /// Variable -> its place in the answer.
    #[serde(default, deserialize_with = "named")]
    extract: Named<Spanned<RawExtract>>,
}

/// Everything that a journey can refer to.
pub(crate) struct Known<'a> {
    pub(crate) endpoints: &'a [Endpoint],
    pub(crate) think_times: &'a [(String, ThinkTime)],
    /// Slots of the variables that steps take from their answers.
    pub(crate) handed: Range<usize>,
    pub(crate) names: &'a VarNames,
}

/// Defines every variable that a step of any journey, or an endpoint, takes from an answer; several may use the same
/// name. Returns the slots.
pub(crate) fn define_handed(
    journeys: &Named<RawJourney>,
    endpoints: &Named<RawRequest>,
    names: &mut VarNames,
    findings: &mut Findings<'_>,
) -> Range<usize> {
    let first = names.len();
    let steps = journeys.iter().flat_map(|(_, journey)| journey.steps.get_ref());
    let of_steps = steps.flat_map(|step| step.extract.iter().map(|(var, _)| var));
    let of_endpoints = endpoints.iter().flat_map(|(_, endpoint)| endpoint.extracted());
    for var in of_steps.chain(of_endpoints) {
        if names.slot(var.get_ref()).is_none_or(|slot| slot < first) {
            names.define(var, findings);
        }
    }
    first..names.len()
}

/// Without any journey each endpoint is one, as often as every other.
pub(crate) fn check(raw: Named<RawJourney>, known: &Known<'_>, findings: &mut Findings<'_>) -> Vec<Journey> {
    if raw.is_empty() && !known.endpoints.is_empty() {
        return (0..known.endpoints.len())
            .map(|endpoint| {
                check_handed(&(0..0), endpoint, &[], known, findings);
                alone(endpoint, known)
            })
            .collect();
    }
    let idle = raw.iter().all(|(_, journey)| journey.weight() == 0);
    match raw.first() {
        None => findings.add(
            &(0..0),
            "there are no endpoints",
            Some("add a table `[endpoints.NAME]`".to_owned()),
        ),
        Some((_, first)) if idle => findings.add(
            &first.weight.as_ref().map(Spanned::span).unwrap_or_default(),
            "every journey has `weight` 0, so nothing would be requested",
            Some("give at least one journey a weight of 1 or more".to_owned()),
        ),
        Some(_) => {}
    }
    raw.into_iter()
        .map(|(name, raw)| journey(name, &raw, known, findings))
        .collect()
}

/// The journey of one request.
fn alone(endpoint: usize, known: &Known<'_>) -> Journey {
    let steps = vec![Step {
        endpoint,
        think: ThinkTime::NONE,
        extract: Vec::new(),
    }];
    Journey {
        name: known.endpoints[endpoint].name.clone(),
        weight: 1,
        feeders: feeders(&steps, known),
        steps,
    }
}

fn journey(name: Spanned<String>, raw: &RawJourney, known: &Known<'_>, findings: &mut Findings<'_>) -> Journey {
    let raw_steps = raw.steps.get_ref();
    findings.require(!raw_steps.is_empty(), &raw.steps.span(), || {
        format!("journey `{name}` has no steps")
    });
    let (mut steps, mut taken) = (Vec::new(), Vec::new());
    for raw in raw_steps {
        let Some(step) = step(raw, known, findings) else {
            continue;
        };
        check_handed(&raw.endpoint.span(), step.endpoint, &taken, known, findings);
        taken.extend(step.extract.iter().map(|extract| extract.slot));
        steps.push(step);
    }
    Journey {
        name: name.into_inner(),
        weight: raw.weight(),
        feeders: feeders(&steps, known),
        steps,
    }
}

/// Feeders that any of the steps uses, each once, in the order of the file.
fn feeders(steps: &[Step], known: &Known<'_>) -> Vec<usize> {
    let used = steps.iter().flat_map(|step| &known.endpoints[step.endpoint].feeders);
    let mut feeders: Vec<usize> = used.copied().collect();
    feeders.sort_unstable();
    feeders.dedup();
    feeders
}

/// A step may use what earlier steps of its own journey took from their answers, and nothing of later or other ones.
fn check_handed(at: &Range<usize>, endpoint: usize, taken: &[usize], known: &Known<'_>, findings: &mut Findings<'_>) {
    let endpoint = &known.endpoints[endpoint];
    let mut handed = endpoint.slots().filter(|slot| known.handed.contains(slot));
    if let Some(missing) = handed.find(|slot| !taken.contains(slot)) {
        let (name, var) = (&endpoint.name, known.names.name(missing));
        let what = format!("endpoint `{name}` uses `{var}`, which no earlier step of this journey extracts");
        findings.add(at, what, None);
    }
}

fn step(raw: &RawStep, known: &Known<'_>, findings: &mut Findings<'_>) -> Option<Step> {
    let think = raw.think.as_ref().map_or(Some(ThinkTime::NONE), |name| {
        let defined = || known.think_times.iter().map(|(defined, _)| defined.as_str());
        let index = findings.find("think time", name, defined)?;
        Some(known.think_times[index].1)
    });
    let defined = || known.endpoints.iter().map(|endpoint| endpoint.name.as_str());
    let endpoint = findings.find("endpoint", &raw.endpoint, defined);
    Some(Step {
        endpoint: endpoint?,
        think: think?,
        extract: extract(raw, known, findings),
    })
}

fn extract(raw: &RawStep, known: &Known<'_>, findings: &mut Findings<'_>) -> Vec<Extract> {
    let entries = raw.extract.iter();
    entries
        .filter_map(|(var, place)| {
            let slot = known
                .names
                .slot(var.get_ref())
                .filter(|slot| known.handed.contains(slot))?;
            Some(Extract::check(var, place, slot, findings))
        })
        .collect()
}
