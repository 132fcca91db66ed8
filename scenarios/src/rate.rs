//! Arrivals per second over time.
//!
//! What belongs here: the shapes that a rate can have, and what is expected of them. What does not: when exactly the
//! next one arrives (`arrivals`).

use measure::record::RateStretch;
use serde::Deserialize;
use toml::Spanned;

use crate::source::Findings;

/// Arrivals per second over time: straight lines, the last of which goes on for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    pub(crate) pieces: Vec<Piece>,
}

/// A stretch in which the rate changes evenly.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_field_names, reason = "the postfix is the unit")]
pub(crate) struct Piece {
    /// Infinite for the last one.
    pub(crate) length_s: f64,
    from_per_s: f64,
    to_per_s: f64,
}

impl Piece {
    fn level(per_s: f64, length_s: f64) -> Self {
        Self {
            length_s,
            from_per_s: per_s,
            to_per_s: per_s,
        }
    }

    /// Change of the rate per second.
    fn slope(&self) -> f64 {
        if self.length_s.is_infinite() {
            0.0
        } else {
            (self.to_per_s - self.from_per_s) / self.length_s
        }
    }

    /// Expected arrivals in its first `t_s` seconds.
    pub(crate) fn expected(&self, t_s: f64) -> f64 {
        self.from_per_s * t_s + self.slope() * t_s * t_s / 2.0
    }

    /// Seconds until `count` arrivals are expected; `None` when the piece ends before.
    pub(crate) fn time_of(&self, count: f64) -> Option<f64> {
        if count > self.expected(self.length_s) {
            return None;
        }
        let slope = self.slope();
        if slope.abs() < f64::EPSILON {
            return (self.from_per_s > 0.0).then(|| count / self.from_per_s);
        }
        // slope/2 t^2 + from t - count = 0, in the form that does not cancel where the slope is small.
        let root = (self.from_per_s * self.from_per_s + 2.0 * slope * count)
            .max(0.0)
            .sqrt();
        let denominator = self.from_per_s + root;
        Some(if denominator > 0.0 {
            2.0 * count / denominator
        } else {
            0.0
        })
    }
}

impl Rate {
    /// A rate that never changes.
    pub fn constant(per_s: f64) -> Self {
        Self {
            pieces: vec![Piece::level(per_s, f64::INFINITY)],
        }
    }

    /// A rate that changes evenly over `over_s` seconds and then stays.
    pub fn ramp(from_per_s: f64, to_per_s: f64, over_s: f64) -> Self {
        let rise = Piece {
            length_s: over_s,
            from_per_s,
            to_per_s,
        };
        Self {
            pieces: vec![rise, Piece::level(to_per_s, f64::INFINITY)],
        }
    }

    /// Levels one after the other, as (arrivals per second, seconds); the last one stays.
    pub fn steps(levels: &[(f64, f64)]) -> Self {
        let last = levels.len().saturating_sub(1);
        let length = |index: usize, length_s: f64| if index == last { f64::INFINITY } else { length_s };
        let pieces = levels.iter().enumerate();
        Self {
            pieces: pieces
                .map(|(index, &(per_s, length_s))| Piece::level(per_s, length(index, length_s)))
                .collect(),
        }
    }

    /// The rate at the start.
    pub fn first_per_s(&self) -> f64 {
        self.pieces.first().map_or(0.0, |piece| piece.from_per_s)
    }

    /// Mean over the first `seconds`.
    pub fn mean_per_s(&self, seconds: f64) -> f64 {
        let (mut left_s, mut expected) = (seconds, 0.0);
        for piece in &self.pieces {
            let within_s = left_s.min(piece.length_s);
            expected += piece.expected(within_s);
            left_s -= within_s;
            if left_s <= 0.0 {
                break;
            }
        }
        expected / seconds
    }

    /// Changes of the rate within the first `seconds`; none where it stays.
    pub fn stretches(&self, seconds: f64) -> Vec<RateStretch> {
        let mut from_s = 0.0;
        let mut stretches = Vec::new();
        for piece in &self.pieces {
            let to_s = seconds.min(from_s + piece.length_s);
            if to_s > from_s {
                stretches.push(RateStretch {
                    from_s,
                    to_s,
                    from_per_s: piece.from_per_s,
                    to_per_s: piece.from_per_s + piece.slope() * (to_s - from_s),
                });
            }
            from_s = to_s;
        }
        if matches!(&stretches[..], [only] if only.is_level()) {
            stretches.clear();
        }
        stretches
    }

