//! Properties of containers alone: where their ports are, who owns them, and that they go, volumes included.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use stack::wait::Patience;
use stack::{Images, Kafka, Postgres, Redis, StackError, StackOptions};
use testcontainers::bollard::Docker;
use testcontainers::bollard::models::{ContainerSummary, PortSummary};
use testcontainers::bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptions};
use testcontainers::core::client::docker_client_instance;

use crate::support::{containers, ok, redis_command};

/// The label by which a container says whose it is: boot, namespace, process, start.
const OWNER: &str = "loadtest-stack.owner";

pub(crate) async fn engine() -> Docker {
    docker_client_instance().await.unwrap()
}

/// All containers of one process, whatever state they are in.
pub(crate) async fn containers_of(pid: u32) -> Vec<ContainerSummary> {
    let filters = HashMap::from([("label", vec![OWNER])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let mut patience = Patience::new(Duration::from_secs(30));
    // Podman's states in passing are not in the protocol, and spoil the list for a moment.
    let all = loop {
        match engine().await.list_containers(Some(options.clone())).await {
            Ok(all) => break all,
            Err(error) => patience.pause().await.unwrap_or_else(|_| panic!("{error}")),
        }
    };
    let is_of = |container: &ContainerSummary| owner(container).split(' ').nth(2) == Some(&pid.to_string());
    all.into_iter().filter(is_of).collect()
}

fn owner(container: &ContainerSummary) -> String {
    container.labels.clone().unwrap_or_default()[OWNER].clone()
}

/// The container that publishes this port.
async fn published_at(port: u16) -> Option<ContainerSummary> {
    let is_there = |container: &ContainerSummary| ports(container).iter().any(|one| one.public_port == Some(port));
    containers_of(std::process::id()).await.into_iter().find(is_there)
}

fn ports(container: &ContainerSummary) -> Vec<PortSummary> {
    container.ports.clone().unwrap_or_default()
}

fn port_of(address: &str) -> u16 {
    let digits = address.rsplit(':').next().unwrap();
    digits.split('/').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn ports_are_published_on_the_loopback_address_alone() {
    let Some(options) = containers() else { return };
    let redis = ok(Redis::start(&options).await);
    let container = published_at(port_of(&redis.url())).await.expect("the container");
    let published: Vec<_> = ports(&container)
        .into_iter()
        .filter(|port| port.public_port.is_some())
        .collect();
    assert!(!published.is_empty());
    for port in published {
        assert_eq!(port.ip.as_deref(), Some("127.0.0.1"), "{port:?}");
    }
    let image = container.image.unwrap();
    // Podman puts a registry before a name that has none.
    let image = image.strip_prefix("localhost/").unwrap_or(&image);
    assert_eq!(redis.info().settings["image"], image);
    ok(redis.stop().await);
}

#[tokio::test]
async fn a_stopped_one_is_gone_with_its_volumes() {
    let Some(options) = containers() else { return };
    let postgres = ok(Postgres::start(&options).await);
    let port = port_of(&postgres.admin_url());
    let container = published_at(port).await.expect("the container");
    let mounts = container.mounts.unwrap_or_default();
    ok(postgres.stop().await);
    assert_eq!(published_at(port).await, None);
    let volumes = engine().await.list_volumes(None::<ListVolumesOptions>).await.unwrap();
    let left: Vec<String> = volumes
        .volumes
        .unwrap_or_default()
        .into_iter()
        .map(|volume| volume.name)
        .collect();
    for mount in mounts {
        assert!(
            !left.contains(&mount.name.clone().unwrap_or_default()),
            "{mount:?} is left"
        );
    }
}

#[tokio::test]
async fn one_that_is_dropped_in_a_panic_is_gone() {
    let Some(options) = containers() else { return };
    let redis = ok(Redis::start(&options).await);
    let port = port_of(&redis.url());
    assert!(published_at(port).await.is_some());
    let task = tokio::spawn(async move {
        let _alive_until_the_panic = redis;
        panic!("on purpose");
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(published_at(port).await, None);
}

#[test]
fn one_that_is_dropped_outside_any_runtime_is_gone() {
    let Some(options) = containers() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let redis = runtime.block_on(async { ok(Redis::start(&options).await) });
    let port = port_of(&redis.url());
    drop(runtime);
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _alive_until_the_panic = redis;
        panic!("on purpose");
    }));
    assert!(outcome.is_err());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    assert_eq!(runtime.block_on(published_at(port)), None);
}

fn with_image(name: &str) -> Option<StackOptions> {
    let name = Some(name.to_owned());
    let images = Images {
        postgres: name.clone(),
        redis: name.clone(),
        kafka: name,
    };
    containers().map(|options| StackOptions { images, ..options })
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_named_with_its_variable() {
    let Some(options) = with_image("loadtest-stack/no-such-image:7") else {
        return;
    };
    for (variable, error) in [
        ("STACK_IMAGE_POSTGRES", Postgres::start(&options).await.unwrap_err()),
        ("STACK_IMAGE_REDIS", Redis::start(&options).await.unwrap_err()),
        ("STACK_IMAGE_KAFKA", Kafka::start(&options).await.unwrap_err()),
    ] {
        assert!(matches!(error, StackError::NoImage { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("the image loadtest-stack/no-such-image:7 is not on the container engine"),
            "{text}"
        );
        assert!(
            text.contains(&format!("check {variable}")) && text.contains("cargo xtask images"),
            "{text}"
        );
    }
}

/// The image of another server starts, but is not what was asked for.
#[tokio::test]
async fn a_container_that_ends_at_once_is_not_waited_for() {
    let Some(options) = containers() else { return };
    let redis = ok(Redis::start(&options).await);
    let image = redis.info().settings["image"].clone();
    ok(redis.stop().await);
    let Some(options) = with_image(&image) else { return };
    let error = Postgres::start(&options).await.unwrap_err();
    assert!(matches!(error, StackError::Process { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("postgres did not start"), "{text}");
}

#[tokio::test]
async fn one_that_was_removed_by_somebody_else_is_reported() {
    let Some(options) = containers() else { return };
    let redis = ok(Redis::start(&options).await);
    let pong: String = redis_command(&redis.url(), &["PING"]).await;
    assert_eq!(pong, "PONG");
    let container = published_at(port_of(&redis.url())).await.expect("the container");
    let options = testcontainers::bollard::query_parameters::RemoveContainerOptionsBuilder::new()
        .force(true)
        .build();
    engine()
        .await
        .remove_container(&container.id.unwrap(), Some(options))
        .await
        .unwrap();
    let error = redis.stop().await.unwrap_err().to_string();
    assert!(error.contains("its container is gone"), "{error}");
}
