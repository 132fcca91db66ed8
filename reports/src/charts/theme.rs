//! How a plot takes on the page's colours: it is drawn in placeholder colours, each of which becomes a CSS variable.
//!
//! The palette is in `templates/style.css` (Okabe and Ito's, which the colour-blind can tell apart, darkened or
//! lightened for contrast). Lines of different subjects differ in their dashes as well, and their points in shape.

use plotters::style::RGBColor;

use super::Figure;

/// Meaning of a stroke or an area, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    /// Headings and values.
    Text,
    /// Axis labels.
    Muted,
    /// Grid lines.
    Grid,
    /// The background of a plot.
    Surface,
    /// Intervals.
    Whisker,
    /// The limit of a target.
    Target,
    /// Errors.
    Bad,
    /// Areas and points of a subject.
    Area(usize),
    /// Lines of a subject.
    Line(usize),
}

/// Subjects with a colour of their own; a further one starts over (its name still tells it apart).
pub(crate) const SERIES: usize = 6;

/// Dash pattern of a subject's lines, in drawing units; the first two are what nearly every report shows.
const DASHES: [&str; SERIES] = ["20 10", "", "6 8", "32 10 6 10", "12 6", "40 8"];

impl Ink {
    /// The placeholder: no two inks share one, and plotters draws nothing else.
    pub(crate) fn placeholder(self) -> RGBColor {
        let (group, index) = self.place();
        RGBColor(0xA0, group, u8::try_from(index % SERIES).unwrap_or(0))
    }

    fn place(self) -> (u8, usize) {
        match self {
            Self::Text => (1, 0),
            Self::Muted => (2, 0),
            Self::Grid => (3, 0),
            Self::Whisker => (4, 0),
            Self::Target => (5, 0),
            Self::Bad => (6, 0),
            Self::Surface => (9, 0),
            Self::Area(index) => (7, index),
            Self::Line(index) => (8, index),
        }
    }

    /// The CSS variable it becomes.
    fn variable(self) -> String {
        match self {
            Self::Text => "--ink".to_owned(),
            Self::Muted => "--muted".to_owned(),
            Self::Grid => "--grid".to_owned(),
            Self::Surface => "--surface".to_owned(),
            Self::Whisker => "--whisker".to_owned(),
            Self::Target => "--target".to_owned(),
            Self::Bad => "--bad".to_owned(),
            Self::Area(index) | Self::Line(index) => format!("--series-{}", index % SERIES),
        }
    }

    /// Dash pattern, in drawing units; empty for a solid line.
    pub(crate) fn dashes(self) -> &'static str {
        match self {
            Self::Line(index) => DASHES[index % SERIES],
            _ => "",
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let plain = [
            Self::Text,
            Self::Muted,
            Self::Grid,
            Self::Surface,
            Self::Whisker,
            Self::Target,
            Self::Bad,
        ];
        plain
            .into_iter()
            .chain((0..SERIES).map(Self::Area))
            .chain((0..SERIES).map(Self::Line))
    }
}

/// The SVG of plotters as the page shows it: themed, and with its text alternative.
pub(crate) fn adapt(svg: &str, figure: &Figure, size: (u32, u32)) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let mut body = body
        .replace(" opacity=\"1\"", "")
        .replace(" font-family=\"sans-serif\"", "");
    for ink in Ink::all() {
        body = apply(ink, &body);
    }
    let (id, class) = (escape(&figure.id), escape(&figure.class));
    let (title, description) = (escape(&figure.title), escape(&figure.description));
    format!(
        "<svg class=\"{class}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\" viewBox=\"0 0 {} {}\">\
         <title id=\"{id}-title\">{title}</title><desc id=\"{id}-desc\">{description}</desc>{body}",
        size.0, size.1
    )
}

/// Text from the record cannot be hit: plotters escapes the quotes in it.
fn apply(ink: Ink, svg: &str) -> String {
    let RGBColor(red, green, blue) = ink.placeholder();
    let placeholder = format!("#{red:02X}{green:02X}{blue:02X}");
    let variable = ink.variable();
    let dashes = match ink.dashes() {
        "" => String::new(),
        pattern => format!(" stroke-dasharray=\"{pattern}\""),
    };
    svg.replace(&format!("fill=\"{placeholder}\""), &format!("fill=\"var({variable})\""))
        .replace(
            &format!("stroke=\"{placeholder}\""),
            &format!("stroke=\"var({variable})\"{dashes}"),
        )
}

/// For text and attributes alike.
fn escape(text: &str) -> String {
    crate::words::printable(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_inks_share_a_placeholder() {
        let placeholders: BTreeSet<_> = Ink::all().map(Ink::place).collect();
        assert_eq!(placeholders.len(), Ink::all().count());
    }

    #[test]
    fn a_further_subject_starts_over() {
        assert_eq!(Ink::Line(SERIES).placeholder(), Ink::Line(0).placeholder());
    }
}
