//! One container of a server: started with its port on 127.0.0.1 alone, watched while it becomes ready, removed with its
//! volumes. Which image with which settings, and how to ask whether it is ready, belongs to the server's module.
//!
//! Signals are the harness's business (it returns from `main` in order, which drops this), so `testcontainers`' watchdog,
//! which would end the process, is left out. A harness that is killed leaves its containers; they carry a label that says
//! whose they are, and the next start removes them ([`sweep`]).

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
use crate::wait::Patience;

/// The label whose value is the owner's [`Identity`].
const OWNER_LABEL: &str = "loadtest-stack.owner";
/// A container is created and started within a second or two; a busy machine may need many times that.
const START_LIMIT: Duration = Duration::from_mins(1);
/// As for local processes: starting takes seconds, on a machine that compiles many times that.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// For a list of containers that cannot be read at this moment.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// Postgres takes shared memory for parallel queries from here, and an engine's default is 64 MB.
const SHARED_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// Enough of a log to see why a server refused to start.
const LOG_TAIL_LINES: usize = 20;
/// How Docker and Podman word a host port that somebody else has.
const PORT_TAKEN: [&str; 2] = ["port is already allocated", "address already in use"];

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) server: Server,
    pub(crate) image: Image,
    /// Where the server listens inside, and where it is to be reached on the host; `None` lets the engine choose a free
    /// port. The first is the one that clients use.
    pub(crate) ports: Vec<(u16, Option<u16>)>,
    pub(crate) environment: Vec<(String, String)>,
    /// Replaces the image's command; empty leaves it.
    pub(crate) command: Vec<String>,
}

/// A running container. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Container {
    server: Server,
    /// `None` once it is removed. Boxed, because it holds its whole request.
    running: Option<Box<ContainerAsync<GenericImage>>>,
    host_port: u16,
}

impl Container {
    /// Creates and starts it. Given up half-way, this waits until the engine has done what it was asked, and removes it.
    pub(crate) async fn start(spec: Spec) -> Result<Self, StackError> {
        let server = spec.server;
        let failed = move |problem: String| start_failed(server, problem);
        let (hand_over, handed_over) = oneshot::channel();
        let thread = std::thread::Builder::new().name("stack-container".to_owned());
        let thread = thread
            .spawn(move || start_on_thread(spec, hand_over))
            .map_err(|error| failed(error.to_string()))?;
        // Declared before the receiver and so dropped after it: the thread must notice that nobody waits any more.
        let _joined_on_drop = JoinOnDrop(Some(thread));
        let waiting = handed_over;
        waiting.await.map_err(|_| failed("the start panicked".to_owned()))?
    }

    /// The port of 127.0.0.1 where it is reached.
    pub(crate) fn host_port(&self) -> u16 {
        self.host_port
    }

