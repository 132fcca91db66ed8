//! The cascade: what each cached answer depends on, and what each change touches. One place, to be read as two tables.
//!
//! A change invalidates every answer with which it shares a tag.

use std::time::Duration;

use chrono::DateTime;
use tiered_cache::{Key, Tag};

use crate::config::CacheConfig;
use crate::domain::events::EventName;
use crate::domain::ids::{DriverId, TripId};
use crate::store::page::{PageLimit, Position};
use crate::store::{DriverKey, PageRequest, TripKey};

/// A cached endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `GET /admin/dashboard/summary`
    DashboardSummary,
    /// `GET /admin/dashboard/trip-activity`
    TripActivity,
    /// `GET /admin/dashboard/risk-distribution`
    RiskDistribution,
    /// `GET /admin/dashboard/safety-events`
    SafetyEvents,
    /// `GET /admin/dashboard/claims-overview`
    ClaimsOverview,
    /// `GET /admin/drivers`
    DriverList,
    /// `GET /admin/drivers/{id}`
    DriverDetails,
    /// `GET /risk/{id}/current`
    CurrentRisk,
    /// `GET /pricing/{id}/premium`
    Premium,
    /// `GET /admin/resources/metrics`
    ResourceMetrics,
    /// `GET /drivers/{id}/statistics`
    DriverStatistics,
    /// `GET /drivers/{id}/trips`
    DriverTrips,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::DashboardSummary,
        Self::TripActivity,
        Self::RiskDistribution,
        Self::SafetyEvents,
        Self::ClaimsOverview,
        Self::DriverList,
        Self::DriverDetails,
        Self::CurrentRisk,
        Self::Premium,
        Self::ResourceMetrics,
        Self::DriverStatistics,
        Self::DriverTrips,
    ];

    /// The `endpoint` label of the metrics, the first part of the cache key, and the operation id of the route.
    pub const fn name(self) -> &'static str {
        self.route().name
    }

    /// The endpoint of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == name)
    }

    /// How long its answers live.
    pub(super) fn ttl(self, config: &CacheConfig) -> Duration {
        (self.route().ttl)(config)
    }

    const fn route(self) -> &'static CachedRoute {
        &ROUTES[self as usize]
    }
}

/// A cached route.
struct CachedRoute {
    endpoint: Endpoint,
    name: &'static str,
    ttl: fn(&CacheConfig) -> Duration,
    depends_on: &'static [On],
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy)]
enum On {
    /// Everything about the driver that was asked about.
    TheDriver,
    /// What is added up over all trips.
    Trips,
    /// What is added up over all scores.
    Scores,
    /// What is added up over all claims.
    Claims,
    /// What is listed or counted of the drivers' own data.
    Drivers,
}

/// First table: name, lifetime, and what the answers depend on. One line per route, in the order of [`Endpoint`].
#[rustfmt::skip]
static ROUTES: [CachedRoute; Endpoint::ALL.len()] = {
    use Endpoint as E;
    use On::{Claims, Drivers, Scores, TheDriver, Trips};
    [
        row(E::DashboardSummary, "dashboard_summary", |ttl| ttl.ttl_dashboard, &[Trips, Scores, Claims, Drivers]),
        row(E::TripActivity,     "trip_activity",     |ttl| ttl.ttl_dashboard, &[Trips]),
        row(E::RiskDistribution, "risk_distribution", |ttl| ttl.ttl_dashboard, &[Scores]),
        row(E::SafetyEvents,     "safety_events",     |ttl| ttl.ttl_dashboard, &[Trips]),
        row(E::ClaimsOverview,   "claims_overview",   |ttl| ttl.ttl_dashboard, &[Claims]),
        row(E::DriverList,       "driver_list",       |ttl| ttl.ttl_default,   &[Drivers, Scores, Trips]),
        row(E::DriverDetails,    "driver_details",    |ttl| ttl.ttl_default,   &[TheDriver]),
        row(E::CurrentRisk,      "risk_current",      |ttl| ttl.ttl_risk,      &[TheDriver]),
        row(E::Premium,          "premium",           |ttl| ttl.ttl_pricing,   &[TheDriver]),
        row(E::ResourceMetrics,  "resource_metrics",  |ttl| ttl.ttl_default,   &[Trips, Claims]),
        row(E::DriverStatistics, "driver_statistics", |ttl| ttl.ttl_default,   &[TheDriver]),
        row(E::DriverTrips,      "driver_trips",      |ttl| ttl.ttl_default,   &[TheDriver]),
    ]
};

