//! From what the slices of a block counted to the rounds of a record.
//!
//! What belongs here: which part of a slice's counters is its slice, and adding slices up so that a summary shows them.
//! What does not: judging them (`differences`), and driving them (the command).

use crate::histogram::{HistogramError, LatencyHistogram};
use crate::merge::add_phase;
use crate::record::{
    CANARY, EndpointCounts, GateSlice, PHASE_DRAIN, PHASE_MEASURE, PHASE_WARM_UP, Phase, Round, Slice,
};
use crate::recorder::Recorded;

/// Completes `slice` with what was counted. Its driver knows the rest: position, times, and what its CPU gauges read,
/// that of the subject from before the first request of the lead to after the last answer: both ends are idle, so that
/// nothing is cut in two. `recorded` has the lead as its warm-up and the slice as its measured phase.
///
/// # Errors
/// A histogram that cannot be read: never one that was just written.
pub fn slice(
    mut slice: GateSlice,
    recorded: &Recorded,
    canary: Option<&Recorded>,
) -> Result<GateSlice, HistogramError> {
    let Some(measured) = phase(recorded, PHASE_MEASURE) else {
        return Ok(slice);
    };
    let (lead, own) = (phase(recorded, PHASE_WARM_UP).map_or(0, sent), sent(measured));
    slice.service_cpu_us = slice.service_cpu_us.map(|cpu_us| shared_out(cpu_us, own, lead + own));
    slice.endpoints = measured
        .endpoints
        .iter()
        .map(|(name, counts)| (name.clone(), response_times(counts)))
        .collect();
    if let Some(canary) = canary.and_then(|canary| phase(canary, PHASE_MEASURE)) {
        let own = canary.endpoints.values().map(response_times);
        slice.endpoints.extend(own.map(|counts| (CANARY.to_owned(), counts)));
    }
    slice.dropped = measured.arrivals.as_ref().map_or(0, |arrivals| arrivals.dropped);
    slice.lateness_p99_us = match &measured.arrivals {
        Some(arrivals) => LatencyHistogram::decode(&arrivals.lateness_hdr)?
            .quantile_us(0.99)
            .unwrap_or(0),
        None => 0,
    };
    Ok(slice)
}

fn phase<'r>(recorded: &'r Recorded, name: &str) -> Option<&'r Phase> {
    recorded.phases.iter().find(|phase| phase.name == name)
}

fn sent(phase: &Phase) -> u64 {
    phase.endpoints.values().map(EndpointCounts::sent).sum()
}

/// The part of `total` that `own` of `all` requests have.
fn shared_out(total: u64, own: u64, all: u64) -> u64 {
    let part = u128::from(total) * u128::from(own) / u128::from(all.max(1));
    u64::try_from(part).unwrap_or(u64::MAX)
}

/// The counts that are judged; service times stand in the phases of the round.
fn response_times(counts: &EndpointCounts) -> EndpointCounts {
    EndpointCounts {
        service_hdr: None,
        ..counts.clone()
    }
}

/// Everything that was sent, the leads of the slices included.
pub fn requests(slices: &[Recorded]) -> u64 {
    let phases = slices.iter().flat_map(|recorded| &recorded.phases);
    phases.map(sent).sum()
}

/// Fills in the phases and seconds of a round from its slices in their order, put end to end, so that summaries and
/// checks read it like any other round. What was in flight is not kept: each slice begins and ends with nothing.
///
/// # Errors
/// A histogram that cannot be read: never one that was just written.
pub fn put_end_to_end(round: &mut Round, slices: &[Recorded]) -> Result<(), HistogramError> {
    let mut phases: Vec<Phase> = Vec::new();
    for name in [PHASE_WARM_UP, PHASE_MEASURE, PHASE_DRAIN] {
        let parts: Vec<&Phase> = slices.iter().filter_map(|recorded| phase(recorded, name)).collect();
        phases.extend(joined(&parts, phases.last().map_or(0, |last| last.end_ms))?);
    }
    round.phases = phases;
    let mut at_ms = 0;
    for recorded in slices {
        round.slices.extend(recorded.slices.iter().map(|second| Slice {
            start_ms: at_ms + second.start_ms,
            ..second.clone()
        }));
        at_ms += phase(recorded, PHASE_MEASURE).map_or(0, length_ms);
    }
    Ok(())
}

