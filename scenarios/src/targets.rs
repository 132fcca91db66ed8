//! A targets file, checked against the registered metrics and the endpoints that the workload has.

use std::ops::Range;
use std::path::Path;

use measure::figures::{Unit, us_to_ms};
use measure::histogram::MAX_US;
use measure::metrics::{self, Kind, METRICS, Metric};
use measure::record::{ALL_ENDPOINTS, Limit, Priority};
use measure::targets::TargetSpec;
use serde::Deserialize;
use toml::Spanned;

use crate::error::InputError;
use crate::source::{Findings, Named, Source, named};

/// A targets file that has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// Its name in reports.
    pub name: String,
    /// In the order of the file.
    pub items: Vec<TargetSpec>,
}

impl Targets {
    /// Reads and checks a file. `known_endpoints` are the workload's ([`crate::Workload::counted_names`]); a target
    /// may also be about one that the file itself lists as planned, or about the whole mix.
    ///
    /// # Errors
    /// Everything that is wrong in it, with lines.
    pub fn load(file: &Path, known_endpoints: &[&str]) -> Result<Self, InputError> {
        check(&Source::read(file)?, known_endpoints)
    }

    /// Checks the text of a targets file as [`Targets::load`] does; `file` only stands in error messages.
    ///
    /// # Errors
    /// Everything that is wrong in it, with lines.
    pub fn parse(file: &Path, text: &str, known_endpoints: &[&str]) -> Result<Self, InputError> {
        check(&Source::from_text(file, text.to_owned()), known_endpoints)
    }
}

/// A targets file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTargets {
    name: Spanned<String>,
    #[serde(default)]
    planned_endpoints: Vec<String>,
    #[serde(default, deserialize_with = "named")]
    targets: Named<RawTarget>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTarget {
    priority: Priority,
    metric: Spanned<String>,
    endpoint: Option<Spanned<String>>,
    below: Option<Spanned<f64>>,
    above: Option<Spanned<f64>>,
    reduced_by: Option<Spanned<f64>>,
    increased_by: Option<Spanned<f64>>,
    multiplied_by: Option<Spanned<f64>>,
    source: Spanned<String>,
    /// Why nothing measures it yet: without a figure it then does not bind.
    not_yet: Option<Spanned<String>>,
}

fn check(source: &Source, known_endpoints: &[&str]) -> Result<Targets, InputError> {
    let raw: RawTargets = source.parse()?;
    let mut findings = Findings::new(source);
    let planned = raw.planned_endpoints.iter().map(String::as_str);
    let endpoints: Vec<&str> = known_endpoints
        .iter()
        .copied()
        .chain(planned)
        .chain([ALL_ENDPOINTS])
        .collect();
    let name = findings.not_empty("name", &raw.name);
    if raw.targets.is_empty() {
        findings.add(
            &(0..0),
            "there are no targets",
            Some("add a table `[targets.ID]`".to_owned()),
        );
    }
    let entries = raw.targets.into_iter();
    let items = entries
        .filter_map(|(id, raw)| target(&id, &raw, &endpoints, &mut findings))
        .collect();
    findings.finish(Targets { name, items })
}

fn target(
    id: &Spanned<String>,
    raw: &RawTarget,
    endpoints: &[&str],
    findings: &mut Findings<'_>,
) -> Option<TargetSpec> {
    let metric = metrics::find(raw.metric.get_ref());
    match &metric {
        None => findings.unknown(
            "metric",
            raw.metric.get_ref(),
            &raw.metric.span(),
            METRICS.iter().map(|metric| metric.name()),
        ),
        Some(metric) => check_endpoint(metric, raw, endpoints, findings),
    }
    let limit = limit(
        id,
        raw,
        metric.as_ref().is_some_and(|metric| metric.is_share()),
        findings,
    );
    if let (Some(metric), Some(limit)) = (&metric, limit) {
        check_told_apart(metric, raw, limit, findings);
    }
    Some(TargetSpec {
        id: findings.not_empty("id", id),
        priority: raw.priority,
        metric: raw.metric.get_ref().clone(),
        endpoint: raw.endpoint.as_ref().map(|endpoint| endpoint.get_ref().clone()),
        limit: limit?,
        source: findings.not_empty("source", &raw.source),
        not_yet: raw.not_yet.as_ref().map(|why| findings.not_empty("not_yet", why)),
    })
}

