//! Whole gates made of histograms.

use std::collections::BTreeMap;

use super::*;
use crate::gate::order::{self, Side};
use crate::histogram::LatencyHistogram;
use crate::record::{EndpointCounts, GateSlice, ResidentCpu};
use crate::testing::{assert_close, histogram_of, record};

pub(crate) const SIDES: Sides = Sides {
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
        dropped: 0,
        failed_as_ms: Some(2_000),
    }
}

/// 800 us for each request times `factor`, idle while the other one is loaded.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "about a second")]
fn resident(factor: f64) -> ResidentCpu {
    ResidentCpu {
        cpu_us: (1_600_000.0 * factor) as u64,
        requests: 2_000,
        idle_us: 40_000,
        idle_ms: 10_000,
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
            resident_cpu: Some(resident(if side == Side::After { factor } else { 1.0 })),
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

/// Outcomes of the families, in order.
fn families(evaluation: &Evaluation) -> Vec<(Family, Outcome)> {
    let families = evaluation.gate.families.iter();
    families.map(|family| (family.family, family.outcome)).collect()
}

fn all_pass() -> Vec<(Family, Outcome)> {
    FAMILIES.map(|family| (family, Outcome::Pass)).to_vec()
}

/// The slices of the judged subject, changed.
fn changed(mut rounds: Vec<Round>, change: impl Fn(u32, &mut GateSlice)) -> Vec<Round> {
    for round in rounds.iter_mut().filter(|round| round.subject == "new") {
        let block = round.block;
        round.gate_slices.iter_mut().for_each(|slice| change(block, slice));
    }
    rounds
}

#[test]
fn equal_subjects_pass_after_one_stage() {
    let evaluation = evaluated(&rounds(24, wobble));
    assert_eq!(evaluation.next, Next::Decided);
    assert_eq!(families(&evaluation), all_pass());
    assert!(evaluation.gate.canary && evaluation.gate.notes.is_empty());
    assert_eq!(evaluation.gate.canary_row.as_ref().unwrap().outcome, Outcome::Pass);
    let detail = &evaluation.gate.families[0].detail;
    assert!(
        detail.starts_with("2 not worse; ") && detail.ends_with(" would have failed"),
        "{detail}"
    );
    assert!(evaluation.comparisons.iter().all(|one| one.endpoint != CANARY));
    let promise = promise(&evaluation.gate).unwrap();
    for family in FAMILIES {
        assert!(promise.contains(family.title()), "{promise}");
    }
}

#[test]
fn a_slow_endpoint_needs_the_second_stage_to_be_convicted() {
    let one_stage = evaluated(&rounds(24, |block| 1.2 * wobble(block)));
    assert_eq!(one_stage.next, Next::Blocks(24));
    assert_eq!(outcome(&one_stage, Family::LatencyP95, "a"), Outcome::Inconclusive);
    let both = evaluated(&rounds(48, |block| 1.2 * wobble(block)));
    assert_eq!(both.next, Next::Decided);
    for family in [Family::LatencyP95, Family::LatencyP50] {
        assert_eq!(outcome(&both, family, "a"), Outcome::Regress);
        assert_eq!(outcome(&both, family, "b"), Outcome::Pass);
    }
    assert_eq!(outcome(&both, Family::CpuPerRequest, ALL_ENDPOINTS), Outcome::Regress);
    assert_eq!(both.gate.families[0].outcome, Outcome::Regress);
    let a = &both.comparisons[0];
    assert_eq!((a.endpoint.as_str(), a.blocks), ("a", 24), "the new blocks decided");
    assert_close(a.ratio, 1.2, 0.02);
}

fn fail(slice: &mut GateSlice, part: u64) {
    for counts in slice.endpoints.iter_mut().filter(|(name, _)| *name != CANARY) {
        counts.1.censored = counts.1.count / part;
    }
}

/// B never answers 30 % (row 1 of the review: PASS). Failing is slow, and a family of its own.
#[test]
fn requests_without_an_answer_regress() {
    let hanging = changed(rounds(48, wobble), |_, slice| fail(slice, 2));
    let evaluation = evaluated(&hanging);
    for family in [
        Family::LatencyP95,
        Family::TailShare,
        Family::SlowShare,
        Family::FailedShare,
    ] {
        assert_eq!(outcome(&evaluation, family, "a"), Outcome::Regress, "{family}");
    }
    assert_eq!(
        outcome(&evaluation, Family::FailedShare, ALL_ENDPOINTS),
        Outcome::Regress
    );
}

/// 1 % of one endpoint fails, spread over its slices: no percentile moves.
#[test]
fn few_failures_of_one_endpoint_regress() {
    let failing = changed(rounds(48, wobble), |_, slice| {
        slice.endpoints.get_mut("a").unwrap().errors = 1;
    });
    let evaluation = evaluated(&failing);
    assert_eq!(outcome(&evaluation, Family::LatencyP95, "a"), Outcome::Pass);
    assert_eq!(outcome(&evaluation, Family::FailedShare, "a"), Outcome::Regress);
    assert_eq!(outcome(&evaluation, Family::FailedShare, "b"), Outcome::Pass);
}

/// B answers 500 at once to the slow part of an endpoint (row 2: "0.07 times", on the way to IMPROVED).
#[test]
fn failing_fast_improves_nothing() {
    let cheating = changed(rounds(48, wobble), |_, slice| {
        let a = slice.endpoints.get_mut("a").unwrap();
        let fast = counts(&times(700.0, 88));
        *a = EndpointCounts { errors: 12, ..fast };
    });
    let evaluation = evaluated(&cheating);
    assert_eq!(outcome(&evaluation, Family::LatencyP95, "a"), Outcome::Regress);
    assert_eq!(outcome(&evaluation, Family::FailedShare, "a"), Outcome::Regress);
}

/// All connections of B are stuck: arrivals find none.
#[test]
fn arrivals_that_the_subject_kept_out_failed() {
    let stuck = changed(rounds(48, wobble), |_, slice| slice.dropped = 100);
    let evaluation = evaluated(&stuck);
    assert_eq!(outcome(&evaluation, Family::FailedShare, "a"), Outcome::Regress);
    assert_eq!(outcome(&evaluation, Family::LatencyP95, "b"), Outcome::Regress);
}

/// Hits take 1.2 ms instead of .3, and the p95 is that of the misses (row 6: PASS).
#[test]
fn a_median_that_moves_regresses() {
    let hits_and_misses = |hit_us: u64, noise: u64| {
        let times = (0..88)
            .map(|i| hit_us + i + noise)
            .chain((0..12).map(|i| 9_000 + 10 * i + noise));
        counts(&histogram_of(times))
    };
    let mut shifted = rounds(48, wobble);
    for round in &mut shifted {
        let hit_us = if round.subject == "new" { 1_200 } else { 300 };
        for slice in &mut round.gate_slices {
            let noise = u64::from((round.block * 31 + slice.position * 17) % 11);
            slice.endpoints.insert("a".to_owned(), hits_and_misses(hit_us, noise));
        }
    }
    let evaluation = evaluated(&shifted);
    assert_eq!(outcome(&evaluation, Family::LatencyP95, "a"), Outcome::Pass);
    assert_eq!(outcome(&evaluation, Family::LatencyP50, "a"), Outcome::Regress);
}

/// B is three times slower in two of its eight slices, which trimming leaves out (row 7: 1.014, PASS).
#[test]
fn a_slow_quarter_regresses() {
    let slow = changed(rounds(48, wobble), |block, slice| {
        if slice.position / 2 % 4 == block % 4 {
            slice.endpoints.insert("a".to_owned(), counts(&times(30_000.0, 100)));
        }
    });
    let evaluation = evaluated(&slow);
    assert_eq!(outcome(&evaluation, Family::LatencyP95, "a"), Outcome::Pass);
    assert_eq!(outcome(&evaluation, Family::SlowShare, "a"), Outcome::Regress);
    assert_eq!(outcome(&evaluation, Family::SlowShare, "b"), Outcome::Pass);
}

/// The pauses of B make the generator late, and exactly those pairs are dropped (row 9: PASS).
#[test]
fn a_side_that_makes_the_generator_late_cannot_pass() {
    let late = changed(rounds(24, wobble), |block, slice| {
        if slice.position / 2 % 4 == block % 4 {
            slice.lateness_p99_us = 40_000;
        }
    });
    let evaluation = evaluated(&late);
    assert_eq!(evaluation.gate.stage1_lateness_ms, Some(1));
    assert_eq!(evaluation.gate.dropped_slices, [0, 48]);
    assert!(
        families(&evaluation)
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::Inconclusive)
    );
    assert!(
        evaluation.gate.notes[0].contains("of new"),
        "{:?}",
        evaluation.gate.notes
    );

    let both_late = |block: u32| if block.is_multiple_of(2) { "new" } else { "old" };
    let mut fair = rounds(24, wobble);
    for round in fair.iter_mut().filter(|round| round.subject == both_late(round.block)) {
        round.gate_slices[1].lateness_p99_us = 40_000;
    }
    assert_eq!(families(&evaluated(&fair)), all_pass());
}

/// Half of all slices are late: the limit gives way, no block is lost for it, and the record says so.
#[test]
fn lateness_of_both_sides_is_noise() {
    let mut late = rounds(24, wobble);
    for round in &mut late {
        for slice in &mut round.gate_slices {
            slice.lateness_p99_us = u64::from((slice.position * 7 + round.block * 3) % 4) * 900;
        }
    }
    let evaluation = evaluated(&late);
    assert_eq!(
        (evaluation.next, evaluation.gate.stage1_lateness_ms),
        (Next::Decided, Some(3))
    );
    assert_eq!(families(&evaluation), all_pass());
}

/// CPU time that nobody read is not passed (row 10: the family vanished).
#[test]
fn cpu_time_that_was_not_read_does_not_pass() {
    let mut unread = rounds(24, wobble);
    for round in &mut unread {
        round.resident_cpu = None;
    }
    let evaluation = evaluated(&unread);
    assert_eq!(evaluation.next, Next::Decided, "no block would change it");
    let cpu = &evaluation.gate.families[2];
    assert_eq!(
        (cpu.family, cpu.outcome),
        (Family::CpuPerRequest, Outcome::Inconclusive)
    );
    assert!(cpu.detail.contains("was not read"), "{}", cpu.detail);
    assert_eq!(
        evaluation
            .comparisons
            .iter()
            .filter(|one| one.family == Family::CpuPerRequest)
            .count(),
        1
    );
}

/// B does a part of its work while A is loaded (row 10: judged .98).
#[test]
fn work_that_is_put_off_is_named_and_decides_nothing_about_times() {
    let busy = |subject: &str, idle_us| {
        let mut rounds = rounds(24, wobble);
        for round in rounds.iter_mut().filter(|round| round.subject == subject) {
            round.resident_cpu.as_mut().unwrap().idle_us = idle_us;
        }
        evaluated(&rounds)
    };
    let latencies = |evaluation: &Evaluation| -> Vec<Outcome> {
        let latency = evaluation
            .gate
            .families
            .iter()
            .filter(|family| family.family.is_latency());
        latency.map(|family| family.outcome).collect()
    };
    let put_off = busy("new", 1_500_000);
    assert_eq!(latencies(&put_off), [Outcome::Inconclusive; 4]);
    assert!(
        put_off.gate.notes[0].starts_with("new used 15 % of a core"),
        "{:?}",
        put_off.gate.notes
    );
    let a_little = busy("new", 350_000);
    assert_eq!(
        (latencies(&a_little), a_little.gate.notes.len()),
        (vec![Outcome::Pass; 4], 1)
    );

    // A that works beside B slows it down: that is no regression of B. B that works beside A is no excuse.
    for (subject, expected) in [("old", Outcome::Inconclusive), ("new", Outcome::Regress)] {
        let mut slow = rounds(48, |block| 1.3 * wobble(block));
        for round in slow.iter_mut().filter(|round| round.subject == subject) {
            round.resident_cpu.as_mut().unwrap().idle_us = 1_500_000;
        }
        assert_eq!(
            outcome(&evaluated(&slow), Family::LatencyP95, "a"),
            expected,
            "{subject}"
        );
    }
}

/// B burns the cores that it shares with the canary.
#[test]
fn a_side_that_slows_the_canary_is_said_to() {
    let burning = changed(rounds(24, wobble), |_, slice| {
        slice.endpoints.insert(CANARY.to_owned(), counts(&times(700.0, 50)));
    });
    let evaluation = evaluated(&burning);
    let row = evaluation.gate.canary_row.as_ref().unwrap();
    assert_eq!((row.endpoint.as_str(), row.outcome), (CANARY, Outcome::Inconclusive));
    assert!(
        evaluation.gate.notes[0].starts_with("new makes the machine slower: "),
        "{:?}",
        evaluation.gate.notes
    );
}

/// Seven blocks are too few for the strictest levels: never PASS.
#[test]
fn a_family_out_of_reach_does_not_pass() {
    let rules = GateRules {
        stage_blocks: 7,
        ..GateRules::default()
    };
    let evaluation = evaluate(&rounds(7, wobble), SIDES, &record().machine, &rules).unwrap();
    let outcomes = families(&evaluation);
    assert_eq!(outcomes[0], (Family::LatencyP95, Outcome::Pass));
    for family in [Family::SlowShare, Family::TailShare, Family::FailedShare] {
        assert!(outcomes.contains(&(family, Outcome::Inconclusive)), "{outcomes:?}");
    }
    assert!(evaluation.gate.families[4].detail.starts_with("7 blocks are too few"));
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
    let nothing = evaluated(&[]);
    assert_eq!(nothing.next, Next::Blocks(24));
    assert!(
        families(&nothing)
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::Inconclusive)
    );
}

