//! What the caller may ask for, and the environment variables that say it. Which provider follows from it is decided in
//! `choose`.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::error::StackError;
use crate::info::Server;

/// The variable that holds a [`Choice`].
const PROVIDER_VARIABLE: &str = "STACK_PROVIDER";

/// Which provider the caller wants. Where a kind of server has no such provider (Redis is never embedded), the nearest
/// one is taken and announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Choice {
    /// The first that is at hand: external, containers, native, embedded.
    #[default]
    Auto,
    /// Only servers that a URL points to.
    External,
    /// Containers on the engine that answers, even when a URL is given.
    Containers,
    /// Local binaries, even when a URL is given or an engine answers.
    Native,
    /// Inside this process where that exists (Kafka), otherwise native.
    Embedded,
}

impl Choice {
    const ALL: [Self; 5] = [
        Self::Auto,
        Self::External,
        Self::Containers,
        Self::Native,
        Self::Embedded,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::External => "external",
            Self::Containers => "containers",
            Self::Native => "native",
            Self::Embedded => "embedded",
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Choice {
    type Err = StackError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or_else(|| StackError::Option {
                name: PROVIDER_VARIABLE,
                problem: format!("there is no provider {text:?}"),
                advice: format!("take one of {}", Self::ALL.map(Self::name).join(", ")),
            })
    }
}

/// Where external servers are. A server whose address is `None` is not external.
#[derive(Clone, Default)]
pub struct External {
    /// `DATABASE_URL`; the database it names serves for administration (creating and dropping others).
    pub database_url: Option<String>,
    /// `REDIS_URL`.
    pub redis_url: Option<String>,
    /// `REDIS_PASSWORD`; wins over a password inside the URL.
    pub redis_password: Option<String>,
    /// `KAFKA_BROKERS`, `host:port` separated by commas.
    pub kafka_brokers: Option<String>,
}

impl External {
    /// Where the server of this kind is, if that was said.
    pub(crate) fn address(&self, server: Server) -> Option<&str> {
        match server {
            Server::Postgres => self.database_url.as_deref(),
            Server::Redis => self.redis_url.as_deref(),
            Server::Kafka => self.kafka_brokers.as_deref(),
        }
    }
}

// By hand, because the URLs carry passwords and options end up in logs.
impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| if value.is_some() { "given" } else { "not given" };
        f.debug_struct("External")
            .field("database_url", &shown(&self.database_url))
            .field("redis_url", &shown(&self.redis_url))
            .field("redis_password", &shown(&self.redis_password))
            .field("kafka_brokers", &self.kafka_brokers)
            .finish()
    }
}

/// Container images to take instead of the pinned ones, `name:tag` or `registry:port/name:tag`.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// `STACK_IMAGE_POSTGRES`.
    pub postgres: Option<String>,
    /// `STACK_IMAGE_REDIS`.
    pub redis: Option<String>,
    /// `STACK_IMAGE_KAFKA`.
    pub kafka: Option<String>,
}

/// How servers are to be provided.
#[derive(Debug, Clone, Default)]
pub struct StackOptions {
    /// `STACK_PROVIDER`, default `auto`.
    pub choice: Choice,
    /// Addresses of servers that run already.
    pub external: External,
    /// The directory with `initdb` and `postgres`; default: the newest under `/usr/lib/postgresql`, then `PATH`.
    pub postgres_bin: Option<PathBuf>,
    /// The `redis-server` to run; default: the one on `PATH`.
    pub redis_server: Option<PathBuf>,
    /// Where native servers get their directories; default: the system's temporary directory.
    pub directory: Option<PathBuf>,
    /// Images of the containers provider.
    pub images: Images,
    /// `KAFKA_HOME`, the directory of an unpacked Kafka with its `libs`; default: assembled once into the cache
    /// directory.
    pub kafka_home: Option<PathBuf>,
    /// `STACK_CACHE_DIR`, where what was assembled once is kept; default: `loadtest` in the user's cache directory
    /// (`XDG_CACHE_HOME` or `~/.cache`), and for root `/var/cache/loadtest`, which the users that servers run as can
    /// read.
    pub cache_directory: Option<PathBuf>,
    /// What a broker started here tells its clients to connect to, for example a [`crate::proxy::FaultProxy`] in front
    /// of it; default: the broker itself. Kafka's clients follow this address whatever address they knew first.
    pub kafka_advertised: Option<SocketAddr>,
}

impl StackOptions {
    /// Reads `STACK_PROVIDER`, `DATABASE_URL`, `REDIS_URL`, `REDIS_PASSWORD`, `KAFKA_BROKERS`, `STACK_IMAGE_POSTGRES`,
    /// `STACK_IMAGE_REDIS`, `STACK_IMAGE_KAFKA`, `KAFKA_HOME` and `STACK_CACHE_DIR`; an empty value counts as none.
    pub fn from_env() -> Result<Self, StackError> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    fn from_variables(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, StackError> {
        let text = |name| {
            lookup(name)
                .filter(|value| !value.is_empty())
                .map(|value| utf8(name, value))
                .transpose()
        };
        let choice = text(PROVIDER_VARIABLE)?.map_or(Ok(Choice::default()), |value| value.parse())?;
        let external = External {
            database_url: text("DATABASE_URL")?,
            redis_url: text("REDIS_URL")?,
            redis_password: text("REDIS_PASSWORD")?,
            kafka_brokers: text("KAFKA_BROKERS")?,
        };
        let images = Images {
            postgres: text("STACK_IMAGE_POSTGRES")?,
            redis: text("STACK_IMAGE_REDIS")?,
            kafka: text("STACK_IMAGE_KAFKA")?,
        };
        let path = |name| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Ok(Self {
            choice,
            external,
            images,
            kafka_home: path("KAFKA_HOME"),
            cache_directory: path("STACK_CACHE_DIR"),
            ..Self::default()
        })
    }
}

fn utf8(name: &'static str, value: OsString) -> Result<String, StackError> {
    value.into_string().map_err(|_| StackError::Option {
        name,
        problem: "the value is not UTF-8".to_owned(),
        advice: "write it in plain characters, percent-encoding the rest".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_pairs(pairs: &[(&str, &str)]) -> Result<StackOptions, StackError> {
        StackOptions::from_variables(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn an_empty_variable_counts_as_none() {
        let options = from_pairs(&[("REDIS_URL", ""), ("KAFKA_BROKERS", "a:1"), ("STACK_PROVIDER", "")]).unwrap();
        assert_eq!(options.external.redis_url, None);
        assert_eq!(options.external.kafka_brokers.as_deref(), Some("a:1"));
        assert_eq!(options.choice, Choice::Auto);
    }

    #[test]
    fn every_choice_reads_back_as_it_prints() {
        for choice in Choice::ALL {
            assert_eq!(choice.to_string().parse::<Choice>().unwrap(), choice);
        }
    }

    #[test]
    fn an_unknown_provider_is_refused_with_the_known_ones() {
        let error = from_pairs(&[("STACK_PROVIDER", "natve")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "STACK_PROVIDER: there is no provider \"natve\"; take one of auto, external, containers, native, embedded"
        );
    }

    #[test]
    fn debug_output_shows_no_password() {
        let external = [
            ("DATABASE_URL", "postgres://u:secret@h/d"),
            ("REDIS_PASSWORD", "secret"),
        ];
        let shown = format!("{:?}", from_pairs(&external).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
