//! The state that every request sees: the use cases and what guards them. How it is put together stands in `boot`.

use std::ops::Deref;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::http::HeaderName;
use bytes::Bytes;
use sqlx::PgPool;
use tiered_cache::TieredCache;

use crate::auth::{Throttle, TokenKeys};
use crate::domain::ids::DriverId;
use crate::events::Membership;
use crate::faults::FaultPlan;
use crate::guard::InFlight;
use crate::live::Hub;
use crate::metrics::Metrics;
use crate::shares::Shares;
use crate::store::DatabaseProbe;
use crate::usecases::{CacheAdmin, CursorKey, Login, Readiness, Reads, Writes};

/// Everything that the routes call.
pub struct App {
    /// Checks access tokens.
    pub tokens: Arc<TokenKeys>,
    /// Issues them.
    pub login: Login,
    /// Answers questions.
    pub reads: Reads,
    /// Records trips, claims and changes.
    pub writes: Writes,
    /// Carries out orders to the cache.
    pub cache_admin: CacheAdmin,
    /// Opens the cursors of pages.
    pub cursors: Arc<CursorKey>,
    /// Says whether this replica should get traffic.
    pub readiness: Readiness,
    /// Everything counted for Prometheus.
    pub metrics: Metrics,
    /// The endpoint cache, for its numbers only; `None` while it is off.
    pub cache: Option<TieredCache>,
    /// Asks how the database is.
    pub database: DatabaseProbe,
    /// The connections of requests, for their number only.
    pub pool: PgPool,
    /// The consumer's place in its group, for its number only.
    pub consumer: Arc<Membership>,
    /// Requests that are being answered.
    pub in_flight: Arc<InFlight>,
    /// Requests of operators that are being answered.
    pub operations_in_flight: Arc<InFlight>,
    /// Live clients.
    pub live: Hub,
    /// Requests about one driver by that driver.
    pub shares: Shares<DriverId>,
    /// Writes with a driver's token.
    pub writes_by_driver: Throttle,
    /// Where the proxy in front tells the address of a client.
    pub client_address_header: Option<HeaderName>,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// Faults on purpose; usually none.
    pub faults: FaultPlan,
    /// The OpenAPI document as JSON, written when it is first asked for.
    pub document: LazyLock<Bytes>,
}

/// A shared [`App`]; cloned for each request.
#[derive(Clone)]
pub struct AppState(Arc<App>);

impl AppState {
    /// Shares `app`.
    pub fn new(app: App) -> Self {
        Self(Arc::new(app))
    }
}

impl Deref for AppState {
    type Target = App;

    fn deref(&self) -> &App {
        &self.0
    }
}
