//! Think times by name.

use toml::Spanned;

use crate::raw::{Named, RawThinkTime, in_file_order};
use crate::source::Findings;
use crate::think_time::ThinkTime;

pub(super) fn think_times(raw: Named<RawThinkTime>, findings: &mut Findings<'_>) -> Vec<(String, ThinkTime)> {
    let entries = in_file_order(raw).into_iter();
    entries
        .map(|(name, think)| (name.into_inner(), think_time(&think, findings)))
        .collect()
}

fn think_time(raw: &RawThinkTime, findings: &mut Findings<'_>) -> ThinkTime {
    match raw {
        RawThinkTime::Constant(constant) => ThinkTime::Constant {
            ms: findings.not_negative("ms", &constant.ms),
        },
        RawThinkTime::Uniform(uniform) => {
            let min_ms = findings.not_negative("min_ms", &uniform.min_ms);
            let max_ms = at_least("max_ms", &uniform.max_ms, "min_ms", min_ms, findings);
            ThinkTime::Uniform { min_ms, max_ms }
        }
        RawThinkTime::Exponential(exponential) => ThinkTime::Exponential {
            mean_ms: findings.positive("mean_ms", &exponential.mean_ms),
        },
        RawThinkTime::LogNormal(log_normal) => {
            let median_ms = findings.positive("median_ms", &log_normal.median_ms);
            let p95_ms = at_least("p95_ms", &log_normal.p95_ms, "median_ms", median_ms, findings);
            ThinkTime::log_normal(median_ms, p95_ms)
        }
    }
}

/// A positive number that must not be below another.
fn at_least(key: &str, number: &Spanned<f64>, floor_key: &str, floor: f64, findings: &mut Findings<'_>) -> f64 {
    let value = findings.positive(key, number);
    findings.require(value <= 0.0 || value >= floor, &number.span(), || {
        format!("`{key}` is {value}, below `{floor_key}`, which is {floor}")
    });
    value
}
