//! False alarms, power, wrong passes and the promise of the whole rule, all families together, under the noise model.

use std::collections::BTreeMap;

use measure::compare::Sides;
use measure::gate::differences::{Block, EndpointBlock, pairs_of_rounds, trimmed_mean};
use measure::gate::lateness::Limit;
use measure::gate::order::{self, SLICES, Side};
use measure::gate::shares::{BadShares, Shares};
use measure::gate::{Evaluation, FAMILIES, GateRules, Next, Stages, decision, evaluate_stages};
use measure::record::{ALL_ENDPOINTS, CANARY, Comparison, Family, GateSlice, Outcome, Round};
use rayon::prelude::*;

use crate::noise::{
    AWFUL, ENDPOINTS, FAILED_S, Launch, Level, MODERATE, Machine, NOISY, QUIET, RATE_PER_S, micros, quantile,
};
use crate::repetitions;

pub(crate) const SIDES: Sides = Sides {
    before: "A",
    after: "B",
};
const SLICE_S: f64 = 1.0;
const GAP_S: f64 = 0.25;
/// A block takes 25 s: launches and warm-up beside its slices.
const LAUNCH_S: f64 = 5.0;
/// One in fifty requests that come into a stall fails, on either side.
const FAILING: f64 = 0.02;
/// Multiples of it have fractions that are spread evenly.
const GOLDEN: f64 = 0.618_033_988_749_895;
/// A request that takes so many times the p95 of both sides is in the tail.
const TAIL_FACTOR: f64 = 4.0;

/// How a comparison is run.
#[derive(Clone, Copy)]
struct Design {
    level: Level,
    /// After / before of the first endpoint; the others are equal.
    ratio: f64,
    /// Whether each block launches both subjects afresh.
    relaunch: bool,
    rate_per_s: f64,
    /// What the canary takes beside B, where it shares its cores, against beside A.
    canary_ratio: f64,
    /// How late the generator sends, at the 99th percentile of a slice: the median over slices, milliseconds.
    late_ms: f64,
    /// Which slices are dropped for it.
    lateness: Lateness,
}

/// Which slices are dropped for the lateness of their sends.
#[derive(Clone, Copy, PartialEq)]
enum Lateness {
    /// Those above the limit that the stage chooses.
    Chosen,
    /// Those above this one.
    Fixed(Limit),
}

/// One subject pair under measurement.
struct Experiment {
    design: Design,
    machine: Machine,
    launches: [Launch; 2],
    blocks: u32,
    seed: u64,
}

/// Times of one endpoint, or of the canary, over the slices of a block, in their order.
type Slices = Vec<Vec<f64>>;

/// A block before it is known which of its slices count.
struct Counted {
    number: u32,
    order: [Side; SLICES],
    /// By endpoint, the canary last.
    slices: Vec<Slices>,
    lateness_us: Vec<u64>,
    cpu: f64,
}

impl Experiment {
    fn new(design: Design, seed: u64) -> Self {
        let mut machine = Machine::new(design.level, seed);
        machine.rate_per_s = design.rate_per_s;
        machine.failing = FAILING;
        let launches = [machine.launch(), machine.launch()];
        Self {
            design,
            machine,
            launches,
            blocks: 0,
            seed,
        }
    }

    /// So many blocks more, without those that too much lateness spoils.
    fn blocks(&mut self, count: usize) -> Vec<Block> {
        let counted: Vec<Counted> = (0..count).map(|_| self.block()).collect();
        let rounds: Vec<Round> = counted.iter().flat_map(Counted::rounds).collect();
        let raw = pairs_of_rounds(&rounds, SIDES);
        let limit = match self.design.lateness {
            Lateness::Chosen => Limit::choose(&raw, count),
            Lateness::Fixed(limit) => limit,
        };
        let usable = counted.into_iter().zip(&raw).filter(|(_, raw)| raw.is_usable(limit));
        usable
            .map(|(counted, raw)| {
                let kept: Vec<usize> = raw
                    .kept(limit)
                    .map(|(slice, _)| usize::try_from(slice.position / 2).expect("one of eight"))
                    .collect();
                counted.into_block(&kept)
            })
            .collect()
    }