fn length_ms(phase: &Phase) -> u64 {
    phase.end_ms.saturating_sub(phase.start_ms)
}

/// Phases of one name as one that begins at `start_ms` and is as long as all of them.
fn joined(parts: &[&Phase], start_ms: u64) -> Result<Option<Phase>, HistogramError> {
    let Some((first, others)) = parts.split_first() else {
        return Ok(None);
    };
    let mut sum = Phase {
        start_ms,
        end_ms: start_ms + parts.iter().map(|part| length_ms(part)).sum::<u64>(),
        flow: None,
        pulse: None,
        ..(*first).clone()
    };
    for part in others {
        add_phase(&mut sum, part).map_err(|(_, source)| source)?;
    }
    Ok(Some(sum))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::record::Model;
    use crate::recorder::{Request, RequestEnd, RoundRecorder, Windows};

    /// A lead of 250 ms and a slice of a second, `answers` of 2 ms each, one in five of them in the lead; the last
    /// answer comes after the end.
    fn recorded(answers: u64) -> Recorded {
        let windows = Windows::from_lengths(Duration::from_millis(250), Duration::from_secs(1));
        let recorder = RoundRecorder::new(vec!["a".to_owned()], windows)
            .with_model(Model::Open)
            .with_late_answers();
        let mut shard = recorder.shard();
        for index in 0..answers {
            let intended_us = (index + 1) * 1_250_000 / answers - 1;
            shard.arrival(intended_us);
            shard.ended(Request {
                endpoint: 0,
                intended_us,
                sent_us: intended_us + 30,
                ended_us: intended_us + 2_000,
                waited_us: 0,
                outcome: RequestEnd::Ok { bytes: 1 },
            });
        }
        recorder.finish(&[shard], 1_300_000)
    }

    fn facts(position: u32) -> GateSlice {
        GateSlice {
            position,
            start_ms: 5_250,
            length_ms: 1_000,
            service_cpu_us: Some(10_000),
            generator_cpu: 0.25,
            steal: Some(0.01),
            busy: Some(0.5),
            ..GateSlice::default()
        }
    }

    #[test]
    fn a_slice_has_its_own_requests_and_their_part_of_the_cpu_time() {
        let slice = slice(facts(3), &recorded(100), Some(&recorded(10))).unwrap();
        let a = &slice.endpoints["a"];
        assert_eq!((a.count, a.censored), (80, 0), "the last answer came late and counts");
        assert_eq!(slice.endpoints[CANARY].count, 8);
        assert_eq!((slice.position, slice.service_cpu_us), (3, Some(8_000)));
        assert_eq!(slice.lateness_p99_us, 30);
        assert!(a.service_hdr.is_none());
        assert_eq!(slice.dropped, 0);
        assert_eq!(requests(&[recorded(100), recorded(50)]), 150);
    }

    #[test]
    fn slices_add_up_to_a_round_like_any_other() {
        let mut round = Round::default();
        put_end_to_end(&mut round, &[recorded(100), recorded(50)]).unwrap();
        let measured = &round.phases[1];
        assert_eq!(
            (measured.name.as_str(), measured.start_ms, measured.end_ms),
            (PHASE_MEASURE, 500, 2_500)
        );
        assert_eq!(measured.endpoints["a"].count, 120);
        assert_eq!(measured.arrivals.as_ref().unwrap().intended, 120);
        let seconds: Vec<(u64, u64)> = round.slices.iter().map(|slice| (slice.start_ms, slice.count)).collect();
        assert_eq!(seconds, [(0, 80), (1_000, 40)]);
        let rounds = [round];
        let faults = crate::checks::of_rounds(&crate::rounds::Rounds::decode(&rounds).unwrap(), "", &[]);
        assert!(faults.iter().all(|check| check.ok), "{faults:?}");
    }

    #[test]
    fn a_block_without_slices_is_an_empty_round() {
        let mut round = Round::default();
        put_end_to_end(&mut round, &[]).unwrap();
        assert!(round.phases.is_empty() && round.slices.is_empty());
    }
}
