//! What both stores have in common: a pool, an idea of today, one function for each read, and a [`Breaker`] for each,
//! so that one read that gets stuck leaves connections to the others.

use super::breaker::Breaker;

macro_rules! breakers {
    ($($read:ident,)+) => {
        /// One for each read.
        #[derive(Debug)]
        pub(super) struct Breakers {
            $(pub(super) $read: Breaker,)+
        }

        impl Default for Breakers {
            fn default() -> Self {
                Self { $($read: Breaker::new(stringify!($read)),)+ }
            }
        }
    };
}

breakers! {
    dashboard_summary,
    trip_activity,
    risk_distribution,
    safety_events,
    claims_overview,
    resource_metrics,
    driver_list,
    driver_details,
    current_risk,
    premium,
    driver_statistics,
    driver_trips,
}

/// Declares a store whose reads are the functions of the modules beside the call: `summary`, `details`, `risk`,
/// `portfolio`, `lists`, `driver` and `scoring`. Each gets one connection for all of its statements.
macro_rules! sql_store {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            pool: sqlx::PgPool,
            today: Today,
            notes: Notes,
            breakers: std::sync::Arc<Breakers>,
        }

        impl $name {
            /// A store over `pool` that takes the day from the machine's clock.
            pub fn new(pool: sqlx::PgPool) -> Self {
                Self {
                    pool,
                    today: Today::System,
                    notes: Notes::default(),
                    breakers: std::sync::Arc::default(),
                }
            }

            /// Takes the day from `today` instead.
            #[must_use]
            pub fn with_today(self, today: Today) -> Self {
                Self { today, ..self }
            }

            /// Writes events in `format` instead of the default.
            #[must_use]
            pub fn with_format(self, format: Format) -> Self {
                let notes = Notes { format, tags_of: None };
                Self { notes, ..self }
            }

            async fn session(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, StoreError> {
                self.pool.acquire().await.doing("get a database connection")
            }
        }

        #[async_trait::async_trait]
        impl Store for $name {
            async fn dashboard_summary(&self) -> Result<DashboardSummary, StoreError> {
                let leave = self.breakers.dashboard_summary.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(summary::read(&mut session, self.today.date()).await)
            }

            async fn trip_activity(&self) -> Result<TripActivity, StoreError> {
                let leave = self.breakers.trip_activity.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(portfolio::trip_activity(&mut session, self.today.date()).await)
            }

            async fn risk_distribution(&self) -> Result<RiskDistribution, StoreError> {
                let leave = self.breakers.risk_distribution.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(portfolio::risk_distribution(&mut session).await)
            }

            async fn safety_events(&self) -> Result<SafetyEvents, StoreError> {
                let leave = self.breakers.safety_events.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(portfolio::safety_events(&mut session, self.today.date()).await)
            }

            async fn claims_overview(&self) -> Result<ClaimsOverview, StoreError> {
                let leave = self.breakers.claims_overview.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(portfolio::claims_overview(&mut session).await)
            }

            async fn resource_metrics(&self) -> Result<ResourceMetrics, StoreError> {
                let leave = self.breakers.resource_metrics.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(portfolio::resource_metrics(&mut session).await)
            }

            async fn driver_list(
                &self,
                page: &PageRequest<DriverKey>,
            ) -> Result<Page<DriverListItem, DriverKey>, StoreError> {
                let leave = self.breakers.driver_list.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(lists::drivers(&mut session, page).await)
            }

            async fn driver_details(&self, id: DriverId) -> Result<Option<Versioned<DriverDetails>>, StoreError> {
                let leave = self.breakers.driver_details.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(details::read(&mut session, id).await)
            }

            async fn current_risk(&self, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
                let leave = self.breakers.current_risk.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(risk::read(&mut session, id).await)
            }

            async fn premium(&self, id: DriverId) -> Result<Option<Versioned<Premium>>, StoreError> {
                let leave = self.breakers.premium.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(driver::premium(&mut session, id).await)
            }

            async fn driver_statistics(&self, id: DriverId) -> Result<Option<Versioned<DriverStatistics>>, StoreError> {
                let leave = self.breakers.driver_statistics.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(driver::statistics(&mut session, id).await)
            }

            async fn driver_trips(
                &self,
                id: DriverId,
                page: &PageRequest<TripKey>,
            ) -> Result<Option<Versioned<Page<Trip, TripKey>>>, StoreError> {
                let leave = self.breakers.driver_trips.enter()?;
                let mut session = leave.unless_stuck(self.session().await?)?;
                leave.note(lists::trips(&mut session, id, page).await)
            }

            async fn take_in(&self, events: &[(EventId, DriverId)]) -> Result<TakenIn, StoreError> {
                scoring::take_in(&self.pool, events, self.notes).await
            }

            async fn busiest_drivers(&self, limit: i64) -> Result<Vec<DriverId>, StoreError> {
                portfolio::busiest_drivers(&mut *self.session().await?, limit).await
            }
        }
    };
}
