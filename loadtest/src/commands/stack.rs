//! `loadtest stack`: servers that stay up until they are told to go, for people who work with them.
//!
//! `up` starts a keeper, which is this program in the background: it owns the servers as a run would, so that they end with
//! it, and it holds a lock in the state directory by which the other subcommands know that it lives. Beside the lock stand
//! what is up (with its passwords, readable by its owner alone) and the keeper's log.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::{Args, Subcommand};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use stack::wait::Patience;
use stack::{Server, ServerInfo, Stack, StackOptions};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command as Program};

use crate::error::HarnessError;
use crate::interrupt::Interrupt;

/// What the keeper says when everything is up.
const READY: &str = "up";
/// Servers are given a few seconds each; nobody waits longer for a keeper that hangs.
const DOWN_LIMIT: Duration = Duration::from_mins(1);
const LOCK: &str = "stack.lock";
const STATE: &str = "stack.json";
const LOG: &str = "stack.log";

/// Arguments of `loadtest stack`.
#[derive(Debug, Args)]
pub struct StackArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: StackAction,
    /// Where it is remembered what is up [default: `loadtest` in `XDG_STATE_HOME` or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "LOADTEST_STATE_DIR", global = true)]
    pub state: Option<PathBuf>,
}

/// What can be done with servers that stay up.
#[derive(Debug, Subcommand)]
pub enum StackAction {
    /// Start them; they stay until `down`
    Up(UpArgs),
    /// Stop them, and remove what a killed one left
    Down,
    /// Say what is up; exit code 3 when nothing is
    Status,
    /// Print their addresses as variables for a shell
    #[command(after_help = "Example:\n  eval \"$(loadtest stack env)\"")]
    Env,
}

/// Arguments of `loadtest stack up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Where the servers come from: auto, containers, native, embedded
    #[arg(long, value_name = "PROVIDER", default_value = "auto", env = "STACK_PROVIDER")]
    pub stack: String,
    /// Directory of Postgres' binaries, where several versions are installed
    #[arg(long, value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
    /// Stay in the foreground until Ctrl-C
    #[arg(long)]
    pub foreground: bool,
}

/// Exit code 0, or 3 when nothing is up where something should be.
pub(super) async fn stack(arguments: &StackArgs) -> Result<u8, HarnessError> {
    let place = Place::new(arguments.state.as_deref())?;
    match &arguments.action {
        StackAction::Up(up) if up.foreground => keep(&place, up).await,
        StackAction::Up(up) => start_keeper(&place, up).await,
        StackAction::Down => down(&place).await,
        StackAction::Status => status(&place),
        StackAction::Env => environment(&place),
    }
}

/// The state directory.
struct Place {
    directory: PathBuf,
}

impl Place {
    fn new(chosen: Option<&Path>) -> Result<Self, HarnessError> {
        let home = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let default = || {
            let state = home("XDG_STATE_HOME").or_else(|| home("HOME").map(|home| home.join(".local/state")));
            state.map(|state| state.join("loadtest"))
        };
        let directory = chosen.map(Path::to_owned).or_else(default).ok_or_else(|| {
            HarnessError::Usage("neither XDG_STATE_HOME nor HOME is set: name a directory with --state".to_owned())
        })?;
        // Passwords stand in it.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| HarnessError::Usage(format!("cannot make {}: {error}", directory.display())))?;
        Ok(Self { directory })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn create(&self, name: &str) -> Result<File, HarnessError> {
        let mut options = OpenOptions::new();
        let opened = options
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(self.file(name));
        opened.map_err(|error| self.failed(name, &error))
    }

    /// The lock, or `None` while a keeper holds it.
    fn lock(&self) -> Result<Option<Flock<File>>, HarnessError> {
        match Flock::lock(self.create(LOCK)?, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, errno)) => Err(self.failed(LOCK, &errno)),
        }
    }

    /// What is up. `None` without a living keeper; an error while it is starting or stopping.
    fn state(&self) -> Result<Option<Value>, HarnessError> {
        if self.lock()?.is_some() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(self.file(STATE)).map_err(|_| {
            HarnessError::Server("the servers are just starting or stopping; try again in a moment".to_owned())
        })?;
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| self.failed(STATE, &error))
    }

    fn failed(&self, name: &str, problem: &dyn std::fmt::Display) -> HarnessError {
        HarnessError::Usage(format!("{}: {problem}", self.file(name).display()))
    }
}