/// Each row stands at its endpoint's place.
const _: () = {
    let mut place = 0;
    while place < ROUTES.len() {
        assert!(ROUTES[place].endpoint as usize == place, "a row is out of place");
        place += 1;
    }
};

const fn row(
    endpoint: Endpoint,
    name: &'static str,
    ttl: fn(&CacheConfig) -> Duration,
    depends_on: &'static [On],
) -> CachedRoute {
    CachedRoute {
        endpoint,
        name,
        ttl,
        depends_on,
    }
}

/// What can be asked of the cache: an endpoint and everything that changes its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// The portfolio's summary.
    DashboardSummary,
    /// Trips of the recent days.
    TripActivity,
    /// Drivers per risk band.
    RiskDistribution,
    /// Safety events of the recent days.
    SafetyEvents,
    /// Claims by where they stand.
    ClaimsOverview,
    /// A page of the drivers.
    DriverList(PageRequest<DriverKey>),
    /// One driver's details.
    DriverDetails(DriverId),
    /// One driver's current score.
    CurrentRisk(DriverId),
    /// What one driver's cover costs.
    Premium(DriverId),
    /// How much there is of everything.
    ResourceMetrics,
    /// What one driver has driven.
    DriverStatistics(DriverId),
    /// A page of one driver's trips.
    DriverTrips(DriverId, PageRequest<TripKey>),
}

impl Question {
    /// Every question about the portfolio as a whole; of the list, its beginning.
    pub const ABOUT_ALL: [Self; 7] = [
        Self::DashboardSummary,
        Self::TripActivity,
        Self::RiskDistribution,
        Self::SafetyEvents,
        Self::ClaimsOverview,
        Self::ResourceMetrics,
        Self::DriverList(PageRequest::first(PageLimit::DEFAULT)),
    ];

    /// The question whose answer is kept under `key`, if there is one and `signer` signs its cursors.
    pub(super) fn of(key: &Key, signer: &str) -> Option<Self> {
        let driver = |id: &str| id.parse().ok().map(DriverId);
        let question = match (Endpoint::named(key.endpoint())?, &key.parts()[..]) {
            (Endpoint::DashboardSummary, []) => Self::DashboardSummary,
            (Endpoint::TripActivity, []) => Self::TripActivity,
            (Endpoint::RiskDistribution, []) => Self::RiskDistribution,
            (Endpoint::SafetyEvents, []) => Self::SafetyEvents,
            (Endpoint::ClaimsOverview, []) => Self::ClaimsOverview,
            (Endpoint::ResourceMetrics, []) => Self::ResourceMetrics,
            (Endpoint::DriverDetails, [id]) => Self::DriverDetails(driver(id)?),
            (Endpoint::CurrentRisk, [id]) => Self::CurrentRisk(driver(id)?),
            (Endpoint::Premium, [id]) => Self::Premium(driver(id)?),
            (Endpoint::DriverStatistics, [id]) => Self::DriverStatistics(driver(id)?),
            (Endpoint::DriverList, [limit, _, from @ ..]) => Self::DriverList(page(limit, from, |after| {
                let [id] = after else { return None };
                driver(id)
            })?),
            (Endpoint::DriverTrips, [id, limit, _, from @ ..]) => Self::DriverTrips(
                driver(id)?,
                page(limit, from, |after| {
                    let [started_at, id] = after else { return None };
                    Some(TripKey {
                        started_at: DateTime::from_timestamp_micros(started_at.parse().ok()?)?,
                        id: TripId(id.parse().ok()?),
                    })
                })?,
            ),
            _ => return None,
        };
        // Numbers can be spelt in several ways, and cursors signed by others: only its own key will do.
        (question.key(signer) == *key).then_some(question)
    }

