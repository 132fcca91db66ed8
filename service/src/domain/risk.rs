//! How risky a driver is, from what was driven and what happened on the way.
//!
//! # The score
//! Each element of the record is compared with the portfolio: a *relativity* of 1 is the average driver, 2 is twice as
//! bad. The relativities are added with weights that sum to 1, and the sum is mapped to 0..=100 points (more is worse).
//!
//! - **Events per 100 km** of each kind, shrunk towards the portfolio's rate by the distance driven:
//!   `(b*K + n) / (K + d)` for `n` events on `d` hundred kilometres, base rate `b` and prior weight `K`. This is the
//!   mean of the posterior when counts are Poisson and drivers' rates are gamma distributed (M. Greenwood and G. U.
//!   Yule, "An inquiry into the nature of frequency distributions representative of multiple happenings", Journal of
//!   the Royal Statistical Society 83, 1920), which is the credibility estimate of H. Bühlmann ("Experience rating and
//!   credibility", ASTIN Bulletin 4, 1967): a driver with one short trip is judged by the portfolio, one with a long
//!   record by the record. That event rates per distance carry information on claims, and that distance is the
//!   exposure, is the finding of the literature on usage-based insurance, for example R. Verbelen, K. Antonio and G.
//!   Claeskens, "Unravelling the predictive power of telematics data in car insurance pricing" (Journal of the Royal
//!   Statistical Society C 67, 2018).
//! - **Night share** of the distance, shrunk in the same way.
//! - **Claims on record**: `(a + n) / (a + m)`, the same posterior mean per driver with mean `m` and gamma shape `a`,
//!   the form on which bonus-malus systems are built (J. Lemaire, "Bonus-Malus Systems in Automobile Insurance", 1995).
//!
//! Base rates, weights and prior strengths are chosen to resemble such portfolios and to match the seeded one (`seed`);
//! they are not estimates from real drivers.
//!
//! # What always holds
//! Points lie in 0..=100. A worse record (more events, more claims, more night, or the same events on less distance)
//! never scores better. The same exposure always gives the same points, on every platform: only the four basic
//! operations and rounding are used.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::trips::{EventCounts64, NewTrip};

/// Events per 100 km of the average driver.
const SPEEDING_PER_100KM: f64 = 7.7;
const HARSH_BRAKING_PER_100KM: f64 = 4.3;
const HARSH_ACCELERATION_PER_100KM: f64 = 3.1;
const HARSH_CORNERING_PER_100KM: f64 = 2.1;
/// Share of the average driver's distance that is driven at night.
const NIGHT_SHARE: f64 = 0.06;
/// Claims on the average driver's record.
const CLAIMS_ON_RECORD: f64 = 0.25;

/// `K`: distance at which a driver's own record weighs as much as the portfolio's, in 100 km.
const PRIOR_100KM: f64 = 2.0;
/// `a`: gamma shape of claim frequencies; the smaller, the more one claim says.
const CLAIMS_SHAPE: f64 = 0.8;

/// Weights of the relativities; they sum to 1.
const SPEEDING_WEIGHT: f64 = 0.20;
const HARSH_BRAKING_WEIGHT: f64 = 0.20;
const HARSH_ACCELERATION_WEIGHT: f64 = 0.10;
const HARSH_CORNERING_WEIGHT: f64 = 0.10;
const NIGHT_WEIGHT: f64 = 0.10;
const CLAIMS_WEIGHT: f64 = 0.30;

/// Index at which 50 points are given; the average driver, with index 1, gets 33.33.
const INDEX_AT_50_POINTS: f64 = 2.0;

/// A driver's record so far: everything that a score depends on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Exposure {
    /// Number of trips.
    pub trips: i64,
    /// Metres driven.
    pub distance_m: i64,
    /// Metres driven at night, each trip rounded down.
    pub night_distance_m: i64,
    /// Safety events on the trips.
    pub events: EventCounts64,
    /// Claims on record that [count](super::claims::ClaimStatus::counts).
    pub claims: i64,
}

impl Exposure {
    /// Adds one trip.
    pub fn add_trip(&mut self, trip: &NewTrip) {
        self.trips += 1;
        self.distance_m += i64::from(trip.distance_m);
        self.night_distance_m += trip.night_distance_m();
        self.events.add(&trip.events);
    }

    /// Events of all kinds per 100 km, to two decimals; 0 before the first metre.
    pub fn events_per_100km(&self) -> f64 {
        if self.distance_m == 0 {
            return 0.0;
        }
        round_to_hundredths(self.events.total() as f64 / hundred_km(self.distance_m))
    }
}