/// Starts the keeper and passes on what it says until everything is up.
async fn start_keeper(place: &Place, arguments: &UpArgs) -> Result<u8, HarnessError> {
    if place.state()?.is_some() {
        println!("already up:");
        return status(place);
    }
    let interrupt = Interrupt::install()?;
    let mut keeper = spawn_keeper(place, arguments)?;
    let said = keeper.stdout.take().map(BufReader::new);
    let up = tokio::select! {
        up = follow(said) => up,
        () = interrupt.stop.cancelled() => {
            end_keeper(&mut keeper).await?;
            return Err(HarnessError::Interrupted);
        }
    };
    if up {
        println!("they stay up until `loadtest stack down`; for a shell: eval \"$(loadtest stack env)\"");
        return Ok(0);
    }
    keeper.wait().await.map_err(HarnessError::internal)?;
    let log = std::fs::read_to_string(place.file(LOG)).unwrap_or_default();
    Err(HarnessError::Server(
        log.trim().trim_start_matches("error: ").to_owned(),
    ))
}

/// In a group of its own: a Ctrl-C in this terminal, now or later, is not meant for it.
fn spawn_keeper(place: &Place, arguments: &UpArgs) -> Result<Child, HarnessError> {
    let own = std::env::current_exe().map_err(HarnessError::internal)?;
    let mut program = Program::new(own);
    program.args(["stack", "up", "--foreground", "--stack", &arguments.stack]);
    if let Some(directory) = &arguments.postgres_bin {
        program.arg("--postgres-bin").arg(directory);
    }
    program
        .arg("--state")
        .arg(&place.directory)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(place.create(LOG)?);
    program.spawn().map_err(HarnessError::internal)
}

/// Whether the keeper got everything up; `false` when it ended instead.
async fn follow(said: Option<BufReader<ChildStdout>>) -> bool {
    let Some(said) = said else { return false };
    let mut lines = said.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line == READY {
            return true;
        }
        println!("{line}");
    }
    false
}

async fn end_keeper(keeper: &mut Child) -> Result<(), HarnessError> {
    if let Some(pid) = keeper.id() {
        terminate(pid)?;
    }
    keeper.wait().await.map(drop).map_err(HarnessError::internal)
}

fn terminate(pid: u32) -> Result<(), HarnessError> {
    match kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(HarnessError::Server(format!("cannot end process {pid}: {errno}"))),
    }
}

/// The keeper: owns the servers until a signal. After [`READY`] it says nothing more on standard output, where nobody may be
/// listening any longer.
async fn keep(place: &Place, arguments: &UpArgs) -> Result<u8, HarnessError> {
    let interrupt = Interrupt::install()?;
    let Some(_held_to_the_end) = place.lock()? else {
        return Err(HarnessError::Usage(
            "the servers are up already: `loadtest stack status`".to_owned(),
        ));
    };
    // Of a keeper that was killed.
    forget(place)?;
    let options = options(arguments)?;
    let mut announce = |line: &str| println!("{line}");
    let stack = tokio::select! {
        started = Stack::start(&options, &mut announce) => started?,
        () = interrupt.stop.cancelled() => return Err(HarnessError::Interrupted),
    };
    remember(place, &stack)?;
    println!("{READY}");
    interrupt.stop.cancelled().await;
    forget(place)?;
    stack.stop().await.map_err(HarnessError::internal)?;
    Ok(0)
}

