//! What a command prints last: what a record says, and where its files are. The verdict comes before the files are
//! written: a disk that is full then takes no figures away.

use std::path::Path;

use crate::{compare::output::Written, say};

/// Prints the text of a record.
pub(super) fn verdict(text: &str) {
    say::out(format_args!("{}\n", text.trim_end()));
}

/// Prints what became of the files of a record; the exit code of the command, whose verdict has the code `verdict`.
pub(super) fn files(written: &Written, verdict: u8) -> u8 {
    for problem in &written.problems {
        say::err(format_args!("error: {problem}"));
    }
    if let Some(report) = &written.report {
        path("report", report);
    }
    written.exit_code(verdict)
}

/// Prints where something was written.
pub(super) fn path(what: &str, path: &Path) {
    say::out(format_args!("{what}: {}", path.display()));
}
