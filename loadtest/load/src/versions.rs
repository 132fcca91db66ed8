//! Consistency under load: follows the version of each entity through what the harness itself wrote and read.
//!
//! A read is stale when it began later than the bound after a write was acknowledged and returned an older version than
//! that write's. Reads that began sooner are not judged; they show how long a write took to be seen: the propagation
//! time of a write is the time from its acknowledgement to the beginning of the last read that still got an older
//! version (1 us where none did). Writes whose entity nobody read afterwards say nothing and are left out.
//!
//! Nothing here ever calls a fresh read stale. Where memory is bounded, knowledge is given up on the safe side: a stale
//! read may then be missed.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard},
};

use measure::{
    histogram::LatencyHistogram,
    record::{self, MAX_STALE_EXAMPLES, StaleRead},
};

use crate::answer::Answer;

/// Stripes of the table: users of two worker threads rarely meet in one.
const STRIPES: usize = 16;
/// Entities followed per stripe, 100,000 in all: about 300 bytes each make 30 MB. More are not followed, and counted.
const MAX_ENTITIES_PER_STRIPE: usize = 6_250;
/// Writes of one entity that are told apart. Of older ones only the newest version is kept: with a bound of 100 ms that
/// takes more than 80 writes a second to one entity.
const MAX_RECENT_WRITES: usize = 8;

/// Versions of the entities of one round.
pub(crate) struct Versions {
    bound_us: u64,
    header: String,
    hasher: RandomState,
    stripes: Vec<Mutex<Stripe>>,
}

/// Findings of following versions over a round.
#[derive(Debug)]
pub struct Followed {
    /// As it stands in the record.
    pub consistency: record::Consistency,
    /// Reads and writes of entities beyond the bound on memory.
    pub not_followed: u64,
}

#[derive(Default)]
struct Stripe {
    entities: HashMap<Box<str>, Entity>,
    reads: u64,
    writes: u64,
    stale_reads: u64,
    not_followed: u64,
    examples: Vec<StaleRead>,
    propagation: LatencyHistogram,
}

#[derive(Default)]
struct Entity {
    /// Oldest first.
    recent: VecDeque<Write>,
    /// Of all older writes the one with the newest version.
    settled: Option<Write>,
}

/// An acknowledged write.
#[derive(Debug, Clone, Copy)]
struct Write {
    version: i64,
    acknowledged_us: u64,
    /// Whether any read began after the acknowledgement.
    was_read: bool,
    /// How long after it the last read began that still got an older version.
    seen_after_us: u64,
}

impl Versions {
    /// Follows the versions in `header`; a write must be seen within `bound_ms`.
    pub(crate) fn new(bound_ms: f64, header: &str) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked: finite and not negative, and a cast saturates"
        )]
        let whole_us = (bound_ms * 1000.0).round() as u64;
        Self {
            bound_us: whole_us,
            header: header.to_owned(),
            hasher: RandomState::new(),
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
        }
    }

    /// The version that an answer carries.
    pub(crate) fn version_of(&self, answer: &Answer) -> Option<i64> {
        answer.header(&self.header)?.trim().parse().ok()
    }

    /// A write of `entity` was acknowledged at `acknowledged_us` as `version`.
    pub(crate) fn wrote(&self, entity: &str, version: i64, acknowledged_us: u64) {
        let mut stripe = self.stripe(entity);
        stripe.writes += 1;
        if stripe.entities.contains_key(entity) || stripe.entities.len() < MAX_ENTITIES_PER_STRIPE {
            let Stripe {
                entities, propagation, ..
            } = &mut *stripe;
            entities.entry(entity.into()).or_default().add(
                Write {
                    version,
                    acknowledged_us,
                    was_read: false,
                    seen_after_us: 0,
                },
                propagation,
            );
        } else {
            stripe.not_followed += 1;
        }
    }

    /// A read of `entity` that began at `began_us` returned `version`.
    pub(crate) fn read(&self, endpoint: &str, entity: &str, version: i64, began_us: u64) {
        let mut stripe = self.stripe(entity);
        stripe.reads += 1;
        let missed = stripe
            .entities
            .get_mut(entity)
            .and_then(|known| known.read(version, began_us, self.bound_us));
        let Some(missed) = missed else { return };
        stripe.stale_reads += 1;
        if stripe.examples.len() < MAX_STALE_EXAMPLES {
            stripe.examples.push(StaleRead {
                endpoint: endpoint.to_owned(),
                entity: entity.to_owned(),
                at_ms: began_us as f64 / 1000.0,
                behind_ms: (began_us - missed.acknowledged_us) as f64 / 1000.0,
                expected_version: missed.version,
                seen_version: version,
            });
        }
    }

    fn stripe(&self, entity: &str) -> MutexGuard<'_, Stripe> {
        let index = self.hasher.hash_one(entity) % STRIPES as u64;
        let index = usize::try_from(index).unwrap_or_default();
        self.stripes[index].lock().expect("nothing panics while holding it")
    }

    /// What was found; `None` when no answer carried a version, so that nothing is taken for consistent.
    pub(crate) fn finish(&self) -> Option<Followed> {
        let mut sum = Stripe::default();
        for stripe in &self.stripes {
            stripe
                .lock()
                .expect("nothing panics while holding it")
                .finish_into(&mut sum);
        }
        sum.examples.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        sum.examples.truncate(MAX_STALE_EXAMPLES);
        (sum.reads + sum.writes > 0).then(|| Followed {
            consistency: record::Consistency {
                bound_ms: self.bound_us as f64 / 1000.0,
                reads: sum.reads,
                writes: sum.writes,
                stale_reads: sum.stale_reads,
                examples: sum.examples,
                propagation_hdr: sum.propagation.encode(),
            },
            not_followed: sum.not_followed,
        })
    }
}

