//! The protocol as a model, and a breadth-first search through everything that can happen to it: two replicas, one key
//! that depends on two tags, up to three writes, and a network and a Redis that fail. `protocol` is the model,
//! `explore` the search, `wander` random histories that are longer than any search could be.
//!
//! Every guard of the protocol has a negative control: without it, the search must find a violation, or the model
//! proves nothing. What is for efficiency only has a positive control: without it, nothing may break.

mod explore;
mod protocol;
mod wander;

use explore::{Outcome, explore};
use protocol::{Budget, Guards};
use wander::wander;

/// States after which a search of the normal run gives up; reached by none of them.
const MAX_STATES: usize = 6_000_000;

fn is_long() -> bool {
    std::env::var_os("CACHE_TESTS_LONG").is_some()
}

/// Something that can go wrong, beside what clients do.
#[derive(Clone, Copy)]
enum Fault {
    None,
    Loss,
    Crash,
    Failure,
    Eviction,
    Cut,
    Restart,
    RefusedToOne,
    RefusedToAll,
    RefusedForGood,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::None,
        Self::Loss,
        Self::Crash,
        Self::Failure,
        Self::Eviction,
        Self::Cut,
        Self::Restart,
        Self::RefusedToOne,
        Self::RefusedToAll,
        Self::RefusedForGood,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::None => "no fault",
            Self::Loss => "a message is lost",
            Self::Crash => "a writer crashes after its commit",
            Self::Failure => "a script fails, carried out or not",
            Self::Eviction => "a key is evicted",
            Self::Cut => "a subscriber is cut off",
            Self::Restart => "Redis restarts with old data",
            Self::RefusedToOne => "Redis answers one replica's reads and refuses its writes for a time",
            Self::RefusedToAll => "Redis answers reads and refuses all writes for a time",
            Self::RefusedForGood => "Redis answers reads and refuses all writes from some moment on",
        }
    }

    /// So many writes, two reads, and this fault once, at any moment.
    fn budget(self, writes: u8) -> Budget {
        let mut budget = Budget {
            writes,
            reads: 2,
            ..Budget::default()
        };
        match self {
            Self::None => {}
            Self::Loss => (budget.losses, budget.lease_ends) = (1, 1),
            Self::Crash => budget.crashes = 1,
            Self::Failure => budget.failures = 1,
            Self::Eviction => budget.evictions = 1,
            Self::Cut => budget.cuts = 1,
            // What a restart brings back multiplies the states: one read is enough to find what a second would.
            Self::Restart => (budget.backups, budget.restarts, budget.reads) = (1, 1, 1),
            Self::RefusedToOne => (budget.refusals_for_one, budget.acceptances, budget.ticks) = (1, 1, 1),
            Self::RefusedToAll => (budget.refusals_for_all, budget.acceptances, budget.ticks) = (1, 1, 1),
            Self::RefusedForGood => (budget.refusals_for_all, budget.ticks) = (1, 1),
        }
        budget
    }

    /// The budget of a search that every run makes to its end: a time of refusals multiplies the states, so that one
    /// read is left. The long run has both.
    fn whole_budget(self, writes: u8) -> Budget {
        let budget = self.budget(writes);
        match self {
            Self::RefusedToOne | Self::RefusedToAll | Self::RefusedForGood if !is_long() => {
                Budget { reads: 1, ..budget }
            }
            _ => budget,
        }
    }
}

/// Each fault with one write in the normal run; two writes without a fault; in the long run two writes with each fault,
/// and three without.
fn searches() -> Vec<(Fault, u8)> {
    let mut searches: Vec<(Fault, u8)> = Fault::ALL.map(|fault| (fault, 1)).into();
    if is_long() {
        searches.extend(Fault::ALL.map(|fault| (fault, 2)));
        searches.push((Fault::None, 3));
    }
    searches
}

/// One search: how many states it has, and the first violation.
fn search(guards: Guards, fault: Fault, budget: Budget) -> (usize, Option<String>) {
    let writes = budget.writes;
    let limit = if is_long() { usize::MAX } else { MAX_STATES };
    match explore(guards, budget, limit) {
        Outcome::Holds { states } => (states, None),
        Outcome::Violated { states, why, trace } => {
            let steps = trace.join("\n  ");
            (
                states,
                Some(format!("{} ({writes} writes): {why}\n  {steps}", fault.name())),
            )
        }
        Outcome::TooLarge => panic!("{} ({writes} writes): more than {limit} states", fault.name()),
    }
}

/// All searches; every violation fails.
fn holds(guards: Guards) -> usize {
    let mut total = 0;
    for (fault, writes) in searches() {
        let (states, violation) = search(guards, fault, fault.whole_budget(writes));
        println!("{} ({writes} writes): {states} states", fault.name());
        assert!(violation.is_none(), "{}", violation.unwrap_or_default());
        total += states;
    }
    total
}

