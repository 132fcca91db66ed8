//! Numbers as people read them: three significant digits, thousands separated, with their unit.
//!
//! What belongs here: units, their conversion and the one number format, for sentences as well as for reports. What
//! does not: which unit a metric has ([`crate::metrics`]), and statistics.

use chrono::{DateTime, Utc};

/// Shown for a number that is none (infinite or undefined).
const NO_NUMBER: &str = "n/a";
/// Shown for a time beyond what histograms tell apart.
const OVER: &str = "over 60 s";

/// The unit in which a value is stored, which decides how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Seconds.
    Seconds,
    /// 0 to 1, shown as per cent.
    Share,
    /// 0 to 100 (or more, with several cores).
    Percent,
    /// Megabytes.
    Megabytes,
    /// Bytes.
    Bytes,
    /// A rate per second.
    PerSecond,
    /// A rate per minute.
    PerMinute,
    /// Messages per second.
    MessagesPerSecond,
    /// A number without a unit.
    Plain,
}

impl Unit {
    /// Text behind the number, with its leading space; empty without a unit.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Milliseconds => " ms",
            Self::Microseconds => " µs",
            Self::Seconds => " s",
            Self::Share | Self::Percent => " %",
            Self::Megabytes => " MB",
            Self::Bytes => " B",
            Self::PerSecond => " /s",
            Self::PerMinute => " /min",
            Self::MessagesPerSecond => " msg/s",
            Self::Plain => "",
        }
    }

    /// The stored value as it is shown.
    fn shown(self, value: f64) -> f64 {
        if self == Self::Share { value * 100.0 } else { value }
    }
}

/// Milliseconds of a whole number of microseconds.
pub fn us_to_ms(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// Whole microseconds nearest to `ms`; negative values and NaN give 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, which is what a limit beyond the range should do"
)]
pub fn ms_to_us(ms: f64) -> u64 {
    (ms * 1000.0).round() as u64
}

/// A measured value for a table: three significant digits, every digit before the point kept.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return NO_NUMBER.to_owned();
    }
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    let magnitude = rounded.abs();
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    if magnitude < 1e-5 {
        return format!("{value:.2e}");
    }
    if magnitude >= 100.0 {
        return with_separators(&format!("{value:.0}"));
    }
    let decimals = [10.0, 1.0, 0.1, 0.01, 0.001, 0.0001]
        .iter()
        .take_while(|step| magnitude < **step)
        .count()
        + 1;
    format!("{rounded:.decimals$}")
}

/// A measured value for a sentence: [`number`] without trailing zeros, e.g. `0.0123`, `4.5`, `1,234`.
pub fn figure(value: f64) -> String {
    let text = number(value);
    let (digits, exponent) = text
        .split_once('e')
        .map_or((text.as_str(), None), |(digits, exponent)| (digits, Some(exponent)));
    let digits = without_trailing_zeros(digits);
    exponent.map_or_else(|| digits.to_owned(), |exponent| format!("{digits}e{exponent}"))
}

/// A share as a percentage within a sentence: `0.0123` is `1.23 %`.
pub fn percent(share: f64) -> String {
    format!("{}{}", figure(Unit::Share.shown(share)), Unit::Share.suffix())
}

/// A measured value with its unit, for a table.
pub fn quantity(value: f64, unit: Unit) -> String {
    if unit == Unit::Milliseconds && is_over(value) {
        return OVER.to_owned();
    }
    format!("{}{}", number(unit.shown(value)), unit.suffix())
}

/// A time in milliseconds for a table, without its unit. The histograms tell no times above 60 s apart, and failed
/// requests count as slower than any answer: both are said to be over it.
pub fn milliseconds(ms: f64) -> String {
    if is_over(ms) { OVER.to_owned() } else { number(ms) }
}

/// A time in milliseconds with its unit, for a sentence.
pub fn time(ms: f64) -> String {
    if is_over(ms) {
        OVER.to_owned()
    } else {
        format!("{} ms", figure(ms))
    }
}

fn is_over(ms: f64) -> bool {
    ms >= us_to_ms(crate::histogram::MAX_US)
}

