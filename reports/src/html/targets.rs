//! The table of targets: grouped by state, what needs a look first.

use measure::record::TargetVerdict;

use crate::rows::Target;
use crate::view::{TARGET_ORDER, View, counted};
use crate::words::{self, Word};

/// The targets in one state; may be empty.
pub(super) struct Group<'a> {
    pub(super) word: Word,
    /// The word as it stands behind their number.
    pub(super) text: &'static str,
    pub(super) rows: Vec<Target<'a>>,
}

/// One group per state.
pub(super) fn groups(view: View<'_>) -> Vec<Group<'_>> {
    TARGET_ORDER.into_iter().map(|verdict| group(view, verdict)).collect()
}

fn group(view: View<'_>, verdict: TargetVerdict) -> Group<'_> {
    let targets = view.targets(verdict);
    Group {
        word: words::target(verdict),
        text: counted(verdict, targets.len()),
        rows: targets.into_iter().map(Target::new).collect(),
    }
}
