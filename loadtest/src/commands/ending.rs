//! What a command prints last: what a record says, and where its files are.

use std::path::Path;

/// Prints the text of a record, then where its report is.
pub(super) fn verdict(text: &str, report: &Path) {
    println!("{}\n", text.trim_end());
    path("report", report);
}

/// Prints where something was written.
pub(super) fn path(what: &str, path: &Path) {
    println!("{what}: {}", path.display());
}
