//! A server in a container: started with its ports on 127.0.0.1 alone, watched while it becomes ready, removed with its
//! volumes. Which settings it gets, and how to ask whether it is ready, is said by the server's kind.
//!
//! Signals are the harness's business (it returns from `main` in order, which drops this), so `testcontainers`'
//! watchdog, which would end the process, is left out. A harness that is killed leaves its containers; they carry a
//! label that says whose they are, and the next start removes them ([`sweep`]).

use std::collections::HashMap;
use std::thread::JoinHandle;
use std::time::Duration;

use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::{ContainerSummary, HostConfig, PortBinding};
use testcontainers::bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use testcontainers::core::IntoContainerPort;
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt};
use tokio::sync::oneshot;

use crate::claim;
use crate::cleanup;
use crate::engine::{self, Image};
use crate::error::StackError;
use crate::identity::{Identity, Life};
use crate::info::Server;
use crate::kind::{Facts, Kind, Spec};
use crate::ports;
use crate::process::{ProcessError, Starting, last_lines, until_ready};
use crate::wait::Patience;

/// The label whose value is the owner's [`Identity`].
const OWNER_LABEL: &str = "loadtest-stack.owner";
/// A container is created and started within a second or two; a busy machine may need many times that.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Starting a server takes seconds; a machine that compiles at the same time may need many times that.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// For a list of containers that cannot be read at this moment.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// Postgres takes shared memory for parallel queries from here, and an engine's default is 64 MB.
const SHARED_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// How Docker and Podman word a host port that somebody else has.
const PORT_TAKEN: [&str; 2] = ["port is already allocated", "address already in use"];

/// A running container. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Container {
    server: Server,
    /// `None` once it is removed. Boxed, because it holds its whole request.
    running: Option<Box<ContainerAsync<GenericImage>>>,
}

/// Starts a server on ports of the host that are chosen beforehand, because a broker must tell them to its clients, and
/// asks it for its facts. The engine holds the ports, so that nobody else can answer there.
pub(crate) async fn start<K: Kind>(kind: &K, image: &Image) -> Result<(Container, K::Client, Facts), StackError> {
    let (mut container, ports) = ports::retried(K::SERVER, async |ports| {
        let container = Container::start(K::SERVER, image.clone(), kind.spec(ports)).await?;
        Ok((container, ports))
    })
    .await?;
    let patience = &mut Patience::new(READY_LIMIT);
    let ready = until_ready(&mut container, patience, || kind.ask(ports, None)).await;
    let (client, mut facts) = ready.map_err(StackError::process(K::SERVER))?;
    facts.settings.insert("image".to_owned(), image.to_string());
    if facts.version.is_empty() {
        // The image's tag tells it to whoever pinned it.
        facts.version = format!("of the image {image}");
    }
    Ok((container, client, facts))
}

impl Container {
    /// Creates and starts it. Given up half-way, this waits until the engine has done what it was asked, and removes
    /// it.
    async fn start(server: Server, image: Image, spec: Spec) -> Result<Self, StackError> {
        let failed = move |problem: String| StackError::not_started(server, problem);
        let (hand_over, handed_over) = oneshot::channel();
        let thread = std::thread::Builder::new().name("stack-container".to_owned());
        let thread = thread
            .spawn(move || start_on_thread(server, image, spec, hand_over))
            .map_err(|error| failed(error.to_string()))?;
        // Declared before the receiver and so dropped after it: the thread must notice that nobody waits any more.
        let _joined_on_drop = JoinOnDrop(Some(thread));
        let waiting = handed_over;
        waiting.await.map_err(|_| failed("the start panicked".to_owned()))?
    }

    /// Removes it and reports failures, among them that it had ended by itself.
    pub(crate) async fn stop(mut self) -> Result<(), StackError> {
        let ended = self.still_runs().await.map_err(StackError::process(self.server));
        let removed = match self.running.take() {
            Some(running) => (*running).rm().await.map_err(StackError::stop(self.server)),
            None => Ok(()),
        };
        ended.and(removed)
    }
}

