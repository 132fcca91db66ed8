//! Everything in a record that was judged, in one list: the test cases of `JUnit` and the annotations of GitHub.
//!
//! Every part of the record that can turn the exit code is a finding, so that no output is green when the run is not.

use measure::record::{
    About, Capacity, CapacityOutcome, Check, Comparison, Outcome, Priority, Purpose, Record, TargetResult,
    TargetVerdict, Verdict,
};

use crate::rows::{Compared, Target};
use crate::view::View;
use crate::words;

/// One thing that was judged.
pub(crate) struct Finding {
    /// Its group, e.g. `target.P0`.
    pub(crate) class: String,
    /// Unique within the group.
    pub(crate) name: String,
    /// Heading where it stands alone.
    pub(crate) title: String,
    pub(crate) end: End,
    /// Word before the message where no heading says it; may be empty.
    pub(crate) state: &'static str,
    pub(crate) message: String,
    /// Whether it needs a look, and how much.
    pub(crate) notice: Option<Notice>,
}

/// How the judgement ended; the text names the kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Passed,
    Failed(&'static str),
    /// Not measured, or not to be decided.
    Open,
    /// The run did not come about.
    Error(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    Error,
    Warning,
}

/// All findings of a record, the run itself first.
pub(crate) fn findings(record: &Record) -> Vec<Finding> {
    let own = record.comparisons.iter();
    let own = own.map(|one| comparison("comparison", one, record.purpose != Purpose::Ablation));
    let baseline = record.baseline.iter().flat_map(|baseline| &baseline.comparisons);
    std::iter::once(run(record))
        .chain(record.checks.iter().map(check))
        .chain(record.targets.iter().map(target))
        .chain(own)
        .chain(baseline.map(|one| comparison("baseline", one, true)))
        .chain(record.capacity.iter().map(|found| capacity(record, found)))
        .collect()
}

/// Missed targets and regressions are findings of their own; a run that did not come about has only this one.
fn run(record: &Record) -> Finding {
    let word = words::verdict(record.verdict).text;
    Finding {
        class: "run".to_owned(),
        name: View { record }.compared(),
        title: word.to_owned(),
        end: match record.verdict {
            Verdict::Unavailable | Verdict::Invalid | Verdict::Interrupted => End::Error(word),
            Verdict::Pass
            | Verdict::Measured
            | Verdict::TargetsMissed
            | Verdict::Regression
            | Verdict::Inconclusive => End::Passed,
        },
        state: "",
        message: record.verdict_reason.clone(),
        notice: (record.exit_code != 0).then_some(Notice::Error),
    }
}

/// What holds in spite of a disturbed machine holds: such a check alone fails nothing.
fn check(check: &Check) -> Finding {
    let (end, notice) = match (check.ok, check.about) {
        (true, _) => (End::Passed, None),
        (false, About::Machine) => (End::Open, Some(Notice::Warning)),
        (false, About::Figures) => (End::Open, Some(Notice::Error)),
        (false, About::Run | About::Subject) => (End::Failed("self-check failed"), Some(Notice::Error)),
    };
    Finding {
        class: "check".to_owned(),
        name: check.name.clone(),
        title: format!("Self-check: {}", check.name),
        end,
        state: "",
        message: check.detail.clone(),
        notice,
    }
}

/// A missed P2 target never fails a run, so it is a warning.
fn target(of: &TargetResult) -> Finding {
    let target = Target::new(of);
    let (end, state, notice) = match (of.verdict, of.priority) {
        (TargetVerdict::Pass, _) => (End::Passed, "", None),
        (TargetVerdict::Fail, Priority::P2) => (End::Failed("target missed"), "", Some(Notice::Warning)),
        (TargetVerdict::Fail, _) => (End::Failed("target missed"), "", Some(Notice::Error)),
        (TargetVerdict::NotMeasured, Priority::P2) => (End::Open, target.word.text, None),
        (TargetVerdict::NotMeasured, _) if of.not_yet.is_some() => (End::Open, target.word.text, None),
        (TargetVerdict::Inconclusive | TargetVerdict::NotMeasured, _) => {
            (End::Open, target.word.text, Some(Notice::Warning))
        }
    };
    Finding {
        class: format!("target.{}", target.priority),
        name: format!("{}: {}", of.id, target.title),
        end,
        state,
        message: target_message(&target),
        notice,
        title: target.title,
    }
}

/// `12 ms (11 to 13 ms), asked < 10 ms: detail`
fn target_message(target: &Target<'_>) -> String {
    let detail = &target.of.detail;
    if target.of.verdict == TargetVerdict::NotMeasured {
        return detail.clone();
    }
    let seen = target.seen().unwrap_or_else(|| "nothing seen".to_owned());
    let detail = if detail.is_empty() {
        String::new()
    } else {
        format!(": {detail}")
    };
    format!("{seen}, asked {}{detail}", target.asked)
}

/// `class` tells the subjects of the record from a baseline. An ablation alone does not ask whether each comparison
/// could be decided.
fn comparison(class: &str, of: &Comparison, must_decide: bool) -> Finding {
    let compared = Compared::new(of);
    let (end, notice) = match of.outcome {
        Outcome::Improved | Outcome::Pass => (End::Passed, None),
        Outcome::SlowerWithinTolerance => (End::Passed, Some(Notice::Warning)),
        Outcome::Regress => (End::Failed("regression"), Some(Notice::Error)),
        Outcome::Inconclusive | Outcome::InsufficientData => (End::Open, must_decide.then_some(Notice::Warning)),
    };
    let mde = compared.mde.as_ref().map_or(String::new(), |mde| {
        format!("; the smallest slowdown this run could see is {mde}")
    });
    Finding {
        class: format!("{class}.{}", of.family),
        name: format!("{}: {} against {}", compared.endpoint, of.after, of.before),
        title: format!("{} of {}: {}", compared.family, compared.endpoint, compared.word.text),
        end,
        state: compared.word.text,
        message: format!(
            "after ÷ before {} over {} blocks{mde}",
            compared.with_bounds(),
            of.blocks
        ),
        notice,
    }
}

/// Without a notice: the verdict of a search for capacity says the same.
fn capacity(record: &Record, found: &Capacity) -> Finding {
    Finding {
        class: "capacity".to_owned(),
        name: found.goals.join(", "),
        title: "Capacity".to_owned(),
        end: match (found.outcome, record.verdict) {
            (CapacityOutcome::Found, Verdict::TargetsMissed) | (CapacityOutcome::NotHeld, _) => {
                End::Failed("too little capacity")
            }
            (CapacityOutcome::Found, _) => End::Passed,
            (CapacityOutcome::BeyondReach | CapacityOutcome::Unfinished, _) => End::Open,
        },
        state: "",
        message: record.verdict_reason.clone(),
        notice: None,
    }
}
