//! Which keys are asked for often, of late. A small table of the popular ones; what is rare is forgotten. It is kept
//! only while something is loaded for being popular.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::key::Key;

/// Keys in the table: the head of any skewed distribution, at some hundred bytes each.
const MAX_KEYS: usize = 4_096;

/// How popular keys are loaded again when their answers end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prediction {
    /// Loads in one round at most: the bound of what a wrong prediction costs the database. Default: 64.
    pub budget: usize,
    /// Reads of late from which on a key counts as popular. Default: 8.
    pub min_score: u32,
    /// Loads at the same time. Default: 4.
    pub concurrency: NonZeroUsize,
    /// Time between two rounds. Default: 1 s.
    pub period: Duration,
}

impl Default for Prediction {
    fn default() -> Self {
        Self {
            budget: 64,
            min_score: 8,
            concurrency: NonZeroUsize::MIN.saturating_add(3),
            period: Duration::from_secs(1),
        }
    }
}

/// What prediction goes by.
#[derive(Debug)]
pub(crate) struct Predictor {
    pub(crate) prediction: Prediction,
    pub(crate) popularity: Popularity,
}

/// Scores per key. Misses and sampled hits write it; warming reads it.
#[derive(Debug, Default)]
pub(crate) struct Popularity {
    /// Held for a map operation; whoever finds it taken on the path of a request goes on without.
    scores: Mutex<HashMap<Key, u32>>,
}

impl Popularity {
    /// `key` was asked for `times` times.
    pub(crate) fn note(&self, key: &Key, times: u32) {
        let Ok(mut scores) = self.scores.try_lock() else { return };
        if let Some(score) = scores.get_mut(key) {
            *score = score.saturating_add(times);
        } else if scores.len() < MAX_KEYS {
            scores.insert(key.clone(), times);
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.scores.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    /// Forgets half of everything, and those of whom nothing is left: makes room for what is popular now.
    pub(crate) fn decay(&self) {
        let mut scores = self.scores.lock().unwrap_or_else(PoisonError::into_inner);
        scores.retain(|_, score| {
            *score /= 2;
            *score > 0
        });
    }

    /// The most popular keys with at least this score, best first.
    pub(crate) fn top(&self, count: usize, min_score: u32) -> Vec<Key> {
        let mut ranked: Vec<(u32, Key)> = {
            let scores = self.scores.lock().unwrap_or_else(PoisonError::into_inner);
            let popular = scores.iter().filter(|(_, score)| **score >= min_score);
            popular.map(|(key, &score)| (score, key.clone())).collect()
        };
        // By key where scores are equal, so that the order does not depend on the table's.
        ranked.sort_unstable_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.as_str().cmp(right.1.as_str())));
        ranked.into_iter().take(count).map(|(_, key)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_popular_come_first_and_the_rare_are_forgotten() {
        let popularity = Popularity::default();
        for (part, times) in [("rare", 1), ("hot", 8), ("warm", 4)] {
            popularity.note(&Key::new("e").part(part), times);
        }
        let parts = |keys: Vec<Key>| -> Vec<String> { keys.iter().map(Key::readable).collect() };
        assert_eq!(parts(popularity.top(2, 1)), ["e:hot", "e:warm"]);
        assert_eq!(parts(popularity.top(9, 5)), ["e:hot"]);
        popularity.decay();
        assert_eq!(parts(popularity.top(9, 1)), ["e:hot", "e:warm"]);
    }

    #[test]
    fn the_table_is_bounded_and_makes_room_by_forgetting() {
        let popularity = Popularity::default();
        for id in 0..MAX_KEYS * 2 {
            popularity.note(&Key::new("e").part(id), 1);
        }
        assert_eq!(popularity.top(usize::MAX, 0).len(), MAX_KEYS);
        popularity.decay();
        popularity.note(&Key::new("e").part("new"), 1);
        assert_eq!(popularity.top(9, 1).len(), 1);
    }
}