    fn block(&mut self) -> Counted {
        if self.design.relaunch {
            self.launches = [self.machine.launch(), self.machine.launch()];
        }
        self.machine.idle(LAUNCH_S);
        let order = order::slices(self.seed, self.blocks);
        let number = self.blocks;
        self.blocks += 1;
        let mut slices: Vec<Slices> = vec![Vec::new(); ENDPOINTS + 1];
        let mut lateness_us = Vec::new();
        for side in order {
            let late_s = self.machine.lateness_s(self.design.late_ms);
            let times = self.slice(side, late_s);
            slices.iter_mut().zip(times).for_each(|(all, slice)| all.push(slice));
            lateness_us.push(micros(late_s));
        }
        Counted {
            number,
            order,
            slices,
            lateness_us,
            cpu: self.machine.cpu_apart(),
        }
    }

    /// Times of one slice by endpoint, those of the canary last.
    fn slice(&mut self, side: Side, late_s: f64) -> Slices {
        let mut factors = [1.0; ENDPOINTS];
        let is_after = side == Side::After;
        if is_after {
            factors[0] = self.design.ratio;
        }
        let launch = self.launches[usize::from(is_after)].clone();
        let times = self.machine.late_slice(SLICE_S, &launch, &factors, late_s);
        self.machine.idle(GAP_S);
        let beside = if is_after { self.design.canary_ratio } else { 1.0 };
        let canary = times.canary.into_iter().map(|seconds| seconds * beside).collect();
        times.endpoints.into_iter().chain([canary]).collect()
    }
}

impl Counted {
    /// As a record has it, with nothing but the lateness.
    fn rounds(&self) -> Vec<Round> {
        let of = |side: Side| {
            let own = (0..).zip(self.order).zip(&self.lateness_us);
            let own = own.filter(|((_, of), _)| *of == side);
            own.map(|((position, _), late)| GateSlice {
                position,
                lateness_p99_us: *late,
                ..GateSlice::default()
            })
            .collect()
        };
        [(SIDES.before, Side::Before), (SIDES.after, Side::After)]
            .map(|(subject, side)| Round {
                block: self.number,
                subject: subject.to_owned(),
                gate_slices: of(side),
                ..Round::default()
            })
            .into()
    }

    /// The pairs `kept` as numbers.
    fn into_block(mut self, kept: &[usize]) -> Block {
        let of_pairs = |all: &[Side]| -> Vec<Side> {
            kept.iter()
                .flat_map(|pair| [all[2 * pair], all[2 * pair + 1]])
                .collect()
        };
        let order = of_pairs(&self.order);
        let as_kept = |slices: &mut Slices| {
            let chosen = kept.iter().flat_map(|pair| [2 * pair, 2 * pair + 1]);
            as_block(chosen.map(|index| std::mem::take(&mut slices[index])).collect(), &order)
        };
        let mut canary = self.slices.pop().expect("the last is the canary's");
        let own = self.slices.iter_mut().enumerate();
        let mut endpoints: BTreeMap<String, EndpointBlock> =
            own.map(|(index, slices)| (endpoint(index), as_kept(slices))).collect();
        let failed = endpoints.values().map(|of| of.shares.failed);
        let failed = failed.fold(Shares::default(), Shares::plus);
        endpoints.insert(CANARY.to_owned(), as_kept(&mut canary));
        Block {
            number: self.number,
            pairs: kept.len(),
            endpoints,
            failed,
            cpu: Some(self.cpu),
            idle_cores: Some((0.0, 0.0)),
            ..Block::default()
        }
    }
}

/// Names that sort as their numbers do.
fn endpoint(index: usize) -> String {
    format!("e{index:02}")
}

