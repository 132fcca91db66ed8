//! `loadtest stack`: servers that stay up until they are told to go, for people who work with them.
//!
//! `up` starts a keeper, which is this program in the background: it owns the servers as a run would, so that they
//! end with it. In the state directory it locks a file while it lives, in which stands what is up (with its
//! passwords, so readable by its owner alone); its log stands beside.

use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    time::Duration,
};

use clap::{Args, Subcommand};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use stack::{
    Server, Stack, StackOptions,
    process::{Ending, Output, Supervised},
    wait::Patience,
};

use crate::{arguments::ServerArgs, error::HarnessError, interrupt::Interrupt, say};

/// What the keeper says when everything is up.
const READY: &str = "up";
/// Servers are given a few seconds each; nobody waits longer for a keeper that hangs.
const DOWN_LIMIT: Duration = Duration::from_mins(1);
const STATE: &str = "stack.json";
const LOG: &str = "stack.log";

/// Keep servers up, for working with them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  loadtest stack up
  eval \"$(loadtest stack env)\"        DATABASE_URL, REDIS_URL and KAFKA_BROKERS for this shell
  loadtest stack down")]
pub(crate) struct StackArgs {
    #[command(subcommand)]
    action: StackAction,
    /// Where it is remembered what is up [default: `loadtest` in `XDG_STATE_HOME` or ~/.local/state]
    #[arg(long, value_name = "DIR", env = "LOADTEST_STATE_DIR", global = true)]
    state: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum StackAction {
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

#[derive(Debug, Args)]
struct UpArgs {
    #[command(flatten)]
    servers: ServerArgs,
    /// Stay in the foreground until Ctrl-C
    #[arg(long)]
    foreground: bool,
}

impl StackArgs {
    /// Whether this process is to own servers, maybe for a long time.
    pub(super) fn is_keeper(&self) -> bool {
        matches!(&self.action, StackAction::Up(up) if up.foreground)
    }
}

/// Closes what was inherited beyond the three standard streams. A keeper and its servers outlive whoever started them:
/// a lock file, or a pipe whose end somebody waits for, would stay open with them.
///
/// To be called before anything else of this process is open.
pub(super) fn close_inherited() {
    const STANDARD_STREAMS: i32 = 3;
    let Ok(open) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers: Vec<i32> = open
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for number in numbers.into_iter().filter(|number| *number >= STANDARD_STREAMS) {
        // That of the listing itself is closed already.
        let _ = nix::unistd::close(number);
    }
}

/// Exit code 0, or 3 when nothing is up where something should be.
pub(super) async fn stack(arguments: &StackArgs) -> Result<u8, HarnessError> {
    let state = StateDir::open(arguments.state.as_deref())?;
    match &arguments.action {
        StackAction::Up(up) if up.foreground => keep(&state, &up.servers).await?,
        StackAction::Up(up) => start_keeper(&state, &up.servers).await?,
        StackAction::Down => down(&state).await?,
        StackAction::Status => status(&state)?,
        StackAction::Env => environment(&state)?,
    }
    Ok(0)
}

/// What is up.
#[derive(Debug, Serialize, Deserialize)]
struct Up {
    /// Of the keeper.
    pid: u32,
    /// Addresses, by the variables that services read.
    variables: BTreeMap<String, String>,
    /// A line about each server.
    servers: Vec<String>,
}

impl Up {
    fn of(stack: &Stack) -> Self {
        let variables = [
            ("DATABASE_URL", stack.postgres.admin_url()),
            ("REDIS_URL", stack.redis.url()),
            ("KAFKA_BROKERS", stack.kafka.brokers()),
        ];
        Self {
            pid: process::id(),
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
            servers: vec![
                stack.postgres.info().announcement(Server::Postgres),
                stack.redis.info().announcement(Server::Redis),
                stack.kafka.info().announcement(Server::Kafka),
            ],
        }
    }
}

/// The state directory.
struct StateDir(PathBuf);

impl StateDir {
    /// Makes the directory that was chosen, else the user's own.
    fn open(chosen: Option<&Path>) -> Result<Self, HarnessError> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let of_user = || {
            let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
            Some(state.join("loadtest"))
        };
        let directory = chosen.map(Path::to_owned).or_else(of_user).ok_or_else(|| {
            HarnessError::usage("neither XDG_STATE_HOME nor HOME is set: name a directory with --state")
        })?;
        // Passwords stand in it.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
        made.map_err(|error| HarnessError::Usage(format!("cannot make {}: {error}", directory.display())))?;
        Ok(Self(directory))
    }

    /// The locked file of the state, for as long as it is held; `None` while a keeper holds it.
    fn lock(&self) -> Result<Option<File>, HarnessError> {
        let file = self.open_file(STATE)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.failed(STATE, error)),
        }
    }

    /// What is up. `None` without a living keeper; an error while it is starting or stopping.
    fn up(&self) -> Result<Option<Up>, HarnessError> {
        if self.lock()?.is_some() {
            return Ok(None);
        }
        let text = fs::read(self.0.join(STATE)).map_err(|error| self.failed(STATE, error))?;
        let changing = "the servers are just starting or stopping; try again in a moment";
        let up = serde_json::from_slice(&text);
        up.map(Some).map_err(|_| HarnessError::Server(changing.to_owned()))
    }

    /// What must be up.
    fn required(&self) -> Result<Up, HarnessError> {
        let nothing = "no servers are up; start them with `loadtest stack up`";
        self.up()?.ok_or_else(|| HarnessError::Server(nothing.to_owned()))
    }

    /// Opens a file of its owner's alone.
    fn open_file(&self, name: &str) -> Result<File, HarnessError> {
        let mut options = OpenOptions::new();
        let opened = options.create(true).append(true).mode(0o600).open(self.0.join(name));
        opened.map_err(|error| self.failed(name, error))
    }

    /// What the keeper said before it ended.
    fn last_error(&self) -> String {
        let log = fs::read_to_string(self.0.join(LOG)).unwrap_or_default();
        log.trim().trim_start_matches("error: ").to_owned()
    }

    fn failed(&self, name: &str, problem: impl std::fmt::Display) -> HarnessError {
        HarnessError::Usage(format!("{}: {problem}", self.0.join(name).display()))
    }
}

