//! Probes over time, and what reading them cost.

use std::collections::BTreeMap;

use measure::record::ProbeCost;

use crate::ReportError;
use crate::charts;
use crate::format::{self, Unit};
use crate::view::View;

/// The section.
pub(super) struct Probes {
    pub(super) plots: Vec<String>,
    pub(super) costs: Vec<CostRow>,
}

/// What one probe cost in its dearest round.
pub(super) struct CostRow {
    pub(super) probe: String,
    pub(super) readings: String,
    pub(super) total: String,
    pub(super) longest: String,
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
    let costs: Vec<CostRow> = dearest(view).into_values().map(cost_row).collect();
    Ok((!plots.is_empty() || !costs.is_empty()).then_some(Probes { plots, costs }))
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

fn cost_row(cost: &ProbeCost) -> CostRow {
    let milliseconds = |us: u64| format::quantity(us as f64 / 1000.0, Unit::Milliseconds);
    CostRow {
        probe: cost.probe.clone(),
        readings: format::count(cost.readings),
        total: milliseconds(cost.total_us),
        longest: milliseconds(cost.longest_us),
    }
}
