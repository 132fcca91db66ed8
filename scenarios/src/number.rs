//! JSON numbers as they are written: which of them are kept exactly, and which are equal.
//!
//! A [`Number`] keeps whole numbers of 64 bits and floating point, so that longer ones would be rounded. What is sent
//! must be what was written: those are refused where they come in.

use serde_json::{Number, Value};

/// The number that a text spells, if it is kept exactly.
pub(crate) fn exact(text: &str) -> Option<Number> {
    let number: Number = text.parse().ok()?;
    let kept = decimal(&number.to_string())?;
    (decimal(text)? == kept).then_some(number)
}

/// Whether an answer's number may have been rounded when it was read: a whole number that floating point cannot tell
/// from its neighbours.
pub(crate) fn may_be_rounded(value: &Value) -> bool {
    const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;
    let float = value
        .as_number()
        .filter(|number| number.is_f64())
        .and_then(Number::as_f64);
    float.is_some_and(|float| float.abs() >= EXACT_BELOW)
}

/// Equal by value: `1` and `1.0` are, and whole numbers are told apart to their last digit.
pub(crate) fn same(a: &Number, b: &Number) -> bool {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.as_f64() == b.as_f64(),
        (Some(whole), None) => is_whole(b, whole),
        (None, Some(whole)) => is_whole(a, whole),
    }
}

/// Whether a number in floating point is this whole one.
fn is_whole(float: &Number, whole: i128) -> bool {
    let Some(float) = float.as_f64() else { return false };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, which no number of 64 bits comes near"
    )]
    let truncated = float as i128;
    float.fract() == 0.0 && truncated == whole
}

/// Sign, digits without zeros at either end, and the power of ten of the last one; `None` for what is no decimal.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let trimmed = digits.trim_end_matches('0');
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if trimmed.is_empty() {
        return Some((false, String::new(), 0));
    }
    let zeros = i64::try_from(digits.len() - trimmed.len()).ok()?;
    let places = i64::try_from(fraction.len()).ok()?;
    let exponent: i64 = exponent.parse().ok()?;
    let power = exponent.checked_sub(places)?.checked_add(zeros)?;
    Some((is_negative, trimmed.trim_start_matches('0').to_owned(), power))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_that_would_be_rounded_are_none() {
        for kept in [
            "7",
            "-0.5",
            "2.50",
            "1e3",
            "18446744073709551615",
            "-9223372036854775808",
            "0.1",
            "0",
            "0.0",
        ] {
            assert!(exact(kept).is_some(), "{kept}");
        }
        for rounded in [
            "27333820000000000490001",
            "18446744073709551617",
            "0.12345678901234567890",
            "9007199254740993.5",
            "1e400",
            "1e99999999999999999999",
            "x",
            "",
        ] {
            assert!(exact(rounded).is_none(), "{rounded}");
        }
    }

    #[test]
    fn whole_numbers_are_told_apart_to_their_last_digit() {
        let is_same = |a: &Value, b: &Value| same(a.as_number().unwrap(), b.as_number().unwrap());
        assert!(!is_same(
            &json!(9_007_199_254_740_992_u64),
            &json!(9_007_199_254_740_993_u64)
        ));
        assert!(!is_same(
            &json!(9_007_199_254_740_992.0),
            &json!(9_007_199_254_740_993_u64)
        ));
        assert!(!is_same(&json!(u64::MAX), &json!(18_446_744_073_709_551_616.0)));
        assert!(is_same(&json!(1), &json!(1.0)) && is_same(&json!(-1), &json!(-1.0)));
        assert!(is_same(&json!(2.5), &json!(2.5)) && !is_same(&json!(2), &json!(2.5)));
    }

    #[test]
    fn what_was_read_into_floating_point_may_be_rounded_when_it_is_large() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert!(may_be_rounded(&read("27333820000000000490001")));
        assert!(!may_be_rounded(&read("18446744073709551615")) && !may_be_rounded(&read("0.5")));
    }
}
