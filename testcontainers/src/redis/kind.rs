//! How Redis is started and reached by each provider. A server of somebody else's is asked what it is, and otherwise
//! left alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use ::redis::{ErrorKind, RedisError};
use url::Url;

use super::admin::{self, Client};
use crate::dir::ServerDir;
use crate::error::StackError;
use crate::info::Server;
use crate::kind::{Facts, Kind, Spec, Started};
use crate::options::{External, StackOptions};
use crate::ports::Ports;
use crate::process::Signal;
use crate::programs;
use crate::urls;

/// As the plan says: an append-only file beside the default snapshots (no `--save`, so Redis keeps its own), half a
/// gigabyte, and the least recently used key goes first.
const SETTINGS: [&str; 6] = [
    "--appendonly",
    "yes",
    "--maxmemory",
    "500mb",
    "--maxmemory-policy",
    "allkeys-lru",
];
/// Loopback only, where protected mode asks for no password.
const NATIVE_SETTINGS: [&str; 4] = ["--bind", "127.0.0.1", "--daemonize", "no"];
/// Protected mode would refuse the host, which comes from another address; the published port is on loopback.
const CONTAINER_SETTINGS: [&str; 2] = ["--protected-mode", "no"];
/// Where it listens inside a container.
const PORT: u16 = 6379;
const PROGRAM: &str = "redis-server";
const INSTALL: &str = "apt-get install -y redis-server";
/// Error codes by which Redis asks for a password or refuses one.
const AUTHENTICATION_CODES: [&str; 3] = ["NOAUTH", "WRONGPASS", "NOPERM"];

/// One start of Redis.
pub(crate) struct RedisKind;

impl Kind for RedisKind {
    const SERVER: Server = Server::Redis;
    const USER: &'static str = "redis";
    const STOP: Signal = Signal::SIGTERM;
    type Client = Client;
    /// The program.
    type Programs = PathBuf;

    fn new(_: &StackOptions) -> Self {
        Self
    }

    async fn connect(external: &External) -> Started<Client> {
        let mut url = urls::external(Self::SERVER, external, &["redis", "rediss", "redis+unix", "unix"])?;
        if let Some(password) = external.redis_password.as_deref() {
            url.set_password(Some(password)).map_err(|()| no_room_for_password())?;
        }
        let found = admin::facts(&url).await.map_err(|error| StackError::External {
            server: Self::SERVER,
            place: urls::redacted(&url),
            problem: error.to_string(),
            advice: advice(&error),
        })?;
        Ok((Client { url }, found.facts))
    }

    fn spec(&self, [port, ..]: Ports) -> Spec {
        let command = [PROGRAM].into_iter().chain(SETTINGS).chain(CONTAINER_SETTINGS);
        Spec {
            ports: vec![(PORT, port)],
            environment: Vec::new(),
            command: command.map(str::to_owned).collect(),
        }
    }

    async fn programs(options: &StackOptions, _: &mut impl FnMut(&str)) -> Result<PathBuf, StackError> {
        find_program(options.redis_server.as_deref())
    }

    fn source(options: &StackOptions) -> Result<String, StackError> {
        find_program(options.redis_server.as_deref()).map(|program| program.display().to_string())
    }

    fn command(&self, program: &PathBuf, dir: &ServerDir, [port, ..]: Ports) -> Result<Command, StackError> {
        let mut redis = Command::new(program);
        redis.args(["--port", &port.to_string(), "--dir"]).arg(dir.path());
        redis.args(SETTINGS).args(NATIVE_SETTINGS);
        Ok(redis)
    }

    /// There is no password by which to know our server, so its process id tells a native one from one that was quicker
    /// to the port. The port of a container is held by the engine.
    async fn ask(&self, [port, ..]: Ports, pid: Option<u32>) -> Result<(Client, Facts), String> {
        let url = Url::parse(&format!("redis://127.0.0.1:{port}")).map_err(|error| error.to_string())?;
        let found = admin::facts(&url).await.map_err(|error| error.to_string())?;
        if pid.is_some() && found.process_id != pid {
            return Err("another server answers on its port".to_owned());
        }
        Ok((Client { url }, found.facts))
    }
}

fn no_room_for_password() -> StackError {
    StackError::Option {
        name: "REDIS_PASSWORD",
        problem: "the form of REDIS_URL has no place for a password".to_owned(),
        advice: "write REDIS_URL like redis://host:6379, or put the password into it (unix:///path?pass=...)"
            .to_owned(),
    }
}

fn advice(error: &RedisError) -> &'static str {
    let code = error.code().unwrap_or_default();
    if error.kind() == ErrorKind::AuthenticationFailed || AUTHENTICATION_CODES.contains(&code) {
        return "check REDIS_PASSWORD, or the user and password in REDIS_URL";
    }
    "check that the server runs and that REDIS_URL has its host and port"
}

/// The program that would be taken.
fn find_program(chosen: Option<&Path>) -> Result<PathBuf, StackError> {
    let missing = |searched| StackError::NotInstalled {
        server: Server::Redis,
        searched,
        install: INSTALL,
    };
    if let Some(program) = chosen {
        let there = programs::is_program(program);
        let searched = || format!("there is no program {}", program.display());
        return there
            .then(|| programs::absolute(program))
            .ok_or_else(|| missing(searched()));
    }
    let directory = programs::directory_on_path(&[PROGRAM]);
    directory
        .map(|directory| directory.join(PROGRAM))
        .ok_or_else(|| missing(format!("no {PROGRAM} on PATH")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native;
    use crate::ports;
    use crate::user;

    /// 1. A server takes the port. 2. A second one is started on the same port. 3. Whoever asks on that port is
    ///    answered, by the first. The answer must not be taken for the second's.
    #[tokio::test]
    async fn a_stranger_on_the_port_is_not_taken_for_our_server() {
        let program = find_program(None).unwrap_or_else(|error| panic!("{error}"));
        let options = StackOptions::default();
        let (first, client, _) = native::start(&RedisKind, &program, &options).await.unwrap();
        let port = client.url.port().unwrap();
        let owner = user::unprivileged(Server::Redis, RedisKind::USER).unwrap();
        let dir = ServerDir::create(Server::Redis, None, owner).unwrap();
        let [_, second, third] = ports::free(Server::Redis).unwrap();
        let launched = native::launch(&RedisKind, &program, &dir, [port, second, third]).await;
        let error = launched.map(drop).unwrap_err();
        assert!(
            matches!(error, StackError::PortTaken { port: named, .. } if named == port),
            "{error}"
        );
        first.stop().await.unwrap();
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_remedy() {
        let error = find_program(Some(Path::new("/no/such/redis-server")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/no/such/redis-server") && error.contains(INSTALL),
            "{error}"
        );
    }
}
