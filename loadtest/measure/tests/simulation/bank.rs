//! T4: the whole decision on real noise. `tests/data/noise-bank.*` are blocks of a gate of the reference service
//! against itself, recorded by `tests/data/record_noise_bank.sh`. With equal subjects the sides of a block may be
//! swapped at will: each re-assignment draws an order of the blocks and a sign for each, and is judged like a run, all
//! families together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use measure::gate::differences::{Block, pairs_of_rounds};
use measure::gate::lateness::Limit;
use measure::gate::shares::Shares;
use measure::gate::{Evaluation, FAMILIES, GateRules};
use measure::hlog::Hlog;
use measure::record::{CANARY, EndpointCounts, Family, GateSlice, Outcome, ResidentCpu, Round};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use serde::Deserialize;

use crate::gate::{Change, SIDES, in_two_stages, is_alarm, named};
use crate::repetitions;

/// Blocks that a bank has at least.
const BLOCKS: usize = 96;
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn field<T: FromStr>(text: &str) -> T {
    text.parse()
        .ok()
        .unwrap_or_else(|| panic!("`{text}` in a tag of noise-bank.hlog"))
}

/// A line of `noise-bank.csv`.
#[derive(Deserialize)]
struct Line {
    block: u32,
    position: u32,
    side: String,
    length_ms: u64,
    service_cpu_us: u64,
    generator_cpu: f64,
    steal: f64,
    busy: f64,
    lateness_p99_us: u64,
}

impl Line {
    /// By block, position and side, without the histograms.
    fn slice(self) -> ((u32, u32, String), GateSlice) {
        let slice = GateSlice {
            position: self.position,
            length_ms: self.length_ms,
            service_cpu_us: Some(self.service_cpu_us),
            generator_cpu: self.generator_cpu,
            steal: Some(self.steal),
            busy: Some(self.busy),
            lateness_p99_us: self.lateness_p99_us,
            ..GateSlice::default()
        };
        ((self.block, self.position, self.side), slice)
    }
}

fn slices() -> BTreeMap<(u32, u32, String), GateSlice> {
    let mut lines = csv::Reader::from_path(data("noise-bank.csv")).expect("the bank is part of the repository");
    lines
        .deserialize()
        .map(|line: csv::Result<Line>| line.expect("a slice").slice())
        .collect()
}

/// The bank as the rounds of a record.
fn rounds() -> Vec<Round> {
    let mut slices = slices();
    let text = std::fs::read(data("noise-bank.hlog")).expect("the bank is part of the repository");
    for interval in Hlog::parse(&text).expect("a log").intervals {
        let parts: Vec<&str> = interval.tag.split('/').collect();
        let [block, position, side, endpoint] = parts[..] else {
            panic!("tag {}", interval.tag)
        };
        let key = (field(&block[1..]), field(&position[1..]), side.to_owned());
        let counts = EndpointCounts {
            count: interval.times.len(),
            hdr: interval.times.encode(),
            ..EndpointCounts::default()
        };
        let slice = slices.get_mut(&key).unwrap_or_else(|| panic!("no slice {key:?}"));
        slice.endpoints.insert(endpoint.to_owned(), counts);
    }
    let mut rounds: BTreeMap<(u32, String), Round> = BTreeMap::new();
    for ((block, _, side), slice) in slices {
        let round = rounds.entry((block, side.clone())).or_insert_with(|| Round {
            block,
            subject: side,
            ..Round::default()
        });
        round.gate_slices.push(slice);
    }
    rounds.into_values().map(with_cpu).collect()
}

/// The bank has the CPU time of the slices, not that of the time between them.
fn with_cpu(mut round: Round) -> Round {
    let own = round.gate_slices.iter().flat_map(|slice| {
        let own = slice.endpoints.iter().filter(|(name, _)| *name != CANARY);
        own.map(|(_, counts)| counts.sent())
    });
    round.resident_cpu = Some(ResidentCpu {
        cpu_us: round.gate_slices.iter().filter_map(|slice| slice.service_cpu_us).sum(),
        requests: own.sum(),
        ..ResidentCpu::default()
    });
    round
}

/// The usable blocks of the bank, under the limit that a run of all of them would have chosen.
fn bank() -> Vec<Block> {
    let rounds = rounds();
    let raw = pairs_of_rounds(&rounds, SIDES);
    let limit = Limit::choose(&raw, raw.len());
    println!("noise bank: {} blocks, limit of lateness {:?} ms", raw.len(), limit.ms);
    let usable = raw.iter().filter(|block| block.is_usable(limit));
    let bank: Vec<Block> = usable
        .map(|block| Block::decode(*block, limit).expect("readable"))
        .collect();
    assert!(
        bank.len() >= BLOCKS,
        "{} of {} blocks are usable",
        bank.len(),
        raw.len()
    );
    bank
}

