//! Postgres: where it is and how many connections the service holds.

use super::reader::{Reader, Secret, whole_from_1};

const DEFAULT_POOL_SIZE: u32 = 20;

/// The database side.
#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    /// `DATABASE_URL`, `postgres://user:password@host:port/database`, no default. Secret because of the password.
    pub url: Secret,
    /// `DATABASE_POOL_SIZE`, connections, default 20: enough to keep Postgres busy on a few cores, few enough that its
    /// processes do not fight each other.
    pub pool_size: u32,
}

impl DatabaseConfig {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let url = reader.required("DATABASE_URL", "postgres://user:password@127.0.0.1:5432/insurance");
        if !(url.is_empty() || url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            // The value is not repeated: it may hold a password.
            reader.refuse("DATABASE_URL", "does not start with postgres://".to_owned());
        }
        Self {
            url: Secret::new(url),
            pool_size: reader.or("DATABASE_POOL_SIZE", DEFAULT_POOL_SIZE, whole_from_1(1_000)),
        }
    }
}
