//! Puts drivers together, chunk by chunk, as rows ready for COPY.

use std::ops::RangeInclusive;

use chrono::{DateTime, Days, NaiveTime, Utc};
use rand::SeedableRng as _;

use super::calendar::Calendar;
use super::claims::ClaimRow;
use super::draws::DriverRng;
use super::driving::{self, DrivenTrip};
use super::totals::{DriverRecord, Totals};
use super::{SeedOptions, claims, people};
use crate::domain::ids::DriverId;
use crate::domain::risk::{Exposure, score};
use crate::domain::trips::NewTrip;
use crate::store::seed_copy::{CLAIMS, DRIVERS, EVENTS, EXPOSURES, POLICIES, Rows, SCORES, TRIPS, VEHICLES};

/// Rows of some drivers, table by table.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) drivers: Rows,
    pub(super) vehicles: Rows,
    pub(super) policies: Rows,
    pub(super) trips: Rows,
    pub(super) events: Rows,
    pub(super) claims: Rows,
    pub(super) exposures: Rows,
    pub(super) scores: Rows,
}

impl Chunk {
    fn new() -> Self {
        Self {
            drivers: Rows::of(&DRIVERS),
            vehicles: Rows::of(&VEHICLES),
            policies: Rows::of(&POLICIES),
            trips: Rows::of(&TRIPS),
            events: Rows::of(&EVENTS),
            claims: Rows::of(&CLAIMS),
            exposures: Rows::of(&EXPOSURES),
            scores: Rows::of(&SCORES),
        }
    }

    fn push_trip(&mut self, driver_id: DriverId, driven: &DrivenTrip) {
        let NewTrip {
            started_at,
            duration_s,
            distance_m,
            night_share_pct,
            ..
        } = driven.trip;
        let course = (started_at, duration_s, distance_m, night_share_pct);
        self.trips.push(&(driven.id, driver_id, course));
        for event in &driven.events {
            self.events.push(&(driven.id, driver_id, event));
        }
    }

    /// The score of a driver of version 1.
    fn push_score(&mut self, driver_id: DriverId, exposure: Exposure, scored_at: DateTime<Utc>) {
        self.exposures.push(&(driver_id, exposure));
        let score = score(&exposure);
        let points_x100 = score.hundredths();
        self.scores
            .push(&(driver_id, points_x100, score.band, exposure, 1, scored_at));
    }
}

/// Makes one driver after the other and keeps the totals.
#[derive(Debug)]
pub(super) struct Generator {
    options: SeedOptions,
    calendar: Calendar,
    next_vehicle_id: i64,
    totals: Totals,
}

impl Generator {
    pub(super) fn new(options: SeedOptions) -> Self {
        Self {
            options,
            calendar: Calendar::new(options.as_of),
            next_vehicle_id: 1,
            totals: Totals::new(),
        }
    }

    /// The drivers with these numbers. Calling it in ascending order gives vehicles ascending numbers.
    pub(super) fn chunk(&mut self, ids: RangeInclusive<u32>) -> Chunk {
        let mut chunk = Chunk::new();
        for id in ids {
            self.driver(&mut chunk, DriverId(i64::from(id)));
        }
        chunk
    }

    pub(super) fn into_totals(self) -> Totals {
        self.totals
    }

    fn driver(&mut self, chunk: &mut Chunk, id: DriverId) {
        let mut rng = self.rng(id);
        let as_of = self.options.as_of;
        let insured_days = people::insured_days(id, self.options.drivers);
        let driver = people::driver(&mut rng, id, as_of - Days::new(insured_days.unsigned_abs()));
        let claims_trait = claims::claims_trait(&mut rng);
        let claims = claims::claims(&mut rng, id, insured_days, as_of, claims_trait);
        let trips = driving::trips(&mut rng, &self.calendar, driver.joined_on, claims_trait);
        let exposure = exposure(&trips, &claims);

        let vehicles = self.push_vehicles(chunk, &mut rng, id, insured_days, exposure.claims);
        self.totals.add(&DriverRecord {
            driver: &driver,
            exposure: &exposure,
            trips: &trips,
            claims: &claims,
            vehicles,
        });
        for driven in &trips {
            chunk.push_trip(id, driven);
        }
        for claim in &claims {
            chunk.claims.push(claim);
        }
        chunk.push_score(id, exposure, as_of.and_time(NaiveTime::MIN).and_utc());
        chunk.drivers.push(&driver);
    }

    /// A driver's own stream under the one seed, so that what is drawn for one depends on nobody else.
    fn rng(&self, id: DriverId) -> DriverRng {
        let mut rng = DriverRng::seed_from_u64(self.options.seed);
        rng.set_stream(id.0.unsigned_abs());
        rng
    }

    /// Makes the vehicles with their policies and gives how many there are.
    fn push_vehicles(
        &mut self,
        chunk: &mut Chunk,
        rng: &mut DriverRng,
        id: DriverId,
        insured_days: i64,
        claims: i64,
    ) -> i64 {
        let (first_id, as_of) = (self.next_vehicle_id, self.options.as_of);
        for (vehicle, price_pct) in people::vehicles(rng, id, first_id, as_of) {
            self.next_vehicle_id = vehicle.id + 1;
            chunk
                .policies
                .push(&people::policy(rng, vehicle.id, price_pct, insured_days, claims, as_of));
            chunk.vehicles.push(&vehicle);
        }
        self.next_vehicle_id - first_id
    }
}

fn exposure(trips: &[DrivenTrip], claims: &[ClaimRow]) -> Exposure {
    let mut exposure = Exposure::default();
    for driven in trips {
        exposure.add_trip(&driven.trip);
    }
    exposure.claims = claims.iter().map(|claim| i64::from(claim.status.counts())).sum();
    exposure
}