/// With its sides exchanged.
fn swapped(mut block: Block) -> Block {
    let turn = |shares: &mut Shares| std::mem::swap(&mut shares.before, &mut shares.after);
    for of in block.endpoints.values_mut() {
        of.p95 = of.p95.map(|d| -d);
        of.p50 = of.p50.map(|d| -d);
        turn(&mut of.shares.slow);
        turn(&mut of.shares.tail);
        turn(&mut of.shares.failed);
    }
    turn(&mut block.failed);
    block.cpu = block.cpu.map(|d| -d);
    block
}

/// Blocks of two stages in random order, each swapped by a coin, and judged as a run.
fn judged(bank: &[Block], seed: u64, change: impl Fn(&mut Block)) -> Evaluation {
    let rules = GateRules::default();
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut order: Vec<&Block> = bank.iter().collect();
    order.shuffle(&mut rng);
    let chosen = order.into_iter().take(2 * rules.stage_blocks).cloned();
    let mut blocks: Vec<Block> = chosen
        .map(|block| if rng.random_bool(0.5) { swapped(block) } else { block })
        .collect();
    blocks.iter_mut().for_each(change);
    let second = blocks.split_off(rules.stage_blocks);
    in_two_stages(blocks, || second, &rules)
}

/// At most 1 % of 2,000 re-assignments are called slower, by any family.
#[test]
fn real_noise_raises_no_alarm() {
    let (bank, runs) = (bank(), repetitions(100, 2_000));
    let (mut families, mut any, mut all_pass) = ([0; 6], 0, 0);
    for run in 0..runs {
        let evaluation = judged(&bank, run as u64 + 1, |_| ());
        let alarms = || evaluation.comparisons.iter().filter(|one| is_alarm(one));
        any += usize::from(alarms().count() > 0);
        all_pass += usize::from(evaluation.gate.families.iter().all(|one| one.outcome == Outcome::Pass));
        for (count, family) in families.iter_mut().zip(FAMILIES) {
            *count += usize::from(alarms().any(|one| one.family == family));
        }
    }
    println!(
        "noise bank of {} blocks: {any} of {runs} re-assignments called slower ({}); everything passes in {all_pass}",
        bank.len(),
        named(families)
    );
    assert!(any <= runs.div_ceil(100), "{any} of {runs}");
}

/// The same noise must not hide everything: an endpoint made half as slow again is called.
#[test]
fn a_large_slowdown_stands_out_from_real_noise() {
    let (bank, runs) = (bank(), repetitions(8, 200));
    let name = bank[0]
        .endpoints
        .keys()
        .find(|name| *name != CANARY)
        .expect("an endpoint");
    let slow = |block: &mut Block| {
        let of = block.endpoints.get_mut(name).expect("it is in every block");
        of.p95 = of.p95.map(|d| d + 1.5_f64.ln());
    };
    let is_called = |run: usize| {
        let evaluation = judged(&bank, run as u64 + 1, slow);
        let mut p95 = evaluation
            .comparisons
            .iter()
            .filter(|one| one.family == Family::LatencyP95);
        p95.any(|one| one.endpoint == *name && one.outcome == Outcome::Regress)
    };
    let called = (0..runs).filter(|run| is_called(*run)).count();
    println!("noise bank, 1.5 on one endpoint: called {called} of {runs}");
    assert!(called * 10 >= runs * 9, "{called} of {runs}");
}

/// What a PASS on real noise says would have failed does fail.
#[test]
fn a_pass_on_real_noise_names_what_would_have_failed() {
    let (bank, runs) = (bank(), repetitions(10, 300));
    for family in FAMILIES {
        let promises =
            (0..runs as u64).filter_map(|run| Some((run, Change::promised(&judged(&bank, run + 1, |_| ()), family)?)));
        let kept: Vec<bool> = promises
            .map(|(run, change)| change.failed(&judged(&bank, run + 1_000_001, |block| change.apply(block))))
            .collect();
        let held = kept.iter().filter(|held| **held).count();
        println!("noise bank, {family}: {held} of {} promises held", kept.len());
        let slack = usize::from(kept.len() < 100);
        assert!(
            (held + slack) * 10 >= kept.len() * 9,
            "{family}: {held} of {}",
            kept.len()
        );
    }
}
