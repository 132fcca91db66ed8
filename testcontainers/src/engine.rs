//! The container engine: whether one answers, which image it has for a server, and getting the image where it has none.
//! Running containers is `container`'s business.
//!
//! The engine is the one that `testcontainers` talks to: `DOCKER_HOST`, else Docker's usual sockets. Podman's socket
//! serves as well when `DOCKER_HOST` points to it.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use testcontainers::bollard::Docker;
use testcontainers::bollard::errors::Error as EngineError;
use testcontainers::bollard::models::CreateImageInfo;
use testcontainers::bollard::query_parameters::CreateImageOptionsBuilder;
use testcontainers::core::client::docker_client_instance;
use url::Url;

use crate::error::StackError;
use crate::info::Server;
use crate::options::StackOptions;

/// A local engine answers in milliseconds; a socket behind which nobody listens must not hold up the start.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Time for the first sign of life of a registry: behind a firewall there is none, and nobody should wait for minutes.
const REGISTRY_LIMIT: Duration = Duration::from_secs(20);
/// A pull that goes on reports progress several times a second.
const PROGRESS_LIMIT: Duration = Duration::from_mins(1);
/// Tag of the images of `cargo xtask images`; every change in them gets another one.
const LOCAL_TAG: &str = include_str!("../images/TAG");

/// An image by name and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) tag: String,
}

impl Image {
    /// `registry:port/name:tag`: the tag is after the last colon behind the last slash. Without one it is `latest`, as
    /// everywhere. A digest (`name@sha256:..`) comes out right as well.
    fn parse(text: &str) -> Self {
        let path = text.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match text[path..].rfind(':') {
            Some(colon) => (&text[..path + colon], &text[path + colon + 1..]),
            None => (text, "latest"),
        };
        Self {
            name: name.to_owned(),
            tag: tag.to_owned(),
        }
    }

    /// The public image, pinned to a version: another one is another subject.
    fn public(server: Server) -> Self {
        Self::parse(match server {
            Server::Postgres => "postgres:17.6-bookworm",
            Server::Redis => "redis:7.4.2-alpine",
            Server::Kafka => "apache/kafka:4.4.0",
        })
    }

