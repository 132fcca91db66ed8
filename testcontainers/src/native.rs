//! A server from local binaries: a process in a temporary directory of its own, on free ports of 127.0.0.1, removed
//! with all it wrote. Which programs with which options is said by the server's kind.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::dir::ServerDir;
use crate::error::StackError;
use crate::info::Server;
use crate::kind::{Facts, Kind};
use crate::options::StackOptions;
use crate::ports::{self, Ports};
use crate::process::{Ending, Output, ProcessError, Signal, Supervised};
use crate::user;
use crate::wait::Patience;

/// Starting takes about a second; a machine that compiles at the same time may need many times that.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// The operating system's words for a taken port; the locale of the processes is fixed for this.
const PORT_TAKEN: &str = "Address already in use";
/// The operating system's words for a disk without space.
const DISK_FULL: &str = "No space left on device";

/// A server process with its directory. Fields drop in this order: nothing writes any more when the directory goes.
#[derive(Debug)]
pub(crate) struct NativeServer {
    server: Server,
    process: Supervised,
    dir: ServerDir,
}

impl NativeServer {
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Ends the process and removes the directory, off the runtime's threads because both block.
    pub(crate) async fn stop(mut self) -> Result<(), StackError> {
        let server = self.server;
        let stopping = tokio::task::spawn_blocking(move || {
            let stopped = self.process.stop_blocking().map_err(StackError::process(server));
            let removed = self.dir.remove();
            stopped.and(removed)
        });
        stopping.await.map_err(StackError::stop(server))?
    }
}

/// Starts it on free ports and asks it for its facts.
pub(crate) async fn start<K: Kind>(
    kind: &K,
    programs: &K::Programs,
    options: &StackOptions,
) -> Result<(NativeServer, K::Client, Facts), StackError> {
    let owner = user::unprivileged(K::SERVER, K::USER)?;
    let dir = ServerDir::create(K::SERVER, options.directory.as_deref(), owner)?;
    kind.prepare(programs, &dir).await?;
    let launched = ports::retried(K::SERVER, |ports| launch(kind, programs, &dir, ports)).await;
    let (process, client, facts) = launched?;
    let server = NativeServer {
        server: K::SERVER,
        process,
        dir,
    };
    Ok((server, client, facts))
}

/// One attempt on these ports.
pub(crate) async fn launch<K: Kind>(
    kind: &K,
    programs: &K::Programs,
    dir: &ServerDir,
    ports: Ports,
) -> Result<(Supervised, K::Client, Facts), StackError> {
    let command = kind.command(programs, dir, ports)?;
    let mut process = spawn(K::SERVER, command, dir, K::STOP)?;
    let pid = process.pid();
    let patience = &mut Patience::new(READY_LIMIT);
    let ready = process.until_ready(patience, || kind.ask(ports, Some(pid))).await;
    let (client, mut facts) = ready.map_err(|problem| explained(K::SERVER, problem, dir, ports[0]))?;
    if let Some(version) = K::version(programs) {
        facts.version = version;
    }
    Ok((process, client, facts))
}

/// Runs a program that does its work in the directory and ends. A failure leaves what was written until the directory
/// goes, so that a full disk can be told from other failures.
pub(crate) async fn run_to_end(server: Server, command: Command, dir: &ServerDir) -> Result<(), StackError> {
    let process = spawn(server, command, dir, Signal::SIGTERM)?;
    let finished = process.finish(&Patience::new(READY_LIMIT), |_| ()).await;
    finished.map_err(|problem| explained(server, problem, dir, 0))
}

