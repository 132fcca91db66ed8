//! Latency against percentile, stretched towards 100 %, one plot per endpoint.

use measure::record::EndpointSummary;

use super::Figure;
use super::canvas::{self, Align, Canvas, Drawn, Lettering, Marker, Point, fit};
use super::scale::Scale;
use super::theme::Ink;
use crate::ReportError;
use crate::format::{self, Unit};
use crate::view::{View, endpoint_title};

/// Size of the plot and of its margins; pixels.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 280.0;
const TOP: f64 = 42.0;
const BOTTOM: f64 = 44.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 16.0;

/// Quantiles with a tick, and what it says.
const TICKS: [(f64, &str); 6] = [
    (0.5, "50"),
    (0.9, "90"),
    (0.95, "95"),
    (0.99, "99"),
    (0.999, "99.9"),
    (0.9999, "99.99"),
];

/// Beyond this quantile a curve shows single requests.
const LAST_QUANTILE: f64 = 0.999_99;

/// One subject's curve.
struct Curve<'a> {
    series: usize,
    subject: &'a str,
    /// (quantile, milliseconds), ascending.
    points: Vec<(f64, f64)>,
    /// The percentiles that the tables name.
    named: Vec<(f64, f64)>,
}

/// The plot of one endpoint; none when it has no answers. `index` makes its identifier unique.
pub(crate) fn percentile_curves(view: View<'_>, endpoint: &str, index: usize) -> Result<Option<String>, ReportError> {
    let curves = curves(view, endpoint);
    let limits_ms = view.p95_limits_ms(endpoint);
    let values: Vec<f64> = curves
        .iter()
        .flat_map(|curve| &curve.points)
        .map(|point| point.1)
        .collect();
    // Limits widen the axis, but alone they make no plot.
    let shown: Vec<f64> = if values.is_empty() {
        values
    } else {
        values.into_iter().chain(limits_ms.clone()).collect()
    };
    let Some(y) = Scale::logarithmic(&shown, (HEIGHT - BOTTOM, TOP), 9) else {
        return Ok(None);
    };
    let figure = Figure {
        id: format!("curve-{index}"),
        class: "chart curve".to_owned(),
        title: format!("Latency by percentile, {}", endpoint_title(endpoint)),
        description: describe(&curves),
    };
    let x = quantile_axis(&curves);
    canvas::draw(&figure, (WIDTH, HEIGHT), |canvas| {
        paint_frame(canvas, endpoint, &x, &y)?;
        paint_limits(canvas, &limits_ms, &x, &y)?;
        curves.iter().try_for_each(|curve| paint_curve(canvas, curve, &x, &y))
    })
    .map(Some)
}

fn curves<'a>(view: View<'a>, endpoint: &str) -> Vec<Curve<'a>> {
    let curves = view.numbered().filter_map(|(series, subject)| {
        let latency = view
            .latency(&subject.name, endpoint)
            .filter(|latency| latency.count > 0)?;
        let named = named_percentiles(latency);
        let points = if latency.curve.is_empty() {
            named.clone()
        } else {
            drawable(&latency.curve)
        };
        Some(Curve {
            series,
            subject: subject.name.as_str(),
            points,
            named,
        })
    });
    curves.collect()
}

fn named_percentiles(latency: &EndpointSummary) -> Vec<(f64, f64)> {
    drawable(&[
        (0.5, latency.p50_ms),
        (0.9, latency.p90_ms),
        (0.95, latency.p95_ms),
        (0.99, latency.p99_ms),
        (0.999, latency.p999_ms),
    ])
}

/// Without what a logarithmic axis cannot show.
fn drawable(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let fits = |(quantile, ms): &(f64, f64)| (0.0..=LAST_QUANTILE).contains(quantile) && ms.is_finite() && *ms > 0.0;
    points.iter().copied().filter(fits).collect()
}

/// Where a quantile lies: each step of one takes a nine off the distance to 100 %.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(f64::MIN_POSITIVE).log10()
}

fn quantile_axis(curves: &[Curve<'_>]) -> Scale {
    let last = curves
        .iter()
        .filter_map(|curve| curve.points.last())
        .map(|point| nines(point.0))
        .fold(0.0, f64::max);
    // To the last tick at least up to 99 %, so that short runs look like long ones as far as they go.
    let end = last.max(nines(0.99));
    let ticks = TICKS
        .iter()
        .map(|(quantile, _)| nines(*quantile))
        .filter(|tick| *tick <= end + 1e-9)
        .collect();
    Scale::plain((0.0, end), (LEFT, WIDTH - RIGHT), ticks)
}

fn paint_frame(canvas: &Canvas<'_>, endpoint: &str, x: &Scale, y: &Scale) -> Drawn {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    canvas.text(
        &fit(endpoint_title(endpoint), WIDTH - 40.0, 13.0),
        (0.0, 10.0),
        Lettering::heading(Align::Left),
    )?;
    canvas.text("ms", (LEFT - 8.0, TOP - 16.0), Lettering::label(Align::Right))?;
    for tick in &y.ticks {
        let at = y.at(*tick);
        canvas.line(&[(LEFT, at), (right, at)], Ink::Grid, 1.0)?;
        canvas.text(
            &format::exact(*tick, Unit::Plain),
            (LEFT - 8.0, at),
            Lettering::label(Align::Right),
        )?;
    }
    for (tick, (_, label)) in x.ticks.iter().zip(TICKS) {
        let at = x.at(*tick);
        canvas.line(&[(at, TOP), (at, bottom)], Ink::Grid, 1.0)?;
        canvas.text(label, (at, bottom + 12.0), Lettering::label(Align::Center))?;
    }
    canvas.text(
        "percentile",
        (f64::midpoint(LEFT, right), bottom + 32.0),
        Lettering::label(Align::Center),
    )
}

/// A target is about the 95th percentile: a short line across it.
fn paint_limits(canvas: &Canvas<'_>, limits_ms: &[f64], x: &Scale, y: &Scale) -> Drawn {
    let middle = x.at(nines(0.95));
    limits_ms.iter().try_for_each(|limit| {
        let at = y.at(*limit);
        canvas.line(&[(middle - 18.0, at), (middle + 18.0, at)], Ink::Target, 2.5)
    })
}

fn paint_curve(canvas: &Canvas<'_>, curve: &Curve<'_>, x: &Scale, y: &Scale) -> Drawn {
    let place = |(quantile, ms): &(f64, f64)| -> Point { (x.at(nines(*quantile)), y.at(*ms)) };
    let line: Vec<Point> = curve.points.iter().map(place).collect();
    canvas.line(&line, Ink::Line(curve.series), 2.0)?;
    let marker = Marker::of(curve.series);
    curve
        .named
        .iter()
        .try_for_each(|point| canvas.marker(place(point), marker, 3.5, Ink::Area(curve.series)))
}

fn describe(curves: &[Curve<'_>]) -> String {
    let of_curve = |curve: &Curve<'_>| {
        let named = curve.named.iter().zip(TICKS);
        let values: Vec<_> = named
            .map(|((_, ms), (_, label))| format!("p{label} {}", format::quantity(*ms, Unit::Milliseconds)))
            .collect();
        format!("{}: {}.", curve.subject, values.join(", "))
    };
    curves.iter().map(of_curve).collect::<Vec<_>>().join(" ")
}
