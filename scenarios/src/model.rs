//! Load models: a number of users, or arrivals at a rate.

use serde::Deserialize;
use toml::Spanned;

use crate::arrivals::{OpenModel, RawOpen};
use crate::journey::Journey;
use crate::source::Findings;

/// Load models that a file gives; without any the command line must give one.
#[derive(Debug, Clone, PartialEq)]
pub struct Models {
    /// A fixed number of users.
    pub closed: Option<ClosedModel>,
    /// Arrivals at a rate.
    pub open: Option<OpenModel>,
}

/// A fixed number of users, each waiting for its answer and thinking before the next request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClosedModel {
    /// Concurrent users.
    pub users: u32,
    /// Seconds over which they start.
    pub ramp_s: f64,
}

/// The load models as they are written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawModels {
    closed: Option<RawClosed>,
    open: Option<RawOpen>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClosed {
    users: Spanned<u32>,
    /// 0 when absent.
    ramp_s: Option<Spanned<f64>>,
}

impl RawModels {
    pub(crate) fn check(&self, journeys: &[Journey], findings: &mut Findings<'_>) -> Models {
        let chained = journeys.iter().find(|journey| journey.hands_values_on());
        let chained = chained.map(|journey| journey.name.as_str());
        Models {
            closed: self.closed.as_ref().map(|raw| ClosedModel {
                users: findings.connections("users", &raw.users),
                ramp_s: raw
                    .ramp_s
                    .as_ref()
                    .map_or(0.0, |ramp_s| findings.seconds_or_none("ramp_s", ramp_s)),
            }),
            open: self.open.as_ref().map(|raw| raw.check(chained, findings)),
        }
    }
}
