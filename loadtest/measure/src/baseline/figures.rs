//! The figures of one side, on the logarithmic scale: per block, and of whole runs.

use std::collections::{BTreeMap, BTreeSet};

use super::BaselineRules;
use crate::metrics;
use crate::percentile;
use crate::record::ALL_ENDPOINTS;
use crate::rounds::{Measured, MeasuredRound};
use crate::stats::average;

/// The measured blocks of one subject of one record.
pub(super) struct Figures<'a> {
    pub(super) rounds: &'a [MeasuredRound<'a>],
    /// Answers by endpoint.
    answers: BTreeMap<String, u64>,
}

/// One figure of both sides, as logarithms.
pub(super) struct Series {
    /// Endpoint name, or `all`.
    pub(super) endpoint: String,
    /// Of every block of every baseline.
    pub(super) before_blocks: Vec<f64>,
    /// Of every block of the record.
    pub(super) after_blocks: Vec<f64>,
    /// Of every baseline as a whole.
    pub(super) before_runs: Vec<f64>,
    /// Of the record as a whole.
    pub(super) after_run: Option<f64>,
    /// Whether every block of both sides had a value, of enough answers.
    pub(super) enough: bool,
}

impl<'a> Figures<'a> {
    pub(super) fn of(rounds: &'a [MeasuredRound<'a>]) -> Self {
        let mut answers = BTreeMap::new();
        for (name, counted) in rounds.iter().flat_map(|round| &round.endpoints) {
            *answers.entry(name.clone()).or_default() += counted.latency.len();
        }
        Self { rounds, answers }
    }

    /// Endpoints that answered here and not there.
    pub(super) fn missing_from<'s>(&'s self, other: &Figures) -> Vec<&'s str> {
        let answered = |(_, answers): &(&String, &u64)| **answers > 0;
        let here = self.answers.iter().filter(answered);
        here.filter(|(name, _)| other.answers.get(*name).is_none_or(|answers| *answers == 0))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// ln p95 of each block, failures being slower than any answer; `None` where one has too few requests.
    fn latency_by_block(&self, endpoint: &str, rules: &BaselineRules) -> Option<Vec<f64>> {
        let of = |round: &MeasuredRound| {
            let times = round.endpoints.get(endpoint)?.judged();
            let enough = times.len() >= rules.min_requests;
            times
                .quantile_us(0.95)
                .filter(|_| enough)
                .and_then(|us| logarithm(us as f64))
        };
        self.rounds.iter().map(of).collect()
    }

    /// ln p95 of all blocks together.
    fn latency_of_run(&self, endpoint: &str) -> Option<f64> {
        let times = self.rounds.iter().filter_map(|round| round.endpoints.get(endpoint));
        let judged: Vec<_> = times.map(Measured::judged).collect();
        let merged = percentile::merged(judged.iter().map(|times| &**times));
        logarithm(merged.quantile_us(0.95)? as f64)
    }

    fn cpu_by_block(&self) -> Option<Vec<f64>> {
        let of = |round: &MeasuredRound| {
            round
                .metric(metrics::SERVICE_CPU_US_PER_REQUEST.name())
                .and_then(logarithm)
        };
        self.rounds.iter().map(of).collect()
    }
}

fn logarithm(value: f64) -> Option<f64> {
    (value > 0.0 && value.is_finite()).then(|| value.ln())
}

/// One series per endpoint of either side, and one for the whole mix.
pub(super) fn latency(before: &[Figures], after: &Figures, rules: &BaselineRules) -> Vec<Series> {
    let sides = before.iter().chain([after]);
    let names: BTreeSet<&String> = sides.flat_map(|side| side.answers.keys()).collect();
    names
        .into_iter()
        .map(|name| {
            series(
                name,
                before.iter().map(|run| run.latency_by_block(name, rules)).collect(),
                after.latency_by_block(name, rules),
                before.iter().map(|run| run.latency_of_run(name)).collect(),
                after.latency_of_run(name),
            )
        })
        .collect()
}

/// The whole mix; nothing where the CPU time of either side was never read.
pub(super) fn cpu(before: &[Figures], after: &Figures) -> Vec<Series> {
    let of_run = |run: &Figures| {
        let blocks = run.cpu_by_block().filter(|blocks| !blocks.is_empty())?;
        Some(average(&blocks))
    };
    let runs: Option<Vec<f64>> = before.iter().map(of_run).collect();
    if runs.is_none() || of_run(after).is_none() {
        return vec![];
    }
    vec![series(
        ALL_ENDPOINTS,
        before.iter().map(Figures::cpu_by_block).collect(),
        after.cpu_by_block(),
        runs,
        of_run(after),
    )]
}

fn series(
    endpoint: &str,
    before_blocks: Option<Vec<Vec<f64>>>,
    after_blocks: Option<Vec<f64>>,
    before_runs: Option<Vec<f64>>,
    after_run: Option<f64>,
) -> Series {
    let enough = before_blocks.is_some() && after_blocks.is_some();
    Series {
        endpoint: endpoint.to_owned(),
        before_blocks: before_blocks.unwrap_or_default().concat(),
        after_blocks: after_blocks.unwrap_or_default(),
        before_runs: before_runs.unwrap_or_default(),
        after_run,
        enough,
    }
}
