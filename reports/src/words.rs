//! Verdicts, outcomes and limits in words, with a symbol, so that colour is never the only carrier.

use measure::record::{Comparison, Limit, Outcome, Priority, TargetResult, TargetVerdict, Verdict};

use crate::format::{self, Unit};
use crate::metrics;

/// A judgement as it is shown: symbol and word, and the tone that picks the colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    /// One character.
    pub(crate) symbol: &'static str,
    /// The word or words.
    pub(crate) text: &'static str,
    /// Class name of the colour: `good`, `bad`, `warn` or `none`.
    pub(crate) tone: &'static str,
}

const fn good(text: &'static str) -> Word {
    Word {
        symbol: "✓",
        text,
        tone: "good",
    }
}

const fn bad(text: &'static str) -> Word {
    Word {
        symbol: "✗",
        text,
        tone: "bad",
    }
}

const fn unsure(text: &'static str) -> Word {
    Word {
        symbol: "?",
        text,
        tone: "warn",
    }
}

const fn absent(text: &'static str) -> Word {
    Word {
        symbol: "–",
        text,
        tone: "none",
    }
}

/// Symbol and word, where there is no colour.
pub(crate) fn mark(word: Word) -> String {
    format!("{} {}", word.symbol, word.text)
}

/// The overall judgement.
pub(crate) fn verdict(verdict: Verdict) -> Word {
    match verdict {
        Verdict::Pass => good("PASS"),
        Verdict::Unavailable => bad("NOT AVAILABLE"),
        Verdict::Invalid => bad("INVALID RUN"),
        Verdict::TargetsMissed => bad("TARGETS MISSED"),
        Verdict::Regression => bad("REGRESSION"),
        Verdict::Inconclusive => unsure("INCONCLUSIVE"),
        Verdict::Interrupted => absent("INTERRUPTED"),
    }
}

/// What a comparison says.
pub(crate) fn outcome(outcome: Outcome) -> Word {
    match outcome {
        Outcome::Improved => good("faster"),
        Outcome::Pass => good("not slower"),
        Outcome::SlowerWithinTolerance => unsure("slower, within tolerance"),
        Outcome::Regress => bad("regression"),
        Outcome::Inconclusive => unsure("cannot tell"),
        Outcome::InsufficientData => absent("too little data"),
    }
}

/// What a comparison says of a feature that was switched off.
pub(crate) fn ablation(outcome: Outcome) -> Word {
    match outcome {
        Outcome::Regress | Outcome::SlowerWithinTolerance => good("slower"),
        Outcome::Improved => bad("faster"),
        Outcome::Pass => absent("no more than a little slower"),
        Outcome::Inconclusive => unsure("cannot tell"),
        Outcome::InsufficientData => absent("too little data"),
    }
}

/// Judgement on one target.
pub(crate) fn target(verdict: TargetVerdict) -> Word {
    match verdict {
        TargetVerdict::Pass => good("holds"),
        TargetVerdict::Fail => bad("missed"),
        TargetVerdict::Inconclusive => unsure("inconclusive"),
        TargetVerdict::NotMeasured => absent("not measured"),
    }
}

/// A self-check.
pub(crate) fn check(ok: bool) -> Word {
    if ok { good("ok") } else { bad("failed") }
}

/// `P0` to `P2`.
pub(crate) fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::P0 => "P0",
        Priority::P1 => "P1",
        Priority::P2 => "P2",
    }
}

/// What a priority means.
pub(crate) fn priority_meaning(priority: Priority) -> &'static str {
    match priority {
        Priority::P0 => "must have: a miss fails the run",
        Priority::P1 => "should have: a miss fails the run",
        Priority::P2 => "nice to have: never fails the run",
    }
}

/// What a target asks, e.g. `< 10 ms`.
pub(crate) fn limit(limit: Limit, unit: Unit) -> String {
    match limit {
        Limit::Below(value) => format!("< {}", format::exact(value, unit)),
        Limit::Above(value) => format!("> {}", format::exact(value, unit)),
        Limit::ReducedBy(share) => format!("at least {} lower", format::exact(share, Unit::Share)),
        Limit::MultipliedBy(factor) => format!("at least {} times before", format::exact(factor, Unit::Plain)),
    }
}

