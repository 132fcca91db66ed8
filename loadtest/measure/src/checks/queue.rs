//! Did requests pile up (STATISTICS section 4)? A growing queue has no steady latency.

use std::ops::Range;

use super::worst::Shown;
use crate::figures::{figure, percent};
use crate::record::{PULSE_STEP_MS, Pulse, RateStretch};
use crate::rounds::MeasuredRound;

/// Steps of the pulse whose median is the number in flight at a moment: half a second, so that a single hiccup does not
/// count.
const STEPS_OF_A_MOMENT: usize = 5;
/// A phase with a changing rate is looked at in at least so many parts: what piles up in one is not made up for by the
/// others.
const PARTS: f64 = 4.0;
/// Share of what arrives that may pile up while the rate changes, as much as a rate that is held may be off by.
const PILED_UP: f64 = 0.02;

/// With a rate that stays, in flight at the end against the start; with one that changes, the requests that piled up in
/// each part of the phase.
pub(super) fn queue(round: &MeasuredRound, stretches: &[RateStretch]) -> Option<Shown> {
    match (&round.phase.pulse, stretches) {
        (_, []) => since_the_start(round),
        (Some(pulse), _) => while_the_rate_changes(round, pulse, stretches),
        (None, _) => None,
    }
}

/// Of a stable system the numbers at both ends are Poisson with the mean N, so the difference has a standard deviation
/// of sqrt(2 N); three of them, N taken as 1 where it is less, are exceeded by chance in 1 of 270 rounds or fewer. A
/// burst at the last moment is no growing queue: the end is the less of that moment and the half second before it.
fn since_the_start(round: &MeasuredRound) -> Option<Shown> {
    let flow = round.phase.flow?;
    let before_the_end = round
        .phase
        .pulse
        .as_ref()
        .and_then(|pulse| last_moment(&pulse.in_flight_us));
    let at_end = before_the_end.map_or(flow.at_end as f64, |before| before.min(flow.at_end as f64));
    let allowed = flow.at_start as f64 + noise(round.mean_in_flight().unwrap_or(0.0));
    Some(Shown {
        value: at_end,
        allowed,
        detail: format!(
            "{} in flight at the start, {} at the end, allowed {}",
            flow.at_start,
            figure(at_end),
            figure(allowed)
        ),
    })
}

/// The number in flight follows the rate, and the response time does too: more at the end than at the start is as it
/// should be. Requests pile up when they arrive and are not answered, so they are held against the arrivals of each
/// part.
fn while_the_rate_changes(round: &MeasuredRound, pulse: &Pulse, stretches: &[RateStretch]) -> Option<Shown> {
    let longest_s = round.seconds / PARTS;
    let parts = stretches.iter().flat_map(|stretch| cut(*stretch, longest_s));
    let shown = parts.filter_map(|(from_s, to_s)| piled_up(pulse, from_s, to_s));
    shown.max_by(|one, other| (one.value - one.allowed).total_cmp(&(other.value - other.allowed)))
}

/// Parts of a stretch, none longer than `longest_s`.
fn cut(stretch: RateStretch, longest_s: f64) -> impl Iterator<Item = (f64, f64)> {
    let RateStretch { from_s, to_s, .. } = stretch;
    let parts = ((to_s - from_s) / longest_s).ceil().max(1.0);
    let step_s = (to_s - from_s) / parts;
    let starts = (0_u32..).map(f64::from).take_while(move |index| *index < parts);
    starts.map(move |index| (from_s + index * step_s, from_s + (index + 1.0) * step_s))
}

/// `None` where the part is too short to tell its end from its start.
fn piled_up(pulse: &Pulse, from_s: f64, to_s: f64) -> Option<Shown> {
    let steps = clip(&steps_of(from_s, to_s), pulse.in_flight_us.len());
    let in_flight = &pulse.in_flight_us[steps.clone()];
    if in_flight.len() < 2 * STEPS_OF_A_MOMENT {
        return None;
    }
    let answered: u64 = pulse.answers[steps].iter().sum();
    let (start, end) = (first_moment(in_flight)?, last_moment(in_flight)?);
    let mean = in_flight.iter().sum::<u64>() as f64 / in_flight.len() as f64 / STEP_US;
    let (value, allowed) = ((end - start).max(0.0), PILED_UP * answered as f64 + noise(mean));
    Some(Shown {
        value,
        allowed,
        detail: format!(
            "in flight {} at {} s and {} at {} s of the phase: {} more, allowed {} ({} of {answered} answers, and \
             chance)",
            figure(start),
            figure(from_s),
            figure(end),
            figure(to_s),
            figure(value),
            figure(allowed),
            percent(PILED_UP),
        ),
    })
}

/// Three standard deviations of the difference of two Poisson numbers.
fn noise(mean: f64) -> f64 {
    3.0 * (2.0 * mean.max(1.0)).sqrt()
}

const STEP_US: f64 = PULSE_STEP_MS as f64 * 1000.0;

fn first_moment(in_flight_us: &[u64]) -> Option<f64> {
    in_flight_us.get(..STEPS_OF_A_MOMENT).map(median)
}

fn last_moment(in_flight_us: &[u64]) -> Option<f64> {
    let from = in_flight_us.len().checked_sub(STEPS_OF_A_MOMENT)?;
    Some(median(&in_flight_us[from..]))
}

/// Median number in flight over steps of the pulse.
fn median(in_flight_us: &[u64]) -> f64 {
    let mut sorted = in_flight_us.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2] as f64 / STEP_US
}

/// The steps of a pulse that lie wholly within a time of the phase.
fn steps_of(from_s: f64, to_s: f64) -> Range<usize> {
    let step = |at_s: f64| at_s * 1000.0 / PULSE_STEP_MS as f64;
    whole(step(from_s).ceil())..whole(step(to_s).floor())
}

/// The part of `steps` that there is.
fn clip(steps: &Range<usize>, there: usize) -> Range<usize> {
    let end = steps.end.min(there);
    steps.start.min(end)..end
}

/// The steps of a phase that lie within a stretch of its rate.
pub(super) fn part_of(pulse: &Pulse, stretch: RateStretch) -> Pulse {
    let within = steps_of(stretch.from_s, stretch.to_s);
    let cut = |values: &[u64]| values.get(clip(&within, values.len())).unwrap_or_default().to_vec();
    Pulse {
        answers: cut(&pulse.answers),
        response_us: cut(&pulse.response_us),
        in_flight_us: cut(&pulse.in_flight_us),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "tenths of seconds of a phase: whole, not negative, and a cast saturates"
)]
fn whole(steps: f64) -> usize {
    steps as usize
}
