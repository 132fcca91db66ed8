//! p95 of every second that was measured: the blocks side by side, the subjects of a block over each other.

use measure::record::{ALL_ENDPOINTS, Round};

use super::canvas::{self, Align, Canvas, Drawn, Lettering, Marker, Point, fit, text_width};
use super::scale::Scale;
use super::theme::Ink;
use super::{Figure, Width};
use crate::ReportError;
use crate::view::View;
use measure::figures::{self, Unit};

/// Margins; pixels.
const TOP: f64 = 30.0;
const RIGHT: f64 = 10.0;
const LEFT: f64 = 52.0;
/// Block labels and the axis title.
const BOTTOM: f64 = 46.0;
/// One line of the strip that marks errors.
const STRIP: f64 = 18.0;
/// Between the latency axis and that strip, so that the labels of the two keep apart.
const STRIP_GAP: f64 = 10.0;
/// Between two blocks, where there is room.
const DIVIDER: f64 = 6.0;

/// One launch of one subject.
struct Trace<'a> {
    series: usize,
    block: u32,
    round: &'a Round,
}

/// Everything that is drawn.
struct Timeline<'a> {
    traces: Vec<Trace<'a>>,
    /// Block numbers, ascending.
    blocks: Vec<u32>,
    /// The longest block, milliseconds.
    block_ms: u64,
    /// Subjects that had errors: (series, name).
    failing: Vec<(usize, &'a str)>,
    limits_ms: Vec<f64>,
}

/// Where things stand.
struct Layout {
    width: f64,
    height: f64,
    bottom: f64,
    /// From the left edge of a block to that of the next.
    pitch: f64,
    /// Gap between two blocks, part of the pitch.
    divider: f64,
}

/// The plot; none when nothing was measured.
pub(crate) fn latency_over_time(view: View<'_>, width: Width) -> Result<Option<String>, ReportError> {
    let timeline = timeline(view);
    let layout = layout(&timeline, width);
    let Some(y) = Scale::covering(&shown_values(&timeline), (layout.bottom, TOP), 9) else {
        return Ok(None);
    };
    let figure = Figure {
        id: format!("timeline-{}", width.name()),
        class: format!("chart {}", width.name()),
        title: "95th percentile of the latency over time".to_owned(),
        description: describe(&timeline),
    };
    canvas::draw(&figure, (layout.width, layout.height), |canvas| {
        paint(canvas, &timeline, &layout, &y)
    })
    .map(Some)
}

