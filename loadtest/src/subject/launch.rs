//! Starting a build, waiting until it is ready, and ending it.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use scenarios::{OwnServer, Placeholder, Ready, ServerRun, StopSignal};
use stack::{
    process::{Ending, Output, ProcessError, Signal, Supervised, how_it_ended},
    wait::Patience,
};
use tokio::net::TcpStream;

use super::{
    Build,
    image::{Container, Image, engine_environment},
    places::Places,
};
use crate::error::HarnessError;

/// Printing a version takes milliseconds.
const VERSION_WITHIN: Duration = Duration::from_secs(5);
/// A port is free only at the moment of asking; losing the race for it this often in a row means something else.
const PORTS_TRIED: u32 = 3;
/// How programs word a port that somebody else has, in lower case.
const PORT_TAKEN: [&str; 2] = ["address already in use", "eaddrinuse"];

/// Variables of a process, beside PATH all that it gets, so that a run repeats.
pub(crate) type Environment = BTreeMap<String, String>;

/// A subject that is up and ready.
pub(crate) struct Launched {
    pub(crate) address: SocketAddr,
    title: String,
    process: Supervised,
    /// The number of the process that its tree begins at.
    root: u32,
    /// Dropped after the process: a container whose command line was killed is still there.
    _container: Option<Container>,
}

impl Launched {
    /// Starts a subject and returns once it is ready. `title` names it in messages, as in "`phase2` (profile:phase2)";
    /// `settings` are its variables beyond those that its file gives to every launch.
    ///
    /// # Errors
    /// [`HarnessError::Subject`] with the end of its log when it ends, or is not ready in time.
    pub(crate) async fn start(
        title: String,
        build: &Build,
        settings: &Environment,
        places: &Places,
        log: &Path,
    ) -> Result<Self, HarnessError> {
        match launch(build, settings, places, log).await {
            Ok(Started {
                process,
                address,
                root,
                container,
            }) => Ok(Self {
                address,
                title,
                process,
                root,
                _container: container,
            }),
            Err(error) => Err(HarnessError::Subject(format!("subject {title} {error}"))),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.root
    }

    /// Completes when the process ends, which it should not do by itself: the error that says how, and when that was.
    pub(crate) async fn lost(&mut self, when: impl FnOnce() -> String) -> HarnessError {
        let how = self.process.ended().await;
        let how = how.map_or_else(|error| error.to_string(), how_it_ended);
        HarnessError::Subject(format!(
            "subject {} {how} {}{}",
            self.title,
            when(),
            self.process.log_end()
        ))
    }

    /// Asks it to end, and ends it when it does not.
    pub(crate) async fn stop(self) -> Result<(), HarnessError> {
        match self.process.stop().await {
            // One that has ended by itself is told by `lost`.
            Ok(()) | Err(ProcessError::Died { .. }) => Ok(()),
            Err(error) => Err(HarnessError::Subject(format!("subject {} {error}", self.title))),
        }
    }
}

impl Build {
    /// Fills the data set at `places`: the commands of the subject file, then the program itself with the arguments of
    /// the workload. Each line that they print is handed on.
    ///
    /// # Errors
    /// [`HarnessError::Subject`] with the end of the log when one fails.
    pub(crate) async fn fill_dataset(
        &self,
        seed_command: &[String],
        places: &Places,
        log: &Path,
        mut line: impl FnMut(&str),
    ) -> Result<(), HarnessError> {
        let env = self.environment(places, |place| !place.is_of_a_launch());
        let mut all = Vec::new();
        for command in &self.service.dataset {
            all.push(self.words(command, places)?);
        }
        if !seed_command.is_empty() {
            // The program alone: what its start is told is about a launch.
            all.push([vec![self.program_word(places)?], seed_command.to_vec()].concat());
        }
        for words in all {
            let (_container, words, env) = self.in_container(words, env.clone(), places);
            let running = spawn(
                &words,
                &self.dir,
                &env,
                Output::Lines { errors: Some(log) },
                Ending::default(),
            );
            let ended = match running {
                Ok(process) => process.finish(&Patience::new(Duration::MAX), &mut line).await,
                Err(error) => Err(error),
            };
            ended.map_err(|error| HarnessError::Subject(format!("the data set: {} {error}", words.join(" "))))?;
        }
        Ok(())
    }