#[test]
fn the_protocol_holds() {
    let states = holds(Guards::ALL);
    println!("{states} states explored");
    assert!(states > 50_000, "{states} states are too few to mean anything");
}

/// Each guard with the fault that it is there for.
fn controls() -> [(&'static str, Guards, Fault); 16] {
    let (all, without_outbox) = (Guards::ALL, Guards::WITHOUT_OUTBOX);
    [
        (
            "stamp first",
            Guards {
                stamp_first: false,
                ..all
            },
            Fault::None,
        ),
        (
            "join check",
            Guards {
                join_check: false,
                ..all
            },
            Fault::None,
        ),
        (
            "nonces before the load",
            Guards {
                nonces_before_load: false,
                ..all
            },
            Fault::None,
        ),
        (
            "nonce check on read",
            Guards {
                nonce_check: false,
                ..all
            },
            Fault::None,
        ),
        (
            "Redis before the own stamps",
            Guards {
                redis_first: false,
                ..all
            },
            Fault::None,
        ),
        (
            "bypass after a failed script",
            Guards { bypass: false, ..all },
            Fault::Failure,
        ),
        (
            "log replay",
            Guards {
                log_replay: false,
                ..all
            },
            Fault::Cut,
        ),
        ("lease", Guards { lease: false, ..all }, Fault::Loss),
        ("outbox", Guards { outbox: false, ..all }, Fault::Crash),
        ("comparing the run", Guards { renewal: false, ..all }, Fault::Restart),
        (
            "looking into the outbox (one is refused)",
            Guards { look: false, ..all },
            Fault::RefusedToOne,
        ),
        (
            "looking into the outbox (all are refused)",
            Guards { look: false, ..all },
            Fault::RefusedToAll,
        ),
        (
            "leaving old flights alone without a lease",
            Guards {
                join_young: false,
                ..all
            },
            Fault::RefusedToOne,
        ),
        (
            "a heartbeat that writes",
            Guards {
                beat_writes: false,
                ..without_outbox
            },
            Fault::RefusedForGood,
        ),
        (
            "giving up a connection that refuses",
            Guards {
                refusal_unlinks: false,
                ..without_outbox
            },
            Fault::RefusedForGood,
        ),
        (
            "all of that (the first build)",
            Guards::FIRST_BUILD,
            Fault::RefusedForGood,
        ),
    ]
}

#[test]
fn every_guard_is_needed() {
    for (name, guards, fault) in controls() {
        // What the whole search has is enough for all guards but one: an old flight must be there for a read to join.
        let budget = if guards.join_young {
            fault.whole_budget(1)
        } else {
            fault.budget(1)
        };
        let (states, violation) = search(guards, fault, budget);
        let found = violation.unwrap_or_else(|| panic!("without `{name}` nothing breaks in {states} states"));
        let first = found.lines().next().unwrap_or_default();
        println!("without {name}: {first} (after {states} states)");
    }
}

/// Where there is no outbox, heartbeats alone bound what a Redis that refuses writes can do: no replica serves what it
/// cannot be told of. (Once it takes writes again, only the writer's process knows what to repeat.)
#[test]
fn without_an_outbox_nobody_serves_while_writes_are_refused_to_all() {
    let (states, violation) = search(
        Guards::WITHOUT_OUTBOX,
        Fault::RefusedForGood,
        Fault::RefusedForGood.budget(1),
    );
    println!("without an outbox, {}: {states} states", Fault::RefusedForGood.name());
    assert!(violation.is_none(), "{}", violation.unwrap_or_default());
}

/// Random histories in the normal run, more than find any missing guard (10,997), and in the long one.
const HISTORIES: u64 = 20_000;
const HISTORIES_LONG: u64 = 1_000_000;

#[test]
fn no_random_history_is_stale() {
    let histories = if is_long() { HISTORIES_LONG } else { HISTORIES };
    let mut steps = 0;
    for seed in 0..histories {
        steps += wander(Guards::ALL, seed).unwrap_or_else(|why| panic!("history {seed}: {why}"));
    }
    println!("{histories} random histories, {steps} steps, no violation");
}

#[test]
fn random_histories_find_every_missing_guard() {
    for (name, guards, _) in controls() {
        let found = (0..HISTORIES_LONG).find_map(|seed| wander(guards, seed).err().map(|why| (seed, why)));
        let (seed, why) = found.unwrap_or_else(|| panic!("without `{name}` no history breaks"));
        println!("without {name}: {why} (history {seed})");
    }
}

/// The conditional store only saves writes that readers would reject. (The lock is not in the model at all: any number
/// of flights may load at once.)
#[test]
fn what_is_for_efficiency_only_is_not_needed() {
    let guards = Guards {
        conditional_store: false,
        ..Guards::ALL
    };
    for fault in [Fault::None, Fault::Crash, Fault::Eviction] {
        let (states, violation) = search(guards, fault, fault.budget(1));
        println!("without the conditional store, {}: {states} states", fault.name());
        assert!(violation.is_none(), "{}", violation.unwrap_or_default());
    }
}
