//! Units of figures, and figures as people read them. No statistics here.

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

/// Three significant digits without trailing zeros: `0.0123`, `4.56`, `1234`.
pub fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let text = format!("{value:.*}", decimals(value));
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A share as a percentage: `0.0123` is `1.23 %`.
pub fn percent(share: f64) -> String {
    format!("{} %", figure(share * 100.0))
}

/// Decimals that leave three significant digits, at most nine.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=9 before the cast"
)]
fn decimals(value: f64) -> usize {
    (2.0 - value.abs().log10().floor()).clamp(0.0, 9.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_significant_digits() {
        let shown = [0.0, 0.012_345, 4.5, 4.5678, 99.96, 1234.5, -0.5].map(figure);
        assert_eq!(shown, ["0", "0.0123", "4.5", "4.57", "100", "1234", "-0.5"]);
    }

    #[test]
    fn units_convert_both_ways() {
        assert_eq!(ms_to_us(5.0), 5000);
        assert_eq!(ms_to_us(0.0014), 1);
        assert_eq!(ms_to_us(-1.0), 0);
        assert!((us_to_ms(1500) - 1.5).abs() < f64::EPSILON);
        assert_eq!(percent(0.0123), "1.23 %");
    }
}
