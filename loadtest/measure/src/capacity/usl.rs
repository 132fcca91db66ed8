//! The universal scalability law (Gunther 2007): `X(N) = lambda N / (1 + sigma (N-1) + kappa N (N-1))`, sigma for
//! waiting in line, kappa for keeping consistent.
//!
//! Fitted by least squares on X with sigma, kappa >= 0 (Levenberg and Marquardt; three parameters need no library).
//! Long extrapolations miss even their own interval, so none goes beyond twice the largest N measured, and the miss of
//! a fit of the lower half on the upper half widens the interval.

use crate::stats::student;

/// How far beyond the largest N measured a prediction may go.
pub const MAX_REACH: f64 = 2.0;
/// Steps of the fit; it converges in about ten.
const MAX_STEPS: usize = 200;
/// Points that a fit of three parameters needs at least.
const MIN_POINTS: usize = 4;
/// Points that both halves need for the check of a prediction.
const MIN_HALVED: usize = 2 * MIN_POINTS;

type Vector = [f64; 3];

/// A fitted law.
#[derive(Debug, Clone, PartialEq)]
pub struct Usl {
    /// Throughput of one.
    pub lambda: f64,
    /// Contention.
    pub sigma: f64,
    /// Coherency.
    pub kappa: f64,
    /// Largest N measured.
    pub largest_n: f64,
    /// Relative miss of the upper half by a fit of the lower half; absent with fewer than eight points.
    pub miss: Option<f64>,
    /// Covariance of the parameters.
    covariance: [Vector; 3],
    degrees: usize,
}

/// A prediction of the law.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Throughput.
    pub value: f64,
    /// 95 % interval: that of the fit, and the miss in quadrature.
    pub interval: (f64, f64),
}

/// Fits the law to (N, X); `None` with fewer than four points or figures that are not positive.
pub fn fit(points: &[(f64, f64)]) -> Option<Usl> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let usable = |(n, x): &(f64, f64)| *n >= 1.0 && *x > 0.0 && n.is_finite() && x.is_finite();
    if sorted.len() < MIN_POINTS || !sorted.iter().all(usable) {
        return None;
    }
    let parameters = least_squares(&sorted);
    let degrees = sorted.len() - 3;
    let largest_n = sorted.last()?.0;
    Some(Usl {
        lambda: parameters[0],
        sigma: parameters[1],
        kappa: parameters[2],
        largest_n,
        miss: miss(&sorted),
        covariance: covariance(&sorted, &parameters, degrees),
        degrees,
    })
}

impl Usl {
    /// The throughput that the law gives, however far away.
    pub fn throughput(&self, n: f64) -> f64 {
        law(&self.parameters(), n)
    }

    /// Where the throughput is largest: `sqrt((1 - sigma) / kappa)`; infinite without coherency cost.
    pub fn peak_n(&self) -> f64 {
        if self.kappa > 0.0 {
            ((1.0 - self.sigma).max(0.0) / self.kappa).sqrt()
        } else {
            f64::INFINITY
        }
    }

    /// The prediction that the data support at `n`; `None` beyond twice the largest N, or without enough points to
    /// check a prediction.
    pub fn predict(&self, n: f64) -> Option<Prediction> {
        let miss = self.miss.filter(|_| n <= MAX_REACH * self.largest_n)?;
        let value = self.throughput(n);
        let slope = gradient(&self.parameters(), n);
        let variance = dot(&slope, &times(&self.covariance, &slope)).max(0.0);
        let of_fit = student::quantile(student::TWO_SIDED_95, self.degrees) * variance.sqrt();
        let half = of_fit.hypot(miss * value);
        Some(Prediction {
            value,
            interval: ((value - half).max(0.0), value + half),
        })
    }

    fn parameters(&self) -> Vector {
        [self.lambda, self.sigma, self.kappa]
    }
}

fn law(parameters: &Vector, n: f64) -> f64 {
    let [lambda, sigma, kappa] = parameters;
    lambda * n / (1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0))
}

