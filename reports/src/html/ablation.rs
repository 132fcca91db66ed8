//! The ablation: what each feature buys, from the comparison of the subject without it against the whole one.

use measure::record::{ALL_ENDPOINTS, Ablated, Comparison, Outcome};

use crate::format;
use crate::view::{View, endpoint_title};
use crate::words::{self, Word};

/// One feature.
pub(crate) struct Row {
    pub(crate) feature: String,
    pub(crate) what: String,
    /// `CACHE_ENABLED=false`, one per variable.
    pub(crate) off: String,
    /// p95 of all requests, and CPU time per request.
    pub(crate) bought: [Bought; 2],
    /// The endpoint whose p95 depends on it most, and how much; none where nothing was compared.
    pub(crate) most: Option<String>,
}

/// What switching off did to one figure.
pub(crate) struct Bought {
    /// Without it ÷ with it.
    pub(crate) ratio: String,
    /// Its interval; empty where the run allows none.
    pub(crate) bounds: String,
    pub(crate) word: Word,
}

/// One row per feature, in the order of the file; empty for a run that is no ablation.
pub(crate) fn rows(view: View<'_>) -> Vec<Row> {
    view.record.ablation.iter().map(|ablated| row(view, ablated)).collect()
}

fn row(view: View<'_>, ablated: &Ablated) -> Row {
    let of = |family| bought(view.comparison(family, ALL_ENDPOINTS, &ablated.subject));
    let off = ablated.off.iter().map(|(name, value)| format!("{name}={value}"));
    Row {
        feature: ablated.feature.clone(),
        what: ablated.what.clone(),
        off: off.collect::<Vec<_>>().join(" "),
        bought: [of(words::LATENCY), of(words::CPU)],
        most: most(view, &ablated.subject),
    }
}

fn bought(comparison: Option<&Comparison>) -> Bought {
    let Some(comparison) = comparison else {
        return Bought {
            ratio: "–".to_owned(),
            bounds: String::new(),
            word: words::ablation(Outcome::InsufficientData),
        };
    };
    Bought {
        ratio: format::number(comparison.ratio),
        bounds: words::ratio_bounds(comparison).unwrap_or_default(),
        word: words::ablation(comparison.outcome),
    }
}

/// `driver_details 4.10 (3.20 to 5.00)`.
fn most(view: View<'_>, subject: &str) -> Option<String> {
    let own = view.record.comparisons.iter().filter(|one| {
        one.after == subject
            && one.family == words::LATENCY
            && one.endpoint != ALL_ENDPOINTS
            && one.outcome != Outcome::InsufficientData
    });
    let most = own.max_by(|a, b| a.ratio.total_cmp(&b.ratio))?;
    let bounds = words::ratio_bounds(most).map_or(String::new(), |bounds| format!(" ({bounds})"));
    Some(format!(
        "{} {}{bounds}",
        endpoint_title(&most.endpoint),
        format::number(most.ratio)
    ))
}
