//! Breadth-first search: the first violation found has the shortest way to it.
//!
//! What was seen is kept as fingerprints of 128 bits (hash compaction: Stern and Dill, "Improved Probabilistic
//! Verification by Hash Compaction", 1995), since with the states themselves the long search was killed at 23 GB. Two
//! states of 10^8 share one with a probability of 10^-23.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};

use crate::protocol::{Budget, Guards, State, Step};

/// What a search came to.
pub(crate) enum Outcome {
    Holds {
        states: usize,
    },
    Violated {
        states: usize,
        why: String,
        trace: Vec<String>,
    },
    TooLarge,
}

/// How a state was reached first: from which one, by which step.
struct Origin {
    from: usize,
    step: Option<Step>,
}

/// Two hashes with keys of their own.
#[derive(Default)]
struct Fingerprints(RandomState, RandomState);

impl Fingerprints {
    fn of(&self, state: &State) -> u128 {
        (u128::from(self.0.hash_one(state)) << 64) | u128::from(self.1.hash_one(state))
    }
}

/// Visits every state that can be reached.
pub(crate) fn explore(guards: Guards, budget: Budget, limit: usize) -> Outcome {
    let start = State::start(budget);
    let fingerprints = Fingerprints::default();
    let mut seen = HashSet::from([fingerprints.of(&start)]);
    let mut origins = vec![Origin { from: 0, step: None }];
    let mut open = VecDeque::from([(0, start)]);
    while let Some((number, state)) = open.pop_front() {
        if seen.len() > limit {
            return Outcome::TooLarge;
        }
        if let Err(why) = state.comes_to_the_newest(guards) {
            return violated(&origins, number, None, why);
        }
        for step in state.steps() {
            let mut next = state.clone();
            if let Err(why) = next.take(step, guards) {
                return violated(&origins, number, Some(step), why);
            }
            if seen.insert(fingerprints.of(&next)) {
                open.push_back((origins.len(), next));
                origins.push(Origin {
                    from: number,
                    step: Some(step),
                });
            }
        }
    }
    Outcome::Holds { states: seen.len() }
}

fn violated(origins: &[Origin], number: usize, last: Option<Step>, why: String) -> Outcome {
    let mut steps: Vec<Step> = last.into_iter().collect();
    let mut at = &origins[number];
    while let Some(step) = at.step {
        steps.push(step);
        at = &origins[at.from];
    }
    Outcome::Violated {
        states: origins.len(),
        why,
        trace: steps.iter().rev().map(|step| format!("{step:?}")).collect(),
    }
}