fn as_block(mut slices: Slices, order: &[Side]) -> EndpointBlock {
    let difference = |slices: &mut Slices, percent| {
        let logs: Vec<f64> = slices.iter_mut().map(|times| quantile(times, percent).ln()).collect();
        let pairs = (0..order.len() / 2).map(|pair| {
            let (first, second) = (logs[2 * pair], logs[2 * pair + 1]);
            if order[2 * pair] == Side::Before {
                second - first
            } else {
                first - second
            }
        });
        trimmed_mean(pairs.collect())
    };
    let (p50, p95) = (difference(&mut slices, 50), difference(&mut slices, 95));
    let limit_s = quantile(&mut slices.concat(), 95);
    let count = |bad: &dyn Fn(f64) -> bool| {
        let side = |wanted: Side| {
            let own = slices.iter().zip(order).filter(|(_, side)| **side == wanted);
            own.fold((0, 0), |(found, of), (times, _)| {
                let here = times.iter().filter(|seconds| bad(**seconds)).count() as u64;
                (found + here, of + times.len() as u64)
            })
        };
        Shares {
            before: side(Side::Before),
            after: side(Side::After),
        }
    };
    EndpointBlock {
        p95,
        p50,
        shares: BadShares {
            slow: count(&|seconds| seconds > limit_s),
            tail: count(&|seconds| seconds > TAIL_FACTOR * limit_s),
            failed: count(&|seconds| seconds >= FAILED_S),
        },
        // Wide enough times are had to say "too little data" of what is undecided; here nothing asks.
        width_us: None,
    }
}

/// Both stages of the whole rule; the second is asked for only where the first leaves something open.
pub(crate) fn in_two_stages(first: Vec<Block>, second: impl FnOnce() -> Vec<Block>, rules: &GateRules) -> Evaluation {
    let mut stages = Stages::of_blocks(first, vec![]);
    let evaluation = evaluate_stages(&stages, SIDES, rules);
    if evaluation.next == Next::Decided {
        return evaluation;
    }
    stages = Stages::of_blocks(stages.first, second());
    evaluate_stages(&stages, SIDES, rules)
}

/// One whole comparison, every block changed by `change`.
fn compare(design: Design, seed: u64, change: impl Fn(&mut Block)) -> Evaluation {
    let rules = GateRules {
        seed,
        ..GateRules::default()
    };
    let mut experiment = Experiment::new(design, seed);
    let mut blocks = || {
        let mut blocks = experiment.blocks(rules.stage_blocks);
        blocks.iter_mut().for_each(&change);
        blocks
    };
    let first = blocks();
    in_two_stages(first, blocks, &rules)
}

pub(crate) fn is_alarm(one: &Comparison) -> bool {
    matches!(one.outcome, Outcome::Regress | Outcome::SlowerWithinTolerance)
}

fn is_fine(one: &Comparison) -> bool {
    matches!(one.outcome, Outcome::Pass | Outcome::Improved)
}

/// What came of many comparisons, counted.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    comparisons: usize,
    /// Anything called slower.
    alarms: usize,
    /// By family, in the order of [`FAMILIES`].
    by_family: [usize; 6],
    /// The p95 of the slowed endpoint called slower.
    called: usize,
    /// The slowed endpoint called slower by any family.
    called_by_any: usize,
    /// The p95 of the slowed endpoint passed.
    passed: usize,
    /// The whole comparison passed.
    wrongly_green: usize,
    /// Every p95 passed (or was called faster).
    all_p95_passed: usize,
    /// Everything passed.
    all_passed: usize,
    /// By family.
    family_passed: [usize; 6],
    /// A second stage was run.
    second_stages: usize,
}

fn tally(design: Design, comparisons: usize) -> Tally {
    (0..comparisons)
        .into_par_iter()
        .map(|seed| one(&compare(design, seed as u64 + 1, |_| ())))
        .reduce(Tally::default, add)
}

