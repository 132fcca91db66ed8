//! Probes over time, and what reading them cost.

use std::collections::BTreeMap;

use measure::figures::{self, Unit};
use measure::record::ProbeCost;

use crate::ReportError;
use crate::charts;
use crate::document::Kind::{Name, Number};
use crate::document::Table;
use crate::view::View;

/// The section.
pub(super) struct Probes {
    pub(super) plots: Vec<String>,
    pub(super) costs: Option<Table>,
}

/// None where nothing was kept over time.
pub(super) fn probes(view: View<'_>) -> Result<Option<Probes>, ReportError> {
    let plots = view
        .series_names()
        .iter()
        .enumerate()
        .map(|(index, metric)| charts::probe_over_time(view, metric, index))
        .collect::<Result<Vec<_>, _>>()?;
    let plots: Vec<String> = plots.into_iter().flatten().collect();
    let costs = costs(view);
    Ok((!plots.is_empty() || costs.is_some()).then_some(Probes { plots, costs }))
}

/// None where nothing was read.
fn costs(view: View<'_>) -> Option<Table> {
    let table = Table::of(
        dearest(view).into_values(),
        &[
            (Name, "Probe", |cost| cost.probe.as_str().into()),
            (Number, "Readings", |cost| figures::count(cost.readings).into()),
            (Number, "Time in all", |cost| milliseconds(cost.total_us).into()),
            (Number, "Longest", |cost| milliseconds(cost.longest_us).into()),
        ],
    );
    let about = "What reading the probes cost, in the round in which it cost most";
    table.captioned("Table of the probes' own cost", about).if_any()
}

fn milliseconds(us: u64) -> String {
    figures::quantity(figures::us_to_ms(us), Unit::Milliseconds)
}

/// By probe, the round in which it cost most.
fn dearest(view: View<'_>) -> BTreeMap<&str, &ProbeCost> {
    let mut dearest: BTreeMap<&str, &ProbeCost> = BTreeMap::new();
    for cost in view.record.rounds.iter().flat_map(|round| &round.probe_costs) {
        let known = dearest.entry(&cost.probe).or_insert(cost);
        if cost.total_us > known.total_us {
            *known = cost;
        }
    }
    dearest
}
