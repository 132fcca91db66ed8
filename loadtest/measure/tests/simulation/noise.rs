//! The noise model of STATISTICS section 1: what a shared machine does to latencies.

use measure::histogram::LatencyHistogram;
use measure::record::EndpointCounts;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand_distr::{Distribution as _, Exp1, Open01, StandardNormal};

/// Endpoints, each with its own spread.
pub(crate) const ENDPOINTS: usize = 12;
/// Requests per second unless a machine is told otherwise; the canary takes its share of them.
pub(crate) const RATE_PER_S: f64 = 1000.0;
const CANARY_SHARE: f64 = 0.1;
/// How often the fast noise moves, seconds.
const STEP_S: f64 = 0.05;
const SLOW_TAU_S: f64 = 120.0;
const FAST_TAU_S: f64 = 0.5;
/// A neighbour works and rests for so long in turn, seconds.
const NEIGHBOUR_ON_S: f64 = 15.0;
const NEIGHBOUR_OFF_S: f64 = 60.0;
/// Spread of the logarithm of a stall's length. The stated model leaves it open; with this one, intervals cover nearly
/// as stated.
const STALL_SIGMA: f64 = 0.5;
/// One in fifty requests is drawn out by a Pareto factor of this shape.
const OUTLIER_SHARE: f64 = 0.02;
const OUTLIER_SHAPE: f64 = 2.2;
/// Spread of the logarithm of a slice's lateness.
const LATENESS_SIGMA: f64 = 1.2;
/// What a failed request is taken to have lasted, seconds.
pub(crate) const FAILED_S: f64 = 10.0;
/// Typical time of the fastest endpoint, seconds.
const BASE_S: f64 = 0.002;

/// One level of noise: standard deviations of logarithms, factors, rates per second and lengths in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub(crate) name: &'static str,
    pub(crate) slow: f64,
    pub(crate) neighbour: f64,
    pub(crate) fast: f64,
    pub(crate) slice: f64,
    pub(crate) launch: f64,
    pub(crate) stalls_per_s: f64,
    pub(crate) stall_s: f64,
    /// Spread of the CPU time per request between two launches.
    pub(crate) cpu: f64,
}

pub(crate) const QUIET: Level = Level {
    name: "quiet",
    slow: 0.05,
    neighbour: 1.1,
    fast: 0.05,
    slice: 0.01,
    launch: 0.005,
    stalls_per_s: 0.01,
    stall_s: 0.030,
    cpu: 0.01,
};
pub(crate) const MODERATE: Level = Level {
    name: "moderate",
    slow: 0.10,
    neighbour: 1.3,
    fast: 0.15,
    slice: 0.02,
    launch: 0.01,
    stalls_per_s: 0.05,
    stall_s: 0.060,
    cpu: 0.015,
};
pub(crate) const NOISY: Level = Level {
    name: "noisy",
    slow: 0.20,
    neighbour: 1.8,
    fast: 0.30,
    slice: 0.04,
    launch: 0.02,
    stalls_per_s: 0.1,
    stall_s: 0.100,
    cpu: 0.02,
};
pub(crate) const AWFUL: Level = Level {
    name: "awful",
    slow: 0.35,
    neighbour: 2.5,
    fast: 0.5,
    slice: 0.08,
    launch: 0.02,
    stalls_per_s: 0.3,
    stall_s: 0.150,
    cpu: 0.03,
};

/// A machine under this noise, whose time goes on from slice to slice.
pub(crate) struct Machine {
    pub(crate) rate_per_s: f64,
    /// Share of the requests that fail, of those that come into a stall.
    pub(crate) failing: f64,
    level: Level,
    rng: SmallRng,
    slow: f64,
    fast: f64,
    /// Seconds since the neighbour began to work.
    neighbour_s: f64,
    /// When the next stall begins, seconds from now.
    next_stall_s: f64,
    /// Start and length of the stalls that last, seconds from now.
    stalls: Vec<(f64, f64)>,
}

/// Effects of one launch of a subject on the logarithm of its times: common, and per endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    common: f64,
    own: [f64; ENDPOINTS],
}

