//! `image:NAME:TAG`: a container in the place of a build, on the engine that is there.
//!
//! The engine's own command line runs it in the foreground: a container is then a process like any other subject,
//! whose end, output and signals are those of that command. Where a launch can tell it its port, it shares the network
//! of this machine, so that it reaches the servers of the stack and nothing is translated while it is measured.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use super::{launch::Environment, places::Places};

/// Command lines of engines, the first that is there is taken.
const ENGINES: [&str; 2] = ["docker", "podman"];
/// What an engine's command line needs of our environment to find its engine.
const OF_THE_ENGINE: [&str; 5] = [
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "CONTAINER_HOST",
    "XDG_RUNTIME_DIR",
    "HOME",
];
/// A container's first port, where it is told no other, is published on this machine's loopback alone.
const LOOPBACK: &str = "127.0.0.1";

/// An image that an engine has.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    engine: &'static str,
    /// `NAME:TAG`.
    name: String,
    /// Where a container listens, when no launch can say.
    port: Option<u16>,
}

/// A container that is removed when this value goes, however it ended.
#[derive(Debug)]
pub(super) struct Container {
    engine: &'static str,
    name: String,
}

impl Image {
    /// Finds an image, fetching it where the engine does not have it; its hash, too.
    ///
    /// # Errors
    /// In words without an engine, and for an image that it cannot get.
    pub(super) async fn find(
        name: &str,
        port: Option<u16>,
        announce: &mut dyn FnMut(&str),
    ) -> Result<(Self, String), String> {
        let here = ENGINES.into_iter().find(|engine| on_path(engine));
        let engine = here.ok_or_else(|| format!("neither {} is on PATH", ENGINES.join(" nor ")))?;
        let inspect = ["image", "inspect", "--format", "{{.Id}}", name];
        let id = if let Ok(id) = ask(engine, &inspect).await {
            id
        } else {
            announce(&format!("pulling the image {name}"));
            ask(engine, &["pull", "--quiet", name]).await?;
            ask(engine, &inspect).await?
        };
        let image = Self {
            engine,
            name: name.to_owned(),
            port,
        };
        Ok((image, id.trim_start_matches("sha256:").to_owned()))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A container for a launch, with a name that no other has.
    pub(super) fn container(&self) -> Container {
        Container {
            engine: self.engine,
            name: format!("loadtest-subject-{:016x}", rand::random::<u64>()),
        }
    }

    /// The command that runs a container in the foreground: the image's own command, or `words` instead of it.
    pub(super) fn run(
        &self,
        container: &Container,
        words: &[String],
        env: &Environment,
        places: &Places,
    ) -> Vec<String> {
        let mut command: Vec<String> = [self.engine, "run", "--rm", "--name", &container.name]
            .map(str::to_owned)
            .into();
        if let Ok(label) = stack::owner_label() {
            command.extend(["--label".to_owned(), label]);
        }
        match (self.port, places.port) {
            (Some(inside), Some(port)) => {
                command.extend(["--publish".to_owned(), format!("{LOOPBACK}:{port}:{inside}")]);
            }
            _ => command.push("--network=host".to_owned()),
        }
        if let Some(data) = &places.data {
            command.extend(["--volume".to_owned(), format!("{0}:{0}", data.display())]);
        }
        // Values are taken from the command line's own environment, so that nobody reads a password in a list of
        // processes.
        command.extend(env.keys().map(|name| format!("--env={name}")));
        if let Some((program, arguments)) = words.split_first() {
            command.extend(["--entrypoint".to_owned(), program.clone(), self.name.clone()]);
            command.extend(arguments.iter().cloned());
        } else {
            command.push(self.name.clone());
        }
        command
    }
}

/// The variables of the engine's command line: those of the container, and what finds the engine.
pub(super) fn engine_environment(env: &Environment) -> Environment {
    let own = OF_THE_ENGINE
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
    let mut all: Environment = own.collect();
    all.extend(env.clone());
    all
}

impl Container {
    /// The number of its first process on this machine, once it runs.
    pub(super) async fn pid(&self) -> Result<u32, String> {
        let text = ask(self.engine, &["inspect", "--format", "{{.State.Pid}}", &self.name]).await?;
        text.parse()
            .map_err(|_| format!("the engine says that its process is {text:?}"))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // It is gone already where it ended in order.
        let _ = client(self.engine, &["rm", "--force", "--volumes", &self.name]).output();
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn client(engine: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(engine);
    command.args(arguments).current_dir(Path::new("/")).stdin(Stdio::null());
    command
}

/// What the engine's command line prints; on failure, what it complains of.
async fn ask(engine: &'static str, arguments: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::from(client(engine, arguments));
    let output = command.kill_on_drop(true).output().await;
    let output = output.map_err(|error| format!("cannot run {engine}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(port: Option<u16>, command: &[&str]) -> String {
        let image = Image {
            engine: "docker",
            name: "shop:2".to_owned(),
            port,
        };
        let container = Container {
            // Nothing is removed by a program that is not there.
            engine: "/nonexistent",
            name: "one".to_owned(),
        };
        let places = Places {
            port: Some(4000),
            data: Some("/tmp/d".into()),
            ..Places::default()
        };
        let env = Environment::from([("PASSWORD".to_owned(), "secret".to_owned())]);
        let command: Vec<String> = command.iter().map(ToString::to_string).collect();
        image.run(&container, &command, &env, &places).join(" ")
    }

    #[test]
    fn a_container_shares_the_network_unless_its_port_is_fixed() {
        let own = format!("docker run --rm --name one --label {}", stack::owner_label().unwrap());
        assert_eq!(
            words(None, &[]),
            format!("{own} --network=host --volume /tmp/d:/tmp/d --env=PASSWORD shop:2")
        );
        assert_eq!(
            words(Some(80), &["fill", "-n", "1"]),
            format!(
                "{own} --publish 127.0.0.1:4000:80 --volume /tmp/d:/tmp/d --env=PASSWORD --entrypoint fill shop:2 -n 1"
            )
        );
    }

    #[tokio::test]
    async fn what_an_engine_cannot_do_is_said_in_its_words() {
        assert!(
            ask("/nonexistent", &["x"])
                .await
                .unwrap_err()
                .starts_with("cannot run /nonexistent: ")
        );
        assert_eq!(
            ask("sh", &["-c", "echo no such image >&2; exit 1"]).await.unwrap_err(),
            "no such image"
        );
        assert_eq!(ask("sh", &["-c", "echo id"]).await.unwrap(), "id");
    }
}
