//! One probe over time: every launch drawn over the others, on the clock of its load.

use measure::record::{PHASE_MEASURE, Round, Series};

use super::Figure;
use super::canvas::{self, Align, Canvas, Drawn, Lettering, Point, fit};
use super::scale::Scale;
use super::theme::Ink;
use crate::ReportError;
use crate::view::View;
use measure::figures::{self, Unit};
use measure::metrics;

/// Size of the plot and of its margins; pixels.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 190.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 38.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;

/// One launch.
struct Trace<'a> {
    number: usize,
    round: &'a Round,
    series: &'a Series,
}

/// The plot of one metric; none where it has no positive value. `index` makes its identifier unique.
pub(crate) fn probe_over_time(view: View<'_>, metric: &str, index: usize) -> Result<Option<String>, ReportError> {
    let traces = traces(view, metric);
    let described = metrics::describe(metric);
    let (title, unit) = (described.title(), described.unit);
    let values: Vec<f64> = traces.iter().flat_map(|trace| &trace.series.values).copied().collect();
    let Some(y) = Scale::covering(&values, (HEIGHT - BOTTOM, TOP), 5) else {
        return Ok(None);
    };
    let figure = Figure {
        id: format!("probe-{index}"),
        class: "chart curve".to_owned(),
        title: format!("{title} over time"),
        description: describe(&traces),
    };
    let x = time_axis(&traces);
    canvas::draw(&figure, (WIDTH, HEIGHT), |canvas| {
        paint_frame(canvas, title, unit, (&x, &y))?;
        paint_start(canvas, &traces, &x)?;
        traces.iter().try_for_each(|trace| paint_trace(canvas, trace, &x, &y))
    })
    .map(Some)
}

fn traces<'a>(view: View<'a>, metric: &str) -> Vec<Trace<'a>> {
    let of_round = |round: &'a Round| {
        let (number, _) = view.numbered().find(|(_, subject)| subject.name == round.subject)?;
        let series = round.series.iter().find(|series| series.metric == metric)?;
        Some(Trace { number, round, series })
    };
    view.record.rounds.iter().filter_map(of_round).collect()
}

/// Seconds since the round's start.
fn time_axis(traces: &[Trace<'_>]) -> Scale {
    let last_ms = traces.iter().filter_map(|trace| trace.series.at_ms.last()).max();
    let end_s = (last_ms.copied().unwrap_or(1000) as f64 / 1000.0).max(1.0);
    let step_s = [1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0]
        .into_iter()
        .find(|step| end_s / step <= 8.0)
        .unwrap_or(end_s);
    let ticks = (0..=8)
        .map(|tick| f64::from(tick) * step_s)
        .filter(|tick| *tick <= end_s);
    Scale::plain((0.0, end_s), (LEFT, WIDTH - RIGHT), ticks.collect())
}

fn paint_frame(canvas: &Canvas<'_>, title: &str, unit: Unit, (x, y): (&Scale, &Scale)) -> Drawn {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    canvas.text(
        &fit(title, WIDTH - 20.0, 13.0),
        (0.0, 10.0),
        Lettering::heading(Align::Left),
    )?;
    canvas.rungs(y, (LEFT, right), |tick| figures::exact(tick, unit))?;
    for tick in &x.ticks {
        let at = x.at(*tick);
        canvas.text(
            &figures::seconds(*tick),
            (at, bottom + 12.0),
            Lettering::label(Align::Center),
        )?;
    }
    canvas.text(
        "since the load started",
        (f64::midpoint(LEFT, right), bottom + 29.0),
        Lettering::label(Align::Center),
    )
}

/// Where the measured phase begins: what stands left of it is warm-up.
fn paint_start(canvas: &Canvas<'_>, traces: &[Trace<'_>], x: &Scale) -> Drawn {
    let starts = traces.iter().filter_map(|trace| measured_start_ms(trace.round));
    let mut starts: Vec<u64> = starts.collect();
    starts.dedup();
    let [start_ms] = starts.as_slice() else {
        return Ok(());
    };
    let at = x.at(*start_ms as f64 / 1000.0);
    canvas.line(&[(at, TOP), (at, HEIGHT - BOTTOM)], Ink::Muted, 1.0)
}

fn measured_start_ms(round: &Round) -> Option<u64> {
    let phase = round.phases.iter().find(|phase| phase.name == PHASE_MEASURE)?;
    Some(phase.start_ms)
}

fn paint_trace(canvas: &Canvas<'_>, trace: &Trace<'_>, x: &Scale, y: &Scale) -> Drawn {
    let points: Vec<Point> = trace
        .series
        .at_ms
        .iter()
        .zip(&trace.series.values)
        .filter(|(_, value)| value.is_finite())
        .map(|(at_ms, value)| (x.at(*at_ms as f64 / 1000.0), y.at(*value)))
        .collect();
    canvas.line(&points, Ink::Line(trace.number), 1.5)
}

fn describe(traces: &[Trace<'_>]) -> String {
    let mut names: Vec<&str> = traces.iter().map(|trace| trace.round.subject.as_str()).collect();
    names.dedup();
    names.sort_unstable();
    names.dedup();
    format!(
        "{} launches, one line each: {}. An upright line marks the start of the measured phase.",
        traces.len(),
        names.join(", ")
    )
}