/// Derivatives by lambda, sigma, kappa.
fn gradient(parameters: &Vector, n: f64) -> Vector {
    let [lambda, sigma, kappa] = parameters;
    let below = 1.0 + sigma * (n - 1.0) + kappa * n * (n - 1.0);
    let steep = -lambda * n / (below * below);
    [n / below, steep * (n - 1.0), steep * n * (n - 1.0)]
}

fn squares(points: &[(f64, f64)], parameters: &Vector) -> f64 {
    points.iter().map(|(n, x)| (x - law(parameters, *n)).powi(2)).sum()
}

/// Levenberg and Marquardt from a start without contention, steps scaled by the diagonal and cut at zero.
fn least_squares(points: &[(f64, f64)]) -> Vector {
    let mut at = [points[0].1 / points[0].0, 0.01, 1e-4];
    let (mut best, mut damping) = (squares(points, &at), 1e-3);
    for _ in 0..MAX_STEPS {
        let (curvature, pull) = normal_equations(points, &at);
        let next = step(&at, &curvature, &pull, damping);
        let found = squares(points, &next);
        if found < best {
            let gained = best - found;
            (at, best, damping) = (next, found, damping / 10.0);
            if gained <= 1e-15 * best {
                break;
            }
        } else {
            damping *= 10.0;
            if damping > 1e12 {
                break;
            }
        }
    }
    at
}

/// `J'J` and `J'r`. A parameter at zero that is pulled below stays there.
fn normal_equations(points: &[(f64, f64)], at: &Vector) -> ([Vector; 3], Vector) {
    let mut curvature = [[0.0; 3]; 3];
    let mut pull = [0.0; 3];
    for (n, x) in points {
        let (slope, rest) = (gradient(at, *n), x - law(at, *n));
        for row in 0..3 {
            pull[row] += slope[row] * rest;
            for column in 0..3 {
                curvature[row][column] += slope[row] * slope[column];
            }
        }
    }
    for held in 1..3 {
        if at[held] <= 0.0 && pull[held] < 0.0 {
            hold(&mut curvature, &mut pull, held);
        }
    }
    (curvature, pull)
}

/// Takes a parameter out of the equations.
fn hold(curvature: &mut [Vector; 3], pull: &mut Vector, held: usize) {
    for row in curvature.iter_mut() {
        row[held] = 0.0;
    }
    curvature[held] = [0.0; 3];
    curvature[held][held] = 1.0;
    pull[held] = 0.0;
}

fn step(at: &Vector, curvature: &[Vector; 3], pull: &Vector, damping: f64) -> Vector {
    let mut damped = *curvature;
    for (index, row) in damped.iter_mut().enumerate() {
        row[index] *= 1.0 + damping;
    }
    let change = inverse(&damped).map_or([0.0; 3], |inverse| times(&inverse, pull));
    let moved = |index: usize| at[index] + change[index];
    [moved(0).max(f64::MIN_POSITIVE), moved(1).max(0.0), moved(2).max(0.0)]
}

fn covariance(points: &[(f64, f64)], at: &Vector, degrees: usize) -> [Vector; 3] {
    let variance = squares(points, at) / degrees.max(1) as f64;
    let mut curvature = normal_equations(points, at).0;
    for (held, _) in at.iter().enumerate().skip(1).filter(|(_, value)| **value <= 0.0) {
        hold(&mut curvature, &mut [0.0; 3], held);
    }
    inverse(&curvature).map_or([[0.0; 3]; 3], |inverse| {
        inverse.map(|row| row.map(|value| value * variance))
    })
}

/// By cofactors; `None` where there is none.
fn inverse(m: &[Vector; 3]) -> Option<[Vector; 3]> {
    let minor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let determinant: f64 = (0..3).map(|c| m[0][c] * minor(0, c)).sum();
    let found = std::array::from_fn(|r| std::array::from_fn(|c| minor(c, r) / determinant));
    (determinant != 0.0 && determinant.is_finite()).then_some(found)
}

