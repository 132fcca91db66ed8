//! The files as they are written: structures for serde, nothing checked yet.
//!
//! Every value that can be wrong by itself or refer to something is [`Spanned`], so that a mistake can name its line.
//! What is referred to by name is a table with names as keys (TOML itself refuses a second one of the same name).

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::body::RawJson;
use crate::workload::Method;

/// Things by name; [`in_file_order`] restores their order.
pub(crate) type Named<T> = BTreeMap<Spanned<String>, T>;

/// The entries in the order in which they stand in the file.
pub(crate) fn in_file_order<T>(named: Named<T>) -> Vec<(Spanned<String>, T)> {
    let mut entries: Vec<_> = named.into_iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawWorkload {
    pub(crate) name: Spanned<String>,
    pub(crate) model: RawModel,
    pub(crate) warm_up: RawWarmUp,
    pub(crate) measure_s: Spanned<f64>,
    pub(crate) drain_s: Spanned<f64>,
    pub(crate) blocks: Spanned<u32>,
    pub(crate) quick: RawQuick,
    #[serde(default)]
    pub(crate) dataset: RawDataset,
    pub(crate) consistency: Option<RawConsistency>,
    #[serde(default)]
    pub(crate) probes: RawProbes,
    #[serde(default)]
    pub(crate) setup: Named<RawSetup>,
    #[serde(default)]
    pub(crate) feeders: Named<RawFeeder>,
    #[serde(default)]
    pub(crate) think_times: Named<RawThinkTime>,
    #[serde(default)]
    pub(crate) endpoints: Named<RawRequest>,
    #[serde(default)]
    pub(crate) journeys: Named<RawJourney>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawModel {
    pub(crate) closed: Option<RawClosed>,
    pub(crate) open: Option<RawOpen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawClosed {
    pub(crate) users: Spanned<u32>,
    pub(crate) ramp_s: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOpen {
    pub(crate) rate: RawRate,
    pub(crate) spacing: Option<RawSpacing>,
    pub(crate) arrive: Option<Spanned<RawArrive>>,
    /// 0 when absent.
    pub(crate) ramp_s: Option<Spanned<f64>>,
    pub(crate) connections: Option<Spanned<u32>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSpacing {
    Poisson,
    Even,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawArrive {
    Requests,
    Sessions,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawRate {
    Constant(RawLevel),
    Ramp(RawRamp),
    Steps(Spanned<Vec<RawRateStep>>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLevel {
    pub(crate) per_s: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the postfix is the unit")]
pub(crate) struct RawRamp {
    pub(crate) from_per_s: Spanned<f64>,
    pub(crate) to_per_s: Spanned<f64>,
    pub(crate) over_s: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRateStep {
    pub(crate) per_s: Spanned<f64>,
    pub(crate) for_s: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConsistency {
    pub(crate) bound_ms: Spanned<f64>,
    /// `x-version` when absent.
    pub(crate) version_header: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProbes {
    pub(crate) prometheus: Option<RawPrometheus>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPrometheus {
    pub(crate) path: Spanned<String>,
    #[serde(default)]
    pub(crate) keep: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawWarmUp {
    pub(crate) duration_s: Spanned<f64>,
    pub(crate) think_time_scale: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawQuick {
    pub(crate) warm_up_s: Spanned<f64>,
    pub(crate) measure_s: Spanned<f64>,
    pub(crate) blocks: Spanned<u32>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDataset {
    pub(crate) seed_command: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawRequest {
    #[serde(default)]
    pub(crate) method: Method,
    pub(crate) path: Spanned<String>,
    #[serde(default)]
    pub(crate) headers: Named<Spanned<String>>,
    pub(crate) body: Option<Spanned<RawJson>>,
    pub(crate) expect_status: Option<Spanned<Vec<Spanned<u16>>>>,
    #[serde(default)]
    pub(crate) expect_headers: Named<Spanned<RawJson>>,
    #[serde(default)]
    pub(crate) expect_json: Named<Spanned<RawJson>>,
    #[serde(default)]
    pub(crate) write: bool,
    pub(crate) entity: Option<Spanned<String>>,
    pub(crate) timeout_ms: Option<Spanned<u64>>,
}

/// A [`RawRequest`] that is sent once and whose answer is kept. The fields are repeated because serde cannot both flatten
/// and deny unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSetup {
    #[serde(default)]
    method: Method,
    path: Spanned<String>,
    #[serde(default)]
    headers: Named<Spanned<String>>,
    body: Option<Spanned<RawJson>>,
    expect_status: Option<Spanned<Vec<Spanned<u16>>>>,
    #[serde(default)]
    expect_headers: Named<Spanned<RawJson>>,
    #[serde(default)]
    expect_json: Named<Spanned<RawJson>>,
    timeout_ms: Option<Spanned<u64>>,
    #[serde(default)]
    extract: Named<Spanned<String>>,
}

impl RawSetup {
    /// The request, and variable -> JSON pointer.
    pub(crate) fn split(self) -> (RawRequest, Named<Spanned<String>>) {
        let Self {
            method,
            path,
            headers,
            body,
            expect_status,
            expect_headers,
            expect_json,
            timeout_ms,
            extract,
        } = self;
        (
            RawRequest {
                method,
                path,
                headers,
                body,
                expect_status,
                expect_headers,
                expect_json,
                write: false,
                entity: None,
                timeout_ms,
            },
            extract,
        )
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawFeeder {
    Zipf(RawZipf),
    Uniform(RawUniform),
    Sequence(RawSequence),
    Csv(RawCsv),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSequence {
    /// 1 when absent.
    pub(crate) from: Option<i64>,
    /// 1 when absent.
    pub(crate) step: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCsv {
    /// Relative to the workload's own directory.
    pub(crate) file: Spanned<String>,
    #[serde(default)]
    pub(crate) numbers: Vec<String>,
    /// One after the other when absent.
    pub(crate) order: Option<RawRowOrder>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawRowOrder {
    Sequence,
    Random,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawZipf {
    /// 1 when absent.
    pub(crate) from: Option<i64>,
    pub(crate) n: Spanned<u32>,
    pub(crate) s: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUniform {
    pub(crate) min: i64,
    pub(crate) max: Spanned<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawThinkTime {
    Constant(RawConstant),
    Uniform(RawUniformMs),
    Exponential(RawExponential),
    LogNormal(RawLogNormal),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawConstant {
    pub(crate) ms: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUniformMs {
    pub(crate) min_ms: Spanned<f64>,
    pub(crate) max_ms: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawExponential {
    pub(crate) mean_ms: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLogNormal {
    pub(crate) median_ms: Spanned<f64>,
    pub(crate) p95_ms: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawJourney {
    pub(crate) weight: Spanned<u32>,
    pub(crate) steps: Spanned<Vec<RawStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStep {
    pub(crate) endpoint: Spanned<String>,
    /// No pause when absent.
    pub(crate) think: Option<Spanned<String>>,
    /// Variable -> JSON pointer into the answer.
    #[serde(default)]
    pub(crate) extract: Named<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTargets {
    pub(crate) name: Spanned<String>,
    #[serde(default)]
    pub(crate) planned_endpoints: Vec<String>,
    #[serde(default)]
    pub(crate) targets: Named<RawTarget>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTarget {
    pub(crate) priority: measure::record::Priority,
    pub(crate) metric: Spanned<String>,
    pub(crate) endpoint: Option<Spanned<String>>,
    pub(crate) below: Option<Spanned<f64>>,
    pub(crate) above: Option<Spanned<f64>>,
    pub(crate) reduced_by: Option<Spanned<f64>>,
    pub(crate) multiplied_by: Option<Spanned<f64>>,
    pub(crate) source: Spanned<String>,
}
