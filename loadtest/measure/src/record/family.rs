//! Families of comparisons: figures that are tested together and judged apart from the others.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A family of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Family {
    /// 95th percentiles of the response times: what users feel.
    LatencyP95,
    /// CPU time per request: what the code costs.
    CpuPerRequest,
    /// Shares of requests beyond four times the first subject's p95: rare pauses. Only a gate tests them.
    TailShare,
}

impl Family {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::LatencyP95, Self::CpuPerRequest, Self::TailShare];

    /// Its name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::LatencyP95 => "latency_p95",
            Self::CpuPerRequest => "cpu_per_request",
            Self::TailShare => "tail_share",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::LatencyP95 => "p95 latency",
            Self::CpuPerRequest => "CPU time per request",
            Self::TailShare => "share of very slow requests",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics;

    #[test]
    fn records_have_the_names_of_families() {
        for family in Family::ALL {
            let text = serde_json::to_string(&family).expect("it is written");
            assert_eq!(text, format!("\"{family}\""));
            assert_eq!(serde_json::from_str::<Family>(&text).expect("it is read"), family);
        }
        assert_eq!(
            Family::ALL.map(Family::name),
            ["latency_p95", "cpu_per_request", "tail_share"]
        );
    }

    #[test]
    fn a_family_is_titled_like_the_metric_that_it_compares() {
        assert_eq!(Family::LatencyP95.title(), metrics::HTTP_P95_MS.title());
        assert_eq!(
            Family::CpuPerRequest.title(),
            metrics::SERVICE_CPU_US_PER_REQUEST.title()
        );
    }
}
