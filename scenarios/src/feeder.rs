//! Feeders, which give variables their values: distributions, sequences and rows of a file.
//!
//! What belongs here: the next value. What does not: values taken from answers ([`crate::Extract`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::{Rng, RngExt as _};
use rand_distr::{Distribution as _, Zipf};
use serde::Deserialize;
use serde_json::Value;
use toml::Spanned;
use uuid::Uuid;

use crate::source::{Findings, Named, Source};
use crate::table::Table;
use crate::vars::{VarNames, Vars};

/// A variable, or several that belong together, that each journey draws anew.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Feeder {
    /// Places of its values in [`Vars`]: one, or one per column of its table.
    pub(crate) slots: Vec<usize>,
    draw: Draw,
}

/// Kind of a feeder.
#[derive(Debug, Clone, PartialEq)]
enum Draw {
    /// Integers from `from` on whose frequency falls with their rank: rank r has a share proportional to `1 / r^s`.
    Zipf { from: i64, n: u32, ranks: Zipf<f64> },
    /// Every integer from `min` to `max`, both included, equally often.
    Uniform { min: i64, max: i64 },
    /// `from`, `from + step`, `from + 2 step` and so on: no value twice in a round, whoever draws it.
    Sequence { from: i64, step: i64 },
    /// A UUID of version 7, which holds the time: one that nobody has had before, in this round or another.
    Uuid,
    /// A row of a table, which everything that reads it shares.
    Row { table: Arc<Table>, order: RowOrder },
}

/// Which row of a table comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RowOrder {
    /// One after the other, from the start again after the last.
    #[default]
    Sequence,
    /// Any, equally often.
    Random,
}

/// Positions of the sequences of one round, shared by all who draw in it.
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

    /// Number of times that the feeder was drawn before.
    fn next(&self, feeder: usize) -> u64 {
        // Only uniqueness matters, no other memory is ordered by it.
        self.drawn[feeder].fetch_add(1, Ordering::Relaxed)
    }
}

impl Draw {
    /// `n` integers starting at `from` with exponent `s`; `None` when `n` is 0, `s` is negative or not finite, or the
    /// last integer does not fit.
    fn zipf(from: i64, n: u32, s: f64) -> Option<Self> {
        from.checked_add(i64::from(n))?;
        let ranks = Zipf::new(f64::from(n), s).ok().filter(|_| s.is_finite())?;
        Some(Self::Zipf { from, n, ranks })
    }
}

