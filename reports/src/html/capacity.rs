//! Capacity: what may be promised, where the limit lies, and every load that was driven to find it.

use measure::figures;
use measure::record::{Capacity, CapacityOutcome, CapacityStep, Record, Scaling, StepKind};

use crate::ReportError;
use crate::charts;
use crate::document::Kind::{Name, Number, Words};
use crate::document::Table;
use crate::rows::share;

/// The section.
pub(super) struct CapacitySection {
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) plot: Option<String>,
    pub(super) steps: Table,
}

/// None where nobody asked.
pub(super) fn capacity(record: &Record) -> Result<Option<CapacitySection>, ReportError> {
    let Some(found) = &record.capacity else { return Ok(None) };
    Ok(Some(CapacitySection {
        facts: facts(found),
        plot: charts::capacity(found)?,
        steps: steps(found),
    }))
}

/// The findings of a search, as name and value.
pub(crate) fn facts(found: &Capacity) -> Vec<(&'static str, String)> {
    let per_s = |value: Option<f64>| value.map(|value| format!("{}/s", figures::number(value)));
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
            figures::number(low),
            figures::number(high)
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
                figures::seconds(found.soak_s),
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
            figures::number(value),
            figures::number(low),
            figures::number(high),
            figures::number(n)
        ),
        _ => format!(
            "no peak that the data support (measured up to {} in flight)",
            figures::number(scaling.largest_n)
        ),
    };
    format!(
        "lambda {}/s, sigma {}, kappa {}: {peak}",
        figures::number(scaling.lambda),
        figures::number(scaling.sigma),
        figures::number(scaling.kappa)
    )
}

fn steps(found: &Capacity) -> Table {
    let table = Table::of(
        &found.steps,
        &[
            (Name, "Step", |step| kind(step.kind).into()),
            (Number, "Due/s", |step| figures::number(step.rate_per_s).into()),
            (Number, "Ended/s", |step| figures::number(step.achieved_per_s).into()),
            (Number, "p50", |step| step.p50_ms.map(figures::number).into()),
            (Number, "p95", |step| step.p95_ms.map(figures::number).into()),
            (Number, "Missed, of what may", |step| missed(step).into()),
            (Words, "Target", |step| step.goal.as_str().into()),
            (Number, "In flight", |step| figures::number(step.in_flight).into()),
            (Number, "Dropped", |step| figures::count(step.dropped).into()),
            (Number, "Late, p99 ms", |step| {
                step.lateness_p99_ms.map(figures::number).into()
            }),
        ],
    );
    table.captioned(
        "Table of steps",
        "Every load driven, in order: p50 and p95 of the whole mix, milliseconds",
    )
}

fn kind(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Doubling => "doubling",
        StepKind::Round => "round",
        StepKind::Soak => "soak",
    }
}

/// `3.00 % of 5.00 %`
fn missed(step: &CapacityStep) -> String {
    let missed = step.above as f64 / step.of.max(1) as f64;
    format!("{} of {}", share(missed), share(step.allowed))
}