fn options(arguments: &UpArgs) -> Result<StackOptions, HarnessError> {
    let usage = |error: stack::StackError| HarnessError::Usage(error.to_string());
    let mut options = StackOptions::from_env().map_err(usage)?;
    options.choice = arguments.stack.parse().map_err(usage)?;
    options.postgres_bin.clone_from(&arguments.postgres_bin);
    Ok(options)
}

fn remember(place: &Place, stack: &Stack) -> Result<(), HarnessError> {
    let line = |server: Server, info: &ServerInfo| info.announcement(server);
    let state = json!({
        "pid": std::process::id(),
        "variables": {
            "DATABASE_URL": stack.postgres.admin_url(),
            "REDIS_URL": stack.redis.url(),
            "KAFKA_BROKERS": stack.kafka.brokers(),
        },
        "servers": [
            line(Server::Postgres, stack.postgres.info()),
            line(Server::Redis, stack.redis.info()),
            line(Server::Kafka, stack.kafka.info()),
        ],
    });
    let mut file = place.create(STATE)?;
    file.write_all(state.to_string().as_bytes())
        .map_err(|error| place.failed(STATE, &error))
}

fn forget(place: &Place) -> Result<(), HarnessError> {
    match std::fs::remove_file(place.file(STATE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(place.failed(STATE, &error)),
        _ => Ok(()),
    }
}

/// Ends the keeper and waits until it has ended its servers; then removes what one that was killed left.
async fn down(place: &Place) -> Result<u8, HarnessError> {
    if let Some(state) = place.state()? {
        let pid = state["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        terminate(pid.ok_or_else(|| place.failed(STATE, &"it names no process"))?)?;
        let mut patience = Patience::new(DOWN_LIMIT);
        while place.lock()?.is_none() {
            let waited = patience.pause().await;
            waited.map_err(|error| HarnessError::Server(format!("the servers do not end: {error}")))?;
        }
        println!("the servers are down");
    } else {
        println!("nothing was up");
    }
    let options = StackOptions::from_env().map_err(|error| HarnessError::Usage(error.to_string()))?;
    for left in stack::sweep(&options).await {
        println!("removed what a killed run left: {left}");
    }
    Ok(0)
}

fn status(place: &Place) -> Result<u8, HarnessError> {
    let state = place.state()?.ok_or_else(nothing_up)?;
    for line in state["servers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        println!("{line}");
    }
    Ok(0)
}

/// The plan's variables, as a shell reads them. A password stands in its URL; one left over in the shell would win over it.
fn environment(place: &Place) -> Result<u8, HarnessError> {
    let state = place.state()?.ok_or_else(nothing_up)?;
    for (name, value) in state["variables"].as_object().into_iter().flatten() {
        println!("export {name}={}", quoted(value.as_str().unwrap_or_default()));
    }
    println!("unset REDIS_PASSWORD");
    Ok(0)
}

fn nothing_up() -> HarnessError {
    HarnessError::Server("no servers are up; start them with `loadtest stack up`".to_owned())
}

/// For any POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_values_as_they_are() {
        let value = "postgres://u:it's $HOME `x`@h/d";
        let script = format!("export V={}; printf %s \"$V\"", quoted(value));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), value);
    }

    #[test]
    fn a_place_is_closed_to_others_and_free_until_it_is_kept() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let place = Place::new(Some(&parent.path().join("state"))).unwrap();
        assert_eq!(place.directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(place.state().unwrap().is_none());
        let kept = place.lock().unwrap().unwrap();
        let starting = place.state().unwrap_err().to_string();
        assert!(starting.contains("just starting or stopping"), "{starting}");
        place.create(STATE).unwrap().write_all(b"{}").unwrap();
        assert!(place.state().unwrap().is_some());
        drop(kept);
        assert!(place.state().unwrap().is_none());
    }
}
