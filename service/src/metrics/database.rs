//! The database as the service sees it: its pool, and whether it answers.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use sqlx::PgPool;

use super::registered;

/// Held handles.
pub struct DatabaseMetrics {
    up: Gauge,
    in_use: Gauge,
    max: Gauge,
}

impl DatabaseMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mut gauge = |name, help| registered(registry, name, help, Gauge::default());
        Self {
            up: gauge(
                "database_up",
                "1 if Postgres answered when these metrics were asked for",
            ),
            in_use: gauge("database_connections_in_use", "Connections of the pool that are in use"),
            max: gauge("database_connections_max", "Connections that the pool may have"),
        }
    }

    /// Sets the gauges; called when metrics are rendered.
    pub fn set(&self, is_up: bool, pool: &PgPool) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.up.set(i64::from(is_up));
        self.in_use.set(i64::from(pool.size()) - count(pool.num_idle()));
        self.max.set(i64::from(pool.options().get_max_connections()));
    }
}
