//! Drivers, their vehicles and policies.
//!
//! The no-claims class follows the idea of bonus-malus systems (Lemaire 1995): a year without a claim is a step up, a
//! claim several steps down, and the class lowers the premium. Names are made up of common ones; addresses end in
//! example.com, which is reserved for examples (RFC 2606).

use chrono::{Days, NaiveDate};
use rand::RngExt as _;
use serde::Serialize;

use super::draws::{DriverRng, any, log_normal, standard_normal, weighted};
use crate::domain::drivers::DriverStatus;
use crate::domain::ids::DriverId;
use crate::domain::policies::Coverage;
use crate::store::views::Driver;

const GIVEN: [&str; 32] = [
    "Ada", "Ben", "Carla", "David", "Elena", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Karin", "Lukas", "Mara",
    "Nils", "Olga", "Paul", "Quentin", "Rosa", "Simon", "Tara", "Uwe", "Vera", "Walter", "Xenia", "Yusuf", "Zoe",
    "Amir", "Bianca", "Cem", "Dora", "Emil", "Fatima",
];
const FAMILY: [&str; 40] = [
    "Abel", "Bauer", "Costa", "Dietz", "Engel", "Fischer", "Graf", "Huber", "Ivanov", "Jansen", "Keller", "Lang",
    "Moser", "Novak", "Otto", "Petrov", "Quint", "Roth", "Schmid", "Tanaka", "Ulrich", "Vogel", "Weber", "Yilmaz",
    "Zimmer", "Alvarez", "Brandt", "Conti", "Duarte", "Eriksen", "Ferrari", "Gruber", "Hansen", "Ilves", "Jung",
    "Kovacs", "Lindt", "Meyer", "Nagy", "Olsen",
];
/// Make, model and how much its insurance costs against the average, in percent.
const MODELS: [(&str, &str, i64); 10] = [
    ("Volkswagen", "Golf", 100),
    ("Volkswagen", "Polo", 88),
    ("Toyota", "Corolla", 92),
    ("Toyota", "Yaris", 84),
    ("Ford", "Focus", 98),
    ("Opel", "Corsa", 90),
    ("Skoda", "Octavia", 96),
    ("BMW", "3 Series", 138),
    ("Tesla", "Model 3", 145),
    ("Fiat", "500", 86),
];
const STATUSES: [(DriverStatus, u32); 3] = [
    (DriverStatus::Active, 94),
    (DriverStatus::Suspended, 2),
    (DriverStatus::Lapsed, 4),
];
/// Extent of cover and its price against liability alone, in percent.
const COVERAGES: [((Coverage, i64), u32); 3] = [
    ((Coverage::Liability, 100), 30),
    ((Coverage::Partial, 130), 30),
    ((Coverage::Comprehensive, 185), 40),
];
/// One driver in five has a second vehicle.
const VEHICLES: [(i64, u32); 2] = [(1, 80), (2, 20)];

/// Drivers have joined evenly over so many days, in order of their numbers.
const JOINING_DAYS: i64 = 5 * 365;
const AGE_MEAN_YEARS: f64 = 42.0;
const AGE_SIGMA_YEARS: f64 = 14.0;
const AGE_MIN_YEARS: f64 = 18.0;
const AGE_MAX_YEARS: f64 = 85.0;
const DAYS_PER_YEAR: f64 = 365.25;
/// Liability premium for a year without any class.
const BASE_PREMIUM_CENTS: i64 = 62_000;
/// Best no-claims class; each class takes so many percent off the premium; a claim costs so many classes.
const CLASS_MAX: i64 = 10;
const CLASS_DISCOUNT_PCT: i64 = 5;
const CLASSES_PER_CLAIM: i64 = 3;

/// A vehicle, in the order of its table's columns.
#[derive(Debug, Serialize)]
pub(super) struct VehicleRow {
    pub(super) id: i64,
    driver_id: DriverId,
    plate: String,
    make: &'static str,
    model: &'static str,
    model_year: i32,
}

/// A policy, in the order of its table's columns.
#[derive(Debug, Serialize)]
pub(super) struct PolicyRow {
    vehicle_id: i64,
    coverage: Coverage,
    annual_premium_cents: i64,
    no_claims_class: i32,
    starts_on: NaiveDate,
    ends_on: NaiveDate,
}

/// Days between joining and the portfolio's date: the first of `drivers` joined first.
pub(super) fn insured_days(id: DriverId, drivers: u32) -> i64 {
    1 + (i64::from(drivers) - id.0) * JOINING_DAYS / i64::from(drivers)
}

