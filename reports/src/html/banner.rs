//! The top of the page: the verdict and what it is about.

use measure::record::Record;

use crate::format;
use crate::view::{Headline, View};
use crate::words::{self, Word};

/// The top of the page.
pub(super) struct Banner {
    pub(super) word: Word,
    pub(super) reason: String,
    pub(super) exit_code: u8,
    pub(super) compared: String,
    pub(super) workload: String,
    pub(super) method: String,
    pub(super) when: String,
    pub(super) id: String,
    pub(super) headlines: Vec<Headline>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn banner(view: View<'_>) -> Banner {
    let record = view.record;
    Banner {
        word: words::verdict(record.verdict),
        reason: record.verdict_reason.clone(),
        exit_code: record.exit_code,
        compared: view.compared(),
        workload: record.workload.name.clone(),
        method: view.method(),
        when: format::moment(&record.created_at),
        id: record.id.clone(),
        headlines: view.headlines(),
        warnings: warnings(record),
    }
}

/// What a reader must know before believing a figure.
fn warnings(record: &Record) -> Vec<String> {
    let failed = record.checks.iter().filter(|check| !check.ok);
    let failed = failed.map(|check| format!("Self-check failed: {} ({})", check.name, check.detail));
    let debug = (record.tool.build == "debug")
        .then(|| "The harness is a debug build: its own cost is part of these figures.".to_owned());
    failed.chain(debug).collect()
}
