//! p95 per endpoint and subject as bars, with the interval and what the targets ask.
//!
//! Values and limits stand in columns of their own, so that no label can cover a bar or another label.

use super::canvas::{self, Align, Canvas, Drawn, Lettering, fit};
use super::scale::Scale;
use super::theme::Ink;
use super::{Figure, Width};
use crate::ReportError;
use crate::view::View;
use crate::words::endpoint_title;
use measure::figures::{self, Unit};

/// Height of a group's heading, of a bar, of the gaps; pixels.
const HEADING: f64 = 24.0;
const BAR: f64 = 17.0;
const BAR_GAP: f64 = 3.0;
const GROUP_GAP: f64 = 14.0;
/// Room for the axis under the bars.
const AXIS: f64 = 44.0;
/// Room for the values at the right.
const VALUES: f64 = 68.0;

/// One endpoint.
struct Group<'a> {
    endpoint: &'a str,
    bars: Vec<Bar<'a>>,
    limits_ms: Vec<f64>,
}

/// One subject's p95 of an endpoint.
struct Bar<'a> {
    series: usize,
    subject: &'a str,
    p95_ms: f64,
    interval_ms: Option<(f64, f64)>,
}

/// Where things stand.
struct Layout {
    width: f64,
    /// Left edge of the bars.
    left: f64,
    /// Right edge of the longest possible bar.
    right: f64,
    height: f64,
}

/// The plot; none when no endpoint has a figure.
pub(crate) fn p95_bars(view: View<'_>, width: Width) -> Result<Option<String>, ReportError> {
    let groups = groups(view);
    let layout = layout(&groups, width);
    let ticks = if width == Width::Wide { 8 } else { 5 };
    let Some(scale) = Scale::covering(&shown_values(&groups), (layout.left, layout.right), ticks) else {
        return Ok(None);
    };
    let figure = Figure {
        id: format!("p95-bars-{}", width.name()),
        class: format!("chart {}", width.name()),
        title: "95th percentile of the latency per endpoint".to_owned(),
        description: describe(&groups),
    };
    canvas::draw(&figure, (layout.width, layout.height), |canvas| {
        paint(canvas, &groups, &layout, &scale)
    })
    .map(Some)
}

fn groups(view: View<'_>) -> Vec<Group<'_>> {
    let groups = view.endpoints().into_iter().map(|endpoint| Group {
        endpoint,
        bars: bars(view, endpoint),
        limits_ms: view.p95_limits_ms(endpoint),
    });
    groups.filter(|group| !group.bars.is_empty()).collect()
}

/// Subjects without an answer have no percentile, hence no bar.
fn bars<'a>(view: View<'a>, endpoint: &str) -> Vec<Bar<'a>> {
    let bars = view.numbered().filter_map(|(series, subject)| {
        let latency = view.latency(&subject.name, endpoint)?;
        let answered = latency.count > 0 && latency.p95_ms.is_finite() && latency.p95_ms > 0.0;
        answered.then_some(Bar {
            series,
            subject: subject.name.as_str(),
            p95_ms: latency.p95_ms,
            interval_ms: latency.p95_ci_ms,
        })
    });
    bars.collect()
}

fn shown_values(groups: &[Group<'_>]) -> Vec<f64> {
    let of_group = |group: &Group<'_>| {
        let bars = group
            .bars
            .iter()
            .flat_map(|bar| [Some(bar.p95_ms), bar.interval_ms.map(|(_, high)| high)]);
        bars.flatten()
            .chain(group.limits_ms.iter().copied())
            .collect::<Vec<_>>()
    };
    // Limits alone make no plot.
    if groups.is_empty() {
        Vec::new()
    } else {
        groups.iter().flat_map(of_group).collect()
    }
}

fn layout(groups: &[Group<'_>], width: Width) -> Layout {
    let names = groups
        .iter()
        .flat_map(|group| &group.bars)
        .map(|bar| canvas::text_width(bar.subject, 11.5));
    let longest = names.fold(0.0, f64::max);
    let (width, names) = match width {
        Width::Wide => (960.0, longest.clamp(40.0, 150.0)),
        Width::Narrow => (400.0, longest.clamp(40.0, 84.0)),
    };
    let height = groups.iter().map(group_height).sum::<f64>() + AXIS;
    Layout {
        width,
        left: names + 10.0,
        right: width - VALUES,
        height,
    }
}

fn group_height(group: &Group<'_>) -> f64 {
    HEADING + group.bars.len() as f64 * (BAR + BAR_GAP) + GROUP_GAP
}

fn paint(canvas: &Canvas<'_>, groups: &[Group<'_>], layout: &Layout, scale: &Scale) -> Drawn {
    paint_grid(canvas, groups, layout, scale)?;
    let mut top = 0.0;
    for group in groups {
        paint_heading(canvas, group, layout, top)?;
        let mut bar_top = top + HEADING;
        for bar in &group.bars {
            paint_bar(canvas, bar, layout, scale, bar_top)?;
            bar_top += BAR + BAR_GAP;
        }
        paint_limits(canvas, group, scale, (top + HEADING, bar_top))?;
        top += group_height(group);
    }
    paint_axis(canvas, layout, scale)
}

