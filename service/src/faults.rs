//! Faults on purpose, at work. What they are and how they are named stands in [`config`](crate::config); each counts by
//! itself, so that one in N is every N-th and a run can be repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::Fault;

/// Every N-th of something.
#[derive(Debug)]
pub struct EveryNth {
    n: u64,
    count: AtomicU64,
}

impl EveryNth {
    /// Of each `n`, the last.
    pub fn new(n: u64) -> Self {
        Self {
            n,
            count: AtomicU64::new(0),
        }
    }

    /// Whether this one is it. Relaxed: the count orders nothing.
    pub fn is_due(&self) -> bool {
        (self.count.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.n)
    }
}

/// The faults of one route, each with its count.
#[derive(Debug, Clone, Default)]
pub struct RouteFaults(Vec<(Fault, Arc<EveryNth>)>);

/// Gives each route its faults.
#[derive(Debug)]
pub struct FaultPlan {
    faults: Vec<Fault>,
    /// One count for all routes, by place in `faults`: a pause hits one request in N, whatever its route.
    counts: Vec<Arc<EveryNth>>,
}

impl FaultPlan {
    /// A plan of these faults.
    pub fn new(faults: &[Fault]) -> Self {
        let one_in = |fault: &Fault| match fault {
            Fault::Pause { one_in, .. } | Fault::Error { one_in, .. } | Fault::SkipInvalidation { one_in } => *one_in,
            Fault::Sleep { .. } | Fault::Cpu { .. } => 1,
        };
        Self {
            counts: faults
                .iter()
                .map(|fault| Arc::new(EveryNth::new(one_in(fault))))
                .collect(),
            faults: faults.to_vec(),
        }
    }

    /// As `FAULTS` spells them.
    pub fn names(&self) -> Vec<String> {
        self.faults.iter().map(Fault::to_string).collect()
    }

    /// Those that touch the route with this operation id.
    pub fn of(&self, operation: &str) -> RouteFaults {
        let touches = |fault: &Fault| match fault.endpoint() {
            Some(endpoint) => endpoint == operation || endpoint == "*",
            None => matches!(fault, Fault::Pause { .. }),
        };
        let pairs = self.faults.iter().zip(&self.counts);
        let touching = pairs.filter(|(fault, _)| touches(fault));
        RouteFaults(
            touching
                .map(|(fault, count)| (fault.clone(), Arc::clone(count)))
                .collect(),
        )
    }

    /// Counters that decide which invalidations are not made.
    pub fn skipped_invalidations(&self) -> Vec<Arc<EveryNth>> {
        let pairs = self.faults.iter().zip(&self.counts);
        pairs
            .filter(|(fault, _)| matches!(fault, Fault::SkipInvalidation { .. }))
            .map(|(_, count)| Arc::clone(count))
            .collect()
    }

    /// The first endpoint that is named by a fault and is none of `known`.
    pub fn unknown_endpoint<'f>(&'f self, known: &[String]) -> Option<&'f str> {
        let mut named = self.faults.iter().filter_map(Fault::endpoint);
        named.find(|name| *name != "*" && !known.iter().any(|known| known == name))
    }
}

impl RouteFaults {
    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Does to a request what the faults say; `true` when it is to fail.
    pub async fn strike(&self) -> bool {
        let mut fails = false;
        for (fault, count) in &self.0 {
            match fault {
                Fault::Sleep { time, .. } => tokio::time::sleep(*time).await,
                Fault::Pause { time, .. } if count.is_due() => tokio::time::sleep(*time).await,
                Fault::Cpu { time, .. } => keep_busy(*time),
                Fault::Error { .. } => fails = fails || count.is_due(),
                Fault::Pause { .. } | Fault::SkipInvalidation { .. } => {}
            }
        }
        fails
    }
}

/// On this thread, as a slow computation in a handler would be.
fn keep_busy(time: Duration) {
    let started = Instant::now();
    while started.elapsed() < time {
        std::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_n_is_every_nth() {
        let third = EveryNth::new(3);
        let due: Vec<bool> = (0..6).map(|_| third.is_due()).collect();
        assert_eq!(due, [false, false, true, false, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_has_its_own_faults_and_those_of_all() {
        let time = Duration::from_millis(20);
        let plan = FaultPlan::new(&[
            Fault::Sleep {
                endpoint: "premium".to_owned(),
                time,
            },
            Fault::Error {
                endpoint: "*".to_owned(),
                one_in: 2,
            },
        ]);
        assert_eq!(plan.names(), ["sleep:premium:20ms", "error:*:1/2"]);
        let slept = async |operation: &str| {
            let started = tokio::time::Instant::now();
            let fails = plan.of(operation).strike().await;
            (started.elapsed() >= time, fails)
        };
        assert_eq!(slept("premium").await, (true, false));
        assert_eq!(slept("risk_current").await, (false, true));
        assert!(FaultPlan::new(&[]).of("premium").is_empty());
        let known = ["premium".to_owned()];
        assert_eq!(plan.unknown_endpoint(&known), None);
        assert_eq!(plan.unknown_endpoint(&[]), Some("premium"));
    }
}
