//! Faults on purpose: whoever reads the figures of a service must see that it was made worse than it is.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::registered;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabels {
    fault: String,
}

/// One series per fault that is on; none while there is none.
pub struct FaultMetrics(Family<FaultLabels, Gauge>);

impl FaultMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let help = "Faults on purpose, as FAULTS spells them";
        Self(registered(registry, "fault_active", help, Family::default()))
    }

    /// Says that these are on.
    pub fn say(&self, faults: Vec<String>) {
        for fault in faults {
            self.0.get_or_create_owned(&FaultLabels { fault }).set(1);
        }
    }
}
