//! Latencies: one `HdrHistogram` layout for the whole project (1 us to 60 s, 3 significant digits).
//!
//! What belongs here: counting times, reading quantiles, and the V2-deflate text form that other tools read. What does
//! not: intervals (`percentile`) and the sharded recording of a round (`recorder`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{DeserializeError, Deserializer, Serializer as _, V2DeflateSerializer};
use hdrhistogram::{Counter, Histogram};

use crate::figures::us_to_ms;

/// Smallest time told apart, microseconds. Shorter ones count as this.
pub const MIN_US: u64 = 1;
/// Largest time told apart, microseconds: 60 s, above every time-out in use. Longer ones count as this.
pub const MAX_US: u64 = 60_000_000;
/// Significant digits of what is judged: a figure is off by less than 0.1 %.
const DIGITS: u8 = 3;
/// Significant digits of slices, which are drawn, not judged: off by less than 1 %, a seventh of the memory.
const SLICE_DIGITS: u8 = 2;

/// Times in microseconds with so many significant digits. Merging is exact, and the memory never grows.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeHistogram<const PRECISION: u8>(Histogram<u64>);

/// Times that are judged; 139 KB each.
pub type LatencyHistogram = TimeHistogram<DIGITS>;
/// Times of a slice.
pub type SliceHistogram = TimeHistogram<SLICE_DIGITS>;

/// Why a stored histogram cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramError {
    /// The text is not base64.
    #[error("not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The bytes are not a histogram.
    #[error("not an HdrHistogram in V2 or V2-deflate form: {0}")]
    Format(#[from] DeserializeError),
    /// A histogram, but one that does not merge exactly with ours.
    #[error(
        "a histogram of {low}..{high} us with {digits} digits, this build reads {MIN_US}..{MAX_US} us with {expected}"
    )]
    Layout {
        /// Its smallest value.
        low: u64,
        /// Its largest value.
        high: u64,
        /// Its significant digits.
        digits: u8,
        /// The digits that belong here.
        expected: u8,
    },
}

impl<const PRECISION: u8> TimeHistogram<PRECISION> {
    /// An empty histogram, all memory allocated.
    pub fn new() -> Self {
        Self(with_digits(PRECISION))
    }

    /// Counts one time. Beyond [`MAX_US`] it is counted at the end of the range.
    pub fn record_us(&mut self, us: u64) {
        self.0.saturating_record(clamp_us(us));
    }

    /// Counts `times` times of one length, as [`record_us`](Self::record_us) does.
    pub fn record_n_us(&mut self, us: u64, times: u64) {
        self.0.saturating_record_n(clamp_us(us), times);
    }

    /// Adds everything that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        add_same_layout(&mut self.0, &other.0);
    }

    /// Adds the counts of a recorder's histogram, whose counters are narrower.
    pub(crate) fn merge_counts(&mut self, other: &Histogram<u32>) {
        widen(&mut self.0, other);
    }

    /// The counts of a recorder's histogram.
    pub(crate) fn from_counts(counts: &Histogram<u32>) -> Self {
        let mut wide = Self::new();
        wide.merge_counts(counts);
        wide
    }

    /// Times counted.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The time that a share `quantile` (0 to 1) of all times does not exceed: the upper edge of its bucket.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        (!self.is_empty()).then(|| self.0.value_at_quantile(quantile).min(MAX_US))
    }

    /// [`quantile_us`](Self::quantile_us) in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        self.quantile_us(quantile).map(us_to_ms)
    }

    /// Arithmetic mean, from the middles of the buckets.
    pub fn mean_us(&self) -> Option<f64> {
        (!self.is_empty()).then(|| self.0.mean())
    }

    /// The largest time: the upper edge of its bucket.
    pub fn max_us(&self) -> Option<u64> {
        self.quantile_us(1.0)
    }

    /// How many times are above `limit_us`.
    ///
    /// Exact where the limit is an edge of a bucket: at an upper edge it counts times > limit, at a lower edge (5000,
    /// 10000 and 15000 us are such) times >= limit. Inside a bucket its whole content counts as above, so that
    /// `quantile_us(q) > limit` exactly when more than the share 1 - q is above the limit.
    pub fn count_above_us(&self, limit_us: u64) -> u64 {
        let limit_us = limit_us.min(MAX_US);
        let last_below = if self.0.highest_equivalent(limit_us) == limit_us {
            Some(limit_us)
        } else {
            self.0.lowest_equivalent(limit_us).checked_sub(1)
        };
        self.len() - last_below.map_or(0, |last| self.0.count_between(0, last))
    }

    /// V2-deflate in base64, as in `.hlog` files.
    pub fn encode(&self) -> String {
        STANDARD.encode(deflate(&self.0))
    }

    /// Reads what [`encode`](Self::encode) wrote, or the same layout from another tool.
    pub fn decode(text: &str) -> Result<Self, HistogramError> {
        decode_layout(text, PRECISION).map(Self)
    }

    /// The counts themselves, for other serialisations.
    pub(crate) fn counts(&self) -> &Histogram<u64> {
        &self.0
    }
}

