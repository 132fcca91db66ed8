//! Times against percentile, stretched towards 100 %: latency per endpoint, response beside service time, propagation.

use measure::record::{ALL_ENDPOINTS, EndpointSummary, ServiceTimes, Subject};

use super::Figure;
use super::canvas::{self, Align, Canvas, Drawn, Lettering, Marker, Point, fit, text_width};
use super::scale::Scale;
use super::theme::Ink;
use crate::ReportError;
use crate::view::View;
use crate::words::endpoint_title;
use measure::figures::{self, Unit};

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

/// One curve.
struct Curve<'a> {
    series: usize,
    label: &'a str,
    /// (quantile, milliseconds), ascending.
    points: Vec<(f64, f64)>,
    /// The percentiles that the tables name.
    named: Vec<(f64, f64)>,
}

/// Identity and contents of a plot beside its curves.
struct About<'a> {
    id: String,
    title: String,
    heading: &'a str,
    limits_ms: Vec<f64>,
    /// Whether the plot names its curves itself, because the legend of the page does not.
    keyed: bool,
}

/// Latencies of one endpoint, one curve per subject; none when it has no answers. `index` makes its identifier unique.
pub(crate) fn percentile_curves(view: View<'_>, endpoint: &str, index: usize) -> Result<Option<String>, ReportError> {
    let about = About {
        id: format!("curve-{index}"),
        title: format!("Latency by percentile, {}", endpoint_title(endpoint)),
        heading: endpoint_title(endpoint),
        limits_ms: view.p95_limits_ms(endpoint),
        keyed: false,
    };
    plot(&about, &curves(view, endpoint))
}

/// Response and service times of the whole mix of one subject; none in the closed model.
pub(crate) fn response_and_service(
    view: View<'_>,
    number: usize,
    subject: &Subject,
) -> Result<Option<String>, ReportError> {
    let Some(latency) = view.latency(&subject.name, ALL_ENDPOINTS) else {
        return Ok(None);
    };
    let Some(service) = latency.service.as_ref().filter(|_| latency.count > 0) else {
        return Ok(None);
    };
    let about = About {
        id: format!("response-service-{number}"),
        title: format!("Response and service time by percentile, {}", subject.name),
        heading: &subject.name,
        limits_ms: vec![],
        keyed: true,
    };
    let response = curve(number, "response time", &latency.curve, &named_percentiles(latency));
    let service = curve(number + 2, "service time", &service.curve, &named_service(service));
    plot(&about, &[response, service])
}

/// Times until acknowledged writes were seen, one curve per subject; none where no version was followed.
pub(crate) fn propagation(view: View<'_>) -> Result<Option<String>, ReportError> {
    let curves: Vec<Curve<'_>> = view
        .numbered()
        .filter_map(|(number, subject)| {
            let found = view.consistency(&subject.name)?;
            let named = [(0.5, found.propagation_p50_ms), (0.99, found.propagation_p99_ms)];
            Some(curve(number, &subject.name, &found.curve, &drawable(&named)))
        })
        .collect();
    let about = About {
        id: "propagation".to_owned(),
        title: "Time until a write was seen, by percentile".to_owned(),
        heading: "time until a write was seen",
        limits_ms: vec![],
        keyed: false,
    };
    plot(&about, &curves)
}

fn plot(about: &About<'_>, curves: &[Curve<'_>]) -> Result<Option<String>, ReportError> {
    let values: Vec<f64> = curves
        .iter()
        .flat_map(|curve| &curve.points)
        .map(|point| point.1)
        .collect();
    // Limits widen the axis, but alone they make no plot.
    let shown: Vec<f64> = if values.is_empty() {
        values
    } else {
        values.into_iter().chain(about.limits_ms.clone()).collect()
    };
    let Some(y) = Scale::logarithmic(&shown, (HEIGHT - BOTTOM, TOP), 9) else {
        return Ok(None);
    };
    let figure = Figure {
        id: about.id.clone(),
        class: "chart curve".to_owned(),
        title: about.title.clone(),
        description: describe(curves),
    };
    let x = quantile_axis(curves);
    canvas::draw(&figure, (WIDTH, HEIGHT), |canvas| {
        paint_frame(canvas, about.heading, &x, &y)?;
        paint_limits(canvas, &about.limits_ms, &x, &y)?;
        if about.keyed {
            paint_key(canvas, curves)?;
        }
        curves.iter().try_for_each(|curve| paint_curve(canvas, curve, &x, &y))
    })
    .map(Some)
}