#[test]
fn a_block_of_a_saturated_generator_is_run_again_and_said() {
    let mut spoilt = rounds(25, wobble);
    for slice in &mut spoilt[0].gate_slices {
        slice.generator_cpu = 0.95;
    }
    let evaluation = evaluated(&spoilt);
    assert_eq!(
        (
            evaluation.gate.stage1_blocks,
            evaluation.gate.repeated_blocks,
            evaluation.next,
            evaluation.enough
        ),
        (24, 1, Next::Decided, true)
    );
}

/// A gate ends, and near the time that it announced.
#[test]
fn blocks_are_run_again_half_as_often_as_planned() {
    let saturated = |blocks| {
        let mut rounds = rounds(blocks, wobble);
        let slices = rounds.iter_mut().flat_map(|round| &mut round.gate_slices);
        slices.for_each(|slice| slice.generator_cpu = 0.95);
        evaluated(&rounds)
    };
    assert_eq!(saturated(24).next, Next::Blocks(12));
    assert_eq!((saturated(36).next, saturated(36).enough), (Next::Decided, false));
}

#[test]
fn a_rare_pause_fails_the_tail_alone() {
    let paused = |both: bool| {
        let mut rounds = rounds(48, wobble);
        // In two of three blocks one slice stalls: 2 of its 800 requests.
        for round in rounds.iter_mut().filter(|round| both || round.subject == "new") {
            if round.block % 3 != 0 {
                pause(&mut round.gate_slices[3], 200_000, 2);
            }
        }
        evaluated(&rounds)
    };
    assert_eq!(
        outcome(&paused(true), Family::TailShare, "a"),
        Outcome::Pass,
        "both pause"
    );
    let evaluation = paused(false);
    assert_eq!(outcome(&evaluation, Family::LatencyP95, "a"), Outcome::Pass);
    assert_eq!(outcome(&evaluation, Family::TailShare, "a"), Outcome::Regress);
    assert_eq!(outcome(&evaluation, Family::TailShare, "b"), Outcome::Pass);
}