impl<const PRECISION: u8> Default for TimeHistogram<PRECISION> {
    fn default() -> Self {
        Self::new()
    }
}

/// A histogram over the project's range that never resizes, so that recording never allocates.
pub(crate) fn with_digits<C: Counter>(digits: u8) -> Histogram<C> {
    Histogram::new_with_bounds(MIN_US, MAX_US, digits).expect("1 us to 60 s is a valid range for 1 to 5 digits")
}

/// The full-precision layout with counters of another width.
pub(crate) fn full_precision<C: Counter>() -> Histogram<C> {
    with_digits(DIGITS)
}

/// The layout of slices with counters of another width.
pub(crate) fn coarse<C: Counter>() -> Histogram<C> {
    with_digits(SLICE_DIGITS)
}

/// Brings a time into the range of the histograms.
pub(crate) fn clamp_us(us: u64) -> u64 {
    us.clamp(MIN_US, MAX_US)
}

/// Adds histograms made by [`with_digits`] with the same digits.
pub(crate) fn add_same_layout<C: Counter>(sum: &mut Histogram<C>, other: &Histogram<C>) {
    sum.add(other).expect("histograms of one layout always add");
}

/// Adds counts of the same layout in narrower counters.
fn widen(sum: &mut Histogram<u64>, counts: &Histogram<u32>) {
    for bucket in counts.iter_recorded() {
        sum.saturating_record_n(bucket.value_iterated_to(), u64::from(bucket.count_at_value()));
    }
}

#[cfg(test)]
thread_local! {
    /// Histograms decoded by this thread, so that a test can tell how often a judgement decodes.
    pub(crate) static DECODED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn decode_layout(text: &str, expected: u8) -> Result<Histogram<u64>, HistogramError> {
    #[cfg(test)]
    DECODED.set(DECODED.get() + 1);
    let bytes = STANDARD.decode(text)?;
    let counts: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice())?;
    let (low, high, digits) = (counts.low(), counts.high(), counts.sigfig());
    if (low, high, digits) == (MIN_US, MAX_US, expected) {
        Ok(counts)
    } else {
        Err(HistogramError::Layout {
            low,
            high,
            digits,
            expected,
        })
    }
}