/// Times of one slice, seconds: per endpoint, and of the canary.
pub(crate) struct SliceTimes {
    pub(crate) endpoints: Vec<Vec<f64>>,
    pub(crate) canary: Vec<f64>,
}

impl Machine {
    pub(crate) fn new(level: Level, seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let normal = |rng: &mut SmallRng| -> f64 { StandardNormal.sample(rng) };
        let (slow, fast) = (level.slow * normal(&mut rng), level.fast * normal(&mut rng));
        let mut machine = Self {
            rate_per_s: RATE_PER_S,
            failing: 0.0,
            level,
            rng,
            slow,
            fast,
            neighbour_s: 0.0,
            next_stall_s: 0.0,
            stalls: Vec::new(),
        };
        machine.neighbour_s = machine.uniform() * (NEIGHBOUR_ON_S + NEIGHBOUR_OFF_S);
        machine.next_stall_s = machine.exponential() / level.stalls_per_s;
        machine
    }

    /// A standard normal deviate.
    pub(crate) fn normal(&mut self) -> f64 {
        StandardNormal.sample(&mut self.rng)
    }

    fn exponential(&mut self) -> f64 {
        Exp1.sample(&mut self.rng)
    }

    /// In (0, 1).
    fn uniform(&mut self) -> f64 {
        Open01.sample(&mut self.rng)
    }

    /// A fresh launch.
    pub(crate) fn launch(&mut self) -> Launch {
        let sd = self.level.launch;
        Launch {
            common: sd * self.normal(),
            own: std::array::from_fn(|_| sd * self.normal()),
        }
    }

    /// Logarithm of the CPU time per request of two launches, one against the other.
    pub(crate) fn cpu_apart(&mut self) -> f64 {
        self.level.cpu * self.normal()
    }

    /// Time that nobody measures.
    pub(crate) fn idle(&mut self, seconds: f64) {
        self.stalls_of(seconds);
        self.advance(seconds);
    }

    /// How late the sends of the next slice are at the 99th percentile, seconds, where they are so by `median_ms` in
    /// the median slice: as unevenly as on a machine whose cores others take in bursts.
    pub(crate) fn lateness_s(&mut self, median_ms: f64) -> f64 {
        if median_ms > 0.0 {
            median_ms / 1000.0 * (LATENESS_SIGMA * self.normal()).exp()
        } else {
            0.0
        }
    }

    /// One slice of `seconds`: every endpoint's times multiplied by its `factors`.
    pub(crate) fn slice(&mut self, seconds: f64, launch: &Launch, factors: &[f64; ENDPOINTS]) -> SliceTimes {
        self.late_slice(seconds, launch, factors, 0.0)
    }

    /// [`Self::slice`] whose sends are late by `late_s` at the 99th percentile.
    pub(crate) fn late_slice(
        &mut self,
        seconds: f64,
        launch: &Launch,
        factors: &[f64; ENDPOINTS],
        late_s: f64,
    ) -> SliceTimes {
        let own = self.level.slice * self.normal();
        let noise = self.noise_of(seconds);
        let stalls = self.stalls_of(seconds);
        let conditions = Conditions {
            own,
            noise,
            stalls,
            seconds,
            late_s,
        };
        let per_endpoint = count(self.rate_per_s * (1.0 - CANARY_SHARE) * seconds / ENDPOINTS as f64);
        let endpoints = (0..ENDPOINTS)
            .map(|endpoint| {
                let sigma = 0.35 + 0.35 * endpoint as f64 / (ENDPOINTS - 1) as f64;
                let base = (BASE_S * (1.0 + endpoint as f64 / 4.0) * factors[endpoint]).ln();
                let level = base + launch.common + launch.own[endpoint];
                self.times(&conditions, per_endpoint, level, sigma)
            })
            .collect();
        let canary = self.times(
            &conditions,
            count(self.rate_per_s * CANARY_SHARE * seconds),
            (0.0005_f64).ln(),
            0.35,
        );
        SliceTimes { endpoints, canary }
    }

