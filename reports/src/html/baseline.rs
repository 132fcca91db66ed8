//! Against stored baselines: each figure, and what such a comparison can and cannot show.

use measure::record::{Baseline, BaselineEvidence, Comparison, Record};

use crate::format;
use crate::view::endpoint_title;
use crate::words::{self, Word};

/// The section.
pub(super) struct BaselineSection {
    pub(super) about: String,
    pub(super) rows: Vec<Row>,
    pub(super) shows: String,
    pub(super) cannot_show: String,
    pub(super) notes: Vec<String>,
    pub(super) runs: Vec<String>,
}

/// One figure of one endpoint.
pub(super) struct Row {
    pub(super) figure: String,
    pub(super) endpoint: String,
    pub(super) ratio: Option<String>,
    pub(super) mde: Option<String>,
    pub(super) word: Word,
}

/// None where no baseline was given.
pub(super) fn baseline(record: &Record) -> Option<BaselineSection> {
    let baseline = record.baseline.as_ref()?;
    Some(BaselineSection {
        about: limit_and_evidence(baseline),
        rows: baseline.comparisons.iter().map(row).collect(),
        shows: baseline.shows.clone(),
        cannot_show: baseline.cannot_show.clone(),
        notes: baseline.notes.clone(),
        runs: baseline
            .runs
            .iter()
            .map(|run| {
                let git = run.git.as_ref().map_or(String::new(), |git| format!(" at {git}"));
                format!(
                    "{}: {}{git}, {}, {} blocks",
                    run.id,
                    run.subject,
                    format::moment(&run.at),
                    run.blocks
                )
            })
            .collect(),
    })
}

fn row(comparison: &Comparison) -> Row {
    Row {
        figure: words::family(&comparison.family),
        endpoint: endpoint_title(&comparison.endpoint).to_owned(),
        ratio: words::ratio(comparison),
        mde: comparison.mde.map(format::percent),
        word: words::outcome(comparison.outcome),
    }
}

/// What counts, and what the intervals are made of, as one sentence.
pub(crate) fn limit_and_evidence(baseline: &Baseline) -> String {
    let limit = format::percent(baseline.limit - 1.0);
    match (baseline.evidence, baseline.runs.as_slice()) {
        (BaselineEvidence::Blocks, [only]) => format!(
            "Compared with {} of {}, another run. More than {limit} slower counts; intervals are made of blocks.",
            only.id,
            format::moment(&only.at)
        ),
        (BaselineEvidence::Blocks, runs) => format!(
            "Compared with {} other runs. More than {limit} slower counts; intervals are made of blocks.",
            runs.len()
        ),
        (BaselineEvidence::Runs, runs) => format!(
            "Compared with {} runs at other times. More than {limit} slower counts; intervals are made of runs.",
            runs.len()
        ),
    }
}
