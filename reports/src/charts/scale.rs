//! Axes: where a value lies between two pixels, and which values get a tick.

/// Above this ratio of the largest to the smallest value an axis is logarithmic: the small ones would be invisible.
const LOG_SPREAD: f64 = 20.0;

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    /// Whether distances stand for factors.
    pub(crate) logarithmic: bool,
    /// Values at the ends, transformed.
    ends: (f64, f64),
    /// Pixels at the ends; the first may be the larger one (an axis that points upwards).
    pixels: (f64, f64),
    /// Values with a tick.
    pub(crate) ticks: Vec<f64>,
}

impl Scale {
    /// An axis over these values: from zero, or logarithmic when they spread too far. None without a positive value.
    pub(crate) fn covering(values: &[f64], pixels: (f64, f64), max_ticks: usize) -> Option<Self> {
        let (low, high) = positive_range(values)?;
        if high / low > LOG_SPREAD {
            return Some(Self::over_decades((low * 0.6, high), pixels, max_ticks));
        }
        Some(Self::from_zero(high, pixels, max_ticks))
    }

    /// A logarithmic axis over these values. None without a positive value.
    pub(crate) fn logarithmic(values: &[f64], pixels: (f64, f64), max_ticks: usize) -> Option<Self> {
        let range = positive_range(values)?;
        Some(Self::over_decades(range, pixels, max_ticks))
    }

    /// An axis from one value to another, with the ticks given.
    pub(crate) fn plain(ends: (f64, f64), pixels: (f64, f64), ticks: Vec<f64>) -> Self {
        Self {
            logarithmic: false,
            ends,
            pixels,
            ticks,
        }
    }

    fn from_zero(high: f64, pixels: (f64, f64), max_ticks: usize) -> Self {
        let step = round_up(high / max_ticks.max(1) as f64);
        let steps = (high / step).ceil().max(1.0);
        let ticks = multiples(step, steps);
        Self {
            logarithmic: false,
            ends: (0.0, step * steps),
            pixels,
            ticks,
        }
    }

    fn over_decades((low, high): (f64, f64), pixels: (f64, f64), max_ticks: usize) -> Self {
        let low = round_down(low);
        let high = round_up(high.max(low * 1.5));
        let ends = (low.log10(), high.log10());
        Self {
            logarithmic: true,
            ends,
            pixels,
            ticks: log_ticks(low, high, max_ticks),
        }
    }

    /// The pixel of a value; values beyond an end lie on it.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let transformed = if self.logarithmic {
            value.max(f64::MIN_POSITIVE).log10()
        } else {
            value
        };
        let (low, high) = self.ends;
        let share = if high > low {
            ((transformed - low) / (high - low)).clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.pixels.0 + share * (self.pixels.1 - self.pixels.0)
    }
}

/// Smallest and largest of the values that are finite and positive.
fn positive_range(values: &[f64]) -> Option<(f64, f64)> {
    let usable = values.iter().copied().filter(|value| value.is_finite() && *value > 0.0);
    usable.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((value.min(low), value.max(high)))
    })
}

/// 0, step, 2 step, ...
fn multiples(step: f64, steps: f64) -> Vec<f64> {
    let mut ticks = vec![0.0];
    let mut index = 1.0;
    while index <= steps {
        ticks.push(step * index);
        index += 1.0;
    }
    ticks
}

/// 1-2-5 ticks where they fit, else decades, else every second, third, ... decade.
fn log_ticks(low: f64, high: f64, max_ticks: usize) -> Vec<f64> {
    let fine = one_two_five(low, high);
    if fine.len() <= max_ticks {
        return fine;
    }
    let decades: Vec<f64> = fine.into_iter().filter(|tick| is_decade(*tick)).collect();
    let stride = decades.len().div_ceil(max_ticks.max(1)).max(1);
    decades.into_iter().step_by(stride).collect()
}

fn is_decade(value: f64) -> bool {
    let exponent = value.log10();
    (exponent - exponent.round()).abs() < 1e-9
}

/// Every value of the sequence 1, 2, 5, 10, ... from `low` to `high`.
fn one_two_five(low: f64, high: f64) -> Vec<f64> {
    let mut ticks = Vec::new();
    let mut decade = 10_f64.powf(low.log10().floor());
    // A run spans nanoseconds to days at most: 40 decades bound the loop whatever the values are.
    for _ in 0..40 {
        let steps = [1.0, 2.0, 5.0].map(|step| step * decade);
        ticks.extend(
            steps
                .into_iter()
                .filter(|tick| *tick >= low * 0.999 && *tick <= high * 1.001),
        );
        decade *= 10.0;
        if decade > high * 1.001 {
            break;
        }
    }
    ticks
}

/// The next value of 1, 2, 5, 10, ... not below.
fn round_up(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|step| step * decade)
        .find(|step| *step >= value * 0.999)
        .unwrap_or(10.0 * decade)
}

/// The next value of 1, 2, 5, 10, ... not above.
fn round_down(value: f64) -> f64 {
    let decade = 10_f64.powf(value.log10().floor());
    [5.0, 2.0]
        .into_iter()
        .map(|step| step * decade)
        .find(|step| *step <= value * 1.001)
        .unwrap_or(decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_values_start_at_zero() {
        let scale = Scale::covering(&[17.0, 3.0], (0.0, 100.0), 5).unwrap();
        assert!(!scale.logarithmic);
        assert_eq!(scale.ticks, [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert!((scale.at(10.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn far_values_are_logarithmic_and_the_smallest_stays_visible() {
        let scale = Scale::covering(&[0.1, 30.0], (0.0, 100.0), 20).unwrap();
        assert!(scale.logarithmic);
        assert_eq!(scale.ticks.first(), Some(&0.05));
        assert_eq!(scale.ticks.last(), Some(&50.0));
        assert!(scale.at(0.1) > 5.0);
    }

    #[test]
    fn nothing_positive_has_no_axis() {
        assert_eq!(Scale::covering(&[], (0.0, 1.0), 5), None);
        assert_eq!(
            Scale::covering(&[0.0, f64::NAN, -1.0, f64::INFINITY], (0.0, 1.0), 5),
            None
        );
    }

    #[test]
    fn one_value_alone_has_an_axis() {
        let scale = Scale::logarithmic(&[1.0], (100.0, 0.0), 5).unwrap();
        assert!(scale.ticks.len() >= 2, "{scale:?}");
        assert!(scale.at(1.0).is_finite());
    }

    #[test]
    fn ticks_never_exceed_their_number_on_wide_ranges() {
        let scale = Scale::logarithmic(&[1e-6, 1e9], (0.0, 100.0), 5).unwrap();
        assert!(scale.ticks.len() <= 5, "{:?}", scale.ticks);
    }
}