    /// The command as an image runs it, with the container that it makes; anything else as it is.
    fn in_container(
        &self,
        words: Vec<String>,
        env: Environment,
        places: &Places,
    ) -> (Option<Container>, Vec<String>, Environment) {
        let Some(image) = &self.image else {
            return (None, words, env);
        };
        let container = image.container();
        let words = image.run(&container, &words, &env, places);
        (Some(container), words, engine_environment(&env))
    }

    /// What its version command prints in brackets, where its file names one. One that starts to serve instead, as a
    /// script in front of a server may, is ended.
    pub(super) async fn version(&self) -> Option<String> {
        let command = self.service.build.version.as_ref()?;
        let words = self.words(command, &Places::default()).ok()?;
        let mut command = program(&words, &self.dir);
        command.stderr(Stdio::null());
        let output = Output::Lines { errors: None };
        let process = Supervised::spawn(bare(command, &Environment::new()), output, Ending::default()).ok()?;
        let mut version = None;
        let mut look = |line: &str| {
            if version.is_none() {
                version = in_brackets(line);
            }
        };
        // What it said until then is its word, however it ends.
        let _ = process.finish(&Patience::new(VERSION_WITHIN), &mut look).await;
        version
    }

    /// The variables that its file gives, those whose places `fits` has.
    fn environment(&self, places: &Places, fits: impl Fn(Placeholder) -> bool) -> Environment {
        let given = self.service.environment.iter();
        let of_now = given.filter(|(_, value)| value.places().all(&fits));
        let places = places.in_dir(&self.dir);
        of_now
            .filter_map(|(name, value)| Some((name.clone(), value.fill(&|place| places.value(place)).ok()?)))
            .collect()
    }

    fn words(&self, command: &scenarios::Command, places: &Places) -> Result<Vec<String>, HarnessError> {
        let given = self
            .program
            .as_deref()
            .filter(|_| command.has_program_of(&self.service.start));
        words(command, given, places, &self.dir).map_err(HarnessError::internal)
    }

