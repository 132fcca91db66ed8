//! One figure over the runs of a history, with the level of each stretch between changes.

use measure::history::Trend;

use super::Figure;
use super::canvas::{self, Align, Canvas, Drawn, Lettering, Marker, Point};
use super::scale::Scale;
use super::theme::Ink;
use crate::ReportError;
use measure::figures::{self, Unit};

/// Size of the plot and of its margins; pixels.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 220.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 34.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 16.0;
/// The colour of an "after", as for a subject alone.
const SERIES: usize = 1;

/// The plot; none without a positive value. `index` makes its identifier unique.
pub(crate) fn trend(title: &str, unit: Unit, trend: &Trend, index: usize) -> Result<Option<String>, ReportError> {
    let values: Vec<f64> = trend.points.iter().map(|point| point.value).collect();
    let Some(y) = Scale::covering(&values, (HEIGHT - BOTTOM, TOP), 6) else {
        return Ok(None);
    };
    let last = values.len().saturating_sub(1).max(1) as f64;
    let x = Scale::plain((0.0, last), (LEFT, WIDTH - RIGHT), vec![]);
    let figure = Figure {
        id: format!("trend-{index}"),
        class: "chart".to_owned(),
        title: format!("{title} over runs"),
        description: describe(trend, unit),
    };
    canvas::draw(&figure, (WIDTH, HEIGHT), |canvas| {
        paint_frame(canvas, trend, unit, (&x, &y))?;
        paint_levels(canvas, trend, &x, &y)?;
        paint_points(canvas, &values, &x, &y)
    })
    .map(Some)
}

fn paint_frame(canvas: &Canvas<'_>, trend: &Trend, unit: Unit, (x, y): (&Scale, &Scale)) -> Drawn {
    canvas.text(
        unit.suffix().trim(),
        (LEFT - 8.0, TOP - 14.0),
        Lettering::label(Align::Right),
    )?;
    canvas.rungs(y, (LEFT, WIDTH - RIGHT), |tick| {
        let label = figures::exact(tick, unit);
        label.strip_suffix(unit.suffix()).unwrap_or(&label).to_owned()
    })?;
    let ends = [
        (trend.points.first(), x.at(0.0), Align::Left),
        (trend.points.last(), WIDTH - RIGHT, Align::Right),
    ];
    for (point, at, align) in ends {
        let label = point.map_or_else(String::new, |point| figures::moment(&point.at));
        canvas.text(&label, (at, HEIGHT - BOTTOM + 16.0), Lettering::label(align))?;
    }
    Ok(())
}

/// A line at the mean of each stretch, and an upright one where the level changed.
fn paint_levels(canvas: &Canvas<'_>, trend: &Trend, x: &Scale, y: &Scale) -> Drawn {
    let mut from = 0.0;
    for change in &trend.changes {
        let until = change.index as f64;
        canvas.line(
            &[
                (x.at(from), y.at(change.before)),
                (x.at(until - 0.5), y.at(change.before)),
            ],
            Ink::Muted,
            2.0,
        )?;
        canvas.line(
            &[(x.at(until - 0.5), TOP), (x.at(until - 0.5), HEIGHT - BOTTOM)],
            Ink::Target,
            2.0,
        )?;
        from = until - 0.5;
    }
    let last = trend.points.len().saturating_sub(1) as f64;
    match trend.changes.last() {
        Some(change) => canvas.line(
            &[(x.at(from), y.at(change.after)), (x.at(last), y.at(change.after))],
            Ink::Muted,
            2.0,
        ),
        None => Ok(()),
    }
}

fn paint_points(canvas: &Canvas<'_>, values: &[f64], x: &Scale, y: &Scale) -> Drawn {
    let points: Vec<Point> = values
        .iter()
        .enumerate()
        .map(|(run, value)| (x.at(run as f64), y.at(*value)))
        .collect();
    canvas.line(&points, Ink::Line(SERIES), 1.25)?;
    points
        .iter()
        .try_for_each(|point| canvas.marker(*point, Marker::of(SERIES), 2.5, Ink::Area(SERIES)))
}

fn describe(trend: &Trend, unit: Unit) -> String {
    let changes: Vec<String> = trend
        .changes
        .iter()
        .map(|change| {
            format!(
                "from {} to {} at run {}",
                figures::quantity(change.before, unit),
                figures::quantity(change.after, unit),
                change.index + 1
            )
        })
        .collect();
    let changes = if changes.is_empty() {
        "no change of level".to_owned()
    } else {
        changes.join(", ")
    };
    format!("{} runs; {changes}.", trend.points.len())
}
