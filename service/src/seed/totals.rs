//! The totals that writers keep, as they stand after the load.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;

use super::claims::ClaimRow;
use super::driving::DrivenTrip;
use crate::domain::claims::ClaimStatus;
use crate::domain::drivers::DriverStatus;
use crate::domain::risk::{Exposure, score};
use crate::store::views::{BandCounts, Driver};
use crate::store::{SHARDS, shard};

/// All that the totals need of one driver.
pub(super) struct DriverRecord<'r> {
    pub(super) driver: &'r Driver,
    pub(super) exposure: &'r Exposure,
    pub(super) trips: &'r [DrivenTrip],
    pub(super) claims: &'r [ClaimRow],
    /// How many; each has a policy.
    pub(super) vehicles: i64,
}

/// The totals of one shard, in the order of their table's columns.
#[derive(Debug, Default, Serialize)]
pub(super) struct ShardRow {
    shard: i16,
    drivers: i64,
    active_drivers: i64,
    vehicles: i64,
    policies: i64,
    trips: i64,
    distance_m: i64,
    safety_events: i64,
    scored_drivers: i64,
    points_x100: i64,
    bands: BandCounts,
    open_claims: i64,
    incurred_cents: i64,
}

/// Totals over all drivers so far.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) shards: Vec<ShardRow>,
    /// How many claims of each shard and status, and their amounts together, in the order of their table's columns.
    pub(super) claims: BTreeMap<(i16, ClaimStatus), (i64, i64)>,
    days: BTreeMap<(NaiveDate, i16), Exposure>,
}

impl Totals {
    pub(super) fn new() -> Self {
        let shards = (0..SHARDS)
            .map(|shard| ShardRow {
                shard,
                ..ShardRow::default()
            })
            .collect();
        let of_shard = |shard| ClaimStatus::ALL.iter().map(move |status| ((shard, *status), (0, 0)));
        Self {
            shards,
            claims: (0..SHARDS).flat_map(of_shard).collect(),
            days: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, record: &DriverRecord<'_>) {
        let shard = shard(record.driver.id);
        for driven in record.trips {
            self.days
                .entry((driven.trip.started_at.date_naive(), shard))
                .or_default()
                .add_trip(&driven.trip);
        }
        if let Some(row) = self.shards.iter_mut().find(|row| row.shard == shard) {
            add_driver(row, record);
            add_claims(row, record.claims);
        }
        for claim in record.claims {
            let (claims, amount_cents) = self.claims.entry((shard, claim.status)).or_default();
            *claims += 1;
            *amount_cents += claim.amount_cents;
        }
    }

    /// The totals of each shard and day, in the order of their table's columns.
    pub(super) fn days(&self) -> impl Iterator<Item = impl Serialize> {
        let days = self.days.iter();
        days.map(|(place, driven)| (place, driven.trips, driven.distance_m, driven.events))
    }
}

fn add_driver(row: &mut ShardRow, record: &DriverRecord<'_>) {
    let score = score(record.exposure);
    row.drivers += 1;
    row.active_drivers += i64::from(record.driver.status == DriverStatus::Active);
    row.vehicles += record.vehicles;
    row.policies += record.vehicles;
    row.trips += record.exposure.trips;
    row.distance_m += record.exposure.distance_m;
    row.safety_events += record.exposure.events.total();
    row.scored_drivers += 1;
    row.points_x100 += i64::from(score.hundredths());
    *row.bands.of_mut(score.band) += 1;
}

fn add_claims(row: &mut ShardRow, claims: &[ClaimRow]) {
    for claim in claims {
        row.open_claims += i64::from(claim.status == ClaimStatus::Open);
        if claim.status.counts() {
            row.incurred_cents += claim.amount_cents;
        }
    }
}
