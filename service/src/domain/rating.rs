//! The price of cover for a year: a base premium times relativities.
//!
//! The multiplicative form is that of a generalised linear model with a logarithmic link, the common way of rating
//! motor insurance (E. Ohlsson and B. Johansson, "Non-Life Insurance Pricing with Generalized Linear Models", 2010):
//! each characteristic has a relativity against a base class, and they are multiplied.
//!
//! - **Age of the driver** on the first day of cover: dear for the young, cheap in the middle, dearer again for the
//!   old, the shape that the same book's motor examples have.
//! - **Age of the vehicle**: an older one is worth less.
//! - **Risk**: half of the premium follows the driver's own index (see [`risk`](super::risk)), the other half the
//!   portfolio: telematics improves a tariff rather than replacing it (Verbelen, Antonio and Claeskens 2018). Bounded,
//!   so that neither reward nor surcharge is without end.
//! - **Coverage** against liability alone.
//! - **No-claims class**: each of ten classes takes five percent off (the idea of bonus-malus systems, Lemaire 1995).
//!
//! The tables are chosen to resemble such tariffs; they are not estimates from real policies.
//!
//! # What always holds
//! A premium is never negative. A worse score, a wider cover and a lower no-claims class never make it cheaper. The
//! same input always gives the same cents: relativities are whole per mille, and the product is rounded once.

use serde::Serialize;
use utoipa::ToSchema;

use super::money::Cents;
use super::policies::Coverage;
use super::risk::RiskScore;

/// Liability premium for a year in every base class.
pub const BASE_ANNUAL: Cents = Cents(62_000);
/// Best no-claims class.
pub const NO_CLAIMS_CLASS_MAX: i32 = 10;

/// Relativity of a base class.
const ONE: i64 = 1_000;
/// Discount of each no-claims class.
const NO_CLAIMS_STEP: i64 = 50;
/// Points of 50 have twice the average index: [`risk`](super::risk) says why.
const INDEX_AT_50_POINTS: i64 = 2_000;
/// Bounds of the risk relativity.
const RISK_MIN: i64 = 700;
const RISK_MAX: i64 = 3_000;
/// From this age of the driver on, in years: the relativity.
const DRIVER_AGES: [(u32, i64); 6] = [
    (0, 1_950),
    (21, 1_550),
    (25, 1_180),
    (30, ONE),
    (65, 1_080),
    (75, 1_300),
];
/// From this age of the vehicle on, in years: the relativity.
const VEHICLE_AGES: [(u32, i64); 4] = [(0, 1_100), (3, ONE), (8, 930), (15, 880)];

/// Everything that a premium depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Risk {
    /// The driver's age on the first day of cover, in full years.
    pub driver_age_years: u32,
    /// The vehicle's age on that day, in full years.
    pub vehicle_age_years: u32,
    /// The driver's score.
    pub score: RiskScore,
    /// Extent of cover.
    pub coverage: Coverage,
    /// Class for years without a claim, 0 to [`NO_CLAIMS_CLASS_MAX`]; more is cheaper.
    pub no_claims_class: i32,
}

/// The relativities, each in per mille of its base class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Relativities {
    /// Of the driver's age.
    pub driver_age: i64,
    /// Of the vehicle's age.
    pub vehicle_age: i64,
    /// Of the risk score.
    pub risk: i64,
    /// Of the cover.
    pub coverage: i64,
    /// Of the no-claims class.
    pub no_claims: i64,
}

/// A premium and how it came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rating {
    /// The relativities, in per mille.
    pub relativities: Relativities,
    /// For a year, in cents.
    pub annual_premium_cents: Cents,
}

/// Rates one vehicle; the module's text says how, from which sources, and what always holds.
pub fn rate(risk: &Risk) -> Rating {
    let relativities = Relativities {
        driver_age: of_age(&DRIVER_AGES, risk.driver_age_years),
        vehicle_age: of_age(&VEHICLE_AGES, risk.vehicle_age_years),
        risk: of_score(risk.score),
        coverage: of_coverage(risk.coverage),
        no_claims: ONE - NO_CLAIMS_STEP * i64::from(risk.no_claims_class.clamp(0, NO_CLAIMS_CLASS_MAX)),
    };
    Rating {
        relativities,
        annual_premium_cents: product(&relativities),
    }
}

