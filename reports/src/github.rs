//! Annotations for GitHub Actions, as workflow commands on standard output. The step summary is the Markdown.
//!
//! <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>

use measure::record::Record;

use crate::findings::{Notice, findings};

/// GitHub shows ten annotations of each kind per step; the rest stands in the summary.
const SHOWN: usize = 10;

/// One line per finding that needs a look, the verdict first; empty for a run that passed.
pub(crate) fn annotations(record: &Record) -> String {
    let findings = findings(record);
    let of = |notice: Notice, kind: &'static str| {
        let own = findings.iter().filter(move |finding| finding.notice == Some(notice));
        own.take(SHOWN)
            .map(move |finding| command(kind, &finding.title, &finding.message))
    };
    of(Notice::Error, "error")
        .chain(of(Notice::Warning, "warning"))
        .collect()
}

/// `::kind title=...::message`, with what ends a property or a line escaped.
fn command(kind: &str, title: &str, message: &str) -> String {
    format!("::{kind} title={}::{}\n", property(title), data(message))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