fn deflate(counts: &Histogram<u64>) -> Vec<u8> {
    let mut bytes = Vec::new();
    V2DeflateSerializer::new()
        .serialize(counts, &mut bytes)
        .expect("writing into memory does not fail, and no count is near 2^63");
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::histogram_of;

    #[test]
    fn an_empty_histogram_has_no_figures() {
        let empty = LatencyHistogram::new();
        assert!(empty.is_empty());
        assert_eq!(
            (empty.quantile_us(0.95), empty.mean_us(), empty.max_us()),
            (None, None, None)
        );
        assert_eq!(empty.count_above_us(0), 0);
        assert_eq!(LatencyHistogram::decode(&empty.encode()).unwrap(), empty);
    }

    #[test]
    fn quantiles_of_known_times() {
        let times = histogram_of(1..=1000);
        assert_eq!(times.quantile_us(0.5), Some(500));
        assert_eq!(times.quantile_us(0.95), Some(950));
        assert_eq!(times.max_us(), Some(1000));
        assert!((times.mean_us().unwrap() - 500.5).abs() < 0.01);
    }

    #[test]
    fn times_beyond_the_range_are_counted_as_such() {
        let times = histogram_of([0, 10, MAX_US + 1, u64::MAX]);
        assert_eq!(times.len(), 4);
        assert_eq!(times.max_us(), Some(MAX_US));
        assert_eq!(
            times.count_above_us(u64::MAX),
            2,
            "a saturated time may be above any limit"
        );
    }

    #[test]
    fn counting_above_a_limit_is_exact_on_bucket_edges() {
        // Up to 2047 us each bucket holds one value; 5000..=5003 share one.
        let small = histogram_of(1..=2000);
        assert_eq!(
            (
                small.count_above_us(1900),
                small.count_above_us(2000),
                small.count_above_us(0)
            ),
            (100, 0, 2000)
        );
        let wide = histogram_of([4999, 5000, 5003, 5004]);
        assert_eq!(wide.count_above_us(5000), 3, "lower edge: times >= limit");
        assert_eq!(wide.count_above_us(5003), 1, "upper edge: times > limit");
        assert_eq!(wide.count_above_us(5001), 3, "inside: the whole bucket");
    }

    #[test]
    fn foreign_or_broken_text_is_refused() {
        assert!(matches!(LatencyHistogram::decode("%%"), Err(HistogramError::Base64(_))));
        assert!(matches!(
            LatencyHistogram::decode("AAAA"),
            Err(HistogramError::Format(_))
        ));
        let cut = &histogram_of(1..=500).encode()[..40];
        assert!(matches!(LatencyHistogram::decode(cut), Err(HistogramError::Format(_))));
        let coarse: Histogram<u64> = with_digits(2);
        let error = LatencyHistogram::decode(&STANDARD.encode(deflate(&coarse))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a histogram of 1..60000000 us with 2 digits, this build reads 1..60000000 us with 3"
        );
    }

    proptest! {
        #[test]
        fn the_text_form_keeps_every_count(times in prop::collection::vec(0..80_000_000u64, 0..200)) {
            let histogram = histogram_of(times);
            prop_assert_eq!(LatencyHistogram::decode(&histogram.encode()).unwrap(), histogram);
        }

        #[test]
        fn merging_equals_counting_together(a in prop::collection::vec(0..80_000_000u64, 0..200),
                                            b in prop::collection::vec(0..80_000_000u64, 0..200)) {
            let mut merged = histogram_of(a.clone());
            merged.merge(&histogram_of(b.clone()));
            prop_assert_eq!(merged, histogram_of(a.into_iter().chain(b)));
        }

        #[test]
        fn a_quantile_is_above_a_limit_exactly_when_too_many_times_are(
            times in prop::collection::vec(1..200_000u64, 1..300), limit in 1..200_000u64, permille in 1..1000u32,
        ) {
            let histogram = histogram_of(times);
            let quantile = f64::from(permille) / 1000.0;
            let allowed_above = histogram.len() as f64 - (quantile * histogram.len() as f64).ceil();
            prop_assert_eq!(histogram.quantile_us(quantile).unwrap() > limit,
                            histogram.count_above_us(limit) as f64 > allowed_above);
        }

        #[test]
        fn counting_above_never_misses_a_time(times in prop::collection::vec(1..80_000_000u64, 1..200),
                                              limit in 1..80_000_000u64) {
            let above = times.iter().filter(|time| **time > limit).count() as u64;
            prop_assert!(histogram_of(times).count_above_us(limit) >= above);
        }
    }
}