impl Starting for Container {
    async fn still_runs(&mut self) -> Result<(), ProcessError> {
        let Some(running) = &self.running else { return Ok(()) };
        let problem = match running.exit_code().await {
            Ok(None) => return Ok(()),
            Ok(Some(code)) => format!("its container ended by itself with exit code {code}"),
            Err(error) => format!("its container is gone: {error}"),
        };
        let log_tail = self.log_tail().await;
        Err(ProcessError::NotStarted { problem, log_tail })
    }

    /// Empty when the engine does not tell.
    async fn log_tail(&self) -> String {
        let Some(running) = &self.running else {
            return String::new();
        };
        let mut log = running.stdout_to_vec().await.unwrap_or_default();
        log.extend(running.stderr_to_vec().await.unwrap_or_default());
        last_lines(&log)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let server = self.server;
        let removed = cleanup::run_to_end(server, async move {
            (*running).rm().await.map_err(StackError::stop(server))
        });
        if let Err(error) = removed {
            tracing::warn!(%error, "a container is left behind");
        }
    }
}

/// Waits for a thread when this value goes, so that the process does not end before the thread has cleaned up.
struct JoinOnDrop(Option<JoinHandle<()>>);

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        // A panic over there was reported over there.
        let _ = self.0.take().map(JoinHandle::join);
    }
}

type Outcome = Result<Container, StackError>;

/// On a runtime of its own: a request that the caller no longer waits for must still be followed to its end, or the
/// engine would create a container that nobody knows of.
fn start_on_thread(server: Server, image: Image, spec: Spec, hand_over: oneshot::Sender<Outcome>) {
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StackError::not_started(server, error))
        .and_then(|runtime| runtime.block_on(start_or_remove(server, image, spec)));
    // Nobody waits any more: the container comes back and goes with this value.
    drop(hand_over.send(outcome));
}

async fn start_or_remove(server: Server, image: Image, spec: Spec) -> Outcome {
    let name = format!("{}{server}-{:08x}", claim::PREFIX, rand::random::<u32>());
    let port = spec.ports.first().map_or(0, |&(_, port)| port);
    let starting = async {
        request(image, spec, &name)?
            .start()
            .await
            .map_err(|error| error.to_string())
    };
    let problem = match tokio::time::timeout(START_LIMIT, starting).await {
        Ok(Ok(running)) => {
            let running = Some(Box::new(running));
            return Ok(Container { server, running });
        }
        Ok(Err(problem)) => problem,
        Err(_) => format!("the engine did not start it within {} s", START_LIMIT.as_secs()),
    };
    // What was created before it failed would stay, since nobody got hold of it. The name is of this start alone.
    remove(&engine::connect().await.map_err(|lack| lack.into_error(server))?, &name)
        .await
        .map_err(|error| StackError::not_started(server, format!("{problem}; and {name} is left: {error}")))?;
    if PORT_TAKEN.iter().any(|words| problem.contains(words)) {
        return Err(StackError::PortTaken { server, port });
    }
    Err(StackError::not_started(server, problem))
}

fn request(image: Image, spec: Spec, name: &str) -> Result<ContainerRequest<GenericImage>, String> {
    let owner = Identity::own()?.to_string();
    let Spec {
        ports,
        environment,
        command,
    } = spec;
    let mut image = GenericImage::new(image.name, image.tag);
    for (port, _) in &ports {
        image = image.with_exposed_port(port.tcp());
    }
    let mut request = image
        .with_container_name(name)
        .with_label(OWNER_LABEL, owner)
        .with_shm_size(SHARED_MEMORY_BYTES)
        .with_startup_timeout(START_LIMIT)
        .with_host_config_modifier(move |host| bind_to_loopback(host, &ports));
    for (variable, value) in environment {
        request = request.with_env_var(variable, value);
    }
    Ok(if command.is_empty() {
        request
    } else {
        request.with_cmd(command)
    })
}