/// A value that somebody wrote down, with its unit: shown as written, not rounded to three digits.
pub fn exact(value: f64, unit: Unit) -> String {
    let shown = unit.shown(value);
    if !shown.is_finite() {
        return NO_NUMBER.to_owned();
    }
    // Six decimals hide the binary noise of shares (0.07 x 100) and no limit is finer.
    let text = format!("{shown:.6}");
    format!("{}{}", with_separators(without_trailing_zeros(&text)), unit.suffix())
}

/// An interval with its unit, e.g. `1.31 to 1.38 ms`.
pub fn interval((low, high): (f64, f64), unit: Unit) -> String {
    if unit == Unit::Milliseconds && is_over(low) {
        return OVER.to_owned();
    }
    format!("{} to {}", number(unit.shown(low)), quantity(high, unit))
}

/// A count, thousands separated.
pub fn count(value: u64) -> String {
    with_separators(&value.to_string())
}

/// How much faster or slower `ratio` (after / before) is.
pub fn speed(ratio: f64) -> Option<String> {
    if !ratio.is_finite() || ratio <= 0.0 {
        return None;
    }
    let (factor, word) = if ratio <= 1.0 {
        (1.0 / ratio, "faster")
    } else {
        (ratio, "slower")
    };
    let text = number(factor);
    Some(if text == "1.00" {
        "as fast as before".to_owned()
    } else {
        format!("{text}× {word}")
    })
}

/// A length of time that somebody wrote down, in seconds.
pub fn seconds(value: f64) -> String {
    exact(value, Unit::Seconds)
}

/// A moment, to the second.
pub fn moment(time: &DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// `1234567.5` -> `1,234,567.5`.
fn with_separators(text: &str) -> String {
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = String::from(sign);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(fraction) = fraction {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits_and_sentences_drop_trailing_zeros() {
        let cases = [
            (0.0, "0", "0"),
            (0.012_345, "0.0123", "0.0123"),
            (0.5, "0.500", "0.5"),
            (-0.5, "-0.500", "-0.5"),
            (1.234_5, "1.23", "1.23"),
            (4.5, "4.50", "4.5"),
            (9.999, "10.0", "10"),
            (12.34, "12.3", "12.3"),
            (99.96, "100", "100"),
            (123.4, "123", "123"),
            (1_234_567.8, "1,234,568", "1,234,568"),
            (-1_234.0, "-1,234", "-1,234"),
            (0.000_000_12, "1.20e-7", "1.2e-7"),
            (f64::NAN, "n/a", "n/a"),
            (f64::INFINITY, "n/a", "n/a"),
        ];
        for (value, in_table, in_sentence) in cases {
            assert_eq!(
                (number(value).as_str(), figure(value).as_str()),
                (in_table, in_sentence)
            );
        }
    }

    #[test]
    fn units_follow_the_number() {
        assert_eq!(quantity(1.345, Unit::Milliseconds), "1.34 ms");
        assert_eq!(quantity(0.9412, Unit::Share), "94.1 %");
        assert_eq!(percent(0.0123), "1.23 %");
        assert_eq!(exact(0.07, Unit::Share), "7 %");
        assert_eq!(exact(40.0, Unit::Percent), "40 %");
        assert_eq!(exact(1500.0, Unit::MessagesPerSecond), "1,500 msg/s");
        assert_eq!(interval((1.0, 2.0), Unit::Milliseconds), "1.00 to 2.00 ms");
        assert_eq!(seconds(20.0), "20 s");
    }

    #[test]
    fn units_convert_both_ways() {
        assert_eq!(ms_to_us(5.0), 5000);
        assert_eq!(ms_to_us(0.0014), 1);
        assert_eq!(ms_to_us(-1.0), 0);
        assert!((us_to_ms(1500) - 1.5).abs() < f64::EPSILON);
    }

    #[test]
    fn speed_says_faster_or_slower() {
        assert_eq!(speed(0.25).as_deref(), Some("4.00× faster"));
        assert_eq!(speed(1.5).as_deref(), Some("1.50× slower"));
        assert_eq!(speed(1.0).as_deref(), Some("as fast as before"));
        assert_eq!(speed(0.0), None);
        assert_eq!(speed(f64::NAN), None);
    }
}
