//! The record as a `JUnit` test suite, for build servers.
//!
//! Every part of the record that can turn the exit code is a test case, so that a suite is never green when the run is
//! not: the run itself, self-checks, targets and comparisons.

use measure::record::{
    Capacity, CapacityOutcome, Check, Comparison, Outcome, Record, TargetResult, TargetVerdict, Verdict,
};

use crate::format;
use crate::metrics;
use crate::view::{View, endpoint_title};
use crate::words;

/// One test case.
struct Case {
    class: String,
    name: String,
    end: End,
}

/// How a test case ended; the texts say why.
enum End {
    Passed,
    Failed { kind: &'static str, message: String },
    Skipped { message: String },
    Error { kind: &'static str, message: String },
}

/// The whole document.
pub(crate) fn suite(record: &Record) -> String {
    let cases = cases(record);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    out.push_str(&opening(record, &cases));
    for case in &cases {
        out.push_str(&element(case));
    }
    out.push_str("  </testsuite>\n</testsuites>\n");
    out
}

fn cases(record: &Record) -> Vec<Case> {
    let checks = record.checks.iter().map(check_case);
    let targets = record.targets.iter().map(target_case);
    let comparisons = record.comparisons.iter().map(|one| comparison_case("comparison", one));
    let baseline = record.baseline.iter().flat_map(|baseline| &baseline.comparisons);
    std::iter::once(run_case(record))
        .chain(checks)
        .chain(targets)
        .chain(comparisons)
        .chain(baseline.map(|one| comparison_case("baseline", one)))
        .chain(record.capacity.iter().map(|found| capacity_case(record, found)))
        .collect()
}

/// Missed targets and regressions have test cases of their own; a run that did not come about has only this one.
fn run_case(record: &Record) -> Case {
    let end = match record.verdict {
        Verdict::Unavailable | Verdict::Invalid | Verdict::Interrupted => End::Error {
            kind: words::verdict(record.verdict).text,
            message: record.verdict_reason.clone(),
        },
        Verdict::Pass | Verdict::TargetsMissed | Verdict::Regression | Verdict::Inconclusive => End::Passed,
    };
    Case {
        class: "run".to_owned(),
        name: View { record }.compared(),
        end,
    }
}

fn check_case(check: &Check) -> Case {
    let end = if check.ok {
        End::Passed
    } else {
        End::Failed {
            kind: "self-check failed",
            message: check.detail.clone(),
        }
    };
    Case {
        class: "check".to_owned(),
        name: check.name.clone(),
        end,
    }
}

fn target_case(target: &TargetResult) -> Case {
    let end = match target.verdict {
        TargetVerdict::Pass => End::Passed,
        TargetVerdict::Fail => End::Failed {
            kind: "target missed",
            message: seen_and_asked(target),
        },
        TargetVerdict::Inconclusive => End::Skipped {
            message: format!("inconclusive: {}", seen_and_asked(target)),
        },
        TargetVerdict::NotMeasured => End::Skipped {
            message: format!("not measured: {}", target.detail),
        },
    };
    let name = format!("{}: {}", target.id, words::target_title(target));
    Case {
        class: format!("target.{}", words::priority(target.priority)),
        name,
        end,
    }
}

/// `12 ms (11 to 13 ms), asked < 10 ms: detail`
fn seen_and_asked(target: &TargetResult) -> String {
    let limit = words::limit(target.limit, metrics::describe(&target.metric).unit);
    let observed = words::observed(target).unwrap_or_else(|| "nothing seen".to_owned());
    let interval = words::observed_interval(target).map_or(String::new(), |interval| format!(" ({interval})"));
    let detail = if target.detail.is_empty() {
        String::new()
    } else {
        format!(": {}", target.detail)
    };
    format!("{observed}{interval}, asked {limit}{detail}")
}

/// `kind` tells the subjects of the record from a baseline.
fn comparison_case(kind: &str, comparison: &Comparison) -> Case {
    let message = comparison_message(comparison);
    let end = match comparison.outcome {
        Outcome::Improved | Outcome::Pass | Outcome::SlowerWithinTolerance => End::Passed,
        Outcome::Regress => End::Failed {
            kind: "regression",
            message,
        },
        Outcome::Inconclusive | Outcome::InsufficientData => End::Skipped { message },
    };
    let name = format!(
        "{}: {} against {}",
        endpoint_title(&comparison.endpoint),
        comparison.after,
        comparison.before
    );
    Case {
        class: format!("{kind}.{}", comparison.family),
        name,
        end,
    }
}

fn capacity_case(record: &Record, found: &Capacity) -> Case {
    let message = record.verdict_reason.clone();
    let end = match (found.outcome, record.verdict) {
        (CapacityOutcome::Found, Verdict::TargetsMissed) | (CapacityOutcome::NotHeld, _) => End::Failed {
            kind: "too little capacity",
            message,
        },
        (CapacityOutcome::Found, _) => End::Passed,
        (CapacityOutcome::BeyondReach | CapacityOutcome::Unfinished, _) => End::Skipped { message },
    };
    Case {
        class: "capacity".to_owned(),
        name: found.goals.join(", "),
        end,
    }
}

fn comparison_message(comparison: &Comparison) -> String {
    let word = words::outcome(comparison.outcome).text;
    let bounds = words::ratio_bounds(comparison).map_or(String::new(), |bounds| format!(" ({bounds})"));
    let mde = comparison.mde.map_or(String::new(), |mde| {
        format!(", smallest slowdown seen {}", format::percent(mde))
    });
    format!(
        "{word}: after / before {}{bounds}{mde}",
        format::number(comparison.ratio)
    )
}

fn opening(record: &Record, cases: &[Case]) -> String {
    let count = |fits: fn(&End) -> bool| cases.iter().filter(|case| fits(&case.end)).count();
    format!(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" timestamp=\"{}\">\n",
        escape(&record.workload.name),
        cases.len(),
        count(|end| matches!(end, End::Failed { .. })),
        count(|end| matches!(end, End::Error { .. })),
        count(|end| matches!(end, End::Skipped { .. })),
        record.created_at.format("%Y-%m-%dT%H:%M:%S"),
    )
}

fn element(case: &Case) -> String {
    let opening = format!(
        "    <testcase classname=\"{}\" name=\"{}\"",
        escape(&case.class),
        escape(&case.name)
    );
    let inner = match &case.end {
        End::Passed => return format!("{opening}/>\n"),
        End::Failed { kind, message } => typed("failure", kind, message),
        End::Error { kind, message } => typed("error", kind, message),
        End::Skipped { message } => format!("<skipped message=\"{}\"/>", escape(message)),
    };
    format!("{opening}>{inner}</testcase>\n")
}

fn typed(element: &str, kind: &str, message: &str) -> String {
    format!("<{element} type=\"{}\" message=\"{}\"/>", escape(kind), escape(message))
}

/// For attribute values; line breaks and tabs are kept, which takes character references.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in words::printable(text).chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\r' => out.push_str("&#13;"),
            '\t' => out.push_str("&#9;"),
            other => out.push(other),
        }
    }
    out
}
