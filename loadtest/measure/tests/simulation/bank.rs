//! T4: the whole decision on real noise. `tests/data/noise-bank.*` are blocks of a gate of the reference service
//! against itself, recorded by `tests/data/record_noise_bank.sh`. With equal subjects the sides of a block may be
//! swapped at will: each re-assignment draws an order of the blocks and a sign for each, and is judged like a run, all
//! three families together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use measure::compare::Sides;
use measure::gate::GateRules;
use measure::gate::decision::Look;
use measure::gate::differences::{self, Block};
use measure::gate::tail::{self, TailCounts};
use measure::hlog::Hlog;
use measure::record::{CANARY, EndpointCounts, GateSlice, Outcome, Round};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use serde::Deserialize;

use crate::gate::in_two_stages;
use crate::repetitions;

/// Blocks that a bank has at least.
const BLOCKS: usize = 96;
const SIDES: Sides = Sides {
    before: "A",
    after: "B",
};

/// One block of the bank as plain numbers; swapping its sides turns the sign of all of them.
#[derive(Clone)]
struct Numbers {
    /// `d` by endpoint, the canary last.
    latency: Vec<f64>,
    cpu: f64,
    /// By endpoint.
    tails: Vec<TailCounts>,
}

impl Numbers {
    fn swapped(&self, swap: bool) -> Self {
        let sign = if swap { -1.0 } else { 1.0 };
        Self {
            latency: self.latency.iter().map(|d| sign * d).collect(),
            cpu: sign * self.cpu,
            tails: self
                .tails
                .iter()
                .map(|counts| if swap { counts.swapped() } else { *counts })
                .collect(),
        }
    }

    /// With the first endpoint of B `ratio` times as slow.
    fn slowed(mut self, ratio: f64) -> Self {
        self.latency[0] += ratio.ln();
        self
    }
}

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
    rounds.into_values().collect()
}

/// The usable blocks of the bank.
fn bank() -> Vec<Numbers> {
    let blocks = differences::blocks(&rounds(), SIDES).expect("readable");
    let usable: Vec<&Block> = blocks.iter().filter(|block| block.usable()).collect();
    let endpoints: Vec<String> = usable[0].pairs[0]
        .before
        .times
        .keys()
        .filter(|name| *name != CANARY)
        .cloned()
        .collect();
    // One limit for both sides: equal subjects have one p95.
    let limits: Vec<u64> = endpoints
        .iter()
        .map(|name| tail::limit_us(&usable, name).expect("answers"))
        .collect();
    let numbers = |block: &&Block| {
        let latency = endpoints.iter().map(String::as_str).chain([CANARY]);
        let tails = endpoints.iter().zip(&limits);
        Numbers {
            latency: latency
                .map(|name| block.latency(name).expect("both sides answered"))
                .collect(),
            cpu: block.cpu().expect("the CPU time was read"),
            tails: tails
                .map(|(name, limit_us)| TailCounts::of(block, name, *limit_us))
                .collect(),
        }
    };
    let bank: Vec<Numbers> = usable.iter().map(numbers).collect();
    assert!(
        bank.len() >= BLOCKS,
        "{} of {} blocks are usable",
        bank.len(),
        blocks.len()
    );
    bank
}

fn latency_look(blocks: &[Numbers]) -> Look {
    let row = |index: usize| blocks.iter().map(|block| block.latency[index]).collect();
    let canary = blocks[0].latency.len() - 1;
    Look {
        rows: (0..canary).map(row).collect(),
        canary: Some(row(canary)),
    }
}

fn cpu_look(blocks: &[Numbers]) -> Look {
    Look {
        rows: vec![blocks.iter().map(|block| block.cpu).collect()],
        canary: None,
    }
}

/// Which families call the run a regression: latency, CPU time, tail.
fn regressions(blocks: &[Numbers], rules: &GateRules) -> [bool; 3] {
    let (first, new) = blocks.split_at(rules.stage_blocks);
    let regressed = |look: fn(&[Numbers]) -> Look| {
        in_two_stages(&look(first), || look(new), rules)
            .iter()
            .any(|decided| decided.outcome == Outcome::Regress)
    };
    let shares: Vec<_> = (0..first[0].tails.len())
        .filter_map(|endpoint| {
            let counts: Vec<TailCounts> = first.iter().map(|block| block.tails[endpoint]).collect();
            tail::share_of(&counts)
        })
        .collect();
    let tails = tail::test(&shares.iter().collect::<Vec<_>>(), rules);
    [
        regressed(latency_look),
        regressed(cpu_look),
        tails.iter().any(|test| test.regressed),
    ]
}

/// Blocks of two stages in random order, each swapped by a coin.
fn reassigned(bank: &[Numbers], seed: u64, blocks: usize) -> Vec<Numbers> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut order: Vec<&Numbers> = bank.iter().collect();
    order.shuffle(&mut rng);
    let chosen = order.into_iter().take(blocks);
    chosen.map(|block| block.swapped(rng.random_bool(0.5))).collect()
}

/// How often each family, and any, calls a regression.
fn count(bank: &[Numbers], runs: usize, ratio: f64) -> ([usize; 3], usize) {
    let rules = GateRules::default();
    let (mut families, mut any) = ([0; 3], 0);
    for run in 0..runs {
        let blocks = reassigned(bank, run as u64 + 1, 2 * rules.stage_blocks);
        let blocks: Vec<Numbers> = blocks.into_iter().map(|block| block.slowed(ratio)).collect();
        let called = regressions(&blocks, &rules);
        any += usize::from(called.contains(&true));
        for (count, called) in families.iter_mut().zip(called) {
            *count += usize::from(called);
        }
    }
    (families, any)
}

/// At most 1 % of 2,000 re-assignments are called slower.
#[test]
fn real_noise_raises_no_alarm() {
    let (bank, runs) = (bank(), repetitions(400, 2_000));
    let ([latency, cpu, tail], any) = count(&bank, runs, 1.0);
    println!(
        "noise bank of {} blocks: {any} of {runs} re-assignments called slower (latency {latency}, CPU {cpu}, tail \
         {tail})",
        bank.len()
    );
    assert!(any <= runs / 100, "{any} of {runs}");
}

/// The same noise must not hide everything: an endpoint made half as slow again is called.
#[test]
fn a_large_slowdown_stands_out_from_real_noise() {
    let (bank, runs) = (bank(), repetitions(8, 200));
    let ([called, ..], _) = count(&bank, runs, 1.5);
    println!("noise bank, 1.5 on one endpoint: called {called} of {runs}");
    assert!(called * 10 >= runs * 9, "{called} of {runs}");
}