    /// "200/s", "50/s to 500/s within 60 s", "50/s for 20 s, then 100/s".
    pub fn describe(&self) -> String {
        let say = |piece: &Piece| {
            let lasting = if piece.length_s.is_finite() {
                format!(" for {} s", piece.length_s)
            } else {
                String::new()
            };
            if (piece.from_per_s - piece.to_per_s).abs() < f64::EPSILON {
                format!("{}/s{lasting}", piece.from_per_s)
            } else {
                format!(
                    "{}/s to {}/s within {} s",
                    piece.from_per_s, piece.to_per_s, piece.length_s
                )
            }
        };
        self.pieces.iter().map(say).collect::<Vec<_>>().join(", then ")
    }

    /// This rate after a warm-up, in which it rises to its first value within `ramp_s` and then keeps it.
    pub(crate) fn after_warm_up(&self, ramp_s: f64, warm_up_s: f64) -> Self {
        let first = self.first_per_s();
        let ramp_s = ramp_s.min(warm_up_s);
        let rise = Piece {
            length_s: ramp_s,
            from_per_s: 0.0,
            to_per_s: first,
        };
        let before = [rise, Piece::level(first, warm_up_s - ramp_s)];
        let lasting = before.into_iter().filter(|piece| piece.length_s > 0.0);
        Self {
            pieces: lasting.chain(self.pieces.iter().copied()).collect(),
        }
    }
}

/// A rate as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RawRate {
    Constant {
        per_s: Spanned<f64>,
    },
    Ramp {
        from_per_s: Spanned<f64>,
        to_per_s: Spanned<f64>,
        over_s: Spanned<f64>,
    },
    Steps(Spanned<Vec<RawLevel>>),
}

/// A level that the rate keeps for a while.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawLevel {
    per_s: Spanned<f64>,
    for_s: Spanned<f64>,
}

impl RawRate {
    pub(crate) fn check(&self, findings: &mut Findings<'_>) -> Rate {
        match self {
            Self::Constant { per_s } => Rate::constant(findings.rate("per_s", per_s)),
            Self::Ramp {
                from_per_s,
                to_per_s,
                over_s,
            } => Rate::ramp(
                findings.rate_or_none("from_per_s", from_per_s),
                findings.rate("to_per_s", to_per_s),
                findings.seconds("over_s", over_s),
            ),
            Self::Steps(steps) => {
                findings.require(!steps.get_ref().is_empty(), &steps.span(), || {
                    "`steps` is empty".to_owned()
                });
                let mut level = |raw: &RawLevel| {
                    let per_s = findings.rate_or_none("per_s", &raw.per_s);
                    (per_s, findings.seconds("for_s", &raw.for_s))
                };
                Rate::steps(&steps.get_ref().iter().map(&mut level).collect::<Vec<_>>())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_says_how_it_changes_within_the_time_that_is_measured() {
        let said = |rate: Rate, seconds| {
            let stretches = rate.stretches(seconds).into_iter();
            stretches
                .map(|one| (one.from_s, one.to_s, one.from_per_s, one.to_per_s))
                .collect::<Vec<_>>()
        };
        assert_eq!(said(Rate::constant(5.0), 10.0), []);
        assert_eq!(
            said(Rate::steps(&[(1.0, 20.0), (10.0, 1.0)]), 10.0),
            [],
            "the step comes later"
        );
        assert_eq!(
            said(Rate::steps(&[(1.0, 2.0), (10.0, 1.0)]), 5.0),
            [(0.0, 2.0, 1.0, 1.0), (2.0, 5.0, 10.0, 10.0)]
        );
        assert_eq!(
            said(Rate::ramp(0.0, 100.0, 4.0), 5.0),
            [(0.0, 4.0, 0.0, 100.0), (4.0, 5.0, 100.0, 100.0)]
        );
        assert_eq!(said(Rate::ramp(0.0, 100.0, 4.0), 1.0), [(0.0, 1.0, 0.0, 25.0)]);
    }
}