    /// The endpoint that asks it.
    pub const fn endpoint(self) -> Endpoint {
        match self {
            Self::DashboardSummary => Endpoint::DashboardSummary,
            Self::TripActivity => Endpoint::TripActivity,
            Self::RiskDistribution => Endpoint::RiskDistribution,
            Self::SafetyEvents => Endpoint::SafetyEvents,
            Self::ClaimsOverview => Endpoint::ClaimsOverview,
            Self::DriverList(_) => Endpoint::DriverList,
            Self::DriverDetails(_) => Endpoint::DriverDetails,
            Self::CurrentRisk(_) => Endpoint::CurrentRisk,
            Self::Premium(_) => Endpoint::Premium,
            Self::ResourceMetrics => Endpoint::ResourceMetrics,
            Self::DriverStatistics(_) => Endpoint::DriverStatistics,
            Self::DriverTrips(..) => Endpoint::DriverTrips,
        }
    }

    /// Where the answer is kept. Pages carry signed cursors, so `signer` (the name of the signing key) is one more
    /// thing that changes the answer.
    pub fn key(self, signer: &str) -> Key {
        let key = Key::new(self.endpoint().name());
        match self {
            Self::DashboardSummary
            | Self::TripActivity
            | Self::RiskDistribution
            | Self::SafetyEvents
            | Self::ClaimsOverview
            | Self::ResourceMetrics => key,
            Self::DriverDetails(id) | Self::CurrentRisk(id) | Self::Premium(id) | Self::DriverStatistics(id) => {
                key.part(id.0)
            }
            Self::DriverList(page) => {
                let key = key.part(page.limit.get()).part(signer);
                page.from
                    .map_or(key.clone(), |from| key.part(from.after).part(from.rows_before))
            }
            Self::DriverTrips(id, page) => {
                let key = key.part(id.0).part(page.limit.get()).part(signer);
                let place = |from: &Position<TripKey>| {
                    let TripKey { started_at, id } = from.after;
                    key.clone()
                        .part(started_at.timestamp_micros())
                        .part(id)
                        .part(from.rows_before)
                };
                page.from.as_ref().map_or(key.clone(), place)
            }
        }
    }

    /// What the answer depends on, by the first table.
    pub fn tags(self) -> Vec<Tag> {
        let depends_on = self.endpoint().route().depends_on.iter();
        depends_on.filter_map(|on| self.tag(*on)).collect()
    }

    fn tag(self, on: On) -> Option<Tag> {
        match on {
            On::TheDriver => self.driver().map(driver),
            On::Trips => Some(all_trips()),
            On::Scores => Some(all_scores()),
            On::Claims => Some(all_claims()),
            On::Drivers => Some(all_drivers()),
        }
    }

    /// Whom it asks about, if about one driver.
    const fn driver(self) -> Option<DriverId> {
        match self {
            Self::DriverDetails(id)
            | Self::CurrentRisk(id)
            | Self::Premium(id)
            | Self::DriverStatistics(id)
            | Self::DriverTrips(id, _) => Some(id),
            _ => None,
        }
    }
}

/// The page whose limit and position (the parts of the row before it, and the rows before it) are written like this.
fn page<K: Copy>(limit: &str, from: &[&str], after: impl Fn(&[&str]) -> Option<K>) -> Option<PageRequest<K>> {
    let limit = PageLimit::new(limit.parse().ok()?)?;
    let from = match from {
        [] => None,
        [row @ .., rows_before] => Some(Position {
            after: after(row)?,
            rows_before: rows_before.parse().ok()?,
        }),
    };
    Some(PageRequest { limit, from })
}

