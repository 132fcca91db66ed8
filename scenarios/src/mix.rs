//! Shares of requests that follow from the weights of a workload, and picking by them.

use rand::{Rng, RngExt as _};

use crate::arrivals::Arrive;
use crate::workload::Workload;

impl Workload {
    /// Mean number of requests that follow from one arrival.
    pub fn requests_per_arrival(&self, arrive: Arrive) -> f64 {
        match arrive {
            Arrive::Requests => 1.0,
            Arrive::Sessions => self.requests_per_journey().iter().sum(),
        }
    }

    /// Picks journeys by weight.
    pub fn journey_mix(&self) -> Mix {
        Mix::new(self.journeys.iter().map(|journey| u64::from(journey.weight)))
    }

    /// Picks endpoints by the share that the journeys give them.
    pub fn endpoint_mix(&self) -> Mix {
        Mix::new(self.endpoint_weights())
    }

    /// Picks every endpoint that the journeys use equally often: what a gate is driven with, since an endpoint that is
    /// rare in the mix would have too few requests to be judged.
    pub fn equal_mix(&self) -> Mix {
        let weights = self.endpoint_weights().into_iter();
        Mix::new(weights.map(|weight| u64::from(weight > 0)))
    }

    /// Number of endpoints that the journeys use.
    pub fn used_endpoints(&self) -> usize {
        self.endpoint_weights().iter().filter(|weight| **weight > 0).count()
    }

    /// Expected number of requests in one journey, by endpoint index.
    pub fn requests_per_journey(&self) -> Vec<f64> {
        let journeys: u64 = self.journeys.iter().map(|journey| u64::from(journey.weight)).sum();
        let weights = self.endpoint_weights().into_iter();
        weights.map(|weight| weight as f64 / journeys as f64).collect()
    }

    /// Weights of the journeys, summed over the steps that request an endpoint, by endpoint index.
    fn endpoint_weights(&self) -> Vec<u64> {
        let mut weights = vec![0; self.endpoints.len()];
        for journey in &self.journeys {
            for step in &journey.steps {
                weights[step.endpoint] += u64::from(journey.weight);
            }
        }
        weights
    }

    /// Expected pause after a request, milliseconds: Z of the closed model's X (R + Z) = N.
    pub fn mean_think_ms(&self) -> f64 {
        let (mut think_ms, mut requests) = (0.0, 0.0);
        for journey in &self.journeys {
            let weight = f64::from(journey.weight);
            think_ms += weight * journey.steps.iter().map(|step| step.think.mean_ms()).sum::<f64>();
            requests += weight * journey.steps.len() as f64;
        }
        think_ms / requests
    }
}

/// Picks among things by weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mix {
    /// Sums of the weights up to and including each thing.
    cumulative: Vec<u64>,
}

impl Mix {
    /// At least one weight is above 0.
    fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let cumulative = weights.into_iter().scan(0, |total, weight| {
            *total += weight;
            Some(*total)
        });
        Self {
            cumulative: cumulative.collect(),
        }
    }

    /// The position of a thing. Never one of weight 0.
    pub fn pick<R: Rng + ?Sized>(&self, rng: &mut R) -> usize {
        let total = self.cumulative.last().copied().unwrap_or_default();
        let ticket = rng.random_range(0..total);
        self.cumulative.partition_point(|&up_to| up_to <= ticket)
    }
}