    fn times(&mut self, conditions: &Conditions, requests: usize, level: f64, sigma: f64) -> Vec<f64> {
        (0..requests)
            .map(|_| {
                let at_s = self.uniform() * conditions.seconds;
                let mut log = level + sigma * self.normal() + conditions.at(at_s);
                if self.uniform() < OUTLIER_SHARE {
                    log -= self.uniform().ln() / OUTLIER_SHAPE;
                }
                let wait_s = conditions.wait(at_s) + self.late_by(conditions.late_s);
                if self.failing > 0.0 && conditions.wait(at_s) > 0.0 && self.uniform() < self.failing {
                    FAILED_S
                } else {
                    log.exp() + wait_s
                }
            })
            .collect()
    }

    /// How late one request is sent: exponential, with this 99th percentile.
    fn late_by(&mut self, p99_s: f64) -> f64 {
        if p99_s > 0.0 {
            p99_s * self.exponential() / 100.0_f64.ln()
        } else {
            0.0
        }
    }

    /// Shared noise, one value per step.
    fn noise_of(&mut self, seconds: f64) -> Vec<f64> {
        (0..count((seconds / STEP_S).round()))
            .map(|_| {
                self.advance(STEP_S);
                let neighbour = if self.neighbour_s < NEIGHBOUR_ON_S {
                    self.level.neighbour.ln()
                } else {
                    0.0
                };
                self.slow + self.fast + neighbour
            })
            .collect()
    }

    fn advance(&mut self, seconds: f64) {
        self.slow = self.wander(self.slow, self.level.slow, seconds / SLOW_TAU_S);
        self.fast = self.wander(self.fast, self.level.fast, seconds / FAST_TAU_S);
        self.neighbour_s = (self.neighbour_s + seconds) % (NEIGHBOUR_ON_S + NEIGHBOUR_OFF_S);
    }

    /// An exact step of an Ornstein-Uhlenbeck process with standard deviation `sd`.
    fn wander(&mut self, value: f64, sd: f64, steps_of_tau: f64) -> f64 {
        let keep = (-steps_of_tau).exp();
        value * keep + sd * (1.0 - keep * keep).sqrt() * self.normal()
    }

    /// Start and length of the stalls of the next `seconds`, which then are over; those that last longer go on.
    fn stalls_of(&mut self, seconds: f64) -> Vec<(f64, f64)> {
        while self.next_stall_s < seconds {
            let length_s = self.level.stall_s * (STALL_SIGMA * self.normal()).exp();
            self.stalls.push((self.next_stall_s, length_s));
            self.next_stall_s += self.exponential() / self.level.stalls_per_s;
        }
        self.next_stall_s -= seconds;
        let within = self.stalls.clone();
        for (start, _) in &mut self.stalls {
            *start -= seconds;
        }
        self.stalls.retain(|(start, length)| start + length > 0.0);
        within
    }
}

/// What all requests of a slice share.
struct Conditions {
    own: f64,
    noise: Vec<f64>,
    stalls: Vec<(f64, f64)>,
    seconds: f64,
    late_s: f64,
}

impl Conditions {
    fn at(&self, at_s: f64) -> f64 {
        let step = count(at_s / STEP_S).min(self.noise.len() - 1);
        self.own + self.noise[step]
    }

    /// What is left of the stall that a request comes into.
    fn wait(&self, at_s: f64) -> f64 {
        let left = |(start, length): &(f64, f64)| {
            let end = start + length;
            if (*start..end).contains(&at_s) { end - at_s } else { 0.0 }
        };
        self.stalls.iter().map(left).fold(0.0, f64::max)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small positive figures"
)]
fn count(value: f64) -> usize {
    value as usize
}

/// A quantile of times, which are sorted as far as that needs.
pub(crate) fn quantile(times: &mut [f64], percent: usize) -> f64 {
    let rank = (times.len() * percent).div_ceil(100).saturating_sub(1);
    *times.select_nth_unstable_by(rank, f64::total_cmp).1
}

/// A time in microseconds, as histograms count it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "times are positive and short"
)]
pub(crate) fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}

/// Times of one endpoint, seconds, as a record counts them.
pub(crate) fn counts(times: &[f64]) -> EndpointCounts {
    let mut histogram = LatencyHistogram::new();
    for seconds in times {
        histogram.record_us(micros(*seconds));
    }
    EndpointCounts {
        count: histogram.len(),
        hdr: histogram.encode(),
        ..EndpointCounts::default()
    }
}
