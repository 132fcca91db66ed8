//! Where the values of variables come from: distributions, sequences and rows of a file.
//!
//! What belongs here: the next value. What does not: values taken from answers ([`crate::Extract`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, Zipf};
use serde_json::Value;

use crate::table::Table;
use crate::vars::Vars;

/// A variable, or several that belong together, that each journey draws anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Feeder {
    /// Its name: the variable's, or what stands before the dot in the variables of a table's columns.
    pub name: String,
    /// Where its values go in [`crate::Vars`]: one place, or one per column of its table.
    pub(crate) slots: Vec<usize>,
    /// How it is drawn.
    pub draw: Draw,
}

/// How a feeder draws.
#[derive(Debug, Clone, PartialEq)]
pub enum Draw {
    /// Few values often, many rarely.
    Zipf(ZipfRange),
    /// Every integer from `min` to `max`, both included, equally often.
    Uniform {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// `from`, `from + step`, `from + 2 step` and so on: no value twice in a round, whoever draws it.
    Sequence {
        /// First value.
        from: i64,
        /// From one to the next.
        step: i64,
    },
    /// A row of a table.
    Row {
        /// The table, shared by everything that reads it.
        table: Arc<Table>,
        /// Which row comes next.
        order: RowOrder,
    },
}

/// Which row of a table comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// One after the other, from the start again after the last.
    Sequence,
    /// Any, equally often.
    Random,
}

/// How far the sequences of one round have come, shared by all who draw in it.
///
/// Which user gets which value depends on who comes first; the set of values does not.
#[derive(Debug, Default)]
pub struct Sequences {
    /// By feeder.
    drawn: Vec<AtomicU64>,
}