/// Starts the keeper and passes on what it says until everything is up.
async fn start_keeper(state: &StateDir, servers: &ServerArgs) -> Result<(), HarnessError> {
    if state.up()?.is_some() {
        say::out("already up:");
        return status(state);
    }
    let interrupt = Interrupt::install()?;
    let mut keeper = spawn_keeper(state, servers)?;
    let patience = Patience::new(Duration::MAX);
    let up = keeper.line(&patience, |line| match line {
        READY => Some(()),
        said => {
            say::out(said);
            None
        }
    });
    tokio::select! {
        up = up => up.map_err(|_| HarnessError::Server(state.last_error()))?,
        () = interrupt.stop.cancelled() => {
            keeper.stop().await.map_err(HarnessError::internal)?;
            return Err(HarnessError::Interrupted);
        }
    }
    keeper.detach();
    say::out("they stay up until `loadtest stack down`; for a shell: eval \"$(loadtest stack env)\"");
    Ok(())
}

/// In a group of its own: a Ctrl-C in this terminal, now or later, is not meant for it.
fn spawn_keeper(state: &StateDir, servers: &ServerArgs) -> Result<Supervised, HarnessError> {
    let own = std::env::current_exe().map_err(HarnessError::internal)?;
    let mut keeper = Command::new(own);
    keeper.args(["stack", "up", "--foreground", "--stack", &servers.stack]);
    if let Some(directory) = &servers.postgres_bin {
        keeper.arg("--postgres-bin").arg(directory);
    }
    keeper.arg("--state").arg(&state.0).stdin(Stdio::null());
    // What an earlier keeper said is not what is wrong now.
    let emptied = state.open_file(LOG)?.set_len(0);
    emptied.map_err(|error| state.failed(LOG, error))?;
    let log = state.0.join(LOG);
    // Its servers get a minute to end.
    let ending = Ending {
        limit: DOWN_LIMIT,
        ..Ending::default()
    };
    Supervised::spawn(keeper, Output::Lines { errors: Some(&log) }, ending).map_err(HarnessError::internal)
}

