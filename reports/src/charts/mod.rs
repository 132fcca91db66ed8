//! The plots, as inline SVG.
//!
//! plotters draws; where a value lies is decided in `scale`, and how a plot takes on the page's colours in `theme`. A
//! plot that has nothing to show is `None`, never an empty frame.

mod bars;
mod canvas;
mod capacity;
mod curves;
mod probes;
mod scale;
mod theme;
mod timeline;
mod trend;

pub(crate) use bars::p95_bars;
pub(crate) use canvas::Marker;
pub(crate) use capacity::capacity;
pub(crate) use curves::{percentile_curves, propagation, response_and_service};
pub(crate) use probes::probe_over_time;
pub(crate) use timeline::latency_over_time;
pub(crate) use trend::trend;

/// For which place a plot is drawn: text keeps its size, so a narrow screen gets a plot of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// From 860 px.
    Wide,
    /// Phones.
    Narrow,
}

impl Width {
    /// Class name and suffix of identifiers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wide => "wide",
            Self::Narrow => "narrow",
        }
    }
}

/// Identity and text alternative of a plot.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// Unique on the page; also the prefix of the identifiers within.
    pub(crate) id: String,
    /// Class names.
    pub(crate) class: String,
    /// Its subject in a few words.
    pub(crate) title: String,
    /// Its content in words, for readers who do not see it.
    pub(crate) description: String,
}

/// Which of the palette's colours the subject at this index has.
pub(crate) fn series(index: usize) -> usize {
    index % theme::SERIES
}

/// Dash pattern of the lines of the subject at this index.
pub(crate) fn dashes(index: usize) -> &'static str {
    theme::Ink::Line(index).dashes()
}