/// As the directory's owner, with the log beside the data.
fn spawn(server: Server, mut command: Command, dir: &ServerDir, signal: Signal) -> Result<Supervised, StackError> {
    command.current_dir(dir.path()).env("LC_ALL", "C").stdin(Stdio::null());
    let mut user = "this user".to_owned();
    if let Some(owner) = dir.owner() {
        // Setting the user as root also drops our supplementary groups (std does so when none are named).
        command.uid(owner.uid).gid(owner.gid);
        user = format!("user `{}`", owner.name);
    }
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let log = dir.path().join(name).with_extension("log");
    let ending = Ending {
        signal,
        ask_when_dropped: true,
        ..Ending::default()
    };
    // Emptied, because what an earlier attempt wrote says nothing about this one.
    File::create(&log).map_err(StackError::file("create", &log))?;
    let process = Supervised::spawn(command, Output::Logged(&log), ending).map_err(|problem| match problem {
        ProcessError::NotStarted { problem, .. } => StackError::not_started(
            server,
            format!("{problem}; both must be open to {user} (TMPDIR chooses another place for the directory)"),
        ),
        other => StackError::process(server)(other),
    })?;
    dir.record_group(process.pid())?;
    Ok(process)
}

/// Tells a taken port and a full disk from other failures.
fn explained(server: Server, problem: ProcessError, dir: &ServerDir, port: u16) -> StackError {
    let ended = matches!(problem, ProcessError::NotStarted { .. } | ProcessError::Failed { .. });
    if ended && problem.log_tail().contains(PORT_TAKEN) {
        return StackError::PortTaken { server, port };
    }
    if ended && (problem.log_tail().contains(DISK_FULL) || is_full(dir.path())) {
        let directory = dir.path().to_owned();
        return StackError::DiskFull { server, directory };
    }
    StackError::process(server)(problem)
}

/// Whether nothing more can be written here: the log that would say so is on the same disk.
fn is_full(directory: &Path) -> bool {
    nix::sys::statvfs::statvfs(directory).is_ok_and(|disk| disk.blocks_available() == 0)
}

/// For the tests of each kind: somebody holds the port of the clients, and the server that is started on it all the
/// same must fail with just that.
#[cfg(test)]
pub(crate) async fn assert_taken_port_is_noticed<K: Kind>(kind: &K, programs: &K::Programs) {
    let owner = user::unprivileged(K::SERVER, K::USER).unwrap();
    let dir = ServerDir::create(K::SERVER, None, owner).unwrap();
    kind.prepare(programs, &dir).await.unwrap();
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = occupied.local_addr().unwrap().port();
    let [_, second, third] = ports::free(K::SERVER).unwrap();
    let error = launch(kind, programs, &dir, [port, second, third])
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        matches!(error, StackError::PortTaken { port: named, .. } if named == port),
        "{error}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's directory inside one that goes with the test.
    fn room() -> (tempfile::TempDir, ServerDir) {
        let parent = tempfile::tempdir().unwrap();
        let dir = ServerDir::create(Server::Redis, Some(parent.path()), None).unwrap();
        (parent, dir)
    }

    #[tokio::test]
    async fn a_taken_port_is_told_from_other_failures() {
        let (_parent, dir) = room();
        let script = |text: &str| {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(text);
            command
        };
        let taken = script("echo 'bind: Address already in use'; exit 1");
        let error = run_to_end(Server::Redis, taken, &dir).await.unwrap_err();
        assert!(matches!(error, StackError::PortTaken { .. }), "{error}");
        let error = run_to_end(Server::Redis, script("exit 1"), &dir).await.unwrap_err();
        assert_eq!(error.to_string(), "redis failed: sh ended with exit status: 1");
    }

    #[tokio::test]
    async fn a_program_that_cannot_run_is_named_with_its_place_and_user() {
        let (_parent, dir) = room();
        let error = run_to_end(Server::Redis, Command::new("/no/such/program"), &dir).await;
        let text = error.unwrap_err().to_string();
        let start = format!(
            "redis did not start: cannot run /no/such/program in {}: ",
            dir.path().display()
        );
        assert!(
            text.starts_with(&start) && text.contains("both must be open to this user"),
            "{text}"
        );
    }
}
