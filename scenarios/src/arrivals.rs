//! The open model: when requests are meant to be sent, whatever the answers do.
//!
//! What belongs here: what arrives, its spacing around the rate, and the times that follow from both and a seed. What
//! does not: the shapes of a rate (`rate`), and keeping to the times (the generator).

use rand::Rng;
use rand_distr::{Distribution as _, Exp1};
use serde::Deserialize;
use toml::Spanned;

use crate::rate::{Piece, Rate, RawRate};
use crate::source::Findings;

/// Slots of the pool when a file does not say: at 1,000 requests/s it takes answers of a quarter of a second to fill
/// it.
pub const DEFAULT_CONNECTIONS: u32 = 256;

/// Arrivals at a rate that does not depend on the answers.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenModel {
    /// Single requests or whole sessions.
    pub arrive: Arrive,
    /// Random or equal distances between arrivals.
    pub spacing: Spacing,
    /// Arrivals per second over time; time counts from the start of the measured phase, the warm-up runs at the first
    /// rate.
    pub rate: Rate,
    /// Seconds in which the rate rises from nothing to its first value, at the beginning of the warm-up.
    pub ramp_s: f64,
    /// Most requests (or sessions) under way at once, each on a connection of its own; one that arrives while all are
    /// taken is dropped, which makes the run invalid.
    pub connections: u32,
}

/// Unit of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrive {
    /// One request of the mix: every step of a journey is drawn with its share, by itself and without its pause.
    Requests,
    /// A user who walks one journey with its pauses (partly open: Schroeder, Wierman, Harchol-Balter, NSDI 2006).
    Sessions,
}

impl Arrive {
    /// Its name in files and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Sessions => "sessions",
        }
    }
}

/// Distances between arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Independent of each other, as those of many users are.
    #[default]
    Poisson,
    /// Equal distances.
    Even,
}

impl Spacing {
    /// Its name in files and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Even => "even",
        }
    }
}

impl OpenModel {
    /// The intended times of a round whose measured phase begins `warm_up_s` after its start. Same generator state,
    /// same times.
    pub fn arrivals<R: Rng>(&self, warm_up_s: f64, rng: R) -> Arrivals<R> {
        Arrivals {
            pieces: self.rate.after_warm_up(self.ramp_s, warm_up_s).pieces,
            piece: 0,
            piece_start_s: 0.0,
            into_piece: 0.0,
            spacing: self.spacing,
            rng,
        }
    }
}

/// Intended times of arrivals, microseconds since the start of a round, ascending. Ends only if the rate falls to 0 for
/// good.
///
/// A process of rate 1 is stretched over the expected number of arrivals: that keeps a Poisson process one whatever the
/// rate does.
#[derive(Debug, Clone)]
pub struct Arrivals<R> {
    pieces: Vec<Piece>,
    /// The current piece, and when it began.
    piece: usize,
    piece_start_s: f64,
    /// Arrivals expected in the current piece before the last one given out.
    into_piece: f64,
    spacing: Spacing,
    rng: R,
}

impl<R: Rng> Iterator for Arrivals<R> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.into_piece += match self.spacing {
            Spacing::Even => 1.0,
            Spacing::Poisson => Exp1.sample(&mut self.rng),
        };
        loop {
            let piece = self.pieces.get(self.piece)?;
            if let Some(t_s) = piece.time_of(self.into_piece) {
                return Some(micros(self.piece_start_s + t_s));
            }
            if piece.length_s.is_infinite() {
                return None;
            }
            self.into_piece -= piece.expected(piece.length_s);
            self.piece_start_s += piece.length_s;
            self.piece += 1;
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of a round: not negative, far below 2^52 microseconds, and a cast saturates"
)]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6).round() as u64
}

/// An open model as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawOpen {
    rate: RawRate,
    #[serde(default)]
    spacing: Spacing,
    arrive: Option<Spanned<Arrive>>,
    /// 0 when absent.
    ramp_s: Option<Spanned<f64>>,
    connections: Option<Spanned<u32>>,
}

impl RawOpen {
    /// `chained` is a journey that hands values from one step to the next.
    pub(crate) fn check(&self, chained: Option<&str>, findings: &mut Findings<'_>) -> OpenModel {
        let connections = self.connections.as_ref();
        OpenModel {
            arrive: arrive(self.arrive.as_ref(), chained, findings),
            spacing: self.spacing,
            rate: self.rate.check(findings),
            ramp_s: self
                .ramp_s
                .as_ref()
                .map_or(0.0, |ramp_s| findings.seconds_or_none("ramp_s", ramp_s)),
            connections: connections.map_or(DEFAULT_CONNECTIONS, |most| findings.connections("connections", most)),
        }
    }
}

