//! What is known about a running server: who provides it, why, and with which settings. Goes into the record as it is.
//! Finding these facts out is the business of each server's own module.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The servers that a stack consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Server {
    /// The database.
    Postgres,
    /// The cache.
    Redis,
    /// The event broker.
    Kafka,
}

impl Server {
    /// The environment variable that points to an external server of this kind.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "DATABASE_URL",
            Self::Redis => "REDIS_URL",
            Self::Kafka => "KAFKA_BROKERS",
        }
    }

    /// The environment variable that names another container image for this server.
    pub fn image_variable(self) -> &'static str {
        match self {
            Self::Postgres => "STACK_IMAGE_POSTGRES",
            Self::Redis => "STACK_IMAGE_REDIS",
            Self::Kafka => "STACK_IMAGE_KAFKA",
        }
    }

    /// What the value of [`Server::variable`] looks like.
    pub(crate) fn example(self) -> &'static str {
        match self {
            Self::Postgres => "postgres://user:password@host:5432/postgres",
            Self::Redis => "redis://host:6379",
            Self::Kafka => "host:9092",
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::Kafka => "kafka",
        })
    }
}

/// Where a server comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// It was running already; a URL points to it. It is never stopped here.
    External,
    /// A container, started here on the engine that answers.
    Containers,
    /// A local binary, started here in a temporary directory.
    Native,
    /// It runs inside this process.
    Embedded,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::External => "external",
            Self::Containers => "containers",
            Self::Native => "native",
            Self::Embedded => "embedded",
        })
    }
}

/// Facts about one running server, asked from the server itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInfo {
    /// Which provider was taken.
    pub provider: Provider,
    /// Why that one, as the end of a sentence ("`DATABASE_URL` is given").
    pub reason: String,
    /// The server's version in its own words.
    pub version: String,
    /// The settings that decide what a measurement means, as the server reports them (bytes where it says bytes).
    pub settings: BTreeMap<String, String>,
    /// What a reader of the results must know: a missing extension, durability off, a broker that is none.
    pub note: Option<String>,
}

impl ServerInfo {
    /// One line for the user: what was taken, why, and what to keep in mind.
    pub fn announcement(&self, server: Server) -> String {
        let Self {
            provider,
            reason,
            version,
            note,
            ..
        } = self;
        let line = format!("{server} {version}: {provider}, because {reason}");
        match note {
            Some(note) => format!("{line}; note: {note}"),
            None => line,
        }
    }
}

/// Joins notes into the one of [`ServerInfo`].
pub(crate) fn join_notes(notes: &[String]) -> Option<String> {
    (!notes.is_empty()).then(|| notes.join("; "))
}
