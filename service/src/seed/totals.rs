//! The totals that writers keep, as they stand after the load.

use std::collections::BTreeMap;

use chrono::NaiveDate;

use super::driving::DrivenTrip;
use crate::domain::claims::ClaimStatus;
use crate::domain::drivers::DriverStatus;
use crate::domain::risk::{Exposure, RiskBand, score};
use crate::store::seed_copy::{ClaimRow, ClaimTotalsRow, DayRow, ShardRow};
use crate::store::views::Driver;
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

/// Totals over all drivers so far.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) shards: Vec<ShardRow>,
    pub(super) claims: Vec<ClaimTotalsRow>,
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
        let claims = (0..SHARDS).flat_map(|shard| {
            ClaimStatus::ALL.iter().map(move |status| ClaimTotalsRow {
                shard,
                status: *status,
                claims: 0,
                amount_cents: 0,
            })
        });
        Self {
            shards,
            claims: claims.collect(),
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
            self.add_to_status(shard, claim);
        }
    }

    fn add_to_status(&mut self, shard: i16, claim: &ClaimRow) {
        let row = self
            .claims
            .iter_mut()
            .find(|row| row.shard == shard && row.status == claim.status);
        if let Some(row) = row {
            row.claims += 1;
            row.amount_cents += claim.amount_cents;
        }
    }

    /// The totals per day, in order.
    pub(super) fn days(&self) -> Vec<DayRow> {
        self.days
            .iter()
            .map(|((day, shard), driven)| DayRow {
                day: *day,
                shard: *shard,
                driven: *driven,
            })
            .collect()
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
    match score.band {
        RiskBand::Low => row.bands.low += 1,
        RiskBand::Moderate => row.bands.moderate += 1,
        RiskBand::High => row.bands.high += 1,
        RiskBand::Severe => row.bands.severe += 1,
    }
}

fn add_claims(row: &mut ShardRow, claims: &[ClaimRow]) {
    for claim in claims {
        row.open_claims += i64::from(claim.status == ClaimStatus::Open);
        if claim.status.counts() {
            row.incurred_cents += claim.amount_cents;
        }
    }
}
