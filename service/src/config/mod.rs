//! Settings from the environment, one file per concern; every field names its variable, default and unit.
//!
//! What belongs here: reading and refusing. Nothing here connects to anything, and nothing outside reads a variable.

mod address;
mod auth;
mod cache;
mod database;
mod faults;
mod http;
mod kafka;
mod live;
mod log;
mod profile;
mod reader;
#[cfg(test)]
mod tests;

pub use auth::{AuthConfig, TokenAlgorithm};
pub use cache::CacheConfig;
pub use database::DatabaseConfig;
pub use faults::{Fault, FaultConfig};
pub use http::HttpConfig;
pub use kafka::{GroupProtocol, KafkaConfig};
pub use live::LiveConfig;
pub use log::{LogConfig, LogFormat};
pub use profile::{Compression, Consuming, Profile, Queries, Switches};
pub use reader::{ConfigError, ConfigProblem, Lookup, Secret};

use reader::Reader;

/// Everything `serve` needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// The profile and its switches.
    pub switches: Switches,
    /// HTTP.
    pub http: HttpConfig,
    /// Postgres.
    pub database: DatabaseConfig,
    /// The endpoint cache.
    pub cache: CacheConfig,
    /// Kafka.
    pub kafka: KafkaConfig,
    /// Live clients.
    pub live: LiveConfig,
    /// Tokens.
    pub auth: AuthConfig,
    /// Logs.
    pub log: LogConfig,
    /// Faults on purpose.
    pub faults: FaultConfig,
}

impl Config {
    /// Reads everything. Errors: every mistake at once, each with its variable.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let switches = Switches::read(&mut reader);
        let config = Self {
            switches,
            http: HttpConfig::read(&mut reader),
            database: DatabaseConfig::read(&mut reader),
            cache: CacheConfig::read(&mut reader, switches),
            kafka: KafkaConfig::read(&mut reader),
            live: LiveConfig::read(&mut reader),
            auth: AuthConfig::read(&mut reader),
            log: LogConfig::read(&mut reader),
            faults: FaultConfig::read(&mut reader),
        };
        reader.finish(config)
    }
}

/// Settings of `health`: it asks a running service, so nothing else has to be set for it.
#[derive(Debug, Clone)]
pub struct HealthConfig {
    /// Where that service listens.
    pub http: HttpConfig,
}

impl HealthConfig {
    /// Reads it. Errors: every mistake at once, each with its variable.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Self {
            http: HttpConfig::read(&mut reader),
        };
        reader.finish(config)
    }
}

/// Settings of `replay`: it touches Kafka only.
#[derive(Debug, Clone)]
pub struct ReplayConfig {
    /// Kafka.
    pub kafka: KafkaConfig,
    /// Logs.
    pub log: LogConfig,
}

impl ReplayConfig {
    /// Reads both. Errors: every mistake at once, each with its variable.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Self {
            kafka: KafkaConfig::read(&mut reader),
            log: LogConfig::read(&mut reader),
        };
        reader.finish(config)
    }
}

/// Settings of `migrate` and `seed`: they touch the database only, so nothing else has to be set for them.
#[derive(Debug, Clone)]
pub struct OfflineConfig {
    /// Postgres.
    pub database: DatabaseConfig,
    /// Logs.
    pub log: LogConfig,
}

impl OfflineConfig {
    /// Reads both. Errors: every mistake at once, each with its variable.
    pub fn read(lookup: Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Self {
            database: DatabaseConfig::read(&mut reader),
            log: LogConfig::read(&mut reader),
        };
        reader.finish(config)
    }
}