    /// The one that `cargo xtask images` builds from Debian's packages.
    fn local(server: Server) -> Self {
        Self {
            name: format!("loadtest-stack/{server}"),
            tag: LOCAL_TAG.trim().to_owned(),
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

/// Why no container can be started. Displayed as the end of a sentence.
#[derive(Debug)]
pub(crate) enum Lack {
    /// No engine answers.
    Engine(String),
    /// It has no image and cannot get one.
    Image(String),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(problem) | Self::Image(problem) => f.write_str(problem),
        }
    }
}

impl Lack {
    pub(crate) fn into_error(self, server: Server) -> StackError {
        match self {
            Self::Engine(problem) => StackError::NoEngine { server, problem },
            Self::Image(problem) => StackError::NoImage { server, problem },
        }
    }
}

/// The image to start this server from, after pulling it if need be. An image that was named is taken or nothing;
/// otherwise what the engine has (the public image, then the local one) comes before what it would have to fetch.
pub(crate) async fn image_for(
    server: Server,
    options: &StackOptions,
    announce: &mut impl FnMut(&str),
) -> Result<Image, Lack> {
    let docker = connect().await?;
    if let Some(named) = named(server, options) {
        let image = Image::parse(named);
        if !has(&docker, &image).await? {
            announce(&format!("pulling the image {image}"));
            pull(&docker, &image).await.map_err(Lack::Image)?;
        }
        return Ok(image);
    }
    for image in [Image::public(server), Image::local(server)] {
        if has(&docker, &image).await? {
            return Ok(image);
        }
    }
    pull_public(&docker, Image::public(server), announce).await
}

/// Describes the engine and where its image for this server would come from, without getting it.
pub(crate) async fn source(server: Server, options: &StackOptions) -> Result<String, Lack> {
    let docker = connect().await?;
    let engine = describe(&docker).await;
    let named = named(server, options).map(Image::parse);
    let candidates = named.map_or_else(
        || vec![Image::public(server), Image::local(server)],
        |named| vec![named],
    );
    for image in &candidates {
        if has(&docker, image).await? {
            return Ok(format!("{engine} has the image {image}"));
        }
    }
    let wanted = candidates.first().map(ToString::to_string).unwrap_or_default();
    Ok(format!(
        "{engine} would pull the image {wanted}, if its registry can be reached"
    ))
}

/// A registry that was out of reach a moment ago is not asked again for the next server.
async fn pull_public(docker: &Docker, image: Image, announce: &mut impl FnMut(&str)) -> Result<Image, Lack> {
    static OUT_OF_REACH: OnceLock<String> = OnceLock::new();
    let lack = |problem: &str| Lack::Image(problem.to_owned());
    if let Some(problem) = OUT_OF_REACH.get() {
        return Err(lack(problem));
    }
    announce(&format!("pulling the image {image}"));
    match pull(docker, &image).await {
        Ok(()) => Ok(image),
        Err(problem) => Err(lack(OUT_OF_REACH.get_or_init(|| problem))),
    }
}

fn named(server: Server, options: &StackOptions) -> Option<&str> {
    match server {
        Server::Postgres => options.images.postgres.as_deref(),
        Server::Redis => options.images.redis.as_deref(),
        Server::Kafka => options.images.kafka.as_deref(),
    }
}

/// The engine, once it has answered.
pub(crate) async fn connect() -> Result<Docker, Lack> {
    refuse_distant(std::env::var("DOCKER_HOST").ok().as_deref())?;
    let docker = docker_client_instance()
        .await
        .map_err(|error| no_engine(&error.to_string()))?;
    match tokio::time::timeout(ANSWER_LIMIT, docker.ping()).await {
        Ok(Ok(_)) => Ok(docker),
        Ok(Err(error)) => Err(no_engine(&error.to_string())),
        Err(_) => Err(no_engine(&format!("it is silent for {} s", ANSWER_LIMIT.as_secs()))),
    }
}

/// The engine's own name and version ("Podman Engine 4.3.1").
async fn describe(docker: &Docker) -> String {
    let Ok(version) = docker.version().await else {
        return "a container engine that does not tell its version".to_owned();
    };
    let first = version.components.unwrap_or_default().into_iter().next();
    first.map_or_else(
        || format!("version {}", version.version.unwrap_or_default()),
        |component| format!("{} {}", component.name, component.version),
    )
}

fn no_engine(problem: &str) -> Lack {
    let hint = podman_socket().map_or_else(String::new, |socket| {
        format!(
            "; Podman listens at {0}: DOCKER_HOST=unix://{0} takes it",
            socket.display()
        )
    });
    Lack::Engine(format!("no container engine answers ({problem}{hint})"))
}

/// Where Podman listens for an ordinary user or for root, if it does.
fn podman_socket() -> Option<PathBuf> {
    let user = std::env::var_os("XDG_RUNTIME_DIR").map(|directory| PathBuf::from(directory).join("podman/podman.sock"));
    let system = PathBuf::from("/run/podman/podman.sock");
    user.into_iter().chain([system]).find(|socket| socket.exists())
}

/// Ports are published on 127.0.0.1 of the engine's machine, so it must be this one.
fn refuse_distant(docker_host: Option<&str>) -> Result<(), Lack> {
    let Some(url) = docker_host.and_then(|host| Url::parse(host).ok()) else {
        return Ok(());
    };
    // The URL's own type knows addresses only of schemes of the web.
    let is_loopback = |host: &str| host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let host = url.host_str().unwrap_or_default();
    let is_near = host.is_empty() || host == "localhost" || is_loopback(host);
    let refusal = || {
        Lack::Engine(format!(
            "the container engine at {url} (DOCKER_HOST) is on another machine, whose ports this one cannot reach"
        ))
    };
    is_near.then_some(()).ok_or_else(refusal)
}

async fn has(docker: &Docker, image: &Image) -> Result<bool, Lack> {
    match docker.inspect_image(&image.to_string()).await {
        Ok(_) => Ok(true),
        Err(EngineError::DockerResponseServerError { status_code: 404, .. }) => Ok(false),
        Err(error) => Err(no_engine(&error.to_string())),
    }
}

async fn pull(docker: &Docker, image: &Image) -> Result<(), String> {
    let options = CreateImageOptionsBuilder::new()
        .from_image(&image.name)
        .tag(&image.tag)
        .build();
    let progress = docker.create_image(Some(options), None, None);
    follow(progress).await.map_err(|problem| {
        format!("the image {image} is not on the container engine, and pulling it failed: {problem}")
    })
}

/// To the end of the stream, as long as it moves.
async fn follow(progress: impl Stream<Item = Result<CreateImageInfo, EngineError>>) -> Result<(), String> {
    let mut progress = std::pin::pin!(progress);
    let mut limit = REGISTRY_LIMIT;
    loop {
        let next = tokio::time::timeout(limit, progress.next()).await;
        match next.map_err(|_| format!("nothing happened for {} s", limit.as_secs()))? {
            None => return Ok(()),
            Some(Ok(_)) => limit = PROGRESS_LIMIT,
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_is_behind_the_last_slash() {
        for (text, name, tag) in [
            ("postgres:17.6", "postgres", "17.6"),
            ("host:5000/team/redis:7", "host:5000/team/redis", "7"),
            ("host:5000/redis", "host:5000/redis", "latest"),
            ("redis@sha256:00ff", "redis@sha256", "00ff"),
        ] {
            let image = Image::parse(text);
            assert_eq!((&*image.name, &*image.tag), (name, tag), "{text}");
        }
    }

    #[test]
    fn every_image_is_pinned_to_a_version() {
        for server in [Server::Postgres, Server::Redis, Server::Kafka] {
            for image in [Image::public(server), Image::local(server)] {
                assert_ne!(image.tag, "latest", "{image}");
                assert!(image.tag.contains(|c: char| c.is_ascii_digit()), "{image}");
            }
        }
    }

    #[test]
    fn an_engine_on_another_machine_is_refused() {
        for near in [
            None,
            Some("unix:///run/docker.sock"),
            Some("tcp://127.0.0.1:2375"),
            Some("tcp://localhost:2375"),
        ] {
            assert!(refuse_distant(near).is_ok(), "{near:?}");
        }
        let refused = refuse_distant(Some("tcp://build-host:2375")).unwrap_err().to_string();
        assert!(
            refused.contains("tcp://build-host:2375 (DOCKER_HOST) is on another machine"),
            "{refused}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_pull_that_does_not_move_is_given_up() {
        let silent = follow(futures_util::stream::pending()).await;
        assert_eq!(silent, Err("nothing happened for 20 s".to_owned()));
        let moved_once = futures_util::stream::iter([Ok(CreateImageInfo::default())]);
        let stalled = follow(moved_once.chain(futures_util::stream::pending())).await;
        assert_eq!(stalled, Err("nothing happened for 60 s".to_owned()));
    }
}
