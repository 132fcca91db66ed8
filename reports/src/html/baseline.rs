//! Against stored baselines: each figure, and what such a comparison can and cannot show.

use measure::figures;
use measure::record::{Baseline, BaselineEvidence, Record};

use crate::document::Kind::{Name, Number, Words};
use crate::document::Table;
use crate::rows::{Compared, share};

/// The section.
pub(super) struct BaselineSection<'a> {
    pub(super) of: &'a Baseline,
    pub(super) about: String,
    pub(super) table: Table,
    pub(super) runs: Vec<String>,
}

/// None where no baseline was given.
pub(super) fn baseline(record: &Record) -> Option<BaselineSection<'_>> {
    let baseline = record.baseline.as_ref()?;
    let runs = baseline.runs.iter().map(|run| {
        let git = run.git.as_ref().map_or(String::new(), |git| format!(" at {git}"));
        let at = figures::moment(&run.at);
        format!("{}: {}{git}, {at}, {} blocks", run.id, run.subject, run.blocks)
    });
    Some(BaselineSection {
        about: limit_and_evidence(baseline),
        table: table(baseline),
        runs: runs.collect(),
        of: baseline,
    })
}

fn table(baseline: &Baseline) -> Table {
    let table = Table::of(
        baseline.comparisons.iter().map(Compared::new),
        &[
            (Name, "Figure", |compared| compared.family.into()),
            (Words, "Endpoint", |compared| compared.endpoint.into()),
            (Number, "After ÷ baseline", |compared| compared.if_compared().into()),
            (Number, "MDE", |compared| compared.mde.clone().into()),
            (Words, "Outcome", |compared| compared.word.into()),
        ],
    );
    table.captioned(
        "Table of the comparison with the baseline",
        "After ÷ baseline: above 1 is slower than the baseline",
    )
}

/// The runs compared with, the limit and the unit of the intervals, as one sentence.
pub(crate) fn limit_and_evidence(baseline: &Baseline) -> String {
    let limit = share(baseline.limit - 1.0);
    let (with, evidence) = match (baseline.evidence, baseline.runs.as_slice()) {
        (BaselineEvidence::Blocks, [only]) => (
            format!("{} of {}, another run", only.id, figures::moment(&only.at)),
            "blocks",
        ),
        (BaselineEvidence::Blocks, runs) => (format!("{} other runs", runs.len()), "blocks"),
        (BaselineEvidence::Runs, runs) => (format!("{} runs at other times", runs.len()), "runs"),
    };
    format!("Compared with {with}. More than {limit} slower counts; intervals are made of {evidence}.")
}