#[test]
fn an_endpoint_that_one_side_was_not_asked_for_is_insufficient_data() {
    let mut odd = rounds(24, wobble);
    for round in odd.iter_mut().filter(|round| round.subject == "new") {
        for slice in &mut round.gate_slices {
            slice.endpoints.remove("a");
            slice.endpoints.insert("c".to_owned(), counts(&LatencyHistogram::new()));
        }
    }
    let evaluation = evaluated(&odd);
    for endpoint in ["a", "c"] {
        assert_eq!(
            outcome(&evaluation, Family::LatencyP95, endpoint),
            Outcome::InsufficientData,
            "{endpoint}"
        );
    }
    assert_eq!(evaluation.gate.families[0].outcome, Outcome::Inconclusive);
    assert!(
        evaluation.gate.families[0]
            .detail
            .starts_with("2 with too little data, 1 not worse")
    );
}

/// Both sides fail everything: nothing is slower, and nothing is known of how long answers take.
#[test]
fn two_sides_that_fail_alike_differ_in_nothing() {
    let mut broken = rounds(24, wobble);
    for slice in broken.iter_mut().flat_map(|round| &mut round.gate_slices) {
        let b = slice.endpoints.get_mut("b").unwrap();
        *b = EndpointCounts {
            errors: b.count,
            ..counts(&LatencyHistogram::new())
        };
    }
    let evaluation = evaluated(&broken);
    assert_ne!(outcome(&evaluation, Family::LatencyP95, "b"), Outcome::Regress);
    assert_eq!(outcome(&evaluation, Family::FailedShare, "b"), Outcome::Pass);
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
    assert!(!evaluation.enough);
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
