//! The cascade: what each cached answer depends on, and what each change touches. One place, to be read as two tables.
//!
//! A change invalidates every answer with which it shares a tag.

use tiered_cache::{Key, Tag};

use crate::domain::ids::DriverId;

/// A cached endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `GET /admin/dashboard/summary`
    DashboardSummary,
    /// `GET /admin/drivers/{id}`
    DriverDetails,
    /// `GET /risk/{id}/current`
    CurrentRisk,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DashboardSummary, Self::DriverDetails, Self::CurrentRisk];

    /// The `endpoint` label of the metrics, and the first part of the cache key.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DashboardSummary => "dashboard_summary",
            Self::DriverDetails => "driver_details",
            Self::CurrentRisk => "risk_current",
        }
    }
}

/// What can be asked of the cache: an endpoint and everything that changes its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// The portfolio's summary.
    DashboardSummary,
    /// One driver's details.
    DriverDetails(DriverId),
    /// One driver's current score.
    CurrentRisk(DriverId),
}

impl Question {
    /// The endpoint that asks it.
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::DashboardSummary => Endpoint::DashboardSummary,
            Self::DriverDetails(_) => Endpoint::DriverDetails,
            Self::CurrentRisk(_) => Endpoint::CurrentRisk,
        }
    }

    /// Where the answer is kept.
    pub fn key(self) -> Key {
        let key = Key::new(self.endpoint().name());
        match self {
            Self::DashboardSummary => key,
            Self::DriverDetails(id) | Self::CurrentRisk(id) => key.part(id.0),
        }
    }

    /// First table: what the answer depends on.
    #[expect(
        clippy::match_same_arms,
        reason = "a table: one line per row, so that a row can change alone"
    )]
    pub fn tags(self) -> Vec<Tag> {
        match self {
            Self::DashboardSummary => vec![dashboards()],
            Self::DriverDetails(id) => vec![driver(id)],
            Self::CurrentRisk(id) => vec![driver(id)],
        }
    }
}

/// Something that happened to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A trip was committed.
    TripRecorded(DriverId),
    /// A new score was committed.
    DriverRescored(DriverId),
}

impl Change {
    /// Second table: what the change touches.
    #[expect(
        clippy::match_same_arms,
        reason = "a table: one line per row, so that a row can change alone"
    )]
    pub fn tags(self) -> Vec<Tag> {
        match self {
            Self::TripRecorded(id) => vec![driver(id), dashboards()],
            Self::DriverRescored(id) => vec![driver(id), dashboards()],
        }
    }
}

fn driver(id: DriverId) -> Tag {
    Tag::new(format!("driver:{}", id.0))
}

fn dashboards() -> Tag {
    Tag::new("dashboards")
}
