//! Whole gates made of histograms.

use std::collections::BTreeMap;

use super::*;
use crate::gate::order::{self, Side};
use crate::histogram::LatencyHistogram;
use crate::record::{EndpointCounts, GateSlice};
use crate::testing::{assert_close, histogram_of, record};

const SIDES: Sides = Sides {
    before: "old",
    after: "new",
};
const SEED: u64 = 5;

fn counts(times: &LatencyHistogram) -> EndpointCounts {
    EndpointCounts {
        count: times.len(),
        hdr: times.encode(),
        ..EndpointCounts::default()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times of about 10,000 us"
)]
fn times(typical_us: f64, count: u32) -> LatencyHistogram {
    histogram_of((0..count).map(|i| (typical_us * (0.8 + 0.4 * f64::from(i) / f64::from(count))) as u64))
}

fn slice(position: u32, factor: f64, noise: f64) -> GateSlice {
    let endpoints = BTreeMap::from([
        ("a".to_owned(), counts(&times(10_000.0 * factor * noise, 100))),
        ("b".to_owned(), counts(&times(20_000.0 * noise, 100))),
        (CANARY.to_owned(), counts(&times(500.0 * noise, 50))),
    ]);
    GateSlice {
        position,
        start_ms: u64::from(position) * 1250,
        length_ms: 1000,
        endpoints,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "about 100,000 us"
        )]
        service_cpu_us: Some((100_000.0 * factor) as u64),
        generator_cpu: 0.2,
        steal: Some(0.0),
        busy: None,
        lateness_p99_us: 100,
    }
}

/// One block of both subjects; endpoint `a` of the new one takes `factor` times as long and as much CPU. Noise is
/// shared by neighbouring slices and differs from block to block.
pub(crate) fn gate_block(block: u32, factor: f64) -> Vec<Round> {
    let order = order::slices(SEED, block);
    let of_side = |side: Side| {
        let own = (0..16).filter(|position| order[*position as usize] == side);
        own.map(|position| {
            let noise = 1.0 + f64::from((position / 2 * 31 + block * 17) % 13) / 40.0;
            slice(position, if side == Side::After { factor } else { 1.0 }, noise)
        })
        .collect()
    };
    [("old", Side::Before), ("new", Side::After)]
        .map(|(subject, side)| Round {
            block,
            subject: subject.to_owned(),
            gate_slices: of_side(side),
            ..Round::default()
        })
        .into()
}

/// Adds `count` requests of `us` to endpoint `a` of a slice.
pub(crate) fn pause(slice: &mut GateSlice, us: u64, count: u64) {
    let a = slice.endpoints.get_mut("a").unwrap();
    let mut times = LatencyHistogram::decode(&a.hdr).unwrap();
    (0..count).for_each(|_| times.record_us(us));
    *a = counts(&times);
}

fn rounds(blocks: u32, factor: impl Fn(u32) -> f64) -> Vec<Round> {
    (0..blocks).flat_map(|block| gate_block(block, factor(block))).collect()
}

/// A little noise of the block's own, so that nothing is infinitely sure.
fn wobble(block: u32) -> f64 {
    1.0 + f64::from(block * 7919 % 11) / 500.0 - 0.01
}

fn evaluated(rounds: &[Round]) -> Evaluation {
    evaluate(rounds, SIDES, &record().machine, &GateRules::default()).unwrap()
}

fn outcome(evaluation: &Evaluation, family: Family, endpoint: &str) -> Outcome {
    let fits = |one: &&Comparison| one.family == family && one.endpoint == endpoint;
    evaluation.comparisons.iter().find(fits).unwrap().outcome
}

#[test]
fn equal_subjects_pass_after_one_stage() {
    let evaluation = evaluated(&rounds(24, wobble));
    assert_eq!(evaluation.next, Next::Decided);
    let verdicts: Vec<_> = evaluation
        .gate
        .families
        .iter()
        .map(|family| (family.family, family.outcome))
        .collect();
    assert_eq!(
        verdicts,
        [
            (Family::LatencyP95, Outcome::Pass),
            (Family::CpuPerRequest, Outcome::Pass),
            (Family::TailShare, Outcome::Pass)
        ]
    );
    assert!(evaluation.gate.canary);
    assert!(evaluation.gate.families[0].detail.starts_with("2 not slower; MDE = "));
    assert!(evaluation.comparisons.iter().all(|one| one.endpoint != CANARY));
}

#[test]
fn a_slow_endpoint_needs_the_second_stage_to_be_convicted() {
    let one_stage = evaluated(&rounds(24, |block| 1.2 * wobble(block)));
    assert_eq!(one_stage.next, Next::Blocks(24));
    assert_eq!(outcome(&one_stage, Family::LatencyP95, "a"), Outcome::Inconclusive);
    let both = evaluated(&rounds(48, |block| 1.2 * wobble(block)));
    assert_eq!(both.next, Next::Decided);
    assert_eq!(outcome(&both, Family::LatencyP95, "a"), Outcome::Regress);
    assert_eq!(outcome(&both, Family::LatencyP95, "b"), Outcome::Pass);
    assert_eq!(outcome(&both, Family::CpuPerRequest, ALL_ENDPOINTS), Outcome::Regress);
    assert_eq!(both.gate.families[0].outcome, Outcome::Regress);
    let a = &both.comparisons[0];
    assert_eq!((a.endpoint.as_str(), a.blocks), ("a", 24), "the new blocks decided");
    assert_close(a.ratio, 1.2, 0.02);
}

