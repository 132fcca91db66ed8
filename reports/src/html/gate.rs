//! The gate: the verdict of each family, in how many blocks, and what the run could have seen.

use measure::record::{GateDecision, Record};

use crate::document::Kind::{Name, Number, Prose, Words};
use crate::document::Table;
use crate::rows::{Compared, share};
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

/// Verdicts of the families; `mde` is the head of the smallest slowdown that could be seen.
pub(crate) fn families(gate: &GateDecision, mde: &str) -> Table {
    let table = Table::of(
        &gate.families,
        &[
            (Name, "Family", |family| family.family.title().into()),
            (Words, "Outcome", |family| words::outcome(family.outcome).into()),
            (Number, mde, |family| family.mde.map(share).into()),
            (Prose, "Endpoints", |family| family.detail.as_str().into()),
        ],
    );
    table.captioned(
        "Table of families",
        "Each family is judged apart: what users feel, what the code costs, and rare pauses",
    )
}

fn endpoints(record: &Record) -> Table {
    let table = Table::of(
        record.comparisons.iter().map(Compared::new),
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
        "After ÷ before with one-sided 95 % bounds; of the share of very slow requests the plain ratio",
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
    format!(
        "{} blocks in stage 1, {second}; {} slice pairs dropped as invalid, {} blocks run again; {canary}.",
        gate.stage1_blocks, gate.dropped_pairs, gate.repeated_blocks
    )
}
