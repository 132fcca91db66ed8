//! Sentences about an evaluation.

use super::{
    CANARY_ALPHA, Comparison, Conditions, Family, FamilyDecided, FamilyRows, FamilyVerdict, GateDecision, IDLE_APART,
    IDLE_CORES, Machine, Outcome, RESOLUTION, Round, Side, Sides, Stages, percent,
};
use crate::figures::figure;
use crate::record::GateSlice;

/// Above this share of all cores in use, waiting for a core is part of every latency.
const BUSY: f64 = 0.85;
/// Above this share taken by the hypervisor, the host is shared with others who are busy.
const STOLEN: f64 = 0.05;

/// The number of endpoints with each outcome, and what follows: what would have failed, or what could be seen.
pub(super) fn family(of: &FamilyDecided, mde: Option<f64>, would_fail: Option<f64>) -> String {
    if let Some(why) = &of.undecidable {
        return why.clone();
    }
    let own = &of.comparisons;
    let counts: Vec<String> = [
        (Outcome::Regress, "worse"),
        (Outcome::SlowerWithinTolerance, "worse within tolerance"),
        (Outcome::Inconclusive, "undecided"),
        (Outcome::InsufficientData, "with too little data"),
        (Outcome::Improved, "better"),
        (Outcome::Pass, "not worse"),
    ]
    .into_iter()
    .filter_map(|(outcome, words)| {
        let count = own.iter().filter(|one| one.outcome == outcome).count();
        (count > 0).then(|| format!("{count} {words}"))
    })
    .collect();
    let counts = counts.join(", ");
    let passed = own.iter().all(|one| {
        matches!(
            one.outcome,
            Outcome::Pass | Outcome::Improved | Outcome::SlowerWithinTolerance
        )
    });
    match (passed, would_fail, mde) {
        (true, Some(size), _) => format!("{counts}; {} would have failed", change(of.family, size)),
        (_, _, Some(mde)) if mde > RESOLUTION && !of.family.is_share() => {
            format!(
                "{counts}; this machine cannot resolve {}: MDE = {}",
                percent(RESOLUTION),
                percent(mde)
            )
        }
        (_, _, Some(mde)) => format!("{counts}; MDE = {}", size_of(of.family, mde)),
        _ => counts,
    }
}

/// "7.3 %", "0.12 points".
fn size_of(family: Family, size: f64) -> String {
    if family.is_share() {
        format!("{} points", figure(100.0 * size))
    } else {
        percent(size)
    }
}

fn change(family: Family, size: f64) -> String {
    let size = size_of(family, size);
    match family {
        Family::CpuPerRequest => format!("{size} more"),
        Family::LatencyP95 | Family::LatencyP50 | Family::LatencyMean | Family::Throughput => {
            format!("{size} at one endpoint")
        }
        Family::SlowShare | Family::TailShare | Family::FailedShare => format!("{size} more at one endpoint"),
    }
}

/// Why a family can decide nothing.
pub(super) fn too_few(rows: &FamilyRows, sides: Sides) -> String {
    let blocks = rows.blocks.into_iter().filter(|blocks| *blocks > 0).min().unwrap_or(0);
    if rows.rows.is_empty() && rows.family == Family::CpuPerRequest && blocks > 0 {
        return format!(
            "the CPU time of {} and {} was not read (it is of processes that the harness launched)",
            sides.before, sides.after
        );
    }
    format!("{blocks} blocks are too few: even if all of them agreed, chance could not be told from a change")
}

/// One sentence on what a gate that passed would not have passed.
pub fn promise(gate: &GateDecision) -> Option<String> {
    let size = |one: &FamilyVerdict| {
        let place = if one.family == Family::CpuPerRequest {
            ""
        } else {
            " at one endpoint"
        };
        let size = size_of(one.family, one.would_fail?);
        Some(format!("{} by {size}{place}", one.family.title()))
    };
    let sizes: Vec<String> = gate.families.iter().filter_map(size).collect();
    (!sizes.is_empty()).then(|| format!("a rise of any of these would have failed: {}", sizes.join(", ")))
}

/// Sentences about machine, generator and residents.
pub(super) fn notes(
    stages: &Stages,
    conditions: &Conditions,
    canary: Option<&Comparison>,
    sides: Sides,
) -> Vec<String> {
    let mut notes = Vec::new();
    notes.extend(canary.and_then(|canary| beside(canary, sides)));
    notes.extend(conditions.loses_slices.map(|side| lost(stages, side, sides)));
    notes.extend(idle(conditions, sides));
    notes
}

fn name(side: Side, sides: Sides<'_>) -> &str {
    match side {
        Side::Before => sides.before,
        Side::After => sides.after,
    }
}

/// The canary differs between the sides: one of them slows down what runs beside it.
fn beside(canary: &Comparison, sides: Sides) -> Option<String> {
    let (side, ratio) = if canary.p_slower <= CANARY_ALPHA {
        (Side::After, canary.ratio)
    } else if canary.p_faster <= CANARY_ALPHA {
        (Side::Before, 1.0 / canary.ratio)
    } else {
        return None;
    };
    Some(format!(
        "{} makes the machine slower: the canary took {} times as long beside it",
        name(side, sides),
        figure(ratio)
    ))
}

fn lost(stages: &Stages, side: Side, sides: Sides) -> String {
    let consequence = match side {
        Side::After => ": it makes the generator late, and what was dropped may be what is slow, so nothing passes",
        Side::Before => ": it makes the generator late",
    };
    format!(
        "{} slices of {} were dropped and {} of {}, more than chance deals to {}{consequence}",
        stages.lost.before,
        sides.before,
        stages.lost.after,
        sides.after,
        name(side, sides)
    )
}

fn idle(conditions: &Conditions, sides: Sides) -> Vec<String> {
    let Some((before, after)) = conditions.idle_cores else {
        return vec![];
    };
    let cores = [(Side::Before, before), (Side::After, after)];
    let busy = cores.into_iter().filter(|(_, cores)| *cores > IDLE_CORES);
    let mut notes: Vec<String> = busy
        .map(|(side, cores)| {
            format!(
                "{} used {} of a core while the other one was loaded",
                name(side, sides),
                percent(cores)
            )
        })
        .collect();
    if conditions.works_on().is_some() {
        notes.push(format!(
            "they differ by more than {} of a core there: neither was measured alone, and latencies do not decide",
            percent(IDLE_APART)
        ));
    }
    notes
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
