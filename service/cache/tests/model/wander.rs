//! Random histories: long ways through the model with every fault in them, where a search of all ways would not end.

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::protocol::{Budget, Guards, State};

/// Steps of one history at most; heartbeats alone could go on for ever.
const STEPS: usize = 120;

/// Several writes and reads, and every fault, some of them twice.
const BUDGET: Budget = Budget {
    writes: 3,
    reads: 6,
    losses: 2,
    lease_ends: 2,
    crashes: 1,
    failures: 1,
    evictions: 2,
    cuts: 2,
    backups: 1,
    restarts: 1,
    refusals_for_one: 1,
    refusals_for_all: 1,
    acceptances: 2,
    ticks: 2,
    looks: 6,
};

/// The history of one seed: the number of its steps, or how it breaks the promise.
pub(crate) fn wander(guards: Guards, seed: u64) -> Result<usize, String> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut state = State::start(BUDGET);
    for taken in 0..STEPS {
        let steps = state.steps();
        if steps.is_empty() {
            return state.comes_to_the_newest(guards).map(|()| taken);
        }
        let step = steps[rng.random_range(0..steps.len())];
        state.take(step, guards)?;
    }
    state.comes_to_the_newest(guards).map(|()| STEPS)
}