    /// The program that is started, without its arguments.
    fn program_word(&self, places: &Places) -> Result<String, HarnessError> {
        if let Some(program) = &self.program {
            return Ok(program.to_string_lossy().into_owned());
        }
        let places = places.in_dir(&self.dir);
        let word = self.service.start.fill_program(&|place| places.value(place));
        word.map_err(|place| HarnessError::internal(anyhow::anyhow!("{place} has no value for a data set")))
    }
}

/// Program and arguments of a command that runs in `dir`; `given` takes the place of the program.
pub(super) fn words(
    command: &scenarios::Command,
    given: Option<&Path>,
    places: &Places,
    dir: &Path,
) -> anyhow::Result<Vec<String>> {
    let places = places.in_dir(dir);
    let filled = command.fill(&|place| places.value(place));
    let mut words = filled.map_err(|place| anyhow::anyhow!("`{}`: {place} has no value here", command.shown))?;
    if let (Some(given), Some(first)) = (given, words.first_mut()) {
        *first = given.to_string_lossy().into_owned();
    }
    Ok(words)
}

/// To be run in `dir`. A program with a slash in its name stands there, any other one on PATH.
pub(super) fn program(words: &[String], dir: &Path) -> Command {
    let (name, arguments) = words
        .split_first()
        .map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
    let path = if name.contains('/') {
        dir.join(name)
    } else {
        PathBuf::from(name)
    };
    let mut command = Command::new(path);
    command.args(arguments).current_dir(dir);
    command
}

fn in_brackets(line: &str) -> Option<String> {
    let (_, after) = line.split_once('(')?;
    after.split_once(')').map(|(inside, _)| inside.to_owned())
}

/// With no environment but PATH and these variables, and with nothing to read.
fn bare(mut command: Command, env: &Environment) -> Command {
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(env)
        .stdin(Stdio::null());
    command
}

fn spawn(
    words: &[String],
    dir: &Path,
    env: &Environment,
    output: Output<'_>,
    ending: Ending,
) -> Result<Supervised, ProcessError> {
    Supervised::spawn(bare(program(words, dir), env), output, ending)
}

/// Starts it on a port that is free, and on another one where somebody else was quicker.
async fn launch(build: &Build, settings: &Environment, places: &Places, log: &Path) -> Result<Started, HarnessError> {
    let mut tried = 1;
    loop {
        let port = stack::free_port().map_err(HarnessError::internal)?;
        let on_port = Places {
            port: Some(port),
            ..places.clone()
        };
        match launch_once(build, settings, &on_port, port, log).await {
            Err(LaunchError::Process(error)) if tried < PORTS_TRIED && is_port_taken(&error) => tried += 1,
            Err(LaunchError::Process(error)) => return Err(HarnessError::Subject(error.to_string())),
            Err(LaunchError::Harness(error)) => return Err(error),
            Ok(launched) => return Ok(launched),
        }
    }
}

/// A process that is ready.
struct Started {
    process: Supervised,
    address: SocketAddr,
    root: u32,
    container: Option<Container>,
}

enum LaunchError {
    Process(ProcessError),
    Harness(HarnessError),
}

fn is_port_taken(error: &ProcessError) -> bool {
    let ProcessError::NotStarted { log_tail, .. } = error else {
        return false;
    };
    let log = log_tail.to_lowercase();
    PORT_TAKEN.iter().any(|words| log.contains(words))
}

async fn launch_once(
    build: &Build,
    settings: &Environment,
    places: &Places,
    port: u16,
    log: &Path,
) -> Result<Started, LaunchError> {
    let service = &build.service;
    let mut env = build.environment(places, |_| true);
    env.extend(settings.clone());
    // An image has a command of its own.
    let words = match build.image {
        Some(_) => Vec::new(),
        None => build.words(&service.start, places).map_err(LaunchError::Harness)?,
    };
    let (container, words, env) = build.in_container(words, env, places);
    let ending = Ending {
        signal: signal(service.stop.signal),
        limit: Duration::from_secs_f64(service.stop.within_s),
        ..Ending::default()
    };
    let process = spawn(&words, &build.dir, &env, output(&service.ready, log), ending).map_err(LaunchError::Process)?;
    let given = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (process, address) = until_ready(process, &service.ready, given)
        .await
        .map_err(LaunchError::Process)?;
    let root = match &container {
        Some(container) => container
            .pid()
            .await
            .map_err(|why| LaunchError::Harness(HarnessError::Subject(why)))?,
        None => process.pid(),
    };
    Ok(Started {
        process,
        address,
        root,
        container,
    })
}

/// A server that a subject file describes. Fields drop in this order: a container whose command line was killed is
/// still there.
pub(crate) struct StartedServer {
    pub(crate) process: Supervised,
    pub(crate) address: SocketAddr,
    _container: Option<Container>,
}

/// Starts a server that a subject file describes, in its own directory, `{data}`, and waits until it is ready.
///
/// # Errors
/// In words, to be read behind its name.
pub(crate) async fn start_server(
    server: &OwnServer,
    places: &Places,
    log: &Path,
    announce: &mut dyn FnMut(&str),
) -> Result<StartedServer, String> {
    let given = server.environment.iter();
    let env: Environment = given
        .filter_map(|(name, value)| Some((name.clone(), value.fill(&|place| places.value(place)).ok()?)))
        .collect();
    let dir = places.data.clone().unwrap_or_default();
    let (container, words, env) = match &server.run {
        ServerRun::Command(command) => {
            let words = words(command, None, places, &dir).map_err(|error| error.to_string())?;
            (None, words, env)
        }
        ServerRun::Image { image, port } => {
            let (image, _) = Image::find(image, Some(*port), announce).await?;
            let container = image.container();
            // What it keeps stays inside, and goes with it.
            let of_container = Places {
                data: None,
                ..places.clone()
            };
            let words = image.run(&container, &[], &env, &of_container);
            (Some(container), words, engine_environment(&env))
        }
    };
    let output = output(&server.ready, log);
    let process = spawn(&words, &dir, &env, output, Ending::default()).map_err(|error| error.to_string())?;
    let given = SocketAddr::from((Ipv4Addr::LOCALHOST, places.port.unwrap_or_default()));
    let ready = until_ready(process, &server.ready, given).await;
    let (process, address) = ready.map_err(|error| error.to_string())?;
    Ok(StartedServer {
        process,
        address,
        _container: container,
    })
}

fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::SIGTERM,
        StopSignal::Int => Signal::SIGINT,
        StopSignal::Quit => Signal::SIGQUIT,
        StopSignal::Hup => Signal::SIGHUP,
        StopSignal::Kill => Signal::SIGKILL,
    }
}

