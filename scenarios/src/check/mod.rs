//! From a workload as written to one that can be driven: resolves names, compiles templates, refuses what cannot be meant.
//!
//! Nothing here stops at the first mistake. A value that is wrong is noted and replaced by something harmless, and the
//! result is handed out only if nothing was noted.

mod feeders;
mod journeys;
mod model;
mod requests;
mod think_times;

use toml::Spanned;

use crate::error::InputError;
use crate::raw::{RawConsistency, RawPrometheus, RawQuick, RawWarmUp, RawWorkload, in_file_order};
use crate::source::{Findings, Source};
use crate::vars::VarNames;
use crate::workload::{Consistency, Dataset, Prometheus, Quick, WarmUp, Workload};

/// The header of the reference service; another service's is given in the file.
const DEFAULT_VERSION_HEADER: &str = "x-version";

/// Checks a workload.
pub(crate) fn workload(raw: RawWorkload, source: &Source) -> Result<Workload, InputError> {
    let mut findings = Findings::new(source);
    let mut names = VarNames::default();
    // The order matters: a setup request sees what earlier ones extracted, endpoints see everything.
    let setup = requests::setup_requests(raw.setup, &mut names, &mut findings);
    let (feeders, files) = feeders::feeders(raw.feeders, source, &mut names, &mut findings);
    let raw_journeys = in_file_order(raw.journeys);
    let handed = journeys::handed_variables(&raw_journeys, &mut names, &mut findings);
    let endpoints = requests::endpoints(
        raw.endpoints,
        &names,
        &feeders,
        raw.consistency.is_some(),
        &mut findings,
    );
    let think_times = think_times::think_times(raw.think_times, &mut findings);
    let known = journeys::Known {
        endpoints: &endpoints,
        think_times: &think_times,
        handed: &handed,
        names: &names,
    };
    let journeys = journeys::journeys(raw_journeys, &known, &mut findings);
    let workload = Workload {
        name: not_empty("name", &raw.name, &mut findings),
        sha256: source.sha256_with(&files),
        models: model::models(&raw.model, &journeys, &mut findings),
        warm_up: warm_up(&raw.warm_up, &mut findings),
        measure_s: findings.positive("measure_s", &raw.measure_s),
        drain_s: findings.not_negative("drain_s", &raw.drain_s),
        blocks: findings.at_least_one("blocks", &raw.blocks),
        quick: quick(&raw.quick, &mut findings),
        dataset: Dataset {
            seed_command: raw.dataset.seed_command,
        },
        consistency: raw.consistency.as_ref().map(|raw| consistency(raw, &mut findings)),
        prometheus: raw.probes.prometheus.as_ref().map(|raw| prometheus(raw, &mut findings)),
        setup,
        feeders,
        endpoints,
        journeys,
        slots: names.len(),
    };
    findings.finish(workload)
}

/// A text that must not be empty.
pub(crate) fn not_empty(key: &str, text: &Spanned<String>, findings: &mut Findings<'_>) -> String {
    findings.require(!text.get_ref().trim().is_empty(), &text.span(), || {
        format!("`{key}` is empty")
    });
    text.get_ref().clone()
}

fn warm_up(raw: &RawWarmUp, findings: &mut Findings<'_>) -> WarmUp {
    let think_time_scale = findings.positive("think_time_scale", &raw.think_time_scale);
    findings.require(
        think_time_scale <= 1.0 || think_time_scale.is_infinite(),
        &raw.think_time_scale.span(),
        || {
            format!(
                "`think_time_scale` is {think_time_scale}: above 1 the warm-up would be slower than what is measured"
            )
        },
    );
    WarmUp {
        duration_s: findings.not_negative("duration_s", &raw.duration_s),
        think_time_scale,
    }
}

fn quick(raw: &RawQuick, findings: &mut Findings<'_>) -> Quick {
    Quick {
        warm_up_s: findings.not_negative("warm_up_s", &raw.warm_up_s),
        measure_s: findings.positive("measure_s", &raw.measure_s),
        blocks: findings.at_least_one("blocks", &raw.blocks),
    }
}

fn consistency(raw: &RawConsistency, findings: &mut Findings<'_>) -> Consistency {
    let header = raw.version_header.as_ref();
    if let Some(name) = header {
        findings.require(requests::is_token(name.get_ref()), &name.span(), || {
            format!("`{name}` is no header name")
        });
    }
    Consistency {
        bound_ms: findings.not_negative("bound_ms", &raw.bound_ms),
        version_header: header
            .map_or(DEFAULT_VERSION_HEADER, |name| name.get_ref())
            .to_ascii_lowercase(),
    }
}

fn prometheus(raw: &RawPrometheus, findings: &mut Findings<'_>) -> Prometheus {
    requests::check_path(&raw.path, findings);
    for name in &raw.keep {
        let valid = name
            .get_ref()
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        findings.require(valid && !name.get_ref().is_empty(), &name.span(), || {
            format!("`{name}` is no name of a Prometheus metric: letters, digits, `_` and `:`, without labels")
        });
    }
    Prometheus {
        path: raw.path.get_ref().clone(),
        keep: raw.keep.iter().map(|name| name.get_ref().clone()).collect(),
    }
}
