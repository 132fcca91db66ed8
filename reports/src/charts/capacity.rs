//! The p95 of every load of a search for capacity, and the rate that is promised.

use measure::capacity::step::misses;
use measure::record::{Capacity, CapacityStep};

use super::Figure;
use super::canvas::{self, Align, Canvas, Drawn, Lettering, Marker};
use super::scale::Scale;
use super::theme::Ink;
use crate::ReportError;
use measure::figures::{self, Unit};

/// Size of the plot and of its margins; pixels.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 280.0;
const TOP: f64 = 28.0;
const BOTTOM: f64 = 40.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 16.0;
/// The colour of an "after", as for a subject alone.
const SERIES: usize = 1;

/// The plot; none without a step that answered.
pub(crate) fn capacity(found: &Capacity) -> Result<Option<String>, ReportError> {
    let answered: Vec<(&CapacityStep, f64)> = found
        .steps
        .iter()
        .filter_map(|step| step.p95_ms.map(|p95| (step, p95)))
        .collect();
    let rates: Vec<f64> = answered.iter().map(|(step, _)| step.rate_per_s).collect();
    let times: Vec<f64> = answered.iter().map(|(_, p95)| *p95).collect();
    let (Some(x), Some(y)) = (
        Scale::logarithmic(&rates, (LEFT, WIDTH - RIGHT), 10),
        Scale::covering(&times, (HEIGHT - BOTTOM, TOP), 6),
    ) else {
        return Ok(None);
    };
    let figure = Figure {
        id: "capacity-steps".to_owned(),
        class: "chart".to_owned(),
        title: "p95 by rate".to_owned(),
        description: describe(found),
    };
    canvas::draw(&figure, (WIDTH, HEIGHT), |canvas| {
        paint_frame(canvas, &x, &y)?;
        paint_promise(canvas, found, &x)?;
        answered.iter().try_for_each(|(step, p95)| {
            let at = (x.at(step.rate_per_s), y.at(*p95));
            if misses(step) {
                canvas.cross(at, 4.0, Ink::Bad)
            } else {
                canvas.marker(at, Marker::of(SERIES), 3.0, Ink::Area(SERIES))
            }
        })
    })
    .map(Some)
}

fn paint_frame(canvas: &Canvas<'_>, x: &Scale, y: &Scale) -> Drawn {
    canvas.text("p95, ms", (LEFT - 8.0, TOP - 16.0), Lettering::label(Align::Left))?;
    canvas.rungs(y, (LEFT, WIDTH - RIGHT), |tick| figures::exact(tick, Unit::Plain))?;
    for tick in &x.ticks {
        let at = x.at(*tick);
        canvas.line(&[(at, TOP), (at, HEIGHT - BOTTOM)], Ink::Grid, 1.0)?;
        let label = format!("{}/s", figures::exact(*tick, Unit::Plain));
        canvas.text(&label, (at, HEIGHT - BOTTOM + 16.0), Lettering::label(Align::Center))?;
    }
    Ok(())
}

/// An upright line at what was held.
fn paint_promise(canvas: &Canvas<'_>, found: &Capacity, x: &Scale) -> Drawn {
    let Some(held) = found.advertised_per_s else {
        return Ok(());
    };
    let at = x.at(held);
    canvas.line(&[(at, TOP), (at, HEIGHT - BOTTOM)], Ink::Target, 2.0)?;
    let label = format!("holds {}/s", figures::number(held));
    canvas.text(&label, (at - 6.0, TOP - 10.0), Lettering::value(Align::Right))
}

fn describe(found: &Capacity) -> String {
    let missed = found.steps.iter().filter(|step| misses(step)).count();
    let held = found
        .advertised_per_s
        .map_or_else(String::new, |held| format!(" A soak held {}/s.", figures::number(held)));
    format!(
        "{} loads, {missed} of which missed a target (crosses).{held}",
        found.steps.len()
    )
}
