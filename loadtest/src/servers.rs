//! The servers of a measurement: those of the stack that its service needs, and those that its subject file describes.
//! For a service that needs none, and for subjects that are up already, nothing is started.

use std::{collections::BTreeMap, path::Path};

use scenarios::{Need, OwnServer, ServerRun, Service};
use stack::{Provider, Server, StackOptions};
use tempfile::TempDir;

use crate::{
    compare::output::OutputDir,
    error::HarnessError,
    subject::{Places, StartedServer, start_server},
};

/// Provider of a server that is a command of this machine.
const COMMAND: &str = "command";

/// Servers that are up.
#[derive(Default)]
pub(crate) struct Servers {
    pub(crate) stack: stack::Servers,
    own: Vec<Running>,
}

/// A server that the stack does not know. Fields drop in this order: nothing writes any more when the directory goes.
struct Running {
    name: String,
    /// As the record keeps it: where it comes from, and what it is.
    provider: &'static str,
    what: String,
    server: StartedServer,
    _directory: TempDir,
}

impl Servers {
    /// Brings up what the service needs, and hands `announce` one line for each.
    ///
    /// # Errors
    /// When one does not start; those that are up already are stopped.
    pub(crate) async fn start(
        service: &Service,
        options: &StackOptions,
        out: &OutputDir,
        announce: &mut dyn FnMut(&str),
    ) -> Result<Self, HarnessError> {
        let needed: Vec<Server> = service.needs.iter().map(|need| server(*need)).collect();
        let stack = stack::Servers::start(&needed, options, announce).await?;
        let mut own = Vec::new();
        for server in &service.servers {
            let running = start_own(server, &out.log(&server.name), announce).await?;
            let port = running.server.address.port();
            announce(&format!("{}: `{}`, on port {port}", running.name, running.what));
            own.push(running);
        }
        Ok(Self { stack, own })
    }

    /// Servers of the stack that are up already.
    #[cfg(test)]
    pub(crate) fn of_stack(stack: stack::Stack) -> Self {
        Self {
            stack: stack.into(),
            own: Vec::new(),
        }
    }

    /// What a data set or a launch is told of them; `namespace` names its database and topic.
    pub(crate) fn places(&self, namespace: &str) -> Places {
        let stack = &self.stack;
        Places {
            postgres: stack.postgres.as_ref().map(|server| server.url(namespace)),
            redis: stack.redis.as_ref().map(stack::Redis::url),
            kafka: stack.kafka.as_ref().map(stack::Kafka::brokers),
            namespace: Some(namespace.to_owned()),
            servers: self.own.iter().map(|own| own.server.address.port()).collect(),
            ..Places::default()
        }
    }

    /// Whether every server was started by this process, and so counts as the harness's own work.
    pub(crate) fn are_ours(&self) -> bool {
        let own = |provider| matches!(provider, Provider::Native | Provider::Embedded);
        self.stack.infos().all(|(_, info)| own(info.provider)) && self.own.iter().all(|own| own.provider == COMMAND)
    }

    /// What the record keeps of those that the subject file describes, by name.
    pub(crate) fn own_facts(&self) -> impl Iterator<Item = (String, measure::record::Server)> {
        self.own.iter().map(|own| {
            let facts = measure::record::Server {
                provider: own.provider.to_owned(),
                version: String::new(),
                settings: BTreeMap::from([(own.provider.to_owned(), own.what.clone())]),
                note: None,
            };
            (own.name.clone(), facts)
        })
    }

    /// Stops them all, whatever becomes of each, and reports the first failure.
    pub(crate) async fn stop(self) -> Result<(), HarnessError> {
        let mut ended = Ok(());
        for own in self.own.into_iter().rev() {
            let stopped = own.server.process.stop().await;
            ended = ended.and(stopped.map_err(|error| failed(&own.name, &error)));
        }
        let stopped = self.stack.stop().await.map_err(HarnessError::from);
        ended.and(stopped)
    }
}

fn server(need: Need) -> Server {
    match need {
        Need::Postgres => Server::Postgres,
        Need::Redis => Server::Redis,
        Need::Kafka => Server::Kafka,
    }
}

fn failed(name: &str, error: &dyn std::fmt::Display) -> HarnessError {
    HarnessError::Server(format!("server `{name}` {error}"))
}

/// Starts a server in a directory of its own, on a port that is free.
async fn start_own(server: &OwnServer, log: &Path, announce: &mut dyn FnMut(&str)) -> Result<Running, HarnessError> {
    let directory = tempfile::tempdir().map_err(HarnessError::internal)?;
    let port = stack::free_port().map_err(HarnessError::internal)?;
    let places = Places {
        port: Some(port),
        data: Some(directory.path().to_owned()),
        ..Places::default()
    };
    let (provider, what) = match &server.run {
        ServerRun::Command(command) => (COMMAND, command.shown.clone()),
        ServerRun::Image { image, .. } => ("image", image.clone()),
    };
    let started = start_server(server, &places, log, announce).await;
    Ok(Running {
        name: server.name.clone(),
        provider,
        what,
        server: started.map_err(|why| failed(&server.name, &why))?,
        _directory: directory,
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    /// A service with a server that the stack does not know.
    fn service(command: &str) -> Service {
        let text = format!(
            "start = \"./shop {{port}} {{store.port}}\"\n[servers.store]\ncommand = \"{command}\"\n\
             environment = {{ FOLDER = \"{{data}}\" }}\n"
        );
        Service::parse(Path::new("shop.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
    }

    async fn start(service: &Service, place: &Path) -> (Result<Servers, HarnessError>, Vec<String>) {
        let (out, mut lines) = (OutputDir::create(Some(place)).unwrap(), Vec::new());
        let mut hear = |line: &str| lines.push(line.to_owned());
        let servers = Servers::start(service, &StackOptions::default(), &out, &mut hear).await;
        (servers, lines)
    }

    /// A real server stands for one that the stack does not know.
    #[tokio::test]
    async fn a_server_of_the_file_is_up_before_anything_else_and_gone_at_the_end() {
        let place = tempfile::tempdir().unwrap();
        let service = service("redis-server --port {port} --bind {host} --dir {data}");
        let (servers, lines) = start(&service, place.path()).await;
        let servers = servers.unwrap();
        let port = servers.places("x").servers[0];
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        assert!(
            lines.len() == 1 && lines[0].starts_with("store: `redis-server --port {port}"),
            "{lines:?}"
        );
        let facts: Vec<_> = servers.own_facts().collect();
        assert_eq!(
            (facts[0].0.as_str(), facts[0].1.provider.as_str()),
            ("store", "command")
        );
        assert!(servers.are_ours() && servers.places("x").postgres.is_none());
        let pid = servers.own[0].server.process.pid();
        let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap();
        assert!(folder.is_dir());
        servers.stop().await.unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err() && !folder.exists());
    }

    #[tokio::test]
    async fn a_server_that_does_not_start_is_named_with_its_log() {
        let place = tempfile::tempdir().unwrap();
        let (servers, _) = start(
            &service("sh -c 'echo cannot write $FOLDER; exit 3' {port}"),
            place.path(),
        )
        .await;
        let error = servers.err().unwrap();
        assert_eq!(error.exit_code(), 3);
        let text = error.to_string();
        assert!(
            text.starts_with("server `store` did not start: ") && text.contains("\ncannot write /"),
            "{text}"
        );
    }
}