/// Something that happened to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// A trip was committed.
    TripRecorded(DriverId),
    /// A new score was committed.
    DriverRescored(DriverId),
    /// A claim was reported, or has changed.
    ClaimChanged(DriverId),
    /// A driver's own data have changed.
    DriverUpdated(DriverId),
}

impl Change {
    /// Whom it is about.
    pub(super) const fn driver(self) -> DriverId {
        match self {
            Self::TripRecorded(id) | Self::DriverRescored(id) | Self::ClaimChanged(id) | Self::DriverUpdated(id) => id,
        }
    }

    /// Second table: what the change touches.
    pub fn tags(self) -> Vec<Tag> {
        match self {
            Self::TripRecorded(id) => vec![driver(id), all_trips()],
            Self::DriverRescored(id) => vec![driver(id), all_scores()],
            Self::ClaimChanged(id) => vec![driver(id), all_claims()],
            Self::DriverUpdated(id) => vec![driver(id), all_drivers()],
        }
    }
}

/// What the outbox keeps of a change: the names of the tags that it ends.
pub fn tag_names(kind: EventName, id: DriverId) -> Vec<String> {
    let change = match kind {
        EventName::TripRecorded | EventName::SafetyEvent => Change::TripRecorded(id),
        EventName::ClaimFiled | EventName::ClaimChanged => Change::ClaimChanged(id),
        EventName::RiskChanged => Change::DriverRescored(id),
        EventName::DriverUpdated => Change::DriverUpdated(id),
    };
    change.tags().iter().map(|tag| tag.name().to_owned()).collect()
}

/// What a change, or an order of an operator, ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Everything.
    All,
    /// All answers of an endpoint.
    Endpoint(Endpoint),
    /// All answers about one driver.
    Driver(DriverId),
    /// All answers whose name, `endpoint:part:part`, matches a glob.
    Matching(String),
    /// What a change touches.
    By(Change),
}

impl Ended {
    /// The tags of these answers; a glob has none.
    pub(super) fn tags(&self) -> Vec<Tag> {
        match self {
            Self::All => vec![Tag::all()],
            Self::Endpoint(endpoint) => vec![Tag::endpoint(endpoint.name())],
            Self::Driver(id) => vec![driver(*id)],
            Self::Matching(_) => Vec::new(),
            Self::By(change) => change.tags(),
        }
    }

    /// Globs over the names of these answers, for the cache as planned, which knows only names. Those of a change
    /// follow from the two tables: the driver's, and those of every endpoint about the portfolio that shares a tag with
    /// the change.
    pub(super) fn patterns(&self) -> Vec<String> {
        match self {
            Self::All => vec!["*".to_owned()],
            Self::Endpoint(endpoint) => vec![pattern_of(*endpoint)],
            Self::Driver(id) => patterns_about(*id).into(),
            Self::Matching(pattern) => vec![pattern.clone()],
            Self::By(change) => {
                let tags = change.tags();
                let touched = Question::ABOUT_ALL
                    .into_iter()
                    .filter(|question| question.tags().iter().any(|tag| tags.contains(tag)));
                let patterns = touched.map(|question| pattern_of(question.endpoint()));
                patterns.chain(patterns_about(change.driver())).collect()
            }
        }
    }
}

fn pattern_of(endpoint: Endpoint) -> String {
    format!("{}*", endpoint.name())
}

/// The driver's number is the first part of every name about a driver. (A page of the list may end in the same number
/// and ends with it: names cannot tell.)
fn patterns_about(id: DriverId) -> [String; 2] {
    [format!("*:{id}"), format!("*:{id}:*")]
}

/// Everything about one driver.
fn driver(id: DriverId) -> Tag {
    Tag::new(format!("driver:{}", id.0))
}

/// What is added up over all trips.
fn all_trips() -> Tag {
    Tag::new("trips")
}

/// What is added up over all scores.
fn all_scores() -> Tag {
    Tag::new("scores")
}

