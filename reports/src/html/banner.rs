//! The top of the page: the verdict and what it is about.

use measure::figures;
use measure::record::Record;

use crate::view::{Headline, View};
use crate::words::{self, Word};

/// The top of the page.
pub(super) struct Banner {
    pub(super) word: Word,
    pub(super) compared: String,
    pub(super) method: String,
    pub(super) when: String,
    pub(super) headlines: Vec<Headline>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn banner(view: View<'_>) -> Banner {
    let record = view.record;
    Banner {
        word: words::verdict(record.verdict),
        compared: view.compared(),
        method: view.method(),
        when: figures::moment(&record.created_at),
        headlines: view.headlines(),
        warnings: warnings(record),
    }
}

/// Reasons to doubt the figures: failed self-checks and a debug build.
fn warnings(record: &Record) -> Vec<String> {
    let failed = record.checks.iter().filter(|check| !check.ok);
    let failed = failed.map(|check| format!("Self-check failed: {} ({})", check.name, check.detail));
    let debug = (record.tool.build == "debug")
        .then(|| "The harness is a debug build: its own cost is part of these figures.".to_owned());
    failed.chain(debug).collect()
}
