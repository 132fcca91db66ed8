//! Kafka in a container, by the environment variables that Apache's image turns into settings.

use super::admin::Admin;
use super::{Facts, broker};
use crate::container::{Container, Spec};
use crate::engine::Image;
use crate::error::StackError;
use crate::info::Server;
use crate::options::StackOptions;
use crate::ports::Candidates;

const SERVER: Server = Server::Kafka;
/// Where clients connect inside the container.
const PORT: u16 = 9092;
/// Where we do.
const ADMIN_PORT: u16 = 9094;

/// A broker in a container started here.
#[derive(Debug)]
pub(super) struct ContainerKafka {
    pub(super) container: Container,
    pub(super) admin: Admin,
    pub(super) brokers: String,
}

/// Starts it on host ports that are chosen beforehand, because the broker must tell them to its clients.
pub(super) async fn start(image: &Image, options: &StackOptions) -> Result<(ContainerKafka, Facts), StackError> {
    let mut ports = Candidates::new(SERVER);
    let cluster_id = broker::random_cluster_id();
    let (container, admin_port) = loop {
        let [clients, admin] = ports.next_ports()?;
        match Container::start(spec(image, [clients, admin], &cluster_id, options)).await {
            Err(error) if ports.another_after(&error) => {}
            started => break (started?, admin),
        }
    };
    let brokers = format!("127.0.0.1:{}", container.host_port());
    let admin = Admin::new(&format!("127.0.0.1:{admin_port}"));
    let admin = admin.map_err(StackError::request(SERVER, "form a client for it"))?;
    let mut facts = container
        .until_ready(|| broker::ask(&admin, &brokers, &cluster_id))
        .await?;
    facts.settings.insert("image".to_owned(), image.to_string());
    // The protocol does not tell the version; the image's tag does, for whoever pinned it.
    let version = format!("of the image {image}");
    let kafka = ContainerKafka {
        container,
        admin,
        brokers,
    };
    Ok((kafka, Facts { version, ..facts }))
}

/// The broker reaches itself by a listener of its own: the advertised addresses are of the host.
fn spec(image: &Image, [clients, admin]: [u16; 2], cluster_id: &str, options: &StackOptions) -> Spec {
    let advertised = options
        .kafka_advertised
        .unwrap_or_else(|| ([127, 0, 0, 1], clients).into());
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
    let fixed = broker::SETTINGS.map(|(name, value)| (name, value.to_owned()));
    let mut environment: Vec<_> = listeners
        .into_iter()
        .chain(fixed)
        .map(|(name, value)| (variable(name), value))
        .collect();
    environment.push(("CLUSTER_ID".to_owned(), cluster_id.to_owned()));
    environment.push(("KAFKA_HEAP_OPTS".to_owned(), broker::HEAP.to_owned()));
    Spec {
        server: SERVER,
        image: image.clone(),
        ports: vec![(PORT, Some(clients)), (ADMIN_PORT, Some(admin))],
        environment,
        command: Vec::new(),
    }
}

/// The image's spelling of a setting.
fn variable(setting: &str) -> String {
    format!("KAFKA_{}", setting.to_uppercase().replace('.', "_"))
}