fn one(evaluation: &Evaluation) -> Tally {
    let all = &evaluation.comparisons;
    let of = |family: Family| all.iter().filter(move |one| one.family == family);
    let slowed = || all.iter().filter(|one| one.endpoint == endpoint(0));
    let p95 = slowed()
        .find(|one| one.family == Family::LatencyP95)
        .expect("it was compared");
    let count = usize::from;
    Tally {
        comparisons: 1,
        alarms: count(all.iter().any(is_alarm)),
        by_family: FAMILIES.map(|family| count(of(family).any(is_alarm))),
        called: count(is_alarm(p95)),
        called_by_any: count(slowed().any(is_alarm)),
        passed: count(is_fine(p95)),
        wrongly_green: count(all.iter().all(is_fine)),
        all_p95_passed: count(of(Family::LatencyP95).all(is_fine)),
        all_passed: count(all.iter().all(is_fine)),
        family_passed: FAMILIES.map(|family| count(of(family).all(is_fine))),
        second_stages: count(evaluation.gate.stage2_blocks > 0),
    }
}

fn add(a: Tally, b: Tally) -> Tally {
    let sums = |a: [usize; 6], b: [usize; 6]| std::array::from_fn(|index| a[index] + b[index]);
    Tally {
        comparisons: a.comparisons + b.comparisons,
        alarms: a.alarms + b.alarms,
        by_family: sums(a.by_family, b.by_family),
        called: a.called + b.called,
        called_by_any: a.called_by_any + b.called_by_any,
        passed: a.passed + b.passed,
        wrongly_green: a.wrongly_green + b.wrongly_green,
        all_p95_passed: a.all_p95_passed + b.all_p95_passed,
        all_passed: a.all_passed + b.all_passed,
        family_passed: sums(a.family_passed, b.family_passed),
        second_stages: a.second_stages + b.second_stages,
    }
}

fn design(level: Level, ratio: f64) -> Design {
    Design {
        level,
        ratio,
        relaunch: true,
        rate_per_s: RATE_PER_S,
        canary_ratio: 1.0,
        late_ms: 0.0,
        lateness: Lateness::Chosen,
    }
}

fn share(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}

/// Counts of families, e.g. `latency_p95 3, tail_share 1`.
pub(crate) fn named(counts: [usize; 6]) -> String {
    let named = FAMILIES.iter().zip(counts);
    let named: Vec<String> = named.map(|(family, count)| format!("{family} {count}")).collect();
    named.join(", ")
}

/// T2: equal code raises at most 20 alarms in 2,000 comparisons at any level, all families together, and its p95 pass
/// at quiet and moderate. `short` comparisons in a normal run.
fn assert_no_alarm(level: Level, short: usize, p95_pass: bool) {
    let found = tally(design(level, 1.0), repetitions(short, 2_000));
    println!(
        "{:9} A/A: alarms {}/{} ({:.2} %; {}); all p95 pass {:.3}, everything {:.3} ({}); second stage {:.3}",
        level.name,
        found.alarms,
        found.comparisons,
        100.0 * share(found.alarms, found.comparisons),
        named(found.by_family),
        share(found.all_p95_passed, found.comparisons),
        share(found.all_passed, found.comparisons),
        named(found.family_passed),
        share(found.second_stages, found.comparisons),
    );
    // A hundredth, and one more where few comparisons make one alarm a large share.
    assert!(
        found.alarms <= found.comparisons / 100 + usize::from(found.comparisons < 1_000),
        "{}: {found:?}",
        level.name
    );
    if p95_pass {
        assert!(
            share(found.all_p95_passed, found.comparisons) >= 0.95,
            "{}: {found:?}",
            level.name
        );
    }
}

#[test]
fn equal_subjects_raise_no_alarm_in_quiet() {
    assert_no_alarm(QUIET, 8, true);
}

#[test]
fn equal_subjects_raise_no_alarm_in_moderate_noise() {
    assert_no_alarm(MODERATE, 8, true);
}

#[test]
fn equal_subjects_raise_no_alarm_in_noise() {
    assert_no_alarm(NOISY, 2, false);
}

#[test]
fn equal_subjects_raise_no_alarm_in_awful_noise() {
    assert_no_alarm(AWFUL, 2, false);
}