fn timeline(view: View<'_>) -> Timeline<'_> {
    let traces: Vec<_> = view
        .record
        .rounds
        .iter()
        .filter_map(|round| trace(view, round))
        .collect();
    let mut blocks: Vec<u32> = traces.iter().map(|trace| trace.block).collect();
    blocks.sort_unstable();
    blocks.dedup();
    let block_ms = traces
        .iter()
        .filter_map(|trace| trace.round.slices.last())
        .map(|slice| slice.start_ms + 1000)
        .max();
    let failing = view.numbered().filter(|(series, _)| has_errors(&traces, *series));
    Timeline {
        blocks,
        block_ms: block_ms.unwrap_or(0),
        failing: failing
            .map(|(series, subject)| (series, subject.name.as_str()))
            .collect(),
        limits_ms: view.p95_limits_ms(ALL_ENDPOINTS),
        traces,
    }
}

fn trace<'a>(view: View<'a>, round: &'a Round) -> Option<Trace<'a>> {
    let (series, _) = view.numbered().find(|(_, subject)| subject.name == round.subject)?;
    (!round.slices.is_empty()).then_some(Trace {
        series,
        block: round.block,
        round,
    })
}

fn has_errors(traces: &[Trace<'_>], series: usize) -> bool {
    let mut own = traces.iter().filter(|trace| trace.series == series);
    own.any(|trace| trace.round.slices.iter().any(|slice| slice.errors > 0))
}

fn shown_values(timeline: &Timeline<'_>) -> Vec<f64> {
    let slices = timeline.traces.iter().flat_map(|trace| &trace.round.slices);
    let measured: Vec<f64> = slices.filter_map(|slice| slice.p95_ms).collect();
    // Limits widen the axis, but alone they make no plot.
    if measured.is_empty() {
        measured
    } else {
        measured.into_iter().chain(timeline.limits_ms.clone()).collect()
    }
}

fn layout(timeline: &Timeline<'_>, width: Width) -> Layout {
    let (width, plot) = match width {
        Width::Wide => (960.0, 230.0),
        Width::Narrow => (400.0, 210.0),
    };
    let bottom = TOP + plot;
    let strip = if timeline.failing.is_empty() {
        0.0
    } else {
        STRIP_GAP + timeline.failing.len() as f64 * STRIP
    };
    let pitch = (width - LEFT - RIGHT) / timeline.blocks.len().max(1) as f64;
    // Very many blocks leave room for dividers only in proportion.
    let divider = DIVIDER.min(pitch / 3.0);
    Layout {
        width,
        height: bottom + strip + BOTTOM,
        bottom,
        pitch,
        divider,
    }
}

impl Layout {
    /// Left edge of a block, pixels.
    fn block_left(&self, index: usize) -> f64 {
        LEFT + index as f64 * self.pitch
    }

    fn block_width(&self) -> f64 {
        self.pitch - self.divider
    }

    /// Where a moment of a block lies, pixels; slices are drawn at their middle.
    fn x(&self, timeline: &Timeline<'_>, block: u32, start_ms: u64) -> f64 {
        let index = timeline.blocks.binary_search(&block).unwrap_or(0);
        let share = (start_ms as f64 + 500.0) / timeline.block_ms.max(1) as f64;
        self.block_left(index) + share * self.block_width()
    }
}

fn paint(canvas: &Canvas<'_>, timeline: &Timeline<'_>, layout: &Layout, y: &Scale) -> Drawn {
    paint_values(canvas, timeline, layout, y)?;
    paint_blocks(canvas, timeline, layout)?;
    paint_limits(canvas, timeline, layout, y)?;
    for trace in &timeline.traces {
        for stretch in stretches(trace, timeline, layout, y) {
            paint_stretch(canvas, &stretch, trace.series)?;
        }
    }
    paint_errors(canvas, timeline, layout)
}

/// Ticks and grid lines of the latency axis.
fn paint_values(canvas: &Canvas<'_>, timeline: &Timeline<'_>, layout: &Layout, y: &Scale) -> Drawn {
    let title = if y.logarithmic {
        "p95 per second, ms (log scale)"
    } else {
        "p95 per second, ms"
    };
    canvas.text(title, (0.0, 9.0), Lettering::label(Align::Left))?;
    for tick in &y.ticks {
        let at = y.at(*tick);
        for index in 0..timeline.blocks.len() {
            let left = layout.block_left(index);
            canvas.line(&[(left, at), (left + layout.block_width(), at)], Ink::Grid, 1.0)?;
        }
        canvas.text(
            &figures::exact(*tick, Unit::Plain),
            (LEFT - 8.0, at),
            Lettering::label(Align::Right),
        )?;
    }
    Ok(())
}

/// Lines between the blocks, and the numbers of the blocks (from 1, as people count).
fn paint_blocks(canvas: &Canvas<'_>, timeline: &Timeline<'_>, layout: &Layout) -> Drawn {
    let below = layout.height - BOTTOM + 12.0;
    for (index, block) in timeline.blocks.iter().enumerate() {
        let left = layout.block_left(index);
        if index > 0 {
            let divider = left - layout.divider / 2.0;
            canvas.line(&[(divider, TOP), (divider, below + 6.0)], Ink::Grid, 2.0)?;
        }
        if let Some(label) = block_label(block + 1, layout.block_width()) {
            canvas.text(
                &label,
                (left + layout.block_width() / 2.0, below),
                Lettering::label(Align::Center),
            )?;
        }
    }
    let seconds = figures::seconds((timeline.block_ms / 1000) as f64);
    let title = format!("measured seconds, {seconds} per launch");
    let middle = f64::midpoint(LEFT, layout.width - RIGHT);
    canvas.text(&title, (middle, layout.height - 12.0), Lettering::label(Align::Center))
}

/// As much as fits; with very many blocks nothing does.
fn block_label(number: u32, width: f64) -> Option<String> {
    let labels = [format!("block {number}"), number.to_string()];
    labels.into_iter().find(|label| text_width(label, 11.5) < width)
}

fn paint_limits(canvas: &Canvas<'_>, timeline: &Timeline<'_>, layout: &Layout, y: &Scale) -> Drawn {
    for limit in &timeline.limits_ms {
        canvas.line(
            &[(LEFT, y.at(*limit)), (layout.width - RIGHT, y.at(*limit))],
            Ink::Target,
            1.5,
        )?;
    }
    let limits: Vec<_> = timeline
        .limits_ms
        .iter()
        .map(|limit| figures::exact(*limit, Unit::Milliseconds))
        .collect();
    if limits.is_empty() {
        return Ok(());
    }
    let lettering = Lettering {
        ink: Ink::Target,
        ..Lettering::label(Align::Right)
    };
    canvas.text(
        &format!("━ target < {}", limits.join(", < ")),
        (layout.width - RIGHT, 9.0),
        lettering,
    )
}

/// A second without answers has no percentile: the line is interrupted there.
fn stretches(trace: &Trace<'_>, timeline: &Timeline<'_>, layout: &Layout, y: &Scale) -> Vec<Vec<Point>> {
    let mut stretches = vec![Vec::new()];
    for slice in &trace.round.slices {
        match slice.p95_ms.filter(|ms| ms.is_finite() && *ms > 0.0) {
            Some(ms) => {
                let point = (layout.x(timeline, trace.block, slice.start_ms), y.at(ms));
                stretches.last_mut().into_iter().for_each(|stretch| stretch.push(point));
            }
            None => stretches.push(Vec::new()),
        }
    }
    stretches
}

/// A single second between two gaps would be invisible as a line.
fn paint_stretch(canvas: &Canvas<'_>, stretch: &[Point], series: usize) -> Drawn {
    match stretch {
        [point] => canvas.marker(*point, Marker::of(series), 2.5, Ink::Area(series)),
        points => canvas.line(points, Ink::Line(series), 1.75),
    }
}

/// One line per subject that had errors, a cross for every second with some.
fn paint_errors(canvas: &Canvas<'_>, timeline: &Timeline<'_>, layout: &Layout) -> Drawn {
    for (row, (series, name)) in timeline.failing.iter().enumerate() {
        let middle = layout.bottom + STRIP_GAP + (row as f64 + 0.5) * STRIP;
        let name = fit(name, LEFT - 10.0, 11.5);
        let lettering = Lettering {
            ink: Ink::Bad,
            ..Lettering::label(Align::Right)
        };
        canvas.text(&name, (LEFT - 8.0, middle), lettering)?;
        for trace in timeline.traces.iter().filter(|trace| trace.series == *series) {
            for slice in trace.round.slices.iter().filter(|slice| slice.errors > 0) {
                canvas.cross((layout.x(timeline, trace.block, slice.start_ms), middle), 3.5, Ink::Bad)?;
            }
        }
    }
    Ok(())
}

fn describe(timeline: &Timeline<'_>) -> String {
    let errors = if timeline.failing.is_empty() {
        "No second had errors.".to_owned()
    } else {
        let names: Vec<_> = timeline.failing.iter().map(|(_, name)| *name).collect();
        format!("Seconds with errors: {}.", names.join(", "))
    };
    let seconds = figures::seconds((timeline.block_ms / 1000) as f64);
    format!(
        "{} blocks of {seconds} each; one line per subject. {errors}",
        timeline.blocks.len()
    )
}