/// A driver.
pub(super) fn driver(rng: &mut DriverRng, id: DriverId, joined_on: NaiveDate) -> Driver {
    let (given, family) = (any(rng, &GIVEN), any(rng, &FAMILY));
    Driver {
        id,
        name: format!("{given} {family}"),
        email: format!("{given}.{family}.{id}@example.com").to_lowercase(),
        licence: format!("DL{:02}{:08}", rng.random_range(10..100), id.0),
        born_on: born_on(rng, joined_on),
        joined_on,
        status: weighted(rng, &STATUSES),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an age is between 18 and 85 years"
)]
fn born_on(rng: &mut DriverRng, joined_on: NaiveDate) -> NaiveDate {
    let age = (AGE_MEAN_YEARS + AGE_SIGMA_YEARS * standard_normal(rng)).clamp(AGE_MIN_YEARS, AGE_MAX_YEARS);
    // Rounded up, so that nobody joined on the eve of the birthday that allows it.
    joined_on - Days::new((age * DAYS_PER_YEAR).ceil() as u64)
}

/// A driver's vehicles, numbered from `first_id`.
pub(super) fn vehicles(
    rng: &mut DriverRng,
    driver_id: DriverId,
    first_id: i64,
    as_of: NaiveDate,
) -> Vec<(VehicleRow, i64)> {
    use chrono::Datelike as _;
    let count = weighted(rng, &VEHICLES);
    (first_id..first_id + count)
        .map(|id| {
            let (make, model, price_pct) = any(rng, &MODELS);
            let model_year = as_of.year() - rng.random_range(0..16);
            (
                VehicleRow {
                    id,
                    driver_id,
                    plate: plate(id),
                    make,
                    model,
                    model_year,
                },
                price_pct,
            )
        })
        .collect()
}

/// Two letters and five digits, different for each of the first 67 million vehicles.
fn plate(id: i64) -> String {
    let letter = |place: i64| char::from(b'A' + u8::try_from(place % 26).unwrap_or_default());
    let block = id / 100_000;
    format!("{}{}-{:05}", letter(block / 26), letter(block), id % 100_000)
}

/// The policy of a vehicle, renewed on the day of joining each year.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a premium is far below 2^53 cents, a class at most 10"
)]
pub(super) fn policy(
    rng: &mut DriverRng,
    vehicle_id: i64,
    price_pct: i64,
    insured_days: i64,
    claims: i64,
    as_of: NaiveDate,
) -> PolicyRow {
    let ((coverage, coverage_pct), years_before) = (weighted(rng, &COVERAGES), rng.random_range(0..4));
    let class = (years_before + insured_days / 365 - CLASSES_PER_CLAIM * claims).clamp(0, CLASS_MAX);
    let rated = BASE_PREMIUM_CENTS * price_pct / 100 * coverage_pct / 100 * (100 - CLASS_DISCOUNT_PCT * class) / 100;
    let starts_on = as_of - Days::new((insured_days % 365).unsigned_abs());
    PolicyRow {
        vehicle_id,
        coverage,
        annual_premium_cents: log_normal(rng, rated as f64, 0.1) as i64,
        no_claims_class: class as i32,
        starts_on,
        ends_on: starts_on + Days::new(364),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn low_numbers_joined_first_and_all_joined_before_the_portfolios_date() {
        let days: Vec<_> = (1..=1_000).map(|id| insured_days(DriverId(id), 1_000)).collect();
        assert!(days.is_sorted_by(|earlier, later| earlier >= later));
        assert_eq!(days.last(), Some(&1));
        assert_eq!(days[0], 1 + 999 * JOINING_DAYS / 1_000);
    }

    #[test]
    fn plates_differ() {
        let plates: HashSet<_> = (0..300_000).map(plate).collect();
        assert_eq!(plates.len(), 300_000);
        assert_eq!(plate(123_456), "AB-23456");
    }

    #[test]
    fn everybody_is_of_age_and_a_claim_costs_classes() {
        let as_of = NaiveDate::from_ymd_opt(2026, 7, 1).unwrap();
        let mut rng = DriverRng::seed_from_u64(5);
        for id in 1..2_000 {
            let driver = driver(&mut rng, DriverId(id), as_of);
            assert!(driver.joined_on.years_since(driver.born_on) >= Some(18), "{driver:?}");
        }
        let clean = policy(&mut rng.clone(), 1, 100, 1_825, 0, as_of);
        let claimed = policy(&mut rng, 1, 100, 1_825, 2, as_of);
        assert_eq!(
            clean.no_claims_class - claimed.no_claims_class,
            clean.no_claims_class.min(6)
        );
        assert!(claimed.annual_premium_cents > clean.annual_premium_cents);
    }
}