fn terminate(pid: u32) -> Result<(), HarnessError> {
    match kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(HarnessError::Server(format!("cannot end process {pid}: {errno}"))),
    }
}

/// The keeper: owns the servers until a signal. After [`READY`] it says nothing more on standard output, where nobody
/// may be listening any longer.
async fn keep(state: &StateDir, servers: &ServerArgs) -> Result<(), HarnessError> {
    let interrupt = Interrupt::install()?;
    let Some(mut file) = state.lock()? else {
        return Err(HarnessError::usage(
            "the servers are up already: `loadtest stack status`",
        ));
    };
    let failed = |error: std::io::Error| state.failed(STATE, error);
    // Of a keeper that was killed.
    file.set_len(0).map_err(failed)?;
    let options = servers.options()?;
    let mut announce = |line: &str| say::out(line);
    let stack = tokio::select! {
        started = Stack::start(&options, &mut announce) => started?,
        () = interrupt.stop.cancelled() => return Err(HarnessError::Interrupted),
    };
    let up = serde_json::to_vec(&Up::of(&stack)).map_err(HarnessError::internal)?;
    file.write_all(&up).map_err(failed)?;
    say::out(READY);
    interrupt.stop.cancelled().await;
    file.set_len(0).map_err(failed)?;
    stack.stop().await.map_err(HarnessError::internal)
}

/// Ends the keeper and waits until it has ended its servers; then removes what one that was killed left.
async fn down(state: &StateDir) -> Result<(), HarnessError> {
    if let Some(up) = state.up()? {
        terminate(up.pid)?;
        let mut patience = Patience::new(DOWN_LIMIT);
        while state.lock()?.is_none() {
            let waited = patience.pause().await;
            waited.map_err(|error| HarnessError::Server(format!("the servers do not end: {error}")))?;
        }
        say::out("the servers are down");
    } else {
        say::out("nothing was up");
    }
    let options = StackOptions::from_env().map_err(HarnessError::usage)?;
    for left in stack::sweep(&options).await {
        say::out(format_args!("removed what a killed run left: {left}"));
    }
    Ok(())
}

fn status(state: &StateDir) -> Result<(), HarnessError> {
    for line in &state.required()?.servers {
        say::out(line);
    }
    Ok(())
}

/// The plan's variables, as a shell reads them. A password stands in its URL; one left over in the shell would win
/// over it.
fn environment(state: &StateDir) -> Result<(), HarnessError> {
    for (name, value) in &state.required()?.variables {
        say::out(format_args!("export {name}={}", quoted(value)));
    }
    say::out("unset REDIS_PASSWORD");
    Ok(())
}

/// For any POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_shell_reads_values_as_they_are() {
        let value = "postgres://u:it's $HOME `x`@h/d";
        let script = format!("export V={}; printf %s \"$V\"", quoted(value));
        let output = process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), value);
    }

    #[test]
    fn a_state_is_closed_to_others_and_there_while_its_keeper_lives() {
        let parent = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(&parent.path().join("state"))).unwrap();
        assert_eq!(state.0.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(state.up().unwrap().is_none());
        let mut kept = state.lock().unwrap().unwrap();
        let starting = state.up().unwrap_err().to_string();
        assert!(starting.contains("just starting or stopping"), "{starting}");
        kept.write_all(br#"{"pid":1,"variables":{},"servers":["a server"]}"#)
            .unwrap();
        assert_eq!(state.required().unwrap().servers, ["a server"]);
        assert_eq!(kept.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        drop(kept);
        assert!(state.up().unwrap().is_none());
    }
}