/// What a target is about, e.g. `p95 latency of driver_details`.
pub(crate) fn target_title(target: &TargetResult) -> String {
    let title = metrics::describe(&target.metric).title;
    match &target.endpoint {
        Some(endpoint) => format!("{title} of {endpoint}"),
        None => title,
    }
}

/// What was seen, in words; none when nothing was.
pub(crate) fn observed(target: &TargetResult) -> Option<String> {
    let value = target.observed?;
    Some(match target.limit {
        Limit::Below(_) | Limit::Above(_) => format::quantity(value, metrics::describe(&target.metric).unit),
        Limit::MultipliedBy(_) => format!("{} times before", format::number(value)),
        Limit::ReducedBy(_) if value < 0.0 => format!("{} higher", format::percent(value.abs())),
        Limit::ReducedBy(_) => format!("{} lower", format::percent(value)),
    })
}

/// The interval of what was seen; none without one. A reduction below zero is an increase.
pub(crate) fn observed_interval(target: &TargetResult) -> Option<String> {
    let interval = target.interval?;
    Some(match target.limit {
        Limit::ReducedBy(_) => format::interval(interval, Unit::Share) + " lower",
        Limit::MultipliedBy(_) => format::interval(interval, Unit::Plain) + " times before",
        Limit::Below(_) | Limit::Above(_) => format::interval(interval, metrics::describe(&target.metric).unit),
    })
}

/// The bounds of a ratio; none where the run allows neither.
pub(crate) fn ratio_bounds(comparison: &Comparison) -> Option<String> {
    match (comparison.ratio_low, comparison.ratio_high) {
        (Some(low), Some(high)) => Some(format::interval((low, high), Unit::Plain)),
        (Some(low), None) => Some(format!("at least {}", format::number(low))),
        (None, Some(high)) => Some(format!("at most {}", format::number(high))),
        (None, None) => None,
    }
}

/// A ratio with its bounds, e.g. `1.21 (1.10 to 1.33)`; none where nothing was compared.
pub(crate) fn ratio(comparison: &Comparison) -> Option<String> {
    if comparison.outcome == Outcome::InsufficientData {
        return None;
    }
    let bounds = ratio_bounds(comparison).map_or(String::new(), |bounds| format!(" ({bounds})"));
    Some(format!("{}{bounds}", format::number(comparison.ratio)))
}

/// The name of a comparison's family for people.
pub(crate) fn family(family: &str) -> String {
    match family {
        LATENCY => "p95 latency".to_owned(),
        CPU => "CPU time per request".to_owned(),
        TAIL => "share of very slow requests".to_owned(),
        other => other.to_owned(),
    }
}

/// Family of latency comparisons.
pub(crate) const LATENCY: &str = "latency_p95";
/// Family of CPU comparisons.
pub(crate) const CPU: &str = "cpu_per_request";
/// Family of the shares of requests beyond four times the first subject's p95.
pub(crate) const TAIL: &str = "tail_share";

/// Replaces characters that XML does not allow and that no reader sees, so that names from files cannot break a page.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if is_forbidden(c) { '\u{FFFD}' } else { c })
        .collect()
}

/// Not a character of XML 1.0 (section 2.2).
fn is_forbidden(c: char) -> bool {
    let allowed = matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..);
    !allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_sentences() {
        assert_eq!(limit(Limit::Below(10.0), Unit::Milliseconds), "< 10 ms");
        assert_eq!(limit(Limit::Above(0.8), Unit::Share), "> 80 %");
        assert_eq!(limit(Limit::ReducedBy(0.5), Unit::Plain), "at least 50 % lower");
        assert_eq!(limit(Limit::MultipliedBy(2.0), Unit::Plain), "at least 2 times before");
    }

    #[test]
    fn control_characters_do_not_survive() {
        assert_eq!(printable("a\u{0}b\u{1b}c\td\u{FFFF}"), "a\u{FFFD}b\u{FFFD}c\td\u{FFFD}");
    }
}
