//! Starting a subject's binary, waiting until it is ready, and ending it.

use std::{
    collections::BTreeMap,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{sleep, timeout},
};

use crate::error::HarnessError;

/// What a subject prints on stdout once its listener is bound.
const LISTENING: &str = "listening on http://";
/// From start to ready: includes migrations, joining the Kafka group (3 s on the embedded broker) and cache warming.
const READY_TIMEOUT: Duration = Duration::from_mins(1);
/// How often readiness is asked for.
const READY_POLL: Duration = Duration::from_millis(50);
/// From SIGTERM to SIGKILL: longer than the service's own drain.
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// Lines of a log that an error message carries.
const LOG_TAIL_LINES: usize = 12;

/// One launch of a subject: what to start, with what environment, logging where.
pub(crate) struct Launch<'a> {
    /// Name for messages, e.g. `phase2 (profile:phase2)`.
    pub(crate) title: String,
    pub(crate) binary: &'a Path,
    /// The whole environment: nothing is inherited but PATH, so that a run repeats.
    pub(crate) env: BTreeMap<String, String>,
    /// Where its stderr goes.
    pub(crate) log: PathBuf,
}

/// A subject that is up and ready.
pub(crate) struct Launched {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    title: String,
    log: PathBuf,
    child: Child,
}

impl Launch<'_> {
    /// Starts the subject and returns once `/health/ready` answers 200.
    ///
    /// # Errors
    /// [`HarnessError::Unavailable`] with the end of its log when it ends, or is not ready in time.
    pub(crate) async fn start(self) -> Result<Launched, HarnessError> {
        let mut child = command(self.binary, &["serve"], &self.env, &self.log)?
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| {
                HarnessError::Unavailable(format!(
                    "{}: cannot start {}: {error}",
                    self.title,
                    self.binary.display()
                ))
            })?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| HarnessError::internal(anyhow::anyhow!("no stdout pipe")))?;
        let pid = child.id().unwrap_or_default();
        match timeout(READY_TIMEOUT, ready(&mut child, stdout)).await {
            Ok(Ok(address)) => Ok(Launched {
                address,
                pid,
                title: self.title,
                log: self.log,
                child,
            }),
            Ok(Err(what)) => Err(self.failed(&what)),
            Err(_) => Err(self.failed(&format!("not ready after {} s", READY_TIMEOUT.as_secs()))),
        }
    }

    fn failed(&self, what: &str) -> HarnessError {
        HarnessError::Unavailable(format!("subject {}: {what}{}", self.title, log_tail(&self.log)))
    }
}

impl Launched {
    /// Completes when the process ends, which it should not do by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatusText {
        ExitStatusText(self.child.wait().await.ok())
    }

    /// The error for a subject that went away, with when that was.
    pub(crate) fn lost(&self, how: &ExitStatusText, when: &str) -> HarnessError {
        HarnessError::Unavailable(format!(
            "subject {} {} {when}{}",
            self.title,
            how.describe(),
            log_tail(&self.log)
        ))
    }

    /// SIGTERM, a bounded wait, then SIGKILL.
    pub(crate) async fn stop(mut self) -> Result<(), HarnessError> {
        if let Some(pid) = self.child.id() {
            // A process that is already gone is what we want.
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(HarnessError::internal(error)),
            Err(_) => self.child.kill().await.map_err(HarnessError::internal),
        }
    }
}

/// How a process ended, in words.
pub(crate) struct ExitStatusText(Option<ExitStatus>);

impl ExitStatusText {
    fn describe(&self) -> String {
        self.0.map_or_else(|| "ended".to_owned(), describe_status)
    }
}

fn describe_status(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Runs a subject's binary to its end (`migrate`, `seed`), handing on each line that it prints.
pub(crate) async fn run_to_end(
    binary: &Path,
    arguments: &[&str],
    env: &BTreeMap<String, String>,
    log: &Path,
    mut line: impl FnMut(&str),
) -> Result<(), HarnessError> {
    let what = format!("{} {}", binary.display(), arguments.join(" "));
    let unavailable = |why: String| HarnessError::Unavailable(format!("{what}: {why}{}", log_tail(log)));
    let mut child = command(binary, arguments, env, log)?
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| unavailable(error.to_string()))?;
    if let Some(stdout) = child.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(text)) = lines.next_line().await {
            line(&text);
        }
    }
    let status = child.wait().await.map_err(HarnessError::internal)?;
    if status.success() {
        Ok(())
    } else {
        Err(unavailable(describe_status(status)))
    }
}

/// What `--version` prints in brackets, when the binary prints any.
pub(crate) fn version_of(binary: &Path) -> Option<String> {
    let output = std::process::Command::new(binary)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, after) = text.split_once('(')?;
    after.split_once(')').map(|(revision, _)| revision.to_owned())
}

/// In its own process group: a terminal's Ctrl-C reaches only the harness, which then stops things in order.
fn command(
    binary: &Path,
    arguments: &[&str],
    env: &BTreeMap<String, String>,
    log: &Path,
) -> Result<Command, HarnessError> {
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .map_err(|error| HarnessError::Usage(format!("cannot write the log {}: {error}", log.display())))?;
    let mut command = Command::new(binary);
    command
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(env)
        .stdin(Stdio::null())
        .stderr(log)
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// Waits for the listening line and for readiness; an early end of the process is an error in words.
async fn ready(child: &mut Child, stdout: ChildStdout) -> Result<SocketAddr, String> {
    let mut lines = BufReader::new(stdout).lines();
    let Some(address) = listening_address(&mut lines).await else {
        let status = child.wait().await.map_err(|error| error.to_string())?;
        return Err(format!("{} before it listened", describe_status(status)));
    };
    // Whatever else it prints is read away, or it would block on a full pipe.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    tokio::select! {
        () = answers_ready(address) => Ok(address),
        status = child.wait() => Err(format!("{} before it was ready", status.map_or_else(|e| e.to_string(), describe_status))),
    }
}

async fn listening_address<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>) -> Option<SocketAddr> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(address) = line.strip_prefix(LISTENING) {
            return address.trim().trim_end_matches('/').parse().ok();
        }
    }
    None
}

async fn answers_ready(address: SocketAddr) {
    let url = format!("http://{address}/health/ready");
    loop {
        if reqwest::get(&url)
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return;
        }
        sleep(READY_POLL).await;
    }
}

fn log_tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let tail = &lines[lines.len().saturating_sub(LOG_TAIL_LINES)..];
    if tail.is_empty() {
        String::new()
    } else {
        format!("\n  the end of {}:\n    {}", log.display(), tail.join("\n    "))
    }
}