/// What nobody reads line by line goes into the log, or the process would block on a full pipe.
fn output<'a>(ready: &Ready, log: &'a Path) -> Output<'a> {
    if ready.line.is_some() {
        Output::Lines { errors: Some(log) }
    } else {
        Output::Logged(log)
    }
}

/// Waits until a process says what it says when it is ready. It listens at `given`, unless its line says where.
async fn until_ready(
    mut process: Supervised,
    ready: &Ready,
    given: SocketAddr,
) -> Result<(Supervised, SocketAddr), ProcessError> {
    let mut patience = Patience::new(Duration::from_secs_f64(ready.within_s));
    let mut address = given;
    if let Some(wanted) = &ready.line {
        let said = process.line(&patience, |line| address_in(line, wanted)).await?;
        address = said.unwrap_or(given);
    }
    if let Some(path) = &ready.path {
        let url = format!("http://{address}{path}");
        let ask = || answers_ready(&url, ready.status);
        process.until_ready(&mut patience, ask).await?;
    } else if ready.line.is_none() {
        process.until_ready(&mut patience, || connects(address)).await?;
    }
    Ok((process, address))
}

/// Of a line that is the one that is waited for, the address in it, where it is to have one.
#[expect(
    clippy::option_option,
    reason = "a line that is not the one, and one without an address, are two cases"
)]
fn address_in(line: &str, wanted: &scenarios::ReadyLine) -> Option<Option<SocketAddr>> {
    let (_, after) = line.split_once(&wanted.text)?;
    if !wanted.has_address {
        return Some(None);
    }
    let ends = |c: char| c.is_whitespace() || c == '/' || c == ',';
    let address = after.trim_start().split(ends).next()?;
    address.parse::<SocketAddr>().ok().map(Some)
}

async fn answers_ready(url: &str, status: Option<u16>) -> Result<(), String> {
    let answer = reqwest::get(url).await.map_err(|error| error.to_string())?;
    let is_ready = match status {
        Some(status) => answer.status().as_u16() == status,
        None => answer.status().is_success(),
    };
    is_ready
        .then_some(())
        .ok_or_else(|| format!("{url} is answered with {}", answer.status()))
}

async fn connects(address: SocketAddr) -> Result<(), String> {
    let connected = TcpStream::connect(address).await;
    connected.map(drop).map_err(|error| format!("{address}: {error}"))
}

#[cfg(test)]
mod tests {
    use scenarios::ReadyLine;

    use super::*;

    #[test]
    fn an_address_is_read_from_the_line_that_holds_it() {
        let line = ReadyLine {
            text: "listening on http://".to_owned(),
            has_address: true,
        };
        let at = |text: &str| address_in(text, &line).flatten().map(|address| address.to_string());
        assert_eq!(at("listening on http://127.0.0.1:81").as_deref(), Some("127.0.0.1:81"));
        assert_eq!(
            at("INFO: listening on http://[::1]:81/ (Ctrl-C ends it)").as_deref(),
            Some("[::1]:81")
        );
        for other in ["listening on http://nowhere", "listening", ""] {
            assert_eq!(address_in(other, &line), None, "{other}");
        }
        let bare = ReadyLine {
            text: "ready".to_owned(),
            has_address: false,
        };
        assert_eq!(address_in("server ready.", &bare), Some(None));
    }

    #[test]
    fn a_program_with_a_slash_stands_in_the_directory_of_the_build() {
        let words = |name: &str| vec![name.to_owned(), "x".to_owned()];
        let found = |name: &str| program(&words(name), Path::new("/builds/1")).get_program().to_owned();
        assert_eq!(found("./service"), "/builds/1/./service");
        assert_eq!(found("/usr/bin/node"), "/usr/bin/node");
        assert_eq!(found("node"), "node");
    }
}