text_enum! {
    /// Classes of points, from best to worst.
    pub enum RiskBand {
        /// Below 25 points: at most two thirds of the average index.
        Low => "low",
        /// 25 to below 40 points: around the average.
        Moderate => "moderate",
        /// 40 to below 55 points: up to two and a half times the average.
        High => "high",
        /// 55 points and more.
        Severe => "severe",
    }
}

impl RiskBand {
    /// The band of so many hundredths of a point.
    pub const fn of_hundredths(points_x100: i32) -> Self {
        match points_x100 {
            ..2_500 => Self::Low,
            2_500..4_000 => Self::Moderate,
            4_000..5_500 => Self::High,
            5_500.. => Self::Severe,
        }
    }
}

/// A driver's score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RiskScore {
    /// 0 (best) to 100 (worst), with two decimals.
    pub points: f64,
    /// The class of the points.
    pub band: RiskBand,
}

impl RiskScore {
    /// The score of so many hundredths of a point, the form in which it is stored.
    pub fn from_hundredths(points_x100: i32) -> Self {
        Self {
            points: f64::from(points_x100) / 100.0,
            band: RiskBand::of_hundredths(points_x100),
        }
    }

    /// The points in hundredths: exact, as sums of them must be.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "points are at most 100, so this is at most 10,000"
    )]
    pub fn hundredths(&self) -> i32 {
        (self.points * 100.0).round() as i32
    }
}

/// Scores a driver; the module's text says how, from which sources, and what always holds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "points are at most 100, so this is at most 10,000"
)]
pub fn score(exposure: &Exposure) -> RiskScore {
    // This form grows with the index in floating point too: each of its steps is monotone.
    let points = 100.0 * (1.0 - INDEX_AT_50_POINTS / (INDEX_AT_50_POINTS + index(exposure)));
    RiskScore::from_hundredths((points * 100.0).round() as i32)
}

/// The weighted sum of relativities: 1 for the average driver, never negative.
fn index(exposure: &Exposure) -> f64 {
    let distance = hundred_km(exposure.distance_m);
    let rate = |count: i64, base: f64| shrunk(count.max(0) as f64, distance, base) / base;
    let events = &exposure.events;
    SPEEDING_WEIGHT * rate(events.speeding, SPEEDING_PER_100KM)
        + HARSH_BRAKING_WEIGHT * rate(events.harsh_braking, HARSH_BRAKING_PER_100KM)
        + HARSH_ACCELERATION_WEIGHT * rate(events.harsh_acceleration, HARSH_ACCELERATION_PER_100KM)
        + HARSH_CORNERING_WEIGHT * rate(events.harsh_cornering, HARSH_CORNERING_PER_100KM)
        + NIGHT_WEIGHT * shrunk(hundred_km(exposure.night_distance_m), distance, NIGHT_SHARE) / NIGHT_SHARE
        + CLAIMS_WEIGHT * (CLAIMS_SHAPE + exposure.claims.max(0) as f64) / (CLAIMS_SHAPE + CLAIMS_ON_RECORD)
}

/// Posterior mean of a rate: `amount` on `distance` (in 100 km) against `base` with the weight of [`PRIOR_100KM`].
fn shrunk(amount: f64, distance: f64, base: f64) -> f64 {
    (base * PRIOR_100KM + amount) / (PRIOR_100KM + distance)
}

fn hundred_km(distance_m: i64) -> f64 {
    distance_m.max(0) as f64 / 100_000.0
}

