//! What stands in the places of a subject file's texts: the surroundings of one build or launch, as far as it has any.

use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use scenarios::Placeholder;
use url::Url;

/// The loopback address: load and subject are on one machine.
const HOST: &str = "127.0.0.1";
/// Postgres' own port, where a URL names none.
const POSTGRES_PORT: u16 = 5432;
/// Redis' own port, where a URL names none.
const REDIS_PORT: u16 = 6379;

/// Values of places. What is absent has no place in what is filled in: the check of the file has seen to that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Places {
    pub(crate) port: Option<u16>,
    pub(crate) dir: Option<PathBuf>,
    pub(crate) cache: Option<PathBuf>,
    pub(crate) data: Option<PathBuf>,
    /// That of the launch, also of its topic.
    pub(crate) namespace: Option<String>,
    pub(crate) postgres: Option<String>,
    pub(crate) redis: Option<String>,
    pub(crate) kafka: Option<String>,
    /// Ports of the servers that the file describes, in its order.
    pub(crate) servers: Vec<u16>,
}

impl Places {
    /// These, and the directory of a build.
    pub(crate) fn in_dir(&self, dir: &Path) -> Self {
        Self {
            dir: Some(dir.to_owned()),
            ..self.clone()
        }
    }

    /// The value of a place.
    pub(crate) fn value(&self, place: Placeholder) -> Option<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        match place {
            Placeholder::Host | Placeholder::ServerHost(_) => Some(HOST.to_owned()),
            Placeholder::Port => self.port.map(|port| port.to_string()),
            Placeholder::Dir => path(&self.dir),
            Placeholder::Cache => path(&self.cache),
            Placeholder::Harness => path(&harness_directory()),
            Placeholder::Data => path(&self.data),
            Placeholder::Topic | Placeholder::Namespace => self.namespace.clone(),
            Placeholder::PostgresUrl => self.postgres.clone(),
            Placeholder::RedisUrl => self.redis.clone(),
            Placeholder::KafkaBrokers => self.kafka.clone(),
            Placeholder::ServerPort(index) => self.servers.get(index).map(u16::to_string),
            part => self.part(part),
        }
    }

    /// A part of the URL of a server.
    fn part(&self, place: Placeholder) -> Option<String> {
        let url = |url: &Option<String>| url.as_deref().and_then(|url| Url::parse(url).ok());
        let (postgres, redis) = (|| url(&self.postgres), || url(&self.redis));
        match place {
            Placeholder::PostgresHost => host(&postgres()?),
            Placeholder::PostgresPort => Some(postgres()?.port().unwrap_or(POSTGRES_PORT).to_string()),
            Placeholder::PostgresUser => Some(decoded(postgres()?.username())),
            Placeholder::PostgresPassword => Some(decoded(postgres()?.password().unwrap_or_default())),
            Placeholder::PostgresDatabase => Some(decoded(postgres()?.path().trim_start_matches('/'))),
            Placeholder::RedisHost => host(&redis()?),
            Placeholder::RedisPort => Some(redis()?.port().unwrap_or(REDIS_PORT).to_string()),
            Placeholder::RedisPassword => Some(decoded(redis()?.password().unwrap_or_default())),
            _ => None,
        }
    }
}

/// Where this command's own binary is.
pub(crate) fn harness_directory() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.to_owned())
}

fn host(url: &Url) -> Option<String> {
    // Addresses of IPv6 stand in brackets.
    url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned())
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_given_whole_and_in_parts() {
        let places = Places {
            postgres: Some("postgres://ann:p%40ss+w@db.test:5433/lt_r1".to_owned()),
            redis: Some("redis://:secret@[::1]".to_owned()),
            ..Places::default()
        };
        let value = |place| places.value(place).unwrap();
        assert_eq!(value(Placeholder::PostgresHost), "db.test");
        assert_eq!(value(Placeholder::PostgresPort), "5433");
        assert_eq!(value(Placeholder::PostgresUser), "ann");
        assert_eq!(value(Placeholder::PostgresPassword), "p@ss+w");
        assert_eq!(value(Placeholder::PostgresDatabase), "lt_r1");
        assert_eq!(
            (value(Placeholder::RedisHost), value(Placeholder::RedisPort)),
            ("::1".to_owned(), "6379".to_owned())
        );
        assert_eq!(value(Placeholder::RedisPassword), "secret");
    }

    #[test]
    fn what_a_launch_has_not_has_no_value() {
        let places = Places::default();
        for place in [
            Placeholder::Port,
            Placeholder::PostgresUrl,
            Placeholder::PostgresHost,
            Placeholder::Topic,
            Placeholder::ServerPort(0),
        ] {
            assert_eq!(places.value(place), None, "{place}");
        }
    }
}
