//! How often a comparison of whole rounds calls equal subjects worse, over all families together, and slower ones
//! slower (STATISTICS section 8).

use std::collections::BTreeMap;

use measure::compare::{Sides, compare};
use measure::metrics;
use measure::record::{Comparison, Family, Flow, Outcome, PHASE_MEASURE, Pauses, Phase, Round};
use measure::rounds::Rounds;
use rayon::prelude::*;

use crate::noise::{AWFUL, ENDPOINTS, Level, MODERATE, Machine, NOISY, QUIET, counts, micros};
use crate::repetitions;

/// Pauses of a user between two requests, seconds (the workload of the report).
const THINK_S: f64 = 2.966;
/// Their standard deviation, as a share of their mean.
const PAUSE_SPREAD: f64 = 0.6;
/// Users of the report, and so many that every endpoint has enough answers in a block.
const FEW: f64 = 100.0;
const MANY: f64 = 1_000.0;
/// Before each measured phase: launch, clone of the database, warm-up.
const BETWEEN_S: f64 = 25.0;
const SIDES: Sides = Sides {
    before: "a",
    after: "b",
};

/// A comparison as `loadtest compare` makes one.
#[derive(Debug, Clone, Copy)]
struct Design {
    users: f64,
    blocks: u32,
    measure_s: f64,
}

/// `report --quick`, the full report, and the full report under ten times the load.
const DESIGNS: [Design; 3] = [
    Design {
        users: FEW,
        blocks: 5,
        measure_s: 8.0,
    },
    Design {
        users: FEW,
        blocks: 6,
        measure_s: 30.0,
    },
    Design {
        users: MANY,
        blocks: 6,
        measure_s: 30.0,
    },
];

/// One comparison of equal subjects, but for `factors` on the second one's times.
fn compared(design: Design, level: Level, seed: u64, factors: [f64; ENDPOINTS]) -> Vec<Comparison> {
    let mut machine = Machine::new(level, seed);
    machine.rate_per_s = design.users / THINK_S;
    let rounds: Vec<Round> = (0..design.blocks)
        .flat_map(|block| {
            let cpu = machine.cpu_apart();
            let mut sides = [("a", [1.0; ENDPOINTS], 0.0), ("b", factors, cpu)];
            if (seed >> block) & 1 == 1 {
                sides.reverse();
            }
            sides.map(|(subject, factors, cpu)| round(&mut machine, design, (block, subject), &factors, cpu))
        })
        .collect();
    compare(&Rounds::decode(&rounds).expect("readable"), SIDES, seed)
}

/// The round of one launch. Users wait for their answers, so that slow answers make it longer.
fn round(
    machine: &mut Machine,
    design: Design,
    (block, subject): (u32, &str),
    factors: &[f64; ENDPOINTS],
    cpu: f64,
) -> Round {
    machine.idle(BETWEEN_S);
    let launch = machine.launch();
    let times = machine.slice(design.measure_s, &launch, factors).endpoints;
    let answers = times.iter().map(Vec::len).sum::<usize>() as f64;
    let waited_s: f64 = times.iter().flatten().sum();
    let paused_s = answers * THINK_S * (1.0 + PAUSE_SPREAD * machine.normal() / answers.sqrt());
    let lasted_s = (paused_s + waited_s) / design.users;
    let endpoints = times.iter().enumerate();
    Round {
        block,
        subject: subject.to_owned(),
        phases: vec![Phase {
            name: PHASE_MEASURE.to_owned(),
            end_ms: micros(lasted_s) / 1_000,
            flow: Some(Flow {
                in_flight_us: micros(waited_s),
                pauses: Some(Pauses {
                    intended_us: micros(paused_s),
                    ..Pauses::default()
                }),
                ..Flow::default()
            }),
            endpoints: endpoints
                .map(|(index, times)| (format!("{index}"), counts(times)))
                .collect(),
            ..Phase::default()
        }],
        probes: BTreeMap::from([(metrics::SERVICE_CPU_US_PER_REQUEST.name().to_owned(), 500.0 * cpu.exp())]),
        ..Round::default()
    }
}

/// Families in which something is called worse.
fn called(comparisons: &[Comparison]) -> Vec<Family> {
    let worse = |family: &Family| {
        comparisons
            .iter()
            .any(|one| one.family == *family && one.outcome == Outcome::Regress)
    };
    Family::ALL.into_iter().filter(worse).collect()
}

/// All families are tested together at 5 %. The table of STATISTICS section 8 says how often equal subjects are called
/// worse; this guards that it does not become worse.
#[test]
fn equal_subjects_are_seldom_called_worse() {
    for design in DESIGNS {
        for level in [QUIET, MODERATE, NOISY, AWFUL] {
            let comparisons = repetitions(20, 2_000);
            let found: Vec<Vec<Family>> = (0..comparisons)
                .into_par_iter()
                .map(|one| called(&compared(design, level, 1 + one as u64, [1.0; ENDPOINTS])))
                .collect();
            let alarms = found.iter().filter(|families| !families.is_empty()).count();
            let by_family = Family::ALL.map(|family| {
                let count = found.iter().filter(|families| families.contains(&family)).count();
                format!("{family} {count}")
            });
            println!(
                "{:9} {:5.0} users, {} blocks of {} s: alarms {alarms}/{comparisons} ({})",
                level.name,
                design.users,
                design.blocks,
                design.measure_s,
                by_family.join(", ")
            );
            // 5 % and three standard errors of 2,000 comparisons; of twenty, four are still chance.
            let most = if comparisons < 1_000 {
                comparisons / 5
            } else {
                comparisons * 65 / 1_000
            };
            assert!(alarms <= most, "{}: {alarms}", level.name);
        }
    }
}

/// A slowdown of all endpoints is called, one that is large and of one endpoint, and one beside a larger gain of the
/// others.
#[test]
fn a_slower_subject_is_called() {
    let all = [1.0; ENDPOINTS];
    let first = |of_first: f64, of_others: f64| std::array::from_fn(|one| if one == 0 { of_first } else { of_others });
    for (design, what, factors) in [
        (DESIGNS[0], "all endpoints twice as slow", all.map(|one| 2.0 * one)),
        (DESIGNS[1], "all endpoints half as slow again", all.map(|one| 1.5 * one)),
        (DESIGNS[2], "all endpoints half as slow again", all.map(|one| 1.5 * one)),
        (DESIGNS[2], "one endpoint twice as slow", first(2.0, 1.0)),
        (
            DESIGNS[2],
            "one endpoint twice as slow, the others ten times as fast",
            first(2.0, 0.1),
        ),
    ] {
        let comparisons = repetitions(20, 400);
        let found: Vec<bool> = (0..comparisons)
            .into_par_iter()
            .map(|one| !called(&compared(design, MODERATE, 1 + one as u64, factors)).is_empty())
            .collect();
        let power = found.iter().filter(|one| **one).count() as f64 / comparisons as f64;
        println!(
            "{:9} {:5.0} users, {} blocks: {what}: called {power:.3}",
            MODERATE.name, design.users, design.blocks
        );
        assert!(power >= 0.8, "{what}: {power}");
    }
}