/// Rounds half away from zero to two decimals, the precision of every ratio that is answered.
pub fn round_to_hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A driver like the portfolio, with so many hundred kilometres.
    fn average(hundred_km: i64) -> Exposure {
        Exposure {
            trips: hundred_km * 7,
            distance_m: hundred_km * 100_000,
            night_distance_m: hundred_km * 6_000,
            events: EventCounts64 {
                speeding: hundred_km * 77 / 10,
                harsh_braking: hundred_km * 43 / 10,
                harsh_acceleration: hundred_km * 31 / 10,
                harsh_cornering: hundred_km * 21 / 10,
            },
            claims: 0,
        }
    }

    #[test]
    fn weights_sum_to_one() {
        let sum = SPEEDING_WEIGHT
            + HARSH_BRAKING_WEIGHT
            + HARSH_ACCELERATION_WEIGHT
            + HARSH_CORNERING_WEIGHT
            + NIGHT_WEIGHT
            + CLAIMS_WEIGHT;
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }

    #[test]
    fn a_driver_without_record_is_judged_by_the_portfolio() {
        // 0.7 for driving as the average, 0.3 * 0.8 / 1.05 for no claim: index 0.92857, 31.71 points.
        assert_eq!(
            score(&Exposure::default()),
            RiskScore {
                points: 31.71,
                band: RiskBand::Moderate
            }
        );
    }

    #[test]
    fn the_average_driver_keeps_the_portfolios_points_however_far_they_drive() {
        assert_eq!(score(&average(10)).hundredths(), 3_171);
        assert_eq!(score(&average(1_000)).hundredths(), 3_171);
    }

    #[test]
    fn a_long_clean_record_is_low_and_a_bad_one_severe() {
        let clean = Exposure {
            events: EventCounts64::default(),
            night_distance_m: 0,
            ..average(100)
        };
        assert_eq!(score(&clean).band, RiskBand::Low);
        let mut bad = average(100);
        bad.events.speeding *= 5;
        bad.events.harsh_braking *= 5;
        bad.claims = 4;
        assert_eq!(score(&bad).band, RiskBand::Severe);
    }

    #[test]
    fn bands_meet_without_gap() {
        let edges = [0, 2_499, 2_500, 3_999, 4_000, 5_499, 5_500, 10_000];
        let words = edges.map(|points_x100| RiskBand::of_hundredths(points_x100).as_str());
        assert_eq!(
            words,
            ["low", "low", "moderate", "moderate", "high", "high", "severe", "severe"]
        );
    }

    #[test]
    fn event_rates_are_per_100_km() {
        assert_eq!(Exposure::default().events_per_100km().to_string(), "0");
        let exposure = Exposure {
            distance_m: 150_000,
            events: EventCounts64 {
                speeding: 2,
                ..EventCounts64::default()
            },
            ..Exposure::default()
        };
        assert_eq!(exposure.events_per_100km().to_string(), "1.33");
    }

    prop_compose! {
        fn any_exposure()(
            trips in 0_i64..100_000,
            distance_m in 0_i64..10_000_000_000,
            night_pct in 0_i64..=100,
            events in prop::array::uniform4(0_i64..10_000_000),
            claims in 0_i64..10_000,
        ) -> Exposure {
            let [speeding, harsh_braking, harsh_acceleration, harsh_cornering] = events;
            Exposure {
                trips,
                distance_m,
                night_distance_m: distance_m * night_pct / 100,
                events: EventCounts64 { speeding, harsh_braking, harsh_acceleration, harsh_cornering },
                claims,
            }
        }
    }

    proptest! {
        #[test]
        fn points_are_bounded_and_have_two_decimals(exposure in any_exposure()) {
            let score = score(&exposure);
            prop_assert!((0.0..=100.0).contains(&score.points), "{score:?}");
            prop_assert_eq!(score, RiskScore::from_hundredths(score.hundredths()));
        }

        #[test]
        fn the_same_exposure_gives_the_same_score(exposure in any_exposure()) {
            let again = serde_json::from_str(&serde_json::to_string(&exposure).unwrap()).unwrap();
            prop_assert_eq!(score(&exposure), score(&again));
        }

        #[test]
        fn a_worse_record_never_scores_better(
            exposure in any_exposure(),
            more in prop::array::uniform4(0_i64..1_000),
            more_claims in 0_i64..10,
            more_night in 0_i64..1_000_000,
        ) {
            let mut worse = exposure;
            worse.events.speeding += more[0];
            worse.events.harsh_braking += more[1];
            worse.events.harsh_acceleration += more[2];
            worse.events.harsh_cornering += more[3];
            worse.claims += more_claims;
            worse.night_distance_m += more_night;
            prop_assert!(score(&worse).points >= score(&exposure).points);
            prop_assert!(score(&worse).band >= score(&exposure).band);
        }

        #[test]
        fn the_same_events_on_less_distance_never_score_better(exposure in any_exposure(), less in 0_i64..10_000_000) {
            let shorter = Exposure { distance_m: (exposure.distance_m - less).max(0), ..exposure };
            prop_assert!(score(&shorter).points >= score(&exposure).points);
        }

        #[test]
        fn a_few_events_are_seen_on_a_short_record(distance_m in 0_i64..1_000_000, seen in 5_i64..1_000) {
            let clean = Exposure { distance_m, ..Exposure::default() };
            let events = EventCounts64 { harsh_braking: seen, ..EventCounts64::default() };
            let seen = Exposure { events, ..clean };
            prop_assert!(score(&seen).points > score(&clean).points);
        }
    }
}