/// T2: 10 % on one endpoint is called in 95 % of comparisons at quiet and moderate, 20 % also at noisy.
#[test]
fn real_slowdowns_are_called() {
    for (level, ratio, required) in [(QUIET, 1.1, 0.95), (MODERATE, 1.1, 0.95), (NOISY, 1.2, 0.95)] {
        let found = tally(design(level, ratio), repetitions(6, 500));
        let power = share(found.called_by_any, found.comparisons);
        println!(
            "{:9} {ratio} on one endpoint: called {power:.3}, by its p95 {:.3}",
            level.name,
            share(found.called, found.comparisons)
        );
        // Of six comparisons one miss is within chance of 95 %, and two are not.
        let slack = if found.comparisons < 100 { 0.15 } else { 0.0 };
        assert!(power >= required - slack, "{}: {found:?}", level.name);
    }
}

/// T2, the remaining columns of the table: under the same noise a larger slowdown is never called less often.
#[test]
fn power_grows_with_the_slowdown() {
    for level in [QUIET, MODERATE, NOISY, AWFUL] {
        let [small, large] = [1.05, 1.2].map(|ratio| {
            let found = tally(design(level, ratio), repetitions(2, 500));
            (
                share(found.called_by_any, found.comparisons),
                share(found.called, found.comparisons),
            )
        });
        println!(
            "{:9} on one endpoint: 1.05 called {:.3} (by its p95 {:.3}), 1.2 called {:.3} ({:.3})",
            level.name, small.0, small.1, large.0, large.1
        );
        assert!(small.0 <= large.0, "{}: {small:?} {large:?}", level.name);
    }
}

/// T2: a slowdown of 10 % passes in at most 10 % of comparisons.
#[test]
fn a_slow_endpoint_rarely_passes() {
    for level in [QUIET, MODERATE, NOISY, AWFUL] {
        let found = tally(design(level, 1.1), repetitions(3, 500));
        let wrong = share(found.passed, found.comparisons);
        println!(
            "{:9} 1.1 on one endpoint: its p95 passes {wrong:.3}, everything {:.3}; called {:.3}, by its p95 {:.3}",
            level.name,
            share(found.wrongly_green, found.comparisons),
            share(found.called_by_any, found.comparisons),
            share(found.called, found.comparisons)
        );
        assert!(
            wrong <= if found.comparisons < 100 { 0.4 } else { 0.1 },
            "{}: {found:?}",
            level.name
        );
    }
}

/// B takes half as long again and slows down the canary, which shares its cores, nearly as much.
#[test]
fn a_canary_that_suffers_too_hides_nothing() {
    for level in [QUIET, MODERATE, NOISY] {
        let shared = Design {
            canary_ratio: 1.3,
            ..design(level, 1.5)
        };
        let found = tally(shared, repetitions(3, 200));
        println!(
            "{:9} 1.5 on one endpoint, 1.3 on the canary: called {:.3}, passes {:.3}",
            level.name,
            share(found.called, found.comparisons),
            share(found.passed, found.comparisons)
        );
        assert_eq!(found.passed, 0, "{}: {found:?}", level.name);
        assert!(found.called * 20 >= found.comparisons * 19, "{}: {found:?}", level.name);
    }
}

/// A tenth of the requests, seven to an endpoint in a slice and fewer than its sampling floor: more stays undecided,
/// and what is decided is as true as with many.
#[test]
fn few_requests_decide_less_and_nothing_wrong() {
    let sparse = |ratio| Design {
        rate_per_s: RATE_PER_S / 10.0,
        ..design(MODERATE, ratio)
    };
    let comparisons = repetitions(30, 2_000);
    let [equal, slower, twice] = [1.0, 1.1, 2.0].map(|ratio| tally(sparse(ratio), comparisons));
    println!(
        "a tenth of the requests: alarms {}/{comparisons} ({}), wrong pass at 1.1 {:.3}, 2.0 called {:.3}, all p95 \
         pass {:.3}",
        equal.alarms,
        named(equal.by_family),
        share(slower.passed, comparisons),
        share(twice.called, comparisons),
        share(equal.all_p95_passed, comparisons),
    );
    assert!(
        equal.alarms <= comparisons / 100 + usize::from(comparisons < 1_000),
        "{equal:?}"
    );
    assert!(slower.passed * 10 <= comparisons, "{slower:?}");
    assert!(twice.called * 20 >= comparisons * 19, "{twice:?}");
}