/// The label of a container that belongs to this process, `NAME=VALUE`: once it is dead, [`sweep`] removes what carries
/// it.
///
/// # Errors
/// In words, when /proc does not tell who we are.
pub fn owner_label() -> Result<String, String> {
    Ok(format!("{OWNER_LABEL}={}", Identity::own()?))
}

/// The engine's default is every interface of the machine, for every port that the image names.
fn bind_to_loopback(host: &mut HostConfig, ports: &[(u16, u16)]) {
    host.publish_all_ports = Some(false);
    let bindings = ports.iter().map(|(port, host_port)| {
        let binding = PortBinding {
            host_ip: Some("127.0.0.1".to_owned()),
            host_port: Some(host_port.to_string()),
        };
        (format!("{port}/tcp"), Some(vec![binding]))
    });
    host.port_bindings = Some(bindings.collect());
}

/// Removes the containers of dead owners, with their volumes, and says for each which it was. Containers of other
/// machines and of processes that cannot be seen from here are left alone; so is one that cannot be removed, which is
/// logged.
pub(crate) async fn sweep() -> Vec<String> {
    let Ok(docker) = engine::connect().await else {
        return Vec::new();
    };
    let mut swept = Vec::new();
    for container in labelled(&docker).await {
        let Some(id) = dead(&container) else { continue };
        let name = container.names.unwrap_or_default().concat();
        match remove(&docker, &id).await {
            Ok(()) => swept.push(format!("container {}", name.trim_start_matches('/'))),
            Err(error) => tracing::warn!(%error, name, "a dead owner's container cannot be removed"),
        }
    }
    swept
}

/// Asked again for a moment: the states that Podman names in passing (`stopped`) are not in Docker's protocol, and one
/// container in such a state spoils the whole list.
async fn labelled(docker: &Docker) -> Vec<ContainerSummary> {
    let filters = HashMap::from([("label", vec![OWNER_LABEL])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let mut patience = Patience::new(LIST_LIMIT);
    loop {
        match docker.list_containers(Some(options.clone())).await {
            Ok(containers) => return containers,
            Err(error) if patience.pause().await.is_err() => {
                tracing::warn!(%error, "the engine's containers cannot be listed, so that none are removed");
                return Vec::new();
            }
            Err(_) => {}
        }
    }
}

/// The container's id if its owner is dead.
fn dead(container: &ContainerSummary) -> Option<String> {
    let owner: Identity = container.labels.as_ref()?.get(OWNER_LABEL)?.parse().ok()?;
    (owner.life() == Life::Dead).then(|| container.id.clone())?
}

/// One that is gone already, or that somebody else is removing, is no error.
async fn remove(docker: &Docker, container: &str) -> Result<(), EngineError> {
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    match docker.remove_container(container, Some(options)).await {
        Err(EngineError::DockerResponseServerError {
            status_code: 404 | 409, ..
        }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::StackOptions;
    use std::net::TcpListener;

    #[tokio::test]
    async fn a_port_that_is_taken_is_noticed() {
        if std::env::var_os("STACK_TEST_NO_CONTAINERS").is_some() {
            eprintln!("LEFT OUT: no containers are tested, because STACK_TEST_NO_CONTAINERS is set");
            return;
        }
        let image = engine::image_for(Server::Redis, &StackOptions::default(), &mut |_: &str| ()).await;
        let image = image.unwrap_or_else(|lack| panic!("{}", lack.into_error(Server::Redis)));
        let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = occupied.local_addr().unwrap().port();
        let spec = Spec {
            ports: vec![(6379, port)],
            environment: Vec::new(),
            command: Vec::new(),
        };
        let error = Container::start(Server::Redis, image, spec).await.unwrap_err();
        assert!(
            matches!(error, StackError::PortTaken { port: named, .. } if named == port),
            "{error}"
        );
    }
}
