//! Capacity: what may be promised, where the limit lies, and every load that was driven to find it.

use measure::record::{Capacity, CapacityOutcome, CapacityStep, Record, Scaling, StepKind};

use crate::ReportError;
use crate::charts;
use crate::format;

/// The section.
pub(super) struct CapacitySection {
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) plot: Option<String>,
    pub(super) steps: Vec<StepRow>,
}

/// One load.
pub(super) struct StepRow {
    pub(super) kind: &'static str,
    pub(super) rate: String,
    pub(super) achieved: String,
    pub(super) p50: String,
    pub(super) p95: String,
    pub(super) missed: String,
    pub(super) goal: String,
    pub(super) in_flight: String,
    pub(super) dropped: String,
    pub(super) lateness: String,
}

/// None where nobody asked.
pub(super) fn capacity(record: &Record) -> Result<Option<CapacitySection>, ReportError> {
    let Some(found) = &record.capacity else { return Ok(None) };
    Ok(Some(CapacitySection {
        facts: facts(found),
        plot: charts::capacity(found)?,
        steps: found.steps.iter().map(row).collect(),
    }))
}

/// What was found, as name and value.
pub(crate) fn facts(found: &Capacity) -> Vec<(&'static str, String)> {
    let per_s = |value: Option<f64>| value.map(|value| format!("{}/s", format::number(value)));
    let outcome = match found.outcome {
        CapacityOutcome::Found => "a soak held",
        CapacityOutcome::BeyondReach => "no rate tried missed a target",
        CapacityOutcome::NotHeld => "no soak held",
        CapacityOutcome::Unfinished => "the search did not come to its end",
    };
    let crossing = found.interval_per_s.map(|(low, high)| {
        format!(
            "{}, 95 % interval {} to {}/s",
            per_s(found.crossing_per_s).unwrap_or_default(),
            format::number(low),
            format::number(high)
        )
    });
    let rows = [
        ("Holds", per_s(found.advertised_per_s)),
        ("Asked for", per_s(found.wanted_per_s)),
        ("First target just missed at", crossing),
        ("What came of it", Some(outcome.to_owned())),
        (
            "Soak",
            Some(format!(
                "{}, {} failed before",
                format::seconds(found.soak_s),
                found.failed_soaks
            )),
        ),
        ("Targets that decide", Some(found.goals.join(", "))),
        ("Scalability law", found.scaling.as_ref().map(law)),
    ];
    rows.into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
}

fn law(scaling: &Scaling) -> String {
    let peak = match (scaling.peak_n, scaling.peak_per_s) {
        (Some(n), Some((value, low, high))) => format!(
            "largest throughput {}/s ({} to {}) at {} in flight",
            format::number(value),
            format::number(low),
            format::number(high),
            format::number(n)
        ),
        _ => format!(
            "no peak that the data support (measured up to {} in flight)",
            format::number(scaling.largest_n)
        ),
    };
    format!(
        "lambda {}/s, sigma {}, kappa {}: {peak}",
        format::number(scaling.lambda),
        format::number(scaling.sigma),
        format::number(scaling.kappa)
    )
}

fn row(step: &CapacityStep) -> StepRow {
    let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), format::number);
    let share = |part: u64| format::percent(part as f64 / step.of.max(1) as f64);
    StepRow {
        kind: match step.kind {
            StepKind::Doubling => "doubling",
            StepKind::Round => "round",
            StepKind::Soak => "soak",
        },
        rate: format::number(step.rate_per_s),
        achieved: format::number(step.achieved_per_s),
        p50: ms(step.p50_ms),
        p95: ms(step.p95_ms),
        missed: format!("{} of {}", share(step.above), format::percent(step.allowed)),
        goal: step.goal.clone(),
        in_flight: format::number(step.in_flight),
        dropped: format::count(step.dropped),
        lateness: ms(step.lateness_p99_ms),
    }
}