/// A machine whose slices are late by .8 ms in the median, and up to thirty times that: the limit that the run chooses
/// leaves it blocks enough, a fixed one of 1 ms does not, and identical builds raise no alarm.
#[test]
fn a_late_generator_neither_stops_a_gate_nor_raises_alarms() {
    let comparisons = repetitions(4, 400);
    for (name, lateness) in [
        ("chosen", Lateness::Chosen),
        ("1 ms", Lateness::Fixed(Limit { ms: Some(1) })),
        ("none", Lateness::Fixed(Limit::NONE)),
    ] {
        let late = Design {
            late_ms: 0.8,
            lateness,
            ..design(MODERATE, 1.0)
        };
        let found: Vec<(u32, bool, bool, f64)> = (0..comparisons as u64)
            .into_par_iter()
            .map(|seed| {
                let evaluation = compare(late, seed + 1, |_| ());
                let p95 = evaluation
                    .gate
                    .families
                    .iter()
                    .find(|one| one.family == Family::LatencyP95);
                (
                    evaluation.gate.stage1_blocks,
                    evaluation.comparisons.iter().any(is_alarm),
                    p95.is_some_and(|one| one.outcome == Outcome::Pass),
                    p95.and_then(|one| one.mde).unwrap_or(f64::NAN),
                )
            })
            .collect();
        let blocks: u32 = found.iter().map(|one| one.0).sum();
        let alarms = found.iter().filter(|one| one.1).count();
        let passed = found.iter().filter(|one| one.2).count();
        let mut mdes: Vec<f64> = found.iter().map(|one| one.3).filter(|mde| mde.is_finite()).collect();
        let mde = if mdes.is_empty() {
            f64::NAN
        } else {
            quantile(&mut mdes, 50)
        };
        println!(
            "late by .8 ms, limit {name:6}: {:.1} of 24 blocks, median MDE of p95 {mde:.3}, p95 pass in {passed} of \
             {comparisons}, alarms {alarms}",
            f64::from(blocks) / comparisons as f64
        );
        assert!(
            alarms <= comparisons / 100 + usize::from(comparisons < 400),
            "{name}: {alarms}"
        );
        if lateness == Lateness::Chosen {
            assert!(f64::from(blocks) >= 18.0 * comparisons as f64, "{blocks} blocks");
        }
    }
}

/// T3: with one launch per side the test must fail, or it could not fail at all.
#[test]
fn one_launch_per_side_cries_wolf() {
    let level = Level {
        launch: 0.02,
        ..MODERATE
    };
    let once = Design {
        relaunch: false,
        ..design(level, 1.0)
    };
    let found = tally(once, repetitions(16, 500));
    println!(
        "one launch per side, launch sd 2 %: alarms {:.3} ({})",
        share(found.alarms, found.comparisons),
        named(found.by_family)
    );
    assert!(share(found.alarms, found.comparisons) > 0.1, "{found:?}");
}

/// A change for the worse: what a family says would have failed, of the endpoint that it says it of.
pub(crate) struct Change {
    family: Family,
    endpoint: String,
    size: f64,
}

impl Change {
    /// The change that `family` promises to fail, at the endpoint that is seen worst; `None` where it does not pass.
    pub(crate) fn promised(evaluation: &Evaluation, family: Family) -> Option<Self> {
        let verdict = evaluation.gate.families.iter().find(|one| one.family == family)?;
        let own = evaluation.comparisons.iter().filter(|one| one.family == family);
        let seen_worst = own.max_by(|a, b| a.mde.unwrap_or(0.0).total_cmp(&b.mde.unwrap_or(0.0)))?;
        (verdict.outcome == Outcome::Pass).then_some(Self {
            family,
            endpoint: seen_worst.endpoint.clone(),
            size: verdict.would_fail?,
        })
    }

