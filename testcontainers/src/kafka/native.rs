//! Kafka on the local Java, in a temporary directory, thrown away afterwards.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use nix::sys::signal::Signal;

use super::admin::Admin;
use super::assembly::Installation;
use super::{Facts, broker};
use crate::dir::ServerDir;
use crate::error::StackError;
use crate::info::Server;
use crate::options::StackOptions;
use crate::ports::Candidates;
use crate::native::{Launch, NativeServer, Process};
use crate::user::{self, RunAs};

const SERVER: Server = Server::Kafka;
/// The user that packages of Kafka create.
const PREFERRED_USER: &str = "kafka";
const PROPERTIES: &str = "server.properties";
const LOGGING: &str = "log4j2.properties";
/// Warnings and errors go to the process's own output, which is the log.
const LOGGING_TEXT: &str = "\
status = error
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = [%d] %p %m (%c)%n
";
/// One JVM for one line of output should not compile itself hot first.
const SHORT_LIVED: [&str; 3] = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];

/// A broker started here.
#[derive(Debug)]
pub(super) struct NativeKafka {
    pub(super) native: NativeServer,
    pub(super) admin: Admin,
    pub(super) brokers: String,
}

/// One per listener.
#[derive(Clone, Copy)]
struct Ports {
    clients: u16,
    /// For our own requests and the broker's to itself.
    internal: u16,
    controller: u16,
}

impl Ports {
    fn free(candidates: &mut Candidates) -> Result<Self, StackError> {
        let [clients, internal, controller] = candidates.next_ports()?;
        Ok(Self {
            clients,
            internal,
            controller,
        })
    }
}

struct Broker<'a> {
    installation: &'a Installation,
    dir: &'a ServerDir,
    owner: Option<RunAs>,
    cluster_id: String,
    advertised: Option<SocketAddr>,
}

/// Formats the storage, starts the broker on free ports, and asks it for its facts.
pub(super) async fn start(
    installation: &Installation,
    options: &StackOptions,
) -> Result<(NativeKafka, Facts), StackError> {
    let owner = user::unprivileged(SERVER, PREFERRED_USER)?;
    installation.check_readable(owner.as_ref())?;
    let dir = ServerDir::create(SERVER, options.directory.as_deref(), owner.as_ref())?;
    let broker = Broker {
        installation,
        dir: &dir,
        owner,
        cluster_id: broker::random_cluster_id(),
        advertised: options.kafka_advertised,
    };
    broker.format().await?;
    let mut ports = Candidates::new(SERVER);
    let (process, admin, brokers, facts) = loop {
        match broker.launch(Ports::free(&mut ports)?).await {
            Err(error) if ports.another_after(&error) => {}
            launched => break launched?,
        }
    };
    let native = NativeServer { process, dir };
    let version = installation.version.clone();
    Ok((NativeKafka { native, admin, brokers }, Facts { version, ..facts }))
}

impl Broker<'_> {
    /// Gives the storage its identity. The ports in the properties do not matter here, as long as they differ.
    async fn format(&self) -> Result<(), StackError> {
        self.write_files(Ports {
            clients: 1,
            internal: 2,
            controller: 3,
        })?;
        let mut arguments: Vec<String> = SHORT_LIVED.map(str::to_owned).to_vec();
        arguments.extend(self.common_arguments());
        let tool = [
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            &self.cluster_id,
            "--config",
            PROPERTIES,
        ];
        arguments.extend(tool.map(str::to_owned));
        Process::spawn(&self.java(arguments))?.finish().await
    }

    async fn launch(&self, ports: Ports) -> Result<(Process, Admin, String, Facts), StackError> {
        self.write_files(ports)?;
        let mut arguments: Vec<String> = broker::HEAP.split(' ').map(str::to_owned).collect();
        arguments.extend(self.common_arguments());
        arguments.extend(["kafka.Kafka", PROPERTIES].map(str::to_owned));
        let mut process = Process::spawn(&self.java(arguments))?;
        let brokers = format!("127.0.0.1:{}", ports.clients);
        let admin = Admin::new(&format!("127.0.0.1:{}", ports.internal))
            .map_err(StackError::request(SERVER, "form a client for it"))?;
        let facts = process
            .until_ready(ports.clients, || broker::ask(&admin, &brokers, &self.cluster_id))
            .await?;
        Ok((process, admin, brokers, facts))
    }

    fn write_files(&self, ports: Ports) -> Result<(), StackError> {
        let owner = self.owner.as_ref();
        self.dir.write_secret(PROPERTIES, &self.properties(ports), owner)?;
        self.dir.write_secret(LOGGING, LOGGING_TEXT, owner).map(drop)
    }

    fn properties(&self, ports: Ports) -> String {
        let Ports {
            clients,
            internal,
            controller,
        } = ports;
        let advertised = self.advertised.unwrap_or_else(|| ([127, 0, 0, 1], clients).into());
        let mut text = format!(
            "listeners=PLAINTEXT://127.0.0.1:{clients},INTERNAL://127.0.0.1:{internal},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://{advertised},INTERNAL://127.0.0.1:{internal}\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             log.dirs={}\n",
            self.dir.path().join("data").display()
        );
        for (name, value) in broker::SETTINGS {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }

    /// Nothing outside the directory: neither the JVM's performance file nor the libraries that compression codecs unpack.
    fn common_arguments(&self) -> [String; 5] {
        [
            "-XX:-UsePerfData".to_owned(),
            format!("-Djava.io.tmpdir={}", self.dir.path().display()),
            format!("-Dlog4j2.configurationFile={}", self.dir.path().join(LOGGING).display()),
            "-cp".to_owned(),
            format!("{}/*", self.installation.libs.display()),
        ]
    }

    /// Killed outright at the end: what an orderly end would save is thrown away, and a controller without a peer takes its
    /// time over it.
    fn java(&self, arguments: Vec<String>) -> Launch<'_> {
        Launch {
            server: SERVER,
            program: PathBuf::from(&self.installation.java),
            arguments,
            dir: self.dir,
            run_as: self.owner.as_ref(),
            stop_signal: Signal::SIGKILL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::assembly;
    use std::net::TcpListener;

    #[tokio::test]
    async fn a_port_that_is_taken_is_noticed() {
        let options = StackOptions::default();
        let provided = assembly::provide(&options, &mut |_: &str| ()).await;
        let installation = provided.unwrap_or_else(|error| panic!("{error}"));
        let owner = user::unprivileged(SERVER, PREFERRED_USER).unwrap();
        let dir = ServerDir::create(SERVER, None, owner.as_ref()).unwrap();
        let broker = Broker {
            installation: &installation,
            dir: &dir,
            owner,
            cluster_id: broker::random_cluster_id(),
            advertised: None,
        };
        broker.format().await.unwrap();
        let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = occupied.local_addr().unwrap().port();
        let free = Ports::free(&mut Candidates::new(SERVER)).unwrap();
        let ports = Ports { clients: port, ..free };
        let error = broker.launch(ports).await.map(drop).unwrap_err();
        assert!(
            matches!(error, StackError::PortTaken { port: named, .. } if named == port),
            "{error}"
        );
    }
}