/// Without a word in the file: requests, unless a journey hands values from one step to the next.
fn arrive(given: Option<&Spanned<Arrive>>, chained: Option<&str>, findings: &mut Findings<'_>) -> Arrive {
    let Some(given) = given else {
        return chained.map_or(Arrive::Requests, |_| Arrive::Sessions);
    };
    if let (Arrive::Requests, Some(journey)) = (given.get_ref(), chained) {
        let what = format!("journey `{journey}` hands values from one step to the next, which single requests cannot");
        findings.add(&given.span(), what, Some("write `arrive = \"sessions\"`".to_owned()));
    }
    *given.get_ref()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn open(spacing: Spacing, rate: Rate, ramp_s: f64) -> OpenModel {
        OpenModel {
            arrive: Arrive::Requests,
            spacing,
            rate,
            ramp_s,
            connections: DEFAULT_CONNECTIONS,
        }
    }

    /// Arrivals of the first `seconds`.
    fn until(model: &OpenModel, warm_up_s: f64, seconds: u64, seed: u64) -> Vec<u64> {
        model
            .arrivals(warm_up_s, ChaCha8Rng::seed_from_u64(seed))
            .take_while(|at_us| *at_us < seconds * 1_000_000)
            .collect()
    }

    #[test]
    fn even_arrivals_stand_at_equal_distances() {
        let times = until(&open(Spacing::Even, Rate::constant(4.0), 0.0), 0.0, 1, 1);
        assert_eq!(times, [250_000, 500_000, 750_000]);
    }

    /// 1/s for 2 s, then 10/s: one of them at the border belongs to the first level.
    #[test]
    fn levels_follow_each_other_and_the_last_one_stays() {
        let rate = Rate::steps(&[(1.0, 2.0), (10.0, 1.0)]);
        let times = until(&open(Spacing::Even, rate.clone(), 0.0), 0.0, 5, 1);
        assert_eq!(times.iter().filter(|at_us| **at_us <= 2_000_000).count(), 2);
        assert_eq!(times[2] - times[1], 100_000);
        assert_eq!(times.iter().filter(|at_us| **at_us > 4_000_000).count(), 9);
        assert!((rate.mean_per_s(4.0) - 5.5).abs() < 1e-9);
    }

    /// From 0 to 100/s in 10 s: 500 arrivals, a quarter of them in the first half.
    #[test]
    fn a_ramp_rises_evenly() {
        let rate = Rate::ramp(0.0, 100.0, 10.0);
        let times = until(&open(Spacing::Even, rate.clone(), 0.0), 0.0, 10, 1);
        assert!((499..=500).contains(&times.len()), "{}", times.len());
        let early = times.iter().filter(|at_us| **at_us < 5_000_000).count();
        assert!((124..=125).contains(&early), "{early}");
        assert!((rate.mean_per_s(10.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn the_warm_up_rises_to_the_first_rate_and_the_shape_begins_after_it() {
        let rate = Rate::ramp(100.0, 200.0, 1.0);
        let times = until(&open(Spacing::Even, rate, 2.0), 4.0, 5, 1);
        let between = |from: u64, to: u64| times.iter().filter(|at_us| (from..to).contains(*at_us)).count();
        assert!((99..=100).contains(&between(0, 2_000_000)));
        assert!((199..=201).contains(&between(2_000_000, 4_000_000)));
        assert!((149..=151).contains(&between(4_000_000, 5_000_000)));
    }

    /// 50,000 gaps: their mean is off by 0.45 % (one standard error), their coefficient of variation is 1.
    #[test]
    fn poisson_arrivals_have_exponential_gaps() {
        let times = until(&open(Spacing::Poisson, Rate::constant(1000.0), 0.0), 0.0, 50, 7);
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1000.0 - 1.0).abs() < 0.02, "{mean}");
        assert!(
            (variance.sqrt() / mean - 1.0).abs() < 0.02,
            "{}",
            variance.sqrt() / mean
        );
    }

    #[test]
    fn a_rate_that_falls_to_nothing_ends_the_schedule() {
        let model = open(Spacing::Even, Rate::ramp(10.0, 0.0, 2.0), 0.0);
        let times: Vec<u64> = model.arrivals(0.0, ChaCha8Rng::seed_from_u64(1)).collect();
        assert!((9..=10).contains(&times.len()), "{times:?}");
    }

    proptest! {
        #[test]
        fn arrivals_ascend_and_follow_their_seed(
            from in 0.0..500.0_f64,
            to in 1.0..500.0_f64,
            over_s in 0.1..5.0_f64,
            seed: u64,
        ) {
            let model = open(Spacing::Poisson, Rate::ramp(from, to, over_s), 1.0);
            let times = until(&model, 2.0, 6, seed);
            prop_assert!(times.is_sorted());
            prop_assert_eq!(&times, &until(&model, 2.0, 6, seed));
        }
    }
}
