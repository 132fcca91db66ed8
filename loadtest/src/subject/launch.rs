//! Starting a subject's binary, waiting until it is ready, and ending it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use stack::{
    process::{Ending, Output, ProcessError, Supervised, how_it_ended},
    wait::Patience,
};

use super::Binary;
use crate::error::HarnessError;

/// Printing a version takes milliseconds.
const VERSION_WITHIN: Duration = Duration::from_secs(5);

/// Variables of a process, beside PATH all that it gets, so that a run repeats.
pub(crate) type Environment = BTreeMap<String, String>;

/// A subject that is up and ready.
pub(crate) struct Launched {
    pub(crate) address: SocketAddr,
    title: String,
    process: Supervised,
}

impl Launched {
    /// Starts a subject and returns once it answers that it is ready. `title` names it in messages, as in
    /// "`phase2` (profile:phase2)".
    ///
    /// # Errors
    /// [`HarnessError::Subject`] with the end of its log when it ends, or is not ready in time.
    pub(crate) async fn start(
        title: String,
        binary: &Binary,
        env: &Environment,
        log: &Path,
    ) -> Result<Self, HarnessError> {
        match launch(binary, env, log).await {
            Ok((process, address)) => Ok(Self {
                address,
                title,
                process,
            }),
            Err(error) => Err(HarnessError::Subject(format!("subject {title} {error}"))),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
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

/// Runs a subject's binary to its end (to migrate or to seed), handing on each line that it prints.
///
/// # Errors
/// [`HarnessError::Subject`] with the end of its log when it fails.
pub(crate) async fn run_to_end(
    binary: &Path,
    arguments: &[&str],
    env: &Environment,
    log: &Path,
    line: impl FnMut(&str),
) -> Result<(), HarnessError> {
    let running = spawn(binary, arguments, env, log, Ending::default());
    let ended = match running {
        Ok(process) => process.finish(&Patience::new(Duration::MAX), line).await,
        Err(error) => Err(error),
    };
    ended.map_err(|error| HarnessError::Subject(format!("{} {} {error}", binary.display(), arguments.join(" "))))
}

/// What `--version` prints in brackets, when the binary prints any. One that starts to serve instead, as a script in
/// front of a server may, is ended.
pub(crate) async fn version_of(binary: &Path) -> Option<String> {
    let mut command = Command::new(binary);
    command.arg("--version").stderr(Stdio::null());
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
    binary: &Path,
    arguments: &[&str],
    env: &Environment,
    log: &Path,
    ending: Ending,
) -> Result<Supervised, ProcessError> {
    let mut command = Command::new(binary);
    command.args(arguments);
    Supervised::spawn(bare(command, env), Output::Lines { errors: Some(log) }, ending)
}

/// Waits until the service listens, and then until it is ready.
async fn launch(binary: &Binary, env: &Environment, log: &Path) -> Result<(Supervised, SocketAddr), ProcessError> {
    let Binary { service, path, .. } = binary;
    let ending = Ending {
        limit: service.stop_within,
        ..Ending::default()
    };
    let mut process = spawn(path, service.start, env, log, ending)?;
    let mut patience = Patience::new(service.ready_within);
    let listens_at = |line: &str| {
        let address = line.strip_prefix(service.listening)?;
        address.trim().trim_end_matches('/').parse::<SocketAddr>().ok()
    };
    let address = process.line(&patience, listens_at).await?;
    let url = format!("http://{address}{}", service.ready_path);
    process.until_ready(&mut patience, || answers_ready(&url)).await?;
    Ok((process, address))
}

async fn answers_ready(url: &str) -> Result<(), String> {
    let answer = reqwest::get(url).await.and_then(reqwest::Response::error_for_status);
    answer.map(drop).map_err(|error| error.to_string())
}