/// Grid lines stand behind bars only, not behind headings.
fn paint_grid(canvas: &Canvas<'_>, groups: &[Group<'_>], layout: &Layout, scale: &Scale) -> Drawn {
    let mut top = 0.0;
    for group in groups {
        let (from, to) = (top + HEADING - BAR_GAP, top + group_height(group) - GROUP_GAP);
        for tick in &scale.ticks {
            canvas.line(&[(scale.at(*tick), from), (scale.at(*tick), to)], Ink::Grid, 1.0)?;
        }
        top += group_height(group);
    }
    let bottom = layout.height - AXIS;
    canvas.line(&[(layout.left, bottom), (layout.right, bottom)], Ink::Grid, 1.0)
}

fn paint_heading(canvas: &Canvas<'_>, group: &Group<'_>, layout: &Layout, top: f64) -> Drawn {
    let middle = top + HEADING / 2.0;
    let limits = limits_text(group);
    let room = layout.width - canvas::text_width(&limits, 11.5) - 16.0;
    canvas.text(
        &fit(endpoint_title(group.endpoint), room, 13.0),
        (0.0, middle),
        Lettering::heading(Align::Left),
    )?;
    if limits.is_empty() {
        return Ok(());
    }
    let lettering = Lettering {
        ink: Ink::Target,
        ..Lettering::label(Align::Right)
    };
    canvas.text(&limits, (layout.width, middle), lettering)
}

fn limits_text(group: &Group<'_>) -> String {
    let limits: Vec<_> = group
        .limits_ms
        .iter()
        .map(|limit| figures::exact(*limit, Unit::Milliseconds))
        .collect();
    if limits.is_empty() {
        String::new()
    } else {
        format!("┃ target < {}", limits.join(", < "))
    }
}

fn paint_bar(canvas: &Canvas<'_>, bar: &Bar<'_>, layout: &Layout, scale: &Scale, top: f64) -> Drawn {
    let (middle, end) = (top + BAR / 2.0, scale.at(bar.p95_ms));
    let name = fit(bar.subject, layout.left - 8.0, 11.5);
    canvas.text(&name, (layout.left - 8.0, middle), Lettering::label(Align::Right))?;
    canvas.rectangle(
        (layout.left, top),
        (end.max(layout.left + 1.0), top + BAR),
        Ink::Area(bar.series),
    )?;
    if let Some((low, high)) = bar.interval_ms {
        paint_whisker(canvas, (scale.at(low), scale.at(high)), middle)?;
    }
    let value = figures::quantity(bar.p95_ms, Unit::Milliseconds);
    canvas.text(&value, (layout.width, middle), Lettering::value(Align::Right))
}

/// With a rim, so that it stands out from the bar as well as from the page.
fn paint_whisker(canvas: &Canvas<'_>, (low, high): (f64, f64), middle: f64) -> Drawn {
    for (ink, width) in [(Ink::Surface, 4.0), (Ink::Whisker, 1.5)] {
        let rim = (width - 1.5) / 2.0;
        canvas.line(&[(low - rim, middle), (high + rim, middle)], ink, width)?;
        for end in [low, high] {
            canvas.line(&[(end, middle - 4.0 - rim), (end, middle + 4.0 + rim)], ink, width)?;
        }
    }
    Ok(())
}

fn paint_limits(canvas: &Canvas<'_>, group: &Group<'_>, scale: &Scale, (top, bottom): (f64, f64)) -> Drawn {
    for limit in &group.limits_ms {
        let x = scale.at(*limit);
        canvas.line(&[(x, top - 4.0), (x, bottom + 1.0)], Ink::Target, 2.5)?;
    }
    Ok(())
}

fn paint_axis(canvas: &Canvas<'_>, layout: &Layout, scale: &Scale) -> Drawn {
    let top = layout.height - AXIS;
    for tick in &scale.ticks {
        let label = figures::exact(*tick, Unit::Plain);
        canvas.text(&label, (scale.at(*tick), top + 11.0), Lettering::label(Align::Center))?;
    }
    let title = if scale.logarithmic {
        "p95, milliseconds (log scale)"
    } else {
        "p95, milliseconds"
    };
    canvas.text(
        title,
        (f64::midpoint(layout.left, layout.right), top + 31.0),
        Lettering::label(Align::Center),
    )
}

fn describe(groups: &[Group<'_>]) -> String {
    let of_group = |group: &Group<'_>| {
        let bars: Vec<_> = group
            .bars
            .iter()
            .map(|bar| format!("{} {}", bar.subject, figures::quantity(bar.p95_ms, Unit::Milliseconds)))
            .collect();
        format!("{}: {}.", endpoint_title(group.endpoint), bars.join(", "))
    };
    groups.iter().map(of_group).collect::<Vec<_>>().join(" ")
}