impl Sequences {
    /// Nothing drawn yet from `feeders` feeders.
    pub(crate) fn new(feeders: usize) -> Self {
        Self {
            drawn: (0..feeders).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// How often the feeder was drawn before.
    fn next(&self, feeder: usize) -> u64 {
        // Only uniqueness matters, no other memory is ordered by it.
        self.drawn[feeder].fetch_add(1, Ordering::Relaxed)
    }
}

/// Integers from `from` on whose frequency falls with their rank: rank r has a share proportional to `1 / r^s`.
#[derive(Debug, Clone, PartialEq)]
pub struct ZipfRange {
    from: i64,
    n: u32,
    s: f64,
    distribution: Zipf<f64>,
}

impl ZipfRange {
    /// `n` integers starting at `from` with exponent `s`; `None` when `n` is 0, `s` is negative or not finite, or the
    /// last integer does not fit.
    pub(crate) fn new(from: i64, n: u32, s: f64) -> Option<Self> {
        from.checked_add(i64::from(n))?;
        let distribution = Zipf::new(f64::from(n), s).ok().filter(|_| s.is_finite())?;
        Some(Self {
            from,
            n,
            s,
            distribution,
        })
    }

    /// The value of rank 1.
    pub fn from(&self) -> i64 {
        self.from
    }

    /// How many values there are.
    pub fn n(&self) -> u32 {
        self.n
    }

    /// The exponent.
    pub fn s(&self) -> f64 {
        self.s
    }

    fn sample<R: Rng + ?Sized>(&self, rng: &mut R) -> i64 {
        let rank = self.distribution.sample(rng).clamp(1.0, f64::from(self.n));
        #[expect(clippy::cast_possible_truncation, reason = "a whole number between 1 and a u32")]
        let rank = rank as i64;
        self.from + rank - 1
    }
}

impl Feeder {
    /// Sets its variables to the next value. `index` is its own place among the feeders of `sequences`.
    pub(crate) fn draw<R: Rng + ?Sized>(&self, index: usize, sequences: &Sequences, rng: &mut R, vars: &mut Vars) {
        let value = match &self.draw {
            Draw::Zipf(range) => range.sample(rng).into(),
            Draw::Uniform { min, max } => rng.random_range(*min..=*max).into(),
            Draw::Sequence { from, step } => nth(*from, *step, sequences.next(index)),
            Draw::Row { table, order } => {
                let row = match order {
                    RowOrder::Sequence => sequences.next(index) % table.len() as u64,
                    RowOrder::Random => rng.random_range(0..table.len() as u64),
                };
                return self.set_row(table.row(row), vars);
            }
        };
        vars.set(self.slots[0], value);
    }

    fn set_row(&self, row: &[Value], vars: &mut Vars) {
        for (slot, value) in self.slots.iter().zip(row) {
            vars.set(*slot, value.clone());
        }
    }
}

/// Wraps around at the ends of 64 bits, which no round comes to.
fn nth(from: i64, step: i64, index: u64) -> Value {
    from.wrapping_add(step.wrapping_mul(index.cast_signed())).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn feeder(draw: Draw) -> Feeder {
        let slots = match &draw {
            Draw::Row { table, .. } => (0..table.columns().len()).collect(),
            _ => vec![0],
        };
        Feeder {
            name: "x".to_owned(),
            slots,
            draw,
        }
    }

    fn zipf(from: i64, n: u32, s: f64) -> Feeder {
        feeder(Draw::Zipf(ZipfRange::new(from, n, s).expect("valid")))
    }

    /// The values of each draw, as JSON text.
    fn texts(feeder: &Feeder, seed: u64, count: usize) -> Vec<String> {
        let (mut rng, sequences) = (ChaCha8Rng::seed_from_u64(seed), Sequences::new(1));
        let mut vars = Vars::new(feeder.slots.len());
        let mut draw = |_| {
            feeder.draw(0, &sequences, &mut rng, &mut vars);
            let values = feeder.slots.iter().map(|slot| vars.get(*slot).to_string());
            values.collect::<Vec<_>>().join(" ")
        };
        (0..count).map(&mut draw).collect()
    }

    fn draws(feeder: &Feeder, seed: u64, count: usize) -> Vec<i64> {
        let numbers = texts(feeder, seed, count).into_iter();
        numbers.map(|text| text.parse().expect("an integer")).collect()
    }

    #[test]
    fn a_sequence_gives_each_value_once() {
        let steps = feeder(Draw::Sequence { from: 10, step: -5 });
        assert_eq!(draws(&steps, 1, 4), [10, 5, 0, -5]);
    }

    #[test]
    fn rows_come_whole_and_in_their_order() {
        let table = Arc::new(Table::parse("id,name\n1,a\n2,b\n", &["id".to_owned()]).expect("valid"));
        let in_turn = feeder(Draw::Row {
            table: Arc::clone(&table),
            order: RowOrder::Sequence,
        });
        assert_eq!(texts(&in_turn, 1, 3), ["1 \"a\"", "2 \"b\"", "1 \"a\""]);
        let any = texts(
            &feeder(Draw::Row {
                table,
                order: RowOrder::Random,
            }),
            1,
            100,
        );
        let first = any.iter().filter(|text| *text == "1 \"a\"").count();
        assert!((30..=70).contains(&first), "{first}");
        assert!(any.iter().all(|text| text == "1 \"a\"" || text == "2 \"b\""));
    }

    proptest! {
        #[test]
        fn zipf_stays_in_its_range_and_follows_its_seed(from in -1000_i64..1000, n in 1_u32..100_000, s in 0.0..3.0, seed: u64) {
            let feeder = zipf(from, n, s);
            let values = draws(&feeder, seed, 50);
            prop_assert!(values.iter().all(|value| (from..from + i64::from(n)).contains(value)));
            prop_assert_eq!(&values, &draws(&feeder, seed, 50));
        }

        #[test]
        fn uniform_stays_in_its_range_and_follows_its_seed(min in -1000_i64..1000, width in 0_i64..1000, seed: u64) {
            let feeder = feeder(Draw::Uniform { min, max: min + width });
            let values = draws(&feeder, seed, 50);
            prop_assert!(values.iter().all(|value| (min..=min + width).contains(value)));
            prop_assert_eq!(&values, &draws(&feeder, seed, 50));
        }
    }

    /// Share of rank 1 = 1 / sum of r^-s: .0978 for n = 10,000, s = .99. Its standard error over 100,000 draws is .00094.
    #[test]
    fn the_hottest_value_has_the_share_that_zipf_gives_it() {
        let values = draws(&zipf(1, 10_000, 0.99), 7, 100_000);
        let hottest = values.iter().filter(|value| **value == 1).count();
        assert!((hottest as f64 / 100_000.0 - 0.0978).abs() < 0.004, "{hottest}");
    }

    #[test]
    fn impossible_ranges_are_refused() {
        assert_eq!(ZipfRange::new(1, 0, 1.0), None);
        assert_eq!(ZipfRange::new(1, 10, -0.1), None);
        assert_eq!(ZipfRange::new(1, 10, f64::INFINITY), None);
        assert_eq!(ZipfRange::new(i64::MAX - 5, 10, 1.0), None);
    }
}
