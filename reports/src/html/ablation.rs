//! The ablation: what each feature buys, from the comparison of the subject without it against the whole one.

use measure::record::{ALL_ENDPOINTS, Ablated, Comparison, Family, Outcome};

use crate::document::NONE;
use crate::rows::Compared;
use crate::view::View;
use crate::words::{self, Word};

/// One feature.
pub(crate) struct Row<'a> {
    pub(crate) of: &'a Ablated,
    /// `CACHE_ENABLED=false`, one per variable.
    pub(crate) off: String,
    /// p95 of all requests, and CPU time per request.
    pub(crate) bought: [Bought; 2],
    /// The endpoint whose p95 depends on it most, and how much; none where nothing was compared.
    pub(crate) most: Option<String>,
}

/// Effect of switching off on one figure.
pub(crate) struct Bought {
    /// Without it ÷ with it.
    pub(crate) ratio: String,
    /// Its interval; none where the run allows none.
    pub(crate) bounds: Option<String>,
    pub(crate) word: Word,
}

/// One row per feature, in the order of the file; empty for a run that is no ablation.
pub(crate) fn rows(view: View<'_>) -> Vec<Row<'_>> {
    view.record.ablation.iter().map(|ablated| row(view, ablated)).collect()
}

fn row<'a>(view: View<'a>, ablated: &'a Ablated) -> Row<'a> {
    let of = |family| bought(view.comparison(family, ALL_ENDPOINTS, &ablated.subject));
    let off = ablated.off.iter().map(|(name, value)| format!("{name}={value}"));
    Row {
        off: off.collect::<Vec<_>>().join(" "),
        bought: [of(Family::LatencyP95), of(Family::CpuPerRequest)],
        most: most(view, &ablated.subject),
        of: ablated,
    }
}

fn bought(comparison: Option<&Comparison>) -> Bought {
    let compared = comparison.map(Compared::new);
    let outcome = comparison.map_or(Outcome::InsufficientData, |comparison| comparison.outcome);
    Bought {
        ratio: compared
            .as_ref()
            .map_or(NONE.to_owned(), |compared| compared.ratio.clone()),
        bounds: compared.and_then(|compared| compared.bounds),
        word: words::ablation(outcome),
    }
}

/// `driver_details 4.10 (3.20 to 5.00)`.
fn most(view: View<'_>, subject: &str) -> Option<String> {
    let own = view.record.comparisons.iter().filter(|one| {
        one.after == subject
            && one.family == Family::LatencyP95
            && one.endpoint != ALL_ENDPOINTS
            && one.outcome != Outcome::InsufficientData
    });
    let most = own.max_by(|a, b| a.ratio.total_cmp(&b.ratio)).map(Compared::new)?;
    Some(format!("{} {}", most.endpoint, most.with_bounds()))
}
