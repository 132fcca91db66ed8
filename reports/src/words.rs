//! Verdicts, outcomes and limits in words, with a symbol, so that colour is never the only carrier.

use measure::figures::{self, Unit};
pub(crate) use measure::record::endpoint_title;
use measure::record::{Limit, Outcome, Priority, TargetVerdict, Verdict};

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

const fn word(symbol: &'static str, text: &'static str, tone: &'static str) -> Word {
    Word { symbol, text, tone }
}

const fn good(text: &'static str) -> Word {
    word("✓", text, "good")
}

const fn bad(text: &'static str) -> Word {
    word("✗", text, "bad")
}

const fn unsure(text: &'static str) -> Word {
    word("?", text, "warn")
}

const fn absent(text: &'static str) -> Word {
    word("–", text, "none")
}

/// Symbol and word, where there is no colour.
pub(crate) fn mark(word: Word) -> String {
    format!("{} {}", word.symbol, word.text)
}

/// The overall judgement.
pub(crate) fn verdict(verdict: Verdict) -> Word {
    match verdict {
        Verdict::Pass => good("PASS"),
        Verdict::Measured => absent("MEASURED"),
        Verdict::Unavailable => bad("NOT AVAILABLE"),
        Verdict::Invalid => bad("INVALID RUN"),
        Verdict::TargetsMissed => bad("TARGETS MISSED"),
        Verdict::Regression => bad("REGRESSION"),
        Verdict::Inconclusive => unsure("INCONCLUSIVE"),
        Verdict::Interrupted => absent("INTERRUPTED"),
    }
}

/// Outcome of a comparison.
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

/// Outcome of a comparison with a feature switched off.
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

/// Consequence of a miss at a priority.
pub(crate) fn priority_meaning(priority: Priority) -> &'static str {
    match priority {
        Priority::P0 => "must have: a miss fails the run",
        Priority::P1 => "should have: a miss fails the run",
        Priority::P2 => "nice to have: never fails the run",
    }
}

/// Limit of a target, e.g. `< 10 ms`.
pub(crate) fn limit(limit: Limit, unit: Unit) -> String {
    match limit {
        Limit::Below(value) => format!("< {}", figures::exact(value, unit)),
        Limit::Above(value) => format!("> {}", figures::exact(value, unit)),
        Limit::ReducedBy(share) => format!("at least {} lower", figures::exact(share, Unit::Share)),
        Limit::MultipliedBy(factor) => format!("at least {} times before", figures::exact(factor, Unit::Plain)),
    }
}

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
