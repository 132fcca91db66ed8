//! Numbers and times as text: three significant digits, thousands separated, with their unit.
//!
//! Which unit a metric has is decided in `metrics`.

use chrono::{DateTime, Utc};

/// Shown for a number that is none (infinite or undefined).
const NO_NUMBER: &str = "n/a";

/// The unit in which a value is stored, and with it how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    Microseconds,
    /// 0 to 1, shown as per cent.
    Share,
    /// 0 to 100 (or more, with several cores).
    Percent,
    Megabytes,
    Bytes,
    PerMinute,
    MessagesPerSecond,
    Plain,
}

impl Unit {
    /// What stands behind the number, with its leading space; empty without a unit.
    fn suffix(self) -> &'static str {
        match self {
            Self::Milliseconds => " ms",
            Self::Microseconds => " µs",
            Self::Share | Self::Percent => " %",
            Self::Megabytes => " MB",
            Self::Bytes => " B",
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

/// A measured value with its unit.
pub(crate) fn quantity(value: f64, unit: Unit) -> String {
    format!("{}{}", number(unit.shown(value)), unit.suffix())
}

/// A value that somebody wrote down, with its unit: shown as written, not rounded to three digits.
pub(crate) fn exact(value: f64, unit: Unit) -> String {
    let shown = unit.shown(value);
    if !shown.is_finite() {
        return NO_NUMBER.to_owned();
    }
    // Six decimals hide the binary noise of shares (0.07 x 100) and no limit is finer.
    let text = format!("{shown:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}{}", with_separators(text), unit.suffix())
}

/// An interval with its unit, e.g. `1.31 to 1.38 ms`.
pub(crate) fn interval((low, high): (f64, f64), unit: Unit) -> String {
    format!("{} to {}", number(unit.shown(low)), quantity(high, unit))
}

/// Three significant digits; every digit before the point is kept.
pub(crate) fn number(value: f64) -> String {
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

/// A count, thousands separated.
pub(crate) fn count(value: u64) -> String {
    with_separators(&value.to_string())
}

/// A share as per cent.
pub(crate) fn percent(share: f64) -> String {
    quantity(share, Unit::Share)
}

/// How much faster or slower `ratio` (after / before) is.
pub(crate) fn speed(ratio: f64) -> Option<String> {
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

/// Seconds without needless decimals.
pub(crate) fn seconds(value: f64) -> String {
    exact(value, Unit::Plain) + " s"
}

/// A moment, to the second.
pub(crate) fn moment(time: &DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
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
    fn numbers_keep_three_digits() {
        let cases = [
            (0.0, "0"),
            (0.012_345, "0.0123"),
            (0.5, "0.500"),
            (1.234_5, "1.23"),
            (9.999, "10.0"),
            (12.34, "12.3"),
            (99.96, "100"),
            (123.4, "123"),
            (1_234_567.8, "1,234,568"),
            (-1_234.0, "-1,234"),
            (0.000_000_12, "1.20e-7"),
            (f64::NAN, "n/a"),
            (f64::INFINITY, "n/a"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text, "{value}");
        }
    }

    #[test]
    fn units_follow_the_number() {
        assert_eq!(quantity(1.345, Unit::Milliseconds), "1.34 ms");
        assert_eq!(quantity(0.9412, Unit::Share), "94.1 %");
        assert_eq!(exact(0.07, Unit::Share), "7 %");
        assert_eq!(exact(40.0, Unit::Percent), "40 %");
        assert_eq!(exact(1500.0, Unit::MessagesPerSecond), "1,500 msg/s");
        assert_eq!(interval((1.0, 2.0), Unit::Milliseconds), "1.00 to 2.00 ms");
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
