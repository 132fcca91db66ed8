//! Answers loaded from the store and written as JSON. How they are cached is for `source` and `query_cache`.

use std::sync::Arc;

use serde::Serialize;
use tiered_cache::Entry;
use utoipa::ToSchema;

use super::cascade::Question;
use super::cursors::{self, CursorForm, CursorKey};
use crate::store::{Page, Store, StoreError, Versioned};

/// The version of an answer that belongs to no single row.
pub(super) const NO_VERSION: i64 = 0;

/// Why an answer could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailed {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The answer could not be written as JSON.
    #[error("the answer could not be written as JSON")]
    Encode(#[from] serde_json::Error),
}

/// A page as it is answered.
#[derive(Debug, Serialize, ToSchema)]
pub struct PageBody<T> {
    /// The rows, in the order of the list.
    pub items: Vec<T>,
    /// What leads to the next page: give it as `cursor`. `null` on the last page.
    pub next_cursor: Option<String>,
}

/// Loads answers from the store and writes them as JSON.
#[derive(Clone)]
pub(super) struct Loader {
    store: Arc<dyn Store>,
    cursors: Arc<CursorKey>,
}

impl Loader {
    pub(super) fn new(store: Arc<dyn Store>, cursors: Arc<CursorKey>) -> Self {
        Self { store, cursors }
    }

    /// Name of the key that signs the cursors of pages.
    pub(super) fn signer(&self) -> &str {
        self.cursors.name()
    }

    /// The answer as the store has it now; `None` when there is no such thing.
    pub(super) async fn load(&self, question: Question) -> Result<Option<Entry>, LoadFailed> {
        let store = &self.store;
        match question {
            Question::DashboardSummary => unversioned(&store.dashboard_summary().await?),
            Question::TripActivity => unversioned(&store.trip_activity().await?),
            Question::RiskDistribution => unversioned(&store.risk_distribution().await?),
            Question::SafetyEvents => unversioned(&store.safety_events().await?),
            Question::ClaimsOverview => unversioned(&store.claims_overview().await?),
            Question::ResourceMetrics => unversioned(&store.resource_metrics().await?),
            Question::DriverList(page) => {
                let page = store.driver_list(&page).await?;
                unversioned(&self.body(cursors::DRIVERS, page))
            }
            Question::DriverDetails(id) => versioned(store.driver_details(id).await?),
            Question::CurrentRisk(id) => versioned(store.current_risk(id).await?),
            Question::Premium(id) => versioned(store.premium(id).await?),
            Question::DriverStatistics(id) => versioned(store.driver_statistics(id).await?),
            Question::DriverTrips(id, page) => {
                let scope = cursors::trips_of(id);
                let page = store.driver_trips(id, &page).await?;
                versioned(page.map(|Versioned { value, version }| Versioned {
                    value: self.body(&scope, value),
                    version,
                }))
            }
        }
    }

    fn body<T, K: CursorForm>(&self, scope: &str, page: Page<T, K>) -> PageBody<T> {
        PageBody {
            items: page.items,
            next_cursor: page.next.map(|next| self.cursors.seal(scope, &next)),
        }
    }
}

/// An answer that belongs to no single row.
fn unversioned<T: Serialize>(value: &T) -> Result<Option<Entry>, LoadFailed> {
    Ok(Some(Entry::new(serde_json::to_vec(value)?, NO_VERSION)))
}

fn versioned<T: Serialize>(row: Option<Versioned<T>>) -> Result<Option<Entry>, LoadFailed> {
    row.map(|Versioned { value, version }| Ok(Entry::new(serde_json::to_vec(&value)?, version)))
        .transpose()
}