impl Feeder {
    /// Sets its variables to the next value. `index` is its own place among the feeders of `sequences`.
    pub(crate) fn draw<R: Rng + ?Sized>(&self, index: usize, sequences: &Sequences, rng: &mut R, vars: &mut Vars) {
        let value = match &self.draw {
            Draw::Zipf { from, n, ranks } => {
                let rank = ranks.sample(rng).clamp(1.0, f64::from(*n));
                #[expect(clippy::cast_possible_truncation, reason = "a whole number between 1 and a u32")]
                let rank = rank as i64;
                (from + rank - 1).into()
            }
            Draw::Uniform { min, max } => rng.random_range(*min..=*max).into(),
            Draw::Sequence { from, step } => nth(*from, *step, sequences.next(index)),
            // Not of the seed: two rounds of one seed may meet in one database.
            Draw::Uuid => Uuid::now_v7().to_string().into(),
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

    /// The first row, from 1, whose text in the column of `slot` has such a character.
    pub(crate) fn row_with(&self, slot: usize, is_such: fn(char) -> bool) -> Option<u64> {
        let Draw::Row { table, .. } = &self.draw else {
            return None;
        };
        let column = self.slots.iter().position(|own| *own == slot)?;
        let has = |row: &u64| {
            table.row(row - 1)[column]
                .as_str()
                .is_some_and(|text| text.contains(is_such))
        };
        (1..=table.len() as u64).find(has)
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

/// A feeder as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RawFeeder {
    Zipf {
        /// 1 when absent.
        from: Option<i64>,
        n: Spanned<u32>,
        s: Spanned<f64>,
    },
    Uniform {
        min: i64,
        max: Spanned<i64>,
    },
    Sequence {
        /// 1 when absent.
        from: Option<i64>,
        /// 1 when absent.
        step: Option<Spanned<i64>>,
    },
    Uuid {},
    Csv {
        /// Relative to the workload's own directory.
        file: Spanned<String>,
        #[serde(default)]
        numbers: Vec<String>,
        #[serde(default)]
        order: RowOrder,
    },
}

/// The feeders, and the bytes of every file that they read.
pub(crate) fn check(
    raw: Named<RawFeeder>,
    source: &Source,
    names: &mut VarNames,
    findings: &mut Findings<'_>,
) -> (Vec<Feeder>, Vec<Vec<u8>>) {
    let (mut feeders, mut files) = (Vec::new(), Vec::new());
    for (name, raw) in raw {
        let draw = match &raw {
            RawFeeder::Zipf { from, n, s } => zipf(from.unwrap_or(1), n, s, findings),
            RawFeeder::Uniform { min, max } => uniform(*min, max, findings),
            RawFeeder::Sequence { from, step } => sequence(from.unwrap_or(1), step.as_ref(), findings),
            RawFeeder::Uuid {} => Some(Draw::Uuid),
            RawFeeder::Csv { file, numbers, order } => {
                let table = table(file, numbers, source, &mut files, findings);
                if table.is_none() {
                    names.define_unread(name.get_ref());
                }
                table.map(|table| Draw::Row { table, order: *order })
            }
        };
        let slots = define(&name, draw.as_ref(), names, findings);
        feeders.extend(draw.map(|draw| Feeder { slots, draw }));
    }
    (feeders, files)
}

/// One variable of the feeder's name, or `NAME.COLUMN` for each column of its table.
fn define(
    name: &Spanned<String>,
    draw: Option<&Draw>,
    names: &mut VarNames,
    findings: &mut Findings<'_>,
) -> Vec<usize> {
    let Some(Draw::Row { table, .. }) = draw else {
        return vec![names.define(name, findings)];
    };
    let column = |column: &String| Spanned::new(name.span(), format!("{name}.{column}"));
    let columns = table.columns().iter();
    columns.map(|title| names.define(&column(title), findings)).collect()
}

fn zipf(from: i64, n: &Spanned<u32>, s: &Spanned<f64>, findings: &mut Findings<'_>) -> Option<Draw> {
    let (ranks, exponent) = (findings.at_least_one("n", n), findings.not_negative("s", s));
    let draw = Draw::zipf(from, ranks, exponent);
    let explained = ranks == 0 || !exponent.is_finite() || exponent < 0.0;
    findings.require(draw.is_some() || explained, &n.span(), || {
        "`from` plus `n` is larger than a 64-bit integer can hold".to_owned()
    });
    draw
}

fn uniform(min: i64, at_most: &Spanned<i64>, findings: &mut Findings<'_>) -> Option<Draw> {
    let max = *at_most.get_ref();
    findings.require(min <= max, &at_most.span(), || {
        format!("`max` is {max}, below `min`, which is {min}")
    });
    (min <= max).then_some(Draw::Uniform { min, max })
}

fn sequence(from: i64, step: Option<&Spanned<i64>>, findings: &mut Findings<'_>) -> Option<Draw> {
    if let Some(zero) = step.filter(|step| *step.get_ref() == 0) {
        findings.add(&zero.span(), "`step` is 0: every value would be the same", None);
        return None;
    }
    let step = step.map_or(1, |step| *step.get_ref());
    Some(Draw::Sequence { from, step })
}

fn table(
    file: &Spanned<String>,
    numbers: &[String],
    source: &Source,
    files: &mut Vec<Vec<u8>>,
    findings: &mut Findings<'_>,
) -> Option<Arc<Table>> {
    let read = Table::load(&source.beside(file.get_ref()), numbers);
    let (table, bytes) = read.map_err(|fault| findings.add(&file.span(), fault, None)).ok()?;
    files.push(bytes);
    Some(Arc::new(table))
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
        Feeder { slots, draw }
    }

    fn zipf(from: i64, n: u32, s: f64) -> Feeder {
        feeder(Draw::zipf(from, n, s).expect("valid"))
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
    fn a_uuid_is_another_each_time_whatever_the_seed() {
        let drawn: std::collections::BTreeSet<String> = [1, 1]
            .into_iter()
            .flat_map(|seed| texts(&feeder(Draw::Uuid), seed, 500))
            .collect();
        assert_eq!(drawn.len(), 1_000);
        let first = drawn.first().expect("one").trim_matches('"').to_owned();
        assert_eq!(Uuid::parse_str(&first).expect("a UUID").get_version_num(), 7);
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
        fn zipf_stays_in_its_range_and_follows_its_seed(
            from in -1000_i64..1000,
            n in 1_u32..100_000,
            s in 0.0..3.0,
            seed: u64,
        ) {
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

    /// Share of rank 1 = 1 / sum of r^-s: .0978 for n = 10,000, s = .99. Its standard error over 100,000 draws is
    /// .00094.
    #[test]
    fn the_hottest_value_has_the_share_that_zipf_gives_it() {
        let values = draws(&zipf(1, 10_000, 0.99), 7, 100_000);
        let hottest = values.iter().filter(|value| **value == 1).count();
        assert!((hottest as f64 / 100_000.0 - 0.0978).abs() < 0.004, "{hottest}");
    }

    #[test]
    fn impossible_ranges_are_refused() {
        assert_eq!(Draw::zipf(1, 0, 1.0), None);
        assert_eq!(Draw::zipf(1, 10, -0.1), None);
        assert_eq!(Draw::zipf(1, 10, f64::INFINITY), None);
        assert_eq!(Draw::zipf(i64::MAX - 5, 10, 1.0), None);
    }
}