    /// Asks until the server answers. Notices when the container ends instead.
    pub(crate) async fn until_ready<T, Fut>(&self, ask: impl Fn() -> Fut) -> Result<T, StackError>
    where
        Fut: Future<Output = Result<T, String>>,
    {
        let mut patience = Patience::new(READY_LIMIT);
        loop {
            let last = match patience.bound(ask()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(problem)) => problem,
                Err(timed_out) => timed_out.to_string(),
            };
            self.still_runs().await?;
            if let Err(timed_out) = patience.pause().await {
                return Err(StackError::NotReady {
                    server: self.server,
                    waited: timed_out.waited,
                    last,
                    log_tail: self.log_tail().await,
                });
            }
        }
    }

    /// Removes it and reports failures, among them that it had ended by itself.
    pub(crate) async fn stop(mut self) -> Result<(), StackError> {
        let ended = self.still_runs().await;
        let removed = match self.running.take() {
            Some(running) => (*running).rm().await.map_err(|error| StackError::Stop {
                server: self.server,
                problem: error.to_string(),
            }),
            None => Ok(()),
        };
        ended.and(removed)
    }

    async fn still_runs(&self) -> Result<(), StackError> {
        let Some(running) = &self.running else { return Ok(()) };
        let exit_code = running.exit_code().await;
        let problem = match exit_code {
            Ok(None) => return Ok(()),
            Ok(Some(code)) => format!("its container ended by itself with exit code {code}"),
            Err(error) => format!("its container is gone: {error}"),
        };
        Err(StackError::Start {
            server: self.server,
            problem,
            log_tail: self.log_tail().await,
        })
    }

    /// The last lines of what the server wrote; empty when the engine does not tell.
    async fn log_tail(&self) -> String {
        let Some(running) = &self.running else {
            return String::new();
        };
        let mut log = running.stdout_to_vec().await.unwrap_or_default();
        log.extend(running.stderr_to_vec().await.unwrap_or_default());
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let server = self.server;
        let removed = cleanup::run_to_end(server, async move {
            (*running).rm().await.map_err(|error| StackError::Stop {
                server,
                problem: error.to_string(),
            })
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

/// On a runtime of its own: a request that the caller no longer waits for must still be followed to its end, or the engine
/// would create a container that nobody knows of.
fn start_on_thread(spec: Spec, hand_over: oneshot::Sender<Outcome>) {
    let server = spec.server;
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| start_failed(server, error.to_string()))
        .and_then(|runtime| runtime.block_on(start_or_remove(spec)));
    // Nobody waits any more: the container comes back and goes with this value.
    drop(hand_over.send(outcome));
}

async fn start_or_remove(spec: Spec) -> Outcome {
    let name = format!("{}{}-{:08x}", claim::PREFIX, spec.server, rand::random::<u32>());
    let server = spec.server;
    let host_port = spec.ports.iter().find_map(|&(_, host_port)| host_port);
    let started = tokio::time::timeout(START_LIMIT, start(spec, &name)).await;
    let problem = match started {
        Ok(Ok(container)) => return Ok(container),
        Ok(Err(problem)) => problem,
        Err(_) => format!("the engine did not start it within {} s", START_LIMIT.as_secs()),
    };
    // What was created before it failed would stay, since nobody got hold of it. The name is of this start alone.
    remove(&engine::connect().await.map_err(|lack| lack.into_error(server))?, &name)
        .await
        .map_err(|error| start_failed(server, format!("{problem}; and {name} is left: {error}")))?;
    match host_port {
        Some(port) if PORT_TAKEN.iter().any(|words| problem.contains(words)) => {
            Err(StackError::PortTaken { server, port })
        }
        _ => Err(start_failed(server, problem)),
    }
}

async fn start(spec: Spec, name: &str) -> Result<Container, String> {
    let server = spec.server;
    let port = spec.ports.first().map_or(0, |&(port, _)| port);
    let request = request(spec, name)?;
    let running = request.start().await.map_err(|error| error.to_string())?;
    let host_port = running.get_host_port_ipv4(port.tcp()).await;
    Ok(Container {
        server,
        running: Some(Box::new(running)),
        host_port: host_port.map_err(|error| error.to_string())?,
    })
}

fn request(spec: Spec, name: &str) -> Result<ContainerRequest<GenericImage>, String> {
    let owner = Identity::own()?.to_string();
    let ports = spec.ports.clone();
    let mut image = GenericImage::new(spec.image.name, spec.image.tag);
    for (port, _) in spec.ports {
        image = image.with_exposed_port(port.tcp());
    }
    let mut request = image
        .with_container_name(name)
        .with_label(OWNER_LABEL, owner)
        .with_shm_size(SHARED_MEMORY_BYTES)
        .with_startup_timeout(START_LIMIT)
        .with_host_config_modifier(move |host| bind_to_loopback(host, &ports));
    for (variable, value) in spec.environment {
        request = request.with_env_var(variable, value);
    }
    Ok(if spec.command.is_empty() {
        request
    } else {
        request.with_cmd(spec.command)
    })
}

/// The engine's default is every interface of the machine, for every port that the image names.
fn bind_to_loopback(host: &mut HostConfig, ports: &[(u16, Option<u16>)]) {
    host.publish_all_ports = Some(false);
    let bindings = ports.iter().map(|(port, host_port)| {
        let binding = PortBinding {
            host_ip: Some("127.0.0.1".to_owned()),
            host_port: Some(host_port.map_or_else(String::new, |port| port.to_string())),
        };
        (format!("{port}/tcp"), Some(vec![binding]))
    });
    host.port_bindings = Some(bindings.collect());
}

fn start_failed(server: Server, problem: String) -> StackError {
    StackError::Start {
        server,
        problem,
        log_tail: String::new(),
    }
}

/// Removes the containers of dead owners, with their volumes, and says for each which it was. Containers of other machines
/// and of processes that cannot be seen from here are left alone; so is one that cannot be removed, which is logged.
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
            server: Server::Redis,
            image,
            ports: vec![(6379, Some(port))],
            environment: Vec::new(),
            command: Vec::new(),
        };
        let error = Container::start(spec).await.unwrap_err();
        assert!(
            matches!(error, StackError::PortTaken { port: named, .. } if named == port),
            "{error}"
        );
    }
}
