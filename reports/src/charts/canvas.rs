//! A sheet to draw on, in pixels: lines, rectangles, points and text over plotters' SVG back end.
//!
//! plotters places everything on whole pixels. The sheet is therefore four times as fine as it looks (`FINENESS`), so
//! that curves are smooth.

use plotters::backend::SVGBackend;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, Cross, PathElement, Polygon, Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontDesc, FontFamily, FontStyle, ShapeStyle, TextStyle};

use super::Figure;
use super::scale::Scale;
use super::theme::{self, Ink};
use crate::ReportError;
use crate::words::printable;

/// Drawing units per pixel.
const FINENESS: f64 = 4.0;

/// plotters divides font sizes by this when it writes SVG (a relic of its bitmap fonts).
const FONT_SCALE: f64 = 1.24;

/// Width of an average character relative to the font size: on the generous side for system sans-serif fonts.
const CHARACTER_WIDTH: f64 = 0.58;

/// The result of drawing something.
pub(crate) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// A point, in pixels from the upper left corner.
pub(crate) type Point = (f64, f64);

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Center,
    Right,
}

/// How a text looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lettering {
    /// Pixels.
    pub(crate) size: f64,
    /// Colour.
    pub(crate) ink: Ink,
    /// Weight.
    pub(crate) bold: bool,
    /// Where the text stands relative to its point (vertically always centred).
    pub(crate) align: Align,
}

impl Lettering {
    fn new(size: f64, ink: Ink, bold: bool, align: Align) -> Self {
        Self { size, ink, bold, align }
    }

    /// Axis labels and the like.
    pub(crate) fn label(align: Align) -> Self {
        Self::new(11.5, Ink::Muted, false, align)
    }

    /// Values.
    pub(crate) fn value(align: Align) -> Self {
        Self::new(12.0, Ink::Text, false, align)
    }

    /// Headings.
    pub(crate) fn heading(align: Align) -> Self {
        Self::new(12.5, Ink::Text, true, align)
    }
}

/// Shape of a subject's points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Square,
    Triangle,
}

impl Marker {
    /// The shape of the subject at this index.
    pub(crate) fn of(index: usize) -> Self {
        match index % 3 {
            0 => Self::Circle,
            1 => Self::Square,
            _ => Self::Triangle,
        }
    }
}

/// The sheet.
pub(crate) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Draws a plot of this size (pixels) and returns it as it stands on the page.
pub(crate) fn draw(
    figure: &Figure,
    (width, height): (f64, f64),
    paint: impl FnOnce(&Canvas<'_>) -> Drawn,
) -> Result<String, ReportError> {
    let size = (units(width).unsigned_abs(), units(height).unsigned_abs());
    let mut svg = String::new();
    let drawn = {
        let canvas = Canvas {
            area: SVGBackend::with_string(&mut svg, size).into_drawing_area(),
        };
        paint(&canvas).and_then(|()| canvas.area.present())
    };
    drawn.map_err(|fault| ReportError::Plot {
        figure: figure.id.clone(),
        reason: fault.to_string(),
    })?;
    Ok(theme::adapt(&svg, figure, size))
}

impl Canvas<'_> {
    /// A line through points; fewer than two draw nothing.
    pub(crate) fn line(&self, points: &[Point], ink: Ink, width: f64) -> Drawn {
        if points.len() < 2 {
            return Ok(());
        }
        let points: Vec<_> = points.iter().map(|point| place(*point)).collect();
        self.area.draw(&PathElement::new(points, stroke(ink, width)))
    }

    /// A filled rectangle between two opposite corners.
    pub(crate) fn rectangle(&self, from: Point, to: Point, ink: Ink) -> Drawn {
        let upper_left = (from.0.min(to.0), from.1.min(to.1));
        let lower_right = (from.0.max(to.0), from.1.max(to.1));
        self.area.draw(&Rectangle::new(
            [place(upper_left), place(lower_right)],
            ink.placeholder().filled(),
        ))
    }

    /// A point of a subject; `radius` in pixels.
    pub(crate) fn marker(&self, (x, y): Point, marker: Marker, radius: f64, ink: Ink) -> Drawn {
        let fill = ink.placeholder().filled();
        match marker {
            Marker::Circle => self.area.draw(&Circle::new(place((x, y)), units(radius), fill)),
            Marker::Square => self.rectangle((x - radius, y - radius), (x + radius, y + radius), ink),
            Marker::Triangle => {
                let corners = [
                    (x, y - radius * 1.2),
                    (x + radius * 1.2, y + radius),
                    (x - radius * 1.2, y + radius),
                ];
                self.area.draw(&Polygon::new(corners.map(place), fill))
            }
        }
    }

    /// A grid line from `left` to `right` at each tick of an upright axis, with the `label` of its value before it.
    pub(crate) fn rungs(&self, y: &Scale, (left, right): (f64, f64), label: impl Fn(f64) -> String) -> Drawn {
        y.ticks.iter().try_for_each(|tick| {
            let at = y.at(*tick);
            self.line(&[(left, at), (right, at)], Ink::Grid, 1.0)?;
            self.text(&label(*tick), (left - 8.0, at), Lettering::label(Align::Right))
        })
    }

    /// An x.
    pub(crate) fn cross(&self, at: Point, radius: f64, ink: Ink) -> Drawn {
        self.area.draw(&Cross::new(place(at), units(radius), stroke(ink, 1.75)))
    }

    /// One line of text.
    pub(crate) fn text(&self, text: &str, at: Point, lettering: Lettering) -> Drawn {
        let horizontal = match lettering.align {
            Align::Left => HPos::Left,
            Align::Center => HPos::Center,
            Align::Right => HPos::Right,
        };
        let weight = if lettering.bold {
            FontStyle::Bold
        } else {
            FontStyle::Normal
        };
        let font = FontDesc::new(FontFamily::SansSerif, lettering.size * FINENESS * FONT_SCALE, weight);
        let color = lettering.ink.placeholder();
        let style = TextStyle::from(font)
            .color(&color)
            .pos(Pos::new(horizontal, VPos::Center));
        self.area.draw(&Text::new(printable(text), place(at), style))
    }
}

/// The text, cut with an ellipsis when it would be wider than `width` pixels.
pub(crate) fn fit(text: &str, width: f64, size: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for character in text.chars() {
        if text_width(&kept, size) + 2.0 * size * CHARACTER_WIDTH > width {
            break;
        }
        kept.push(character);
    }
    kept.push('…');
    kept
}

/// About how wide a text is, pixels.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * CHARACTER_WIDTH
}

fn stroke(ink: Ink, width: f64) -> ShapeStyle {
    ink.placeholder().stroke_width(units(width).unsigned_abs())
}

fn place((x, y): Point) -> (i32, i32) {
    (units(x), units(y))
}

/// Pixels to drawing units.
#[expect(
    clippy::cast_possible_truncation,
    reason = "clamped to what an i32 holds; a float cast saturates anyway"
)]
fn units(pixels: f64) -> i32 {
    (pixels * FINENESS).round().clamp(-1e6, 1e6) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_to_its_place() {
        let cut = fit("a_very_long_endpoint_name_that_never_ends", 100.0, 12.0);
        assert!(cut.ends_with('…'), "{cut}");
        assert!(text_width(&cut, 12.0) <= 100.0, "{cut}");
        assert_eq!(fit("short", 100.0, 12.0), "short");
    }
}
