//! The state that every request sees: the use cases and what guards them. How it is put together stands in `boot`.

use std::ops::Deref;
use std::sync::Arc;

use tiered_cache::TieredCache;

use crate::auth::TokenKeys;
use crate::metrics::Metrics;
use crate::usecases::{Login, Readiness, Reads, RecordTrip};

/// Everything that the routes call.
pub struct App {
    /// Checks access tokens.
    pub tokens: Arc<TokenKeys>,
    /// Issues them.
    pub login: Login,
    /// Answers questions.
    pub reads: Reads,
    /// Records trips.
    pub record_trip: RecordTrip,
    /// Says whether this replica should get traffic.
    pub readiness: Readiness,
    /// What is counted.
    pub metrics: Metrics,
    /// The endpoint cache, for its numbers only; `None` while it is off.
    pub cache: Option<TieredCache>,
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