/// The rounds with two requests left in each slice, far apart: one as long as its median and one of ten times that.
fn thinned(mut rounds: Vec<Round>) -> Vec<Round> {
    let slices = rounds.iter_mut().flat_map(|round| &mut round.gate_slices);
    for counted in slices.flat_map(|slice| slice.endpoints.values_mut()) {
        let times = LatencyHistogram::decode(&counted.hdr).unwrap();
        let median_us = times.quantile_us(0.5).unwrap();
        *counted = counts(&histogram_of([median_us, 10 * median_us]));
    }
    rounds
}

/// Few requests leave much undecided, which is then said to be for want of them; a large slowdown stands out all the
/// same.
#[test]
fn few_requests_do_not_hide_a_large_slowdown() {
    let slow = |blocks| thinned(rounds(blocks, |block| 3.0 * wobble(block)));
    let evaluation = evaluated(&slow(24));
    assert_eq!(evaluation.next, Next::Blocks(24));
    assert_eq!(outcome(&evaluation, Family::LatencyP95, "a"), Outcome::InsufficientData);
    let evaluation = evaluated(&slow(48));
    assert_eq!(outcome(&evaluation, Family::LatencyP95, "a"), Outcome::Regress);
    assert_eq!(
        outcome(&evaluation, Family::LatencyP95, "b"),
        Outcome::Pass,
        "its blocks agree"
    );
}

#[test]
fn unfinished_stages_ask_for_their_blocks() {
    assert_eq!(evaluated(&rounds(10, wobble)).next, Next::Blocks(14));
    assert_eq!(
        evaluated(&rounds(30, |block| 1.2 * wobble(block))).next,
        Next::Blocks(18)
    );
    assert_eq!(evaluated(&[]).next, Next::Blocks(24));
}

#[test]
fn a_spoilt_block_is_run_again_and_said() {
    let mut spoilt = rounds(25, wobble);
    for slice in &mut spoilt[0].gate_slices {
        slice.generator_cpu = 0.95;
    }
    let evaluation = evaluated(&spoilt);
    assert_eq!(
        (
            evaluation.gate.stage1_blocks,
            evaluation.gate.repeated_blocks,
            evaluation.next
        ),
        (24, 1, Next::Decided)
    );
}

#[test]
fn a_rare_pause_fails_the_tail_alone() {
    let mut paused = rounds(24, wobble);
    for round in paused.iter_mut().filter(|round| round.subject == "new") {
        pause(&mut round.gate_slices[3], 200_000, 2);
    }
    let evaluation = evaluated(&paused);
    assert_eq!(outcome(&evaluation, Family::LatencyP95, "a"), Outcome::Pass);
    assert_eq!(outcome(&evaluation, Family::TailShare, "a"), Outcome::Regress);
    assert_eq!(outcome(&evaluation, Family::TailShare, "b"), Outcome::Pass);
}

#[test]
fn missing_endpoints_zero_requests_and_errors_alone_are_insufficient_data() {
    let mut odd = rounds(24, wobble);
    for round in &mut odd {
        for slice in &mut round.gate_slices {
            let b = slice.endpoints.get_mut("b").unwrap();
            let none = counts(&LatencyHistogram::new());
            *b = EndpointCounts {
                errors: b.count,
                ..none.clone()
            };
            if round.subject == "new" {
                slice.endpoints.remove("a");
                slice.endpoints.insert("c".to_owned(), none);
            }
        }
    }
    let evaluation = evaluated(&odd);
    for endpoint in ["a", "b", "c"] {
        assert_eq!(
            outcome(&evaluation, Family::LatencyP95, endpoint),
            Outcome::InsufficientData,
            "{endpoint}"
        );
    }
    assert_eq!(evaluation.gate.families[0].outcome, Outcome::Inconclusive);
    assert!(evaluation.gate.families[0].detail.starts_with("3 with too little data"));
}

#[test]
fn one_block_judges_nothing_and_loses_nothing() {
    let evaluation = evaluated(&rounds(1, wobble));
    assert!(
        evaluation
            .comparisons
            .iter()
            .all(|one| one.outcome != Outcome::Pass && one.outcome != Outcome::Regress)
    );
    assert_eq!((evaluation.gate.stage1_blocks, evaluation.next), (1, Next::Blocks(23)));
}

#[test]
fn an_oversubscribed_host_is_said_to_be_one() {
    assert_eq!(evaluated(&rounds(5, wobble)).gate.oversubscribed, None);
    let mut busy = rounds(5, wobble);
    for slice in busy.iter_mut().flat_map(|round| &mut round.gate_slices) {
        slice.service_cpu_us = Some(1_600_000);
    }
    let text = evaluated(&busy).gate.oversubscribed.unwrap();
    assert!(text.starts_with("90 % of the cores were in use"), "{text}");
    for slice in busy.iter_mut().flat_map(|round| &mut round.gate_slices) {
        slice.busy = Some(0.5);
    }
    assert_eq!(
        evaluated(&busy).gate.oversubscribed,
        None,
        "what the kernel counts is the whole"
    );
    let mut stolen = rounds(5, wobble);
    for slice in stolen.iter_mut().flat_map(|round| &mut round.gate_slices) {
        slice.steal = Some(0.12);
    }
    assert!(
        evaluated(&stolen)
            .gate
            .oversubscribed
            .unwrap()
            .contains("12 % of the time was taken")
    );
}

#[test]
fn the_same_rounds_give_the_same_evaluation() {
    let data = rounds(26, |block| 1.04 * wobble(block));
    assert_eq!(evaluated(&data), evaluated(&data));
}