fn of_age(table: &[(u32, i64)], years: u32) -> i64 {
    let row = table.iter().rev().find(|(from, _)| *from <= years);
    row.map_or(ONE, |(_, relativity)| *relativity)
}

/// Half the portfolio's 1, half the driver's own index: the inverse of the map from index to points.
fn of_score(score: RiskScore) -> i64 {
    let points = i64::from(score.hundredths()).clamp(0, 9_999);
    let index = INDEX_AT_50_POINTS * points / (10_000 - points);
    (ONE / 2 + index / 2).clamp(RISK_MIN, RISK_MAX)
}

const fn of_coverage(coverage: Coverage) -> i64 {
    match coverage {
        Coverage::Liability => ONE,
        Coverage::Partial => 1_300,
        Coverage::Comprehensive => 1_850,
    }
}

/// The product, rounded half up once. The largest possible one is some 10^21 before the division: 128 bits hold it.
fn product(relativities: &Relativities) -> Cents {
    let Relativities {
        driver_age,
        vehicle_age,
        risk,
        coverage,
        no_claims,
    } = *relativities;
    let factors = [driver_age, vehicle_age, risk, coverage, no_claims];
    let product = factors.iter().fold(i128::from(BASE_ANNUAL.0), |product, factor| {
        product * i128::from(*factor)
    });
    let scale = i128::from(ONE).pow(5);
    Cents(i64::try_from((product + scale / 2) / scale).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AVERAGE: Risk = Risk {
        driver_age_years: 40,
        vehicle_age_years: 5,
        score: RiskScore {
            points: 33.34,
            band: super::super::risk::RiskBand::Moderate,
        },
        coverage: Coverage::Liability,
        no_claims_class: 0,
    };

    #[test]
    fn the_average_driver_in_every_base_class_pays_the_base() {
        // 33.34 points: index 1.0002, relativity 1.000.
        assert_eq!(rate(&AVERAGE).annual_premium_cents, BASE_ANNUAL);
    }

    #[test]
    fn relativities_multiply() {
        let young = Risk {
            driver_age_years: 19,
            vehicle_age_years: 1,
            coverage: Coverage::Comprehensive,
            no_claims_class: 2,
            ..AVERAGE
        };
        // 62,000 * 1.95 * 1.1 * 1 * 1.85 * 0.9 = 221,428.35.
        assert_eq!(rate(&young).annual_premium_cents, Cents(221_428));
    }

    #[test]
    fn tables_begin_at_0_and_ascend() {
        for table in [&DRIVER_AGES[..], &VEHICLE_AGES[..]] {
            assert_eq!(table[0].0, 0);
            assert!(table.is_sorted_by(|(younger, _), (older, _)| younger < older));
        }
    }

    fn risk() -> impl Strategy<Value = Risk> {
        let coverage = prop::sample::select(Coverage::ALL);
        (0..120_u32, 0..60_u32, 0..=10_000_i32, coverage, -5..20_i32).prop_map(
            |(driver_age_years, vehicle_age_years, points_x100, coverage, no_claims_class)| Risk {
                driver_age_years,
                vehicle_age_years,
                score: RiskScore::from_hundredths(points_x100),
                coverage,
                no_claims_class,
            },
        )
    }

    fn premium(risk: &Risk) -> Cents {
        rate(risk).annual_premium_cents
    }

    proptest! {
        #[test]
        fn a_premium_is_positive_bounded_and_the_same_every_time(risk in risk()) {
            prop_assert!(premium(&risk) > Cents(0));
            prop_assert!(premium(&risk) < Cents(BASE_ANNUAL.0 * 20));
            prop_assert_eq!(rate(&risk), rate(&risk));
        }

        #[test]
        fn a_worse_score_is_never_cheaper(risk in risk(), worse_by in 0..=10_000_i32) {
            let points = (risk.score.hundredths() + worse_by).min(10_000);
            let worse = Risk { score: RiskScore::from_hundredths(points), ..risk };
            prop_assert!(premium(&worse) >= premium(&risk));
        }

        #[test]
        fn wider_cover_and_a_lower_class_are_never_cheaper(risk in risk(), other in risk()) {
            let wider = Risk { coverage: risk.coverage.max(other.coverage), ..risk };
            prop_assert!(premium(&wider) >= premium(&risk));
            let lower = Risk { no_claims_class: risk.no_claims_class.min(other.no_claims_class), ..risk };
            prop_assert!(premium(&lower) >= premium(&risk));
        }
    }
}
