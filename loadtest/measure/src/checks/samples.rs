//! Are there enough answers for the percentiles that targets ask for?

use crate::record::{About, Check};
use crate::rounds::{Measured, MeasuredRound};
use crate::targets::{TargetSpec, asked_percentile};

/// Answers that must be expected above a percentile for it to be one: of fewer, it is the largest time or near it.
const MIN_ANSWERS_ABOVE: f64 = 5.0;

const NAME: &str = "enough answers for the percentiles asked";

/// One check for all targets that name a percentile, on the measured rounds of a subject together.
pub(crate) fn of_samples(rounds: &[MeasuredRound], targets: &[TargetSpec]) -> Check {
    let asked: Vec<_> = targets.iter().filter_map(asked_percentile).collect();
    let mut short: Vec<String> = Vec::new();
    for (metric, endpoint, tail) in &asked {
        let answers: u64 = rounds
            .iter()
            .filter_map(|round| round.endpoints.get(*endpoint))
            .map(Measured::due)
            .sum();
        // No answer at all is called by another check.
        if answers > 0 && answers as f64 * tail < MIN_ANSWERS_ABOVE {
            let needed = (MIN_ANSWERS_ABOVE / tail).round();
            short.push(format!("{metric} of {endpoint} has {answers} answers, needs {needed}"));
        }
    }
    short.sort();
    short.dedup();
    let ok = short.is_empty();
    let detail = if ok {
        format!("{} percentiles asked", asked.len())
    } else {
        format!("{} (measure longer, or give it more weight)", short.join("; "))
    };
    Check::new(NAME, ok, detail).about(About::Figures)
}

#[cfg(test)]
mod tests;