/// A curve, or the named percentiles alone where the record has no curve.
fn curve<'a>(series: usize, label: &'a str, points: &[(f64, f64)], named: &[(f64, f64)]) -> Curve<'a> {
    let points = if points.is_empty() {
        named.to_vec()
    } else {
        drawable(points)
    };
    Curve {
        series,
        label,
        points,
        named: named.to_vec(),
    }
}

fn curves<'a>(view: View<'a>, endpoint: &str) -> Vec<Curve<'a>> {
    let curves = view.numbered().filter_map(|(series, subject)| {
        let latency = view
            .latency(&subject.name, endpoint)
            .filter(|latency| latency.count > 0)?;
        Some(curve(
            series,
            &subject.name,
            &latency.curve,
            &named_percentiles(latency),
        ))
    });
    curves.collect()
}

fn named_percentiles(of: &EndpointSummary) -> Vec<(f64, f64)> {
    named([of.p50_ms, of.p90_ms, of.p95_ms, of.p99_ms, of.p999_ms])
}

fn named_service(of: &ServiceTimes) -> Vec<(f64, f64)> {
    named([of.p50_ms, of.p90_ms, of.p95_ms, of.p99_ms, of.p999_ms])
}

fn named(times_ms: [f64; 5]) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = [0.5, 0.9, 0.95, 0.99, 0.999].into_iter().zip(times_ms).collect();
    drawable(&points)
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

fn paint_frame(canvas: &Canvas<'_>, heading: &str, x: &Scale, y: &Scale) -> Drawn {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    canvas.text(
        &fit(heading, WIDTH - 40.0, 13.0),
        (0.0, 10.0),
        Lettering::heading(Align::Left),
    )?;
    canvas.text("ms", (LEFT - 8.0, TOP - 16.0), Lettering::label(Align::Right))?;
    canvas.rungs(y, (LEFT, right), |tick| figures::exact(tick, Unit::Plain))?;
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

/// A sample of each line with its name, above the plot.
fn paint_key(canvas: &Canvas<'_>, curves: &[Curve<'_>]) -> Drawn {
    let mut left = LEFT + 12.0;
    for curve in curves {
        let (end, at) = (left + 26.0, TOP - 14.0);
        canvas.line(&[(left, at), (end, at)], Ink::Line(curve.series), 2.0)?;
        canvas.text(curve.label, (end + 6.0, at), Lettering::label(Align::Left))?;
        left = end + 24.0 + text_width(curve.label, 11.5);
    }
    Ok(())
}

fn describe(curves: &[Curve<'_>]) -> String {
    let of_curve = |curve: &Curve<'_>| {
        let values: Vec<_> = curve
            .named
            .iter()
            .map(|(quantile, ms)| {
                format!(
                    "p{} {}",
                    tick_label(*quantile),
                    figures::quantity(*ms, Unit::Milliseconds)
                )
            })
            .collect();
        format!("{}: {}.", curve.label, values.join(", "))
    };
    curves.iter().map(of_curve).collect::<Vec<_>>().join(" ")
}

/// Label of the tick at a named percentile.
fn tick_label(quantile: f64) -> &'static str {
    TICKS
        .iter()
        .find(|(tick, _)| (tick - quantile).abs() < 1e-9)
        .map_or("", |(_, label)| label)
}
