//! Sentences about an evaluation.

use super::{Comparison, Machine, Outcome, RESOLUTION, Round, percent};
use crate::record::GateSlice;

/// Above this share of all cores in use, waiting for a core is part of every latency.
const BUSY: f64 = 0.85;
/// Above this share taken by the hypervisor, the host is shared with others who are busy.
const STOLEN: f64 = 0.05;

/// The number of endpoints with each outcome, and the smallest slowdown that this run could have seen.
pub(super) fn family(own: &[&Comparison], mde: Option<f64>) -> String {
    let counts: Vec<String> = [
        (Outcome::Regress, "slower"),
        (Outcome::SlowerWithinTolerance, "slower within tolerance"),
        (Outcome::Inconclusive, "undecided"),
        (Outcome::InsufficientData, "with too little data"),
        (Outcome::Improved, "faster"),
        (Outcome::Pass, "not slower"),
    ]
    .into_iter()
    .filter_map(|(outcome, words)| {
        let count = own.iter().filter(|one| one.outcome == outcome).count();
        (count > 0).then(|| format!("{count} {words}"))
    })
    .collect();
    let counts = counts.join(", ");
    match mde {
        Some(mde) if mde > RESOLUTION => {
            format!(
                "{counts}; this machine cannot resolve {}: MDE = {}",
                percent(RESOLUTION),
                percent(mde)
            )
        }
        Some(mde) => format!("{counts}; MDE = {}", percent(mde)),
        None => counts,
    }
}

/// Why p95 measures the host, where it does: all cores in use, or time taken by the hypervisor.
pub(super) fn oversubscribed(rounds: &[Round], machine: &Machine) -> Option<String> {
    let slices: Vec<&GateSlice> = rounds.iter().flat_map(|round| &round.gate_slices).collect();
    let used = mean(slices.iter().filter_map(|slice| used_share(slice, machine)))?;
    let stolen = mean(slices.iter().filter_map(|slice| slice.steal)).unwrap_or(0.0);
    (used > BUSY || stolen > STOLEN).then(|| {
        format!(
            "{} of the cores were in use and {} of the time was taken by the hypervisor: p95 on such a host measures \
             the host; the CPU time per request says more about the code",
            percent(used),
            percent(stolen)
        )
    })
}

/// Everybody together as the kernel counts it, else subject and generator; share of all cores.
fn used_share(slice: &GateSlice, machine: &Machine) -> Option<f64> {
    let cores = f64::from(machine.cores);
    let core_us = slice.length_ms as f64 * 1000.0 * cores;
    let ours = || slice.service_cpu_us.unwrap_or(0) as f64 / core_us + slice.generator_cpu / cores;
    slice.busy.or_else(|| (core_us > 0.0).then(ours))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}