fn times(matrix: &[Vector; 3], vector: &Vector) -> Vector {
    matrix.map(|row| dot(&row, vector))
}

fn dot(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Root mean square of the relative misses on the upper half by a fit of the lower half.
fn miss(sorted: &[(f64, f64)]) -> Option<f64> {
    if sorted.len() < MIN_HALVED {
        return None;
    }
    let (lower, upper) = sorted.split_at(sorted.len().div_ceil(2));
    let parameters = least_squares(lower);
    let sum: f64 = upper
        .iter()
        .map(|(n, x)| (law(&parameters, *n) / x - 1.0).powi(2))
        .sum();
    Some((sum / upper.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::assert_close;

    /// The data set that the Go and Rust `usl` libraries test with: throughput at N = 1..=32.
    const CISCO: [f64; 32] = [
        955.16, 1878.91, 2688.01, 3548.68, 4315.54, 5130.43, 5931.37, 6531.08, 7219.8, 7867.61, 8278.71, 8646.7,
        9047.84, 9426.55, 9645.37, 9897.24, 10_097.6, 10_240.5, 10_532.39, 10_798.52, 11_151.43, 11_518.63, 11_806.0,
        12_089.37, 12_075.41, 12_177.29, 12_211.41, 12_158.93, 12_155.27, 12_118.04, 12_140.4, 12_074.39,
    ];

    fn golden() -> Usl {
        let points: Vec<(f64, f64)> = (1..).map(f64::from).zip(CISCO).collect();
        fit(&points).unwrap()
    }

    #[test]
    fn the_golden_case() {
        let law = golden();
        assert_close(law.sigma, 0.026_715_91, 1e-6);
        assert_close(law.kappa, 7.690_945e-4, 1e-8);
        assert_close(law.lambda, 995.6486, 1e-3);
        // The libraries round the peak down to whole N.
        assert_close(law.throughput(law.peak_n().floor()), 12_341.75, 0.01);
    }

    #[test]
    fn predictions_stop_at_twice_the_largest_n_and_own_up_to_their_miss() {
        let law = golden();
        assert!(law.miss.unwrap() > 0.0);
        let Prediction { value, interval } = law.predict(40.0).expect("40 is within reach of 32");
        assert!(interval.0 < value && value < interval.1);
        assert!((interval.1 - value) / value >= law.miss.unwrap());
        assert_eq!(law.predict(65.0), None);
    }

    #[test]
    fn a_law_without_coherency_cost_has_no_peak() {
        let points: Vec<(f64, f64)> = (1..=10).map(f64::from).map(|n| (n, 100.0 * n)).collect();
        let law = fit(&points).unwrap();
        assert_close(law.lambda, 100.0, 1e-6);
        assert!(law.sigma < 1e-9 && law.kappa < 1e-9, "{law:?}");
        assert_close(law.throughput(20.0), 2_000.0, 1e-3);
    }

    #[test]
    fn a_better_than_linear_subject_is_held_at_no_cost() {
        let points: Vec<(f64, f64)> = (1..=10)
            .map(f64::from)
            .map(|n| (n, 100.0 * n * (1.0 + 0.02 * n)))
            .collect();
        let law = fit(&points).unwrap();
        assert!(law.sigma.abs() < 1e-12 && law.kappa.abs() < 1e-12, "{law:?}");
        assert!(law.peak_n().is_infinite());
    }

    #[test]
    fn too_few_points_or_impossible_ones_fit_nothing() {
        assert_eq!(fit(&[(1.0, 10.0), (2.0, 19.0), (3.0, 27.0)]), None);
        assert_eq!(fit(&[(1.0, 10.0), (2.0, 0.0), (3.0, 27.0), (4.0, 30.0)]), None);
        let few: Vec<(f64, f64)> = (1..=5).map(f64::from).map(|n| (n, 10.0 * n)).collect();
        assert_eq!(fit(&few).unwrap().predict(6.0), None);
    }
}
