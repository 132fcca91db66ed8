//! Journeys: their steps, and the variables that one step hands to later ones.

use toml::Spanned;

use super::requests::extracted;
use crate::raw::{RawJourney, RawStep, in_file_order};
use crate::source::Findings;
use crate::think_time::ThinkTime;
use crate::vars::VarNames;
use crate::workload::{Endpoint, Extract, Journey, Step};

/// What a journey can refer to.
pub(super) struct Known<'a> {
    pub(super) endpoints: &'a [Endpoint],
    pub(super) think_times: &'a [(String, ThinkTime)],
    /// Variables that steps take from their answers.
    pub(super) handed: &'a Handed,
    pub(super) names: &'a VarNames,
}

/// Variables that steps take from their answers, by slot. Several journeys may use the same name.
pub(super) type Handed = Vec<(String, usize)>;

/// Defines every variable that a step of any journey takes from its answer.
pub(super) fn handed_variables(
    journeys: &[(Spanned<String>, RawJourney)],
    names: &mut VarNames,
    findings: &mut Findings<'_>,
) -> Handed {
    let mut handed = Handed::new();
    let steps = journeys.iter().flat_map(|(_, journey)| journey.steps.get_ref());
    for var in steps.flat_map(|step| step.extract.keys()) {
        if slot_of(&handed, var.get_ref()).is_none() {
            handed.push((var.get_ref().clone(), names.define(var, findings)));
        }
    }
    handed
}

fn slot_of(handed: &Handed, name: &str) -> Option<usize> {
    handed.iter().find(|(var, _)| var == name).map(|(_, slot)| *slot)
}

pub(super) fn journeys(
    entries: Vec<(Spanned<String>, RawJourney)>,
    known: &Known<'_>,
    findings: &mut Findings<'_>,
) -> Vec<Journey> {
    let first_weight = entries.first().map(|(_, journey)| journey.weight.span());
    let idle = entries.iter().all(|(_, journey)| *journey.weight.get_ref() == 0);
    match first_weight {
        None => findings.add(
            &(0..0),
            "there are no journeys",
            Some("add a table `[journeys.NAME]`".to_owned()),
        ),
        Some(at) if idle => {
            let hint = "give at least one journey a weight of 1 or more".to_owned();
            findings.add(
                &at,
                "every journey has `weight` 0, so nothing would be requested",
                Some(hint),
            );
        }
        Some(_) => {}
    }
    entries
        .into_iter()
        .map(|(name, raw)| journey(name, &raw, known, findings))
        .collect()
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
        check_handed(raw, &step, &taken, known, findings);
        taken.extend(step.extract.iter().map(|extract| extract.slot));
        steps.push(step);
    }
    Journey {
        name: name.into_inner(),
        weight: *raw.weight.get_ref(),
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
fn check_handed(raw: &RawStep, step: &Step, taken: &[usize], known: &Known<'_>, findings: &mut Findings<'_>) {
    let is_handed = |slot: &usize| known.handed.iter().any(|(_, handed)| handed == slot);
    let endpoint = &known.endpoints[step.endpoint];
    if let Some(missing) = endpoint.slots().filter(is_handed).find(|slot| !taken.contains(slot)) {
        let var = known.names.name(missing);
        findings.add(
            &raw.endpoint.span(),
            format!(
                "endpoint `{}` uses `{var}`, which no earlier step of this journey extracts",
                endpoint.name
            ),
            None,
        );
    }
}

fn step(raw: &RawStep, known: &Known<'_>, findings: &mut Findings<'_>) -> Option<Step> {
    let think = raw
        .think
        .as_ref()
        .map_or(Some(ThinkTime::NONE), |name| think_by_name(name, known, findings));
    let wanted = raw.endpoint.get_ref();
    let endpoint = known.endpoints.iter().position(|endpoint| endpoint.name == *wanted);
    if endpoint.is_none() {
        let valid = known.endpoints.iter().map(|endpoint| endpoint.name.as_str());
        findings.unknown("endpoint", wanted, &raw.endpoint.span(), valid);
    }
    Some(Step {
        endpoint: endpoint?,
        think: think?,
        extract: extract(raw, known, findings),
    })
}

fn extract(raw: &RawStep, known: &Known<'_>, findings: &mut Findings<'_>) -> Vec<Extract> {
    let entries = in_file_order(raw.extract.clone()).into_iter();
    entries
        .filter_map(|(var, pointer)| {
            let slot = slot_of(known.handed, var.get_ref())?;
            Some(extracted(&var, &pointer, slot, findings))
        })
        .collect()
}

fn think_by_name(name: &Spanned<String>, known: &Known<'_>, findings: &mut Findings<'_>) -> Option<ThinkTime> {
    let found = known.think_times.iter().find(|(defined, _)| defined == name.get_ref());
    if found.is_none() {
        let valid = known.think_times.iter().map(|(defined, _)| defined.as_str());
        findings.unknown("think time", name.get_ref(), &name.span(), valid);
    }
    found.map(|(_, think)| *think)
}
