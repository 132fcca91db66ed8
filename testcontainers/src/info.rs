//! Facts about a running server: who provides it, why, and with which settings. They go into the record as they are.
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
        self.names().1
    }

    /// The environment variable that names another container image for this server.
    pub fn image_variable(self) -> &'static str {
        self.names().2
    }

    /// Example of a value of [`Server::variable`].
    pub(crate) fn example(self) -> &'static str {
        self.names().3
    }

    /// Name, variable, variable of the image, example of an address.
    #[rustfmt::skip]
    fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::Postgres => {
                ("postgres", "DATABASE_URL", "STACK_IMAGE_POSTGRES", "postgres://user:password@host:5432/postgres")
            }
            Self::Redis => ("redis", "REDIS_URL", "STACK_IMAGE_REDIS", "redis://host:6379"),
            Self::Kafka => ("kafka", "KAFKA_BROKERS", "STACK_IMAGE_KAFKA", "host:9092"),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names().0)
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
    /// Warning for readers of the results: a missing extension, durability off, an embedded broker.
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
