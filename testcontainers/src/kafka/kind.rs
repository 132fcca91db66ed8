//! How Kafka is started and reached by each provider: one broker that is its own controller (`KRaft`), on the local
//! Java or in a container by the environment variables that Apache's image turns into settings; brokers that somebody
//! else runs, which are left as they were found; or the embedded one.
//!
//! Besides the listener for clients a broker has one for administration: what clients are told to connect to may be a
//! proxy that does not let anything pass, and our own requests must get through all the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;

use super::admin::Admin;
use super::assembly::{self, Installation};
use super::client::{Client, Reach};
use super::embedded::EmbeddedKafka;
use crate::dir::ServerDir;
use crate::error::StackError;
use crate::info::Server;
use crate::kind::{Facts, Kind, Spec, Started};
use crate::native;
use crate::options::{External, StackOptions};
use crate::ports::Ports;
use crate::process::Signal;

/// Topics are made by whoever needs them, so that a misspelt name is an error; producers choose the compression; a
/// consumer group does not wait for members that nobody announced. What is replicated by default is not, because there
/// is one broker.
const SETTINGS: [(&str, &str); 17] = [
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "INTERNAL"),
    (
        "listener.security.protocol.map",
        "PLAINTEXT:PLAINTEXT,ADMIN:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("auto.create.topics.enable", "false"),
    ("compression.type", "producer"),
    ("num.partitions", "1"),
    ("default.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("offsets.topic.replication.factor", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("group.initial.rebalance.delay.ms", "0"),
];
/// Enough for one broker under test load; unbounded, the JVM would take a quarter of the machine.
const HEAP: &str = "-Xms256m -Xmx512m";
/// Where clients connect inside a container.
const PORT: u16 = 9092;
/// Where our own requests connect inside a container.
const ADMIN_PORT: u16 = 9094;
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

/// One start of a broker.
pub(crate) struct KafkaKind {
    /// Known to this start alone, so that its broker is told from another on the same port.
    cluster_id: String,
    /// Address that clients are told to connect to, if not the broker itself.
    advertised: Option<SocketAddr>,
}

impl Kind for KafkaKind {
    const SERVER: Server = Server::Kafka;
    const USER: &'static str = "kafka";
    /// Killed outright: what an orderly end would save is thrown away, and a controller without a peer takes its time.
    const STOP: Signal = Signal::SIGKILL;
    const EMBEDDED: Option<fn() -> Started<Client>> = Some(embedded);
    type Client = Client;
    type Programs = Installation;

    fn new(options: &StackOptions) -> Self {
        // 22 characters of base64, as Kafka wants them: hexadecimal digits are such characters, and so are the As.
        let cluster_id = format!("{:016x}AAAAAA", rand::random::<u64>());
        let advertised = options.kafka_advertised;
        Self { cluster_id, advertised }
    }

    /// The protocol does not tell the broker's version.
    async fn connect(external: &External) -> Started<Client> {
        let server = Self::SERVER;
        let brokers = external.address(server).ok_or(StackError::MissingUrl { server })?;
        let unusable = |problem: String| StackError::External {
            server,
            place: brokers.to_owned(),
            problem,
            advice: "check that a broker runs there and that KAFKA_BROKERS has its host and port (host:port,host:port)",
        };
        let admin = Admin::new(brokers).map_err(|error| unusable(error.to_string()))?;
        let cluster = admin.cluster().await.map_err(unusable)?;
        let facts = Facts {
            version: "of unknown version".to_owned(),
            settings: admin.settings(&cluster).await,
            note: None,
        };
        let client = Client {
            brokers: brokers.to_owned(),
            reach: Reach::Broker(admin),
        };
        Ok((client, facts))
    }

    async fn remove(client: Client, names: BTreeSet<String>) -> Result<(), StackError> {
        let topics: Vec<&str> = names.iter().map(String::as_str).collect();
        let Reach::Broker(admin) = &client.reach else {
            return Ok(());
        };
        let deleted = admin.delete_topics(&topics).await;
        deleted.map_err(StackError::request(
            Self::SERVER,
            format!("delete topics {}", topics.join(", ")),
        ))
    }

    /// The broker reaches itself by a listener of its own: the advertised addresses are of the host.
    fn spec(&self, [clients, admin, _]: Ports) -> Spec {
        let advertised = self.advertised(clients);
        let own = "INTERNAL://localhost:19092";
        let listeners = [
            (
                "listeners",
                format!("PLAINTEXT://:{PORT},ADMIN://:{ADMIN_PORT},{own},CONTROLLER://localhost:9093"),
            ),
            (
                "advertised.listeners",
                format!("PLAINTEXT://{advertised},ADMIN://127.0.0.1:{admin},{own}"),
            ),
            ("controller.quorum.voters", "1@localhost:9093".to_owned()),
            ("log.dirs", "/tmp/kraft-combined-logs".to_owned()),
        ];
        let fixed = SETTINGS.map(|(name, value)| (name, value.to_owned()));
        let settings = listeners.into_iter().chain(fixed);
        let mut environment: Vec<_> = settings.map(|(name, value)| (variable(name), value)).collect();
        environment.push(("CLUSTER_ID".to_owned(), self.cluster_id.clone()));
        environment.push(("KAFKA_HEAP_OPTS".to_owned(), HEAP.to_owned()));
        Spec {
            ports: vec![(PORT, clients), (ADMIN_PORT, admin)],
            environment,
            command: Vec::new(),
        }
    }

    async fn programs(options: &StackOptions, announce: &mut impl FnMut(&str)) -> Result<Installation, StackError> {
        assembly::provide(options, announce).await
    }

    fn source(options: &StackOptions) -> Result<String, StackError> {
        assembly::find(options).map(|origin| origin.to_string())
    }

    fn version(installation: &Installation) -> Option<String> {
        Some(installation.version.clone())
    }

    /// Gives the storage its identity. The ports in the properties do not matter here, as long as they differ.
    async fn prepare(&self, installation: &Installation, dir: &ServerDir) -> Result<(), StackError> {
        installation.check_readable(dir.owner())?;
        self.write_files(dir, [1, 2, 3])?;
        let mut tool = java(installation, dir, &SHORT_LIVED);
        tool.args(["kafka.tools.StorageTool", "format", "--cluster-id", &self.cluster_id]);
        tool.args(["--config", PROPERTIES]);
        native::run_to_end(Self::SERVER, tool, dir).await
    }

    fn command(&self, installation: &Installation, dir: &ServerDir, ports: Ports) -> Result<Command, StackError> {
        self.write_files(dir, ports)?;
        let heap: Vec<&str> = HEAP.split(' ').collect();
        let mut broker = java(installation, dir, &heap);
        broker.args(["kafka.Kafka", PROPERTIES]);
        Ok(broker)
    }

    /// Asks at the listener for administration and at the one for clients, because a broker opens them one after the
    /// other, and gives up if the port of one is taken.
    async fn ask(&self, [clients, admin, _]: Ports, _: Option<u32>) -> Result<(Client, Facts), String> {
        let at = |port| Admin::new(&format!("127.0.0.1:{port}")).map_err(|error| error.to_string());
        let admin = at(admin)?;
        let cluster = admin.cluster().await?;
        self.check_ours(cluster.id.as_deref())?;
        // Used once: it must not follow the address that the broker tells its clients.
        self.check_ours(at(clients)?.cluster_id().await?.as_deref())?;
        let mut settings = admin.settings(&cluster).await;
        settings.insert("heap".to_owned(), HEAP.to_owned());
        let facts = Facts {
            version: String::new(),
            settings,
            note: None,
        };
        let client = Client {
            brokers: format!("127.0.0.1:{clients}"),
            reach: Reach::Broker(admin),
        };
        Ok((client, facts))
    }
}

impl KafkaKind {
    fn advertised(&self, clients: u16) -> SocketAddr {
        self.advertised.unwrap_or_else(|| ([127, 0, 0, 1], clients).into())
    }

    fn check_ours(&self, found: Option<&str>) -> Result<(), String> {
        let ours = found == Some(&*self.cluster_id);
        ours.then_some(())
            .ok_or_else(|| "another broker answers on its port, or none".to_owned())
    }

    fn write_files(&self, dir: &ServerDir, ports: Ports) -> Result<(), StackError> {
        dir.write_secret(PROPERTIES, &self.properties(dir, ports))?;
        dir.write_secret(LOGGING, LOGGING_TEXT).map(drop)
    }

    /// The listener for our own requests is also the one by which the broker reaches itself.
    fn properties(&self, dir: &ServerDir, [clients, internal, controller]: Ports) -> String {
        let advertised = self.advertised(clients);
        let own = format!("INTERNAL://127.0.0.1:{internal}");
        let mut text = format!(
            "listeners=PLAINTEXT://127.0.0.1:{clients},{own},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://{advertised},{own}\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             log.dirs={}\n",
            dir.path().join("data").display()
        );
        for (name, value) in SETTINGS {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }
}

/// A JVM that writes nothing outside the directory: neither its performance file nor the libraries that compression
/// codecs unpack.
fn java(installation: &Installation, dir: &ServerDir, options: &[&str]) -> Command {
    let mut java = Command::new(&installation.java);
    java.args(options)
        .arg("-XX:-UsePerfData")
        .arg(format!("-Djava.io.tmpdir={}", dir.path().display()))
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            dir.path().join(LOGGING).display()
        ))
        .arg("-cp")
        .arg(format!("{}/*", installation.libs.display()));
    java
}

fn embedded() -> Started<Client> {
    let (broker, brokers, facts) = EmbeddedKafka::start()?;
    let reach = Reach::Embedded(Arc::new(broker));
    Ok((Client { brokers, reach }, facts))
}

/// The image's spelling of a setting.
fn variable(setting: &str) -> String {
    format!("KAFKA_{}", setting.to_uppercase().replace('.', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_that_is_taken_is_noticed() {
        let options = StackOptions::default();
        let provided = assembly::provide(&options, &mut |_: &str| ()).await;
        let installation = provided.unwrap_or_else(|error| panic!("{error}"));
        native::assert_taken_port_is_noticed(&KafkaKind::new(&options), &installation).await;
    }

    #[test]
    fn cluster_ids_are_of_kafkas_form_and_differ() {
        let id = || KafkaKind::new(&StackOptions::default()).cluster_id;
        let (one, other) = (id(), id());
        assert_eq!(one.len(), 22);
        assert!(one.chars().all(|c| c.is_ascii_alphanumeric()), "{one}");
        assert_ne!(one, other);
    }
}