impl Stripe {
    fn finish_into(&mut self, sum: &mut Self) {
        for write in self.entities.values().flat_map(|entity| &entity.recent) {
            write.count_in(&mut self.propagation);
        }
        self.entities.clear();
        sum.reads += self.reads;
        sum.writes += self.writes;
        sum.stale_reads += self.stale_reads;
        sum.not_followed += self.not_followed;
        sum.examples.append(&mut self.examples);
        sum.propagation.merge(&self.propagation);
    }
}

impl Entity {
    /// Adds a write; the oldest recent one settles when there is no more room.
    fn add(&mut self, write: Write, propagation: &mut LatencyHistogram) {
        if self.recent.len() == MAX_RECENT_WRITES
            && let Some(oldest) = self.recent.pop_front()
        {
            oldest.count_in(propagation);
            if self.settled.is_none_or(|settled| oldest.version > settled.version) {
                self.settled = Some(oldest);
            }
        }
        self.recent.push_back(write);
    }

    /// The newest write that the read should have seen and did not.
    fn read(&mut self, version: i64, began_us: u64, bound_us: u64) -> Option<Write> {
        for write in self.recent.iter_mut().filter(|write| write.acknowledged_us < began_us) {
            write.was_read = true;
            if version < write.version {
                write.seen_after_us = write.seen_after_us.max(began_us - write.acknowledged_us);
            }
        }
        let should_be_seen = |write: &&Write| write.acknowledged_us.saturating_add(bound_us) < began_us;
        self.recent
            .iter()
            .chain(&self.settled)
            .filter(should_be_seen)
            .max_by_key(|write| write.version)
            .filter(|newest| version < newest.version)
            .copied()
    }
}

impl Write {
    fn count_in(&self, propagation: &mut LatencyHistogram) {
        if self.was_read {
            propagation.record_us(self.seen_after_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use measure::histogram::MIN_US;

    use super::*;

    const BOUND_MS: f64 = 100.0;

    fn versions() -> Versions {
        Versions::new(BOUND_MS, "x-version")
    }

    fn propagation(followed: &Followed) -> LatencyHistogram {
        LatencyHistogram::decode(&followed.consistency.propagation_hdr).unwrap()
    }

    #[test]
    fn an_old_version_beyond_the_bound_is_stale_and_one_within_it_is_propagation() {
        let versions = versions();
        versions.read("get", "d:1", 4, 500);
        versions.wrote("d:1", 5, 1_000);
        versions.read("get", "d:1", 4, 900);
        versions.read("get", "d:1", 4, 31_000);
        versions.read("get", "d:1", 4, 101_000);
        versions.read("get", "d:1", 4, 101_001);
        versions.read("get", "d:1", 5, 200_000);
        let found = versions.finish().unwrap();
        let counted = &found.consistency;
        assert_eq!((counted.reads, counted.writes, counted.stale_reads), (6, 1, 1));
        let example = &counted.examples[0];
        assert_eq!(
            (example.entity.as_str(), example.expected_version, example.seen_version),
            ("d:1", 5, 4)
        );
        assert!((example.behind_ms - 100.001).abs() < 1e-9, "{example:?}");
        assert_eq!(propagation(&found).len(), 1);
        assert_eq!(propagation(&found).max_us().unwrap() / 1000, 100);
    }

    /// Acknowledged in another order than committed: the newest version counts, not the last acknowledgement.
    #[test]
    fn the_newest_version_counts_whatever_the_order_of_acknowledgements() {
        let versions = versions();
        versions.wrote("d:1", 7, 1_000);
        versions.wrote("d:1", 6, 2_000);
        versions.read("get", "d:1", 7, 500_000);
        assert_eq!(versions.finish().unwrap().consistency.stale_reads, 0);
    }

    #[test]
    fn a_write_that_nobody_read_says_nothing_and_one_seen_at_once_counts_as_the_least() {
        let versions = versions();
        versions.wrote("d:1", 2, 1_000);
        versions.wrote("d:2", 2, 1_000);
        versions.read("get", "d:2", 2, 1_500);
        let found = propagation(&versions.finish().unwrap());
        assert_eq!((found.len(), found.max_us()), (1, Some(MIN_US)));
    }

    /// Ten writes at once leave two settled: a read of the first of all is stale, one of the newest is not.
    #[test]
    fn older_writes_settle_without_being_forgotten() {
        let versions = versions();
        (1..=10).for_each(|version| versions.wrote("d:1", version, 1_000));
        versions.read("get", "d:1", 10, 900_000);
        versions.read("get", "d:1", 1, 900_000);
        assert_eq!(versions.finish().unwrap().consistency.stale_reads, 1);
        let settled = self::versions();
        (1..=10).for_each(|version| settled.wrote("d:1", version, 1_000 * version.unsigned_abs()));
        settled.read("get", "d:1", 1, 102_500);
        let found = settled.finish().unwrap().consistency;
        assert_eq!((found.stale_reads, found.examples[0].expected_version), (1, 2));
    }

    #[test]
    fn entities_beyond_the_bound_are_counted_and_never_called_stale() {
        let versions = versions();
        let many = STRIPES * MAX_ENTITIES_PER_STRIPE * 2;
        (0..many).for_each(|id| versions.wrote(&id.to_string(), 2, 0));
        (0..many).for_each(|id| versions.read("get", &id.to_string(), 2, 500_000));
        let found = versions.finish().unwrap();
        assert_eq!(found.not_followed, (many - STRIPES * MAX_ENTITIES_PER_STRIPE) as u64);
        assert_eq!(found.consistency.stale_reads, 0);
    }

    #[test]
    fn answers_without_versions_prove_nothing() {
        assert!(versions().finish().is_none());
    }
}