/// What is added up over all claims.
fn all_claims() -> Tag {
    Tag::new("claims")
}

/// What is listed or counted of the drivers' own data.
fn all_drivers() -> Tag {
    Tag::new("drivers")
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::HashSet;

    fn patterns(change: Change) -> Vec<String> {
        let mut patterns = Ended::By(change).patterns();
        patterns.sort();
        patterns
    }

    /// Each question once, and pages from the middle of both lists.
    fn questions(id: DriverId) -> Vec<Question> {
        let limit = PageLimit::new(7).expect("a limit");
        let trip = TripKey {
            started_at: DateTime::from_timestamp_micros(1_767_225_600_123_456).expect("a moment"),
            id: TripId(uuid::Uuid::from_u128(42)),
        };
        let after_driver = Some(Position {
            after: DriverId(9),
            rows_before: 7,
        });
        let after_trip = Some(Position {
            after: trip,
            rows_before: 14,
        });
        let pages = [
            Question::DriverList(PageRequest {
                limit,
                from: after_driver,
            }),
            Question::DriverTrips(
                id,
                PageRequest {
                    limit,
                    from: after_trip,
                },
            ),
        ];
        let all = Question::ABOUT_ALL.into_iter().chain(about(id));
        all.chain(pages).collect()
    }

    /// Every question about one driver; of the trips, the newest.
    fn about(id: DriverId) -> [Question; 5] {
        [
            Question::DriverDetails(id),
            Question::CurrentRisk(id),
            Question::Premium(id),
            Question::DriverStatistics(id),
            Question::DriverTrips(id, PageRequest::first(PageLimit::DEFAULT)),
        ]
    }

    #[test]
    fn a_question_is_read_back_from_its_key() {
        for question in questions(DriverId(3)) {
            let key = question.key("signer");
            assert_eq!(Question::of(&key, "signer"), Some(question), "{key}");
        }
    }

    #[test]
    fn keys_of_nobody_and_pages_with_cursors_of_another_signer_have_no_question() {
        let first = Question::ABOUT_ALL[6].key("signer");
        for key in [
            Key::new("query").part("trip_activity"),
            Key::new("premium"),
            Key::new("premium").part("x"),
            Key::new("premium").part("+1"),
            Key::new("premium").part(1).part(2),
            Key::new("trip_activity").part(1),
            Key::new("driver_list").part(0).part("signer"),
            first.clone().part(1),
        ] {
            assert_eq!(Question::of(&key, "signer"), None, "{key}");
        }
        assert_eq!(Question::of(&first, "another"), None);
    }

    #[test]
    fn names_are_ended_where_tags_are() {
        let id = DriverId(42);
        assert_eq!(
            patterns(Change::ClaimChanged(id)),
            [
                "*:42",
                "*:42:*",
                "claims_overview*",
                "dashboard_summary*",
                "resource_metrics*"
            ]
        );
        assert_eq!(
            patterns(Change::DriverRescored(id)),
            [
                "*:42",
                "*:42:*",
                "dashboard_summary*",
                "driver_list*",
                "risk_distribution*"
            ]
        );
    }

    #[test]
    fn every_question_is_ended_by_some_change() {
        let id = DriverId(1);
        let changes = [
            Change::TripRecorded(id),
            Change::DriverRescored(id),
            Change::ClaimChanged(id),
            Change::DriverUpdated(id),
        ];
        let ended: HashSet<Tag> = changes.into_iter().flat_map(Change::tags).collect();
        let questions: Vec<_> = Question::ABOUT_ALL.into_iter().chain(about(id)).collect();
        assert_eq!(questions.len(), Endpoint::ALL.len());
        for question in questions {
            let tags = question.tags();
            assert_eq!(tags.len(), question.endpoint().route().depends_on.len(), "{question:?}");
            assert!(tags.iter().all(|tag| ended.contains(tag)), "{question:?}");
        }
    }
}
