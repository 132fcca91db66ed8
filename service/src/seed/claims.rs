//! Claims.
//!
//! - Frequency: Poisson per year, the driver's propensity gamma distributed (Greenwood and Yule 1920); over all drivers
//!   the counts are negative binomial, and most claims come from few drivers. It is the model behind bonus-malus
//!   systems (Lemaire 1995).
//! - Severity: log-normal, a usual choice for claim amounts (for example S. A. Klugman, H. H. Panjer and G. E. Willmot,
//!   "Loss Models").

use chrono::{Days, NaiveDate};
use rand::RngExt as _;
use serde::Serialize;

use super::draws::{DriverRng, gamma, log_normal, poisson, weighted};
use crate::domain::claims::ClaimStatus;
use crate::domain::ids::DriverId;

/// Claims per insured year of the average driver.
const CLAIMS_PER_YEAR: f64 = 0.12;
/// Gamma shape of the propensity: below 1, so most drivers have next to none of it.
const TRAIT_SHAPE: f64 = 0.8;
/// Years that claims stay on record.
const RECORD_DAYS: i64 = 3 * 365;
/// Median and spread of an amount.
const AMOUNT_MEDIAN_CENTS: f64 = 180_000.0;
const AMOUNT_SIGMA: f64 = 1.1;
/// Largest amount, in cents: ten million of the currency unit, so that one draw cannot outweigh the portfolio.
const AMOUNT_MAX_CENTS: f64 = 1e9;
/// Days within which most claims are not yet settled.
const SETTLING_DAYS: u64 = 90;
/// Where claims stand within that time and after it.
const RECENT_STATUS: [(ClaimStatus, u32); 3] = [
    (ClaimStatus::Open, 65),
    (ClaimStatus::Paid, 30),
    (ClaimStatus::Rejected, 5),
];
const OLD_STATUS: [(ClaimStatus, u32); 3] = [
    (ClaimStatus::Open, 4),
    (ClaimStatus::Paid, 88),
    (ClaimStatus::Rejected, 8),
];

/// A claim, in the order of its table's columns.
#[derive(Debug, Serialize)]
pub(super) struct ClaimRow {
    driver_id: DriverId,
    pub(super) amount_cents: i64,
    pub(super) status: ClaimStatus,
    occurred_on: NaiveDate,
}

/// A driver's propensity to have claims: 1 on average, far more for few.
pub(super) fn claims_trait(rng: &mut DriverRng) -> f64 {
    gamma(rng, TRAIT_SHAPE, 1.0)
}

/// The claims on a driver's record, in no particular order.
pub(super) fn claims(
    rng: &mut DriverRng,
    id: DriverId,
    insured_days: i64,
    as_of: NaiveDate,
    claims_trait: f64,
) -> Vec<ClaimRow> {
    let days = insured_days.clamp(1, RECORD_DAYS).unsigned_abs();
    let count = poisson(rng, CLAIMS_PER_YEAR * claims_trait * days as f64 / 365.0);
    (0..count)
        .map(|_| {
            let days_ago = rng.random_range(1..=days);
            claim(rng, id, days_ago, as_of)
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "amounts are bounded by AMOUNT_MAX_CENTS")]
fn claim(rng: &mut DriverRng, driver_id: DriverId, days_ago: u64, as_of: NaiveDate) -> ClaimRow {
    let amount = log_normal(rng, AMOUNT_MEDIAN_CENTS, AMOUNT_SIGMA).min(AMOUNT_MAX_CENTS);
    let status = if days_ago < SETTLING_DAYS {
        &RECENT_STATUS
    } else {
        &OLD_STATUS
    };
    ClaimRow {
        driver_id,
        amount_cents: amount as i64,
        status: weighted(rng, status),
        occurred_on: as_of - Days::new(days_ago),
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    /// Claims per driver of a portfolio of three insured years each, most first.
    fn counts() -> Vec<usize> {
        let as_of = NaiveDate::from_ymd_opt(2026, 7, 1).unwrap();
        let mut rng = DriverRng::seed_from_u64(4);
        let mut counts: Vec<_> = (0..20_000)
            .map(|_| {
                let claims_trait = claims_trait(&mut rng);
                claims(&mut rng, DriverId(1), 2_000, as_of, claims_trait).len()
            })
            .collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    #[test]
    fn most_claims_come_from_few_drivers() {
        let counts = counts();
        let all: usize = counts.iter().sum();
        let worst_tenth: usize = counts.iter().take(counts.len() / 10).sum();
        assert!(worst_tenth * 2 > all, "the worst tenth has {worst_tenth} of {all}");
        assert!(counts.iter().filter(|count| **count == 0).count() * 10 > counts.len() * 7);
    }

    #[test]
    fn counts_are_overdispersed_as_the_negative_binomial_says() {
        let counts = counts();
        let n = counts.len() as f64;
        let mean = counts.iter().sum::<usize>() as f64 / n;
        let variance = counts.iter().map(|count| (*count as f64 - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // Mean m = 0.36 and shape a = 0.8: variance m + m^2 / a = 0.522.
        assert!((0.34..0.38).contains(&mean), "{mean}");
        assert!((0.48..0.57).contains(&variance), "{variance}");
    }
}
