//! The gate: the verdict of each family, in how many blocks, and what the run could have seen.

use measure::record::{GateDecision, Record};

use crate::document::Kind::{Name, Number, Prose, Words};
use crate::document::Table;
use crate::rows::{Compared, change};
use crate::view::View;
use crate::words;

/// The section.
pub(super) struct GateSection<'a> {
    pub(super) families: Table,
    pub(super) endpoints: Table,
    pub(super) how: String,
    pub(super) oversubscribed: Option<&'a str>,
}

/// None for a run that is no gate.
pub(super) fn gate(view: View<'_>) -> Option<GateSection<'_>> {
    let gate = view.record.gate.as_ref()?;
    Some(GateSection {
        families: families(gate, "MDE"),
        endpoints: endpoints(view.record),
        how: how(gate),
        oversubscribed: gate.oversubscribed.as_deref(),
    })
}

/// Verdicts of the families; `mde` is the head of the smallest change that could be seen.
pub(crate) fn families(gate: &GateDecision, mde: &str) -> Table {
    let table = Table::of(
        &gate.families,
        &[
            (Name, "Family", |family| family.family.title().into()),
            (Words, "Outcome", |family| words::outcome(family.outcome).into()),
            (Number, mde, |family| {
                family.mde.map(|size| change(family.family, size)).into()
            }),
            (Number, "Would have failed", |family| {
                family.would_fail.map(|size| change(family.family, size)).into()
            }),
            (Prose, "Endpoints", |family| family.detail.as_str().into()),
        ],
    );
    table.captioned(
        "Table of families",
        "Each family is judged apart: what users feel, what the code costs, slow stretches, rare pauses, and failures",
    )
}

fn endpoints(record: &Record) -> Table {
    let canary = record.gate.iter().filter_map(|gate| gate.canary_row.as_ref());
    let table = Table::of(
        record.comparisons.iter().chain(canary).map(Compared::new),
        &[
            (Name, "Endpoint", |compared| compared.endpoint.into()),
            (Words, "Family", |compared| compared.family.into()),
            (Number, "After ÷ before", |compared| compared.ratio.clone().into()),
            (Words, "Bounds", |compared| {
                compared.bounds.clone().unwrap_or_default().into()
            }),
            (Number, "MDE", |compared| compared.mde.clone().into()),
            (Words, "Outcome", |compared| compared.word.into()),
        ],
    );
    table.captioned(
        "Table of endpoints of the gate",
        "After ÷ before with one-sided 95 % bounds; of shares the plain ratio",
    )
}

/// How the decision came about, as one sentence.
pub(crate) fn how(gate: &GateDecision) -> String {
    let second = if gate.stage2_blocks > 0 {
        format!("{} new blocks in stage 2", gate.stage2_blocks)
    } else {
        "no second stage was needed".to_owned()
    };
    let canary = if gate.canary {
        "a canary took out the noise that both sides share"
    } else {
        "no canary, or a block without one that answered on both sides: nothing was taken out"
    };
    let late = if gate.late_blocks > 0 {
        format!(", {} blocks left out as too late", gate.late_blocks)
    } else {
        String::new()
    };
    let notes = if gate.notes.is_empty() {
        String::new()
    } else {
        format!(" {}.", gate.notes.join(". "))
    };
    format!(
        "{} blocks in stage 1, {second}; {} slice pairs dropped{late}, {} blocks run again; {}; {canary}.{notes}",
        gate.stage1_blocks,
        gate.dropped_pairs,
        gate.repeated_blocks,
        limits(gate)
    )
}

/// How late a slice could be.
fn limits(gate: &GateDecision) -> String {
    let limit = |ms: Option<u32>| ms.map_or_else(|| "no limit".to_owned(), |ms| format!("{ms} ms"));
    let first = limit(gate.stage1_lateness_ms);
    if gate.stage2_blocks > 0 {
        let second = limit(gate.stage2_lateness_ms);
        format!("sends could be late by {first} in stage 1, by {second} in stage 2 (p99 of a slice)")
    } else {
        format!("sends could be late by {first} (p99 of a slice)")
    }
}