    /// Makes the change to a block.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the requests"
    )]
    pub(crate) fn apply(&self, block: &mut Block) {
        // A share of the requests of one block is no whole number: what is left of it comes in some blocks.
        let part = (f64::from(block.number) * GOLDEN).fract();
        let add = |shares: &mut Shares| shares.after.0 += (self.size * shares.after.1 as f64 + part) as u64;
        if self.family == Family::CpuPerRequest {
            block.cpu = block.cpu.map(|cpu| cpu + self.size.ln_1p());
            return;
        }
        if self.endpoint == ALL_ENDPOINTS {
            add(&mut block.failed);
            return;
        }
        let of = block.endpoints.get_mut(&self.endpoint).expect("it is in every block");
        match self.family {
            Family::LatencyP95 => of.p95 = of.p95.map(|d| d + self.size.ln_1p()),
            Family::LatencyP50 => of.p50 = of.p50.map(|d| d + self.size.ln_1p()),
            Family::SlowShare => add(&mut of.shares.slow),
            Family::TailShare => add(&mut of.shares.tail),
            _ => add(&mut of.shares.failed),
        }
    }

    /// Whether an evaluation fails it.
    pub(crate) fn failed(&self, evaluation: &Evaluation) -> bool {
        let fits = |one: &&Comparison| one.family == self.family && one.endpoint == self.endpoint;
        let found = evaluation.comparisons.iter().find(fits);
        found.is_some_and(|one| one.outcome == Outcome::Regress)
    }
}

/// What a PASS says would have failed does fail, in nine of ten other comparisons of the same kind at least.
#[test]
fn a_pass_names_what_would_have_failed() {
    let comparisons = repetitions(4, 300);
    for level in [QUIET, MODERATE, NOISY, AWFUL] {
        let equal = design(level, 1.0);
        let kept: Vec<[(usize, usize, f64); 6]> = (0..comparisons as u64)
            .into_par_iter()
            .map(|seed| {
                let promises = compare(equal, seed + 1, |_| ());
                FAMILIES.map(|family| {
                    Change::promised(&promises, family).map_or((0, 0, 0.0), |change| {
                        let other = compare(equal, seed + 1_000_001, |block| change.apply(block));
                        (1, usize::from(change.failed(&other)), change.size)
                    })
                })
            })
            .collect();
        for (index, family) in FAMILIES.into_iter().enumerate() {
            let made = kept.iter().map(|one| one[index].0).sum::<usize>();
            let held = kept.iter().map(|one| one[index].1).sum::<usize>();
            let size = kept.iter().map(|one| one[index].2).sum::<f64>() / made.max(1) as f64;
            println!(
                "{:9} {family}: {held} of {made} promises held, on average of {size:.4}",
                level.name
            );
            let slack = if made < 100 { 2 } else { 0 };
            assert!(
                (held + slack) * 10 >= made * 9,
                "{} {family}: {held} of {made}",
                level.name
            );
        }
    }
}

/// The spread of block differences that the noise model was made for: .065 / .084 / .129 / .277.
#[test]
fn the_model_has_the_stated_spread() {
    for (level, stated) in [(QUIET, 0.065), (MODERATE, 0.084), (NOISY, 0.129), (AWFUL, 0.277)] {
        let blocks = Experiment::new(design(level, 1.0), 99).blocks(repetitions(24, 400));
        let row = |name: &str| -> Vec<f64> {
            blocks
                .iter()
                .map(|block| block.endpoints[name].p95.expect("d"))
                .collect()
        };
        let canary = row(CANARY);
        let sds: Vec<f64> = (0..ENDPOINTS)
            .map(|index| decision::residuals(&row(&endpoint(index)), &canary))
            .filter_map(|row| measure::stats::student::standard_deviation(&row))
            .collect();
        let mean = sds.iter().sum::<f64>() / sds.len() as f64;
        println!("{:9} sd of d per block {mean:.3}, stated {stated}", level.name);
        assert!(
            (mean / stated).ln().abs() < 0.7,
            "{}: {mean} is far from {stated}",
            level.name
        );
    }
}