fn check_endpoint(metric: &Metric, raw: &RawTarget, endpoints: &[&str], findings: &mut Findings<'_>) {
    let name = metric.name();
    match (&raw.endpoint, metric.is_per_endpoint()) {
        (Some(endpoint), true) if !endpoints.contains(&endpoint.get_ref().as_str()) => {
            findings.unknown(
                "endpoint",
                endpoint.get_ref(),
                &endpoint.span(),
                endpoints.iter().copied(),
            );
        }
        (Some(endpoint), false) => {
            findings.add(
                &endpoint.span(),
                format!("`{name}` is not measured per endpoint: leave `endpoint` out"),
                None,
            );
        }
        (None, true) => {
            let hint = format!("add `endpoint`, with `{ALL_ENDPOINTS}` for the whole mix");
            findings.add(
                &raw.metric.span(),
                format!("`{name}` is measured per endpoint"),
                Some(hint),
            );
        }
        _ => {}
    }
}

/// Histograms of response times tell nothing apart above their largest time, so no percentile can be held against more.
fn check_told_apart(metric: &Metric, raw: &RawTarget, limit: Limit, findings: &mut Findings<'_>) {
    let most_ms = us_to_ms(MAX_US);
    let (Limit::Below(limit_ms) | Limit::Above(limit_ms)) = limit else {
        return;
    };
    if metric.kind == Kind::Percentile && metric.unit == Unit::Milliseconds && limit_ms > most_ms {
        let at = raw.below.as_ref().or(raw.above.as_ref()).map_or(0..0, Spanned::span);
        findings.add(
            &at,
            format!("times above {most_ms} ms are not told apart: they are \"over 60 s\""),
            Some(format!(
                "give a limit of at most {most_ms}, or one on `http.error_rate`"
            )),
        );
    }
}

/// The one limit that a target must give.
fn limit(id: &Spanned<String>, raw: &RawTarget, is_share: bool, findings: &mut Findings<'_>) -> Option<Limit> {
    let of = |number: &Option<Spanned<f64>>, limit: fn(f64) -> Limit| {
        number.as_ref().map(|value| (limit(*value.get_ref()), value.span()))
    };
    let given: Vec<(Limit, Range<usize>)> = [
        of(&raw.below, Limit::Below),
        of(&raw.above, Limit::Above),
        of(&raw.reduced_by, Limit::ReducedBy),
        of(&raw.increased_by, |share| Limit::MultipliedBy(1.0 + share)),
        of(&raw.multiplied_by, Limit::MultipliedBy),
    ]
    .into_iter()
    .flatten()
    .collect();
    let [(limit, at)] = given.as_slice() else {
        let what =
            format!("target `{id}` gives not exactly one of: below, above, reduced_by, increased_by, multiplied_by");
        findings.add(&id.span(), what, None);
        return None;
    };
    if let Some(share) = &raw.increased_by {
        findings.require(*share.get_ref() > 0.0, at, || {
            "the limit must be above 0, like 1 for 100 % more, which is twice as much".to_owned()
        });
    }
    let (holds, range) = limit_range(*limit, is_share);
    findings.require(holds, at, || format!("the limit must be {range}"));
    Some(*limit)
}

/// Whether a limit lies in its range, and the range in words.
fn limit_range(limit: Limit, is_share: bool) -> (bool, &'static str) {
    match limit {
        Limit::ReducedBy(share) => (
            share > 0.0 && share <= 1.0,
            "a share above 0 and up to 1, like 0.5 for 50 %",
        ),
        Limit::MultipliedBy(factor) => (factor > 0.0 && factor.is_finite(), "above 0, like 2 for twice as much"),
        Limit::Below(value) | Limit::Above(value) if is_share => {
            ((0.0..=1.0).contains(&value), "a share from 0 to 1, like 0.8 for 80 %")
        }
        Limit::Below(value) | Limit::Above(value) => (value.is_finite() && value >= 0.0, "0 or more"),
    }
}
