//! The table of targets: grouped by state, what needs a look first.

use measure::record::{TargetResult, TargetVerdict};

use crate::metrics;
use crate::view::{TARGET_ORDER, View, counted};
use crate::words::{self, Word};

/// All targets.
pub(super) struct Targets {
    pub(super) counts: Vec<Count>,
    pub(super) groups: Vec<Group>,
}

/// How many targets are in one state.
pub(super) struct Count {
    pub(super) word: Word,
    pub(super) number: usize,
    /// The word as it stands behind that number.
    pub(super) text: &'static str,
}

/// The targets in one state.
pub(super) struct Group {
    pub(super) word: Word,
    pub(super) rows: Vec<Row>,
}

/// One target.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) priority: &'static str,
    pub(super) meaning: &'static str,
    pub(super) title: String,
    pub(super) limit: String,
    pub(super) observed: Option<String>,
    pub(super) interval: Option<String>,
    pub(super) source: String,
    pub(super) detail: String,
}

pub(super) fn targets(view: View<'_>) -> Targets {
    let counts = TARGET_ORDER.into_iter().map(|verdict| count(view, verdict));
    let groups = TARGET_ORDER.into_iter().map(|verdict| group(view, verdict));
    Targets {
        counts: counts.collect(),
        groups: groups.filter(|group| !group.rows.is_empty()).collect(),
    }
}

fn count(view: View<'_>, verdict: TargetVerdict) -> Count {
    let number = view.targets(verdict).len();
    Count {
        word: words::target(verdict),
        number,
        text: counted(verdict, number),
    }
}

fn group(view: View<'_>, verdict: TargetVerdict) -> Group {
    Group {
        word: words::target(verdict),
        rows: view.targets(verdict).into_iter().map(row).collect(),
    }
}

fn row(target: &TargetResult) -> Row {
    Row {
        id: target.id.clone(),
        priority: words::priority(target.priority),
        meaning: words::priority_meaning(target.priority),
        title: words::target_title(target),
        limit: words::limit(target.limit, metrics::describe(&target.metric).unit),
        observed: words::observed(target),
        interval: words::observed_interval(target),
        source: target.source.clone(),
        detail: target.detail.clone(),
    }
}
