//! The gate: what each family came to, in how many blocks, and what the run could have seen.

use measure::record::{Comparison, FamilyVerdict, GateDecision};

use crate::format;
use crate::view::{View, endpoint_title};
use crate::words::{self, Word};

/// The section.
pub(super) struct GateSection {
    pub(super) rows: Vec<FamilyRow>,
    pub(super) endpoints: Vec<EndpointRow>,
    pub(super) how: String,
    pub(super) oversubscribed: Option<String>,
}

/// One family.
pub(super) struct FamilyRow {
    pub(super) family: String,
    pub(super) word: Word,
    pub(super) mde: Option<String>,
    pub(super) detail: String,
}

/// One endpoint in one family.
pub(super) struct EndpointRow {
    pub(super) family: String,
    pub(super) endpoint: String,
    pub(super) ratio: String,
    /// Empty where the run allows none.
    pub(super) bounds: String,
    pub(super) mde: Option<String>,
    pub(super) word: Word,
}

/// None for a run that is no gate.
pub(super) fn gate(view: View<'_>) -> Option<GateSection> {
    let gate = view.record.gate.as_ref()?;
    Some(GateSection {
        rows: gate.families.iter().map(row).collect(),
        endpoints: view.record.comparisons.iter().map(endpoint).collect(),
        how: how(gate),
        oversubscribed: gate.oversubscribed.clone(),
    })
}

fn row(family: &FamilyVerdict) -> FamilyRow {
    FamilyRow {
        family: words::family(&family.family),
        word: words::outcome(family.outcome),
        mde: family.mde.map(format::percent),
        detail: family.detail.clone(),
    }
}

fn endpoint(comparison: &Comparison) -> EndpointRow {
    EndpointRow {
        family: words::family(&comparison.family),
        endpoint: endpoint_title(&comparison.endpoint).to_owned(),
        ratio: format::number(comparison.ratio),
        bounds: words::ratio_bounds(comparison).unwrap_or_default(),
        mde: comparison.mde.map(format::percent),
        word: words::outcome(comparison.outcome),
    }
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
