//! What both stores have in common: a pool, an idea of today, and one function for each read.

/// Declares a store whose reads are the functions of the modules beside the call: `summary`, `details`, `risk`,
/// `portfolio`, `lists` and `driver`. Each gets one connection for all of its statements.
macro_rules! sql_store {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone)]
        pub struct $name {
            pool: sqlx::PgPool,
            today: Today,
        }

        impl $name {
            /// A store over `pool` that takes the day from the machine's clock.
            pub fn new(pool: sqlx::PgPool) -> Self {
                Self {
                    pool,
                    today: Today::System,
                }
            }

            /// Takes the day from `today` instead.
            #[must_use]
            pub fn with_today(self, today: Today) -> Self {
                Self { today, ..self }
            }

            async fn session(&self) -> Result<sqlx::pool::PoolConnection<sqlx::Postgres>, StoreError> {
                self.pool.acquire().await.doing("get a database connection")
            }
        }

        #[async_trait::async_trait]
        impl Store for $name {
            async fn dashboard_summary(&self) -> Result<DashboardSummary, StoreError> {
                summary::read(&mut *self.session().await?, self.today.date()).await
            }

            async fn trip_activity(&self) -> Result<TripActivity, StoreError> {
                portfolio::trip_activity(&mut *self.session().await?, self.today.date()).await
            }

            async fn risk_distribution(&self) -> Result<RiskDistribution, StoreError> {
                portfolio::risk_distribution(&mut *self.session().await?).await
            }

            async fn safety_events(&self) -> Result<SafetyEvents, StoreError> {
                portfolio::safety_events(&mut *self.session().await?, self.today.date()).await
            }

            async fn claims_overview(&self) -> Result<ClaimsOverview, StoreError> {
                portfolio::claims_overview(&mut *self.session().await?).await
            }

            async fn resource_metrics(&self) -> Result<ResourceMetrics, StoreError> {
                portfolio::resource_metrics(&mut *self.session().await?).await
            }

            async fn driver_list(
                &self,
                page: &PageRequest<DriverKey>,
            ) -> Result<Page<DriverListItem, DriverKey>, StoreError> {
                lists::drivers(&mut *self.session().await?, page).await
            }

            async fn driver_details(&self, id: DriverId) -> Result<Option<Versioned<DriverDetails>>, StoreError> {
                details::read(&mut *self.session().await?, id).await
            }

            async fn current_risk(&self, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
                risk::read(&mut *self.session().await?, id).await
            }

            async fn premium(&self, id: DriverId) -> Result<Option<Versioned<Premium>>, StoreError> {
                driver::premium(&mut *self.session().await?, id).await
            }

            async fn driver_statistics(&self, id: DriverId) -> Result<Option<Versioned<DriverStatistics>>, StoreError> {
                driver::statistics(&mut *self.session().await?, id).await
            }

            async fn driver_trips(
                &self,
                id: DriverId,
                page: &PageRequest<TripKey>,
            ) -> Result<Option<Versioned<Page<Trip, TripKey>>>, StoreError> {
                lists::trips(&mut *self.session().await?, id, page).await
            }

            async fn rescore(&self, id: DriverId) -> Result<Option<Versioned<CurrentRisk>>, StoreError> {
                let mut tx = self.pool.begin().await.doing("begin rescoring a driver")?;
                let Some(version) = scores::lock_driver(&mut tx, id).await? else {
                    return Ok(None);
                };
                let exposure = risk::exposure(&mut tx, id).await?;
                scores::store(tx, id, version, exposure).await.map(Some)
            }

            async fn busiest_drivers(&self, limit: i64) -> Result<Vec<DriverId>, StoreError> {
                portfolio::busiest_drivers(&mut *self.session().await?, limit).await
            }

            async fn ping(&self) -> Result<(), StoreError> {
                super::ping(&mut *self.session().await?).await
            }
        }
    };
}
