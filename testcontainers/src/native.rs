//! One process of a native server: started in a group of its own, watched while it becomes ready, ended within a bound.
//! Which program with which options, and how to ask whether it is ready, belongs to the server's module.

use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::dir::ServerDir;
use crate::error::StackError;
use crate::info::Server;
use crate::user::RunAs;
use crate::wait::Patience;

/// Starting takes about a second; a machine that compiles at the same time may need many times that.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// An orderly end takes well under a second; the data is thrown away, so nothing is lost by killing after this.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// The kernel ends a killed process at once unless it hangs in a device.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// Enough of a log to see why a server refused to start.
const LOG_TAIL_LINES: usize = 20;
/// How the operating system words it; the locale of the processes is fixed for this.
const PORT_TAKEN: &str = "Address already in use";
/// Likewise.
const DISK_FULL: &str = "No space left on device";

/// What to run.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) server: Server,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// The working directory; the log goes there too.
    pub(crate) dir: &'a ServerDir,
    /// Whom to run it as, if not as ourselves.
    pub(crate) run_as: Option<&'a RunAs>,
    /// The signal that asks it to end.
    pub(crate) stop_signal: Signal,
}

/// A running process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    server: Server,
    child: Child,
    log: PathBuf,
    stop_signal: Signal,
    stopped: bool,
}

impl Process {
    /// Starts it in its own process group, so that Ctrl-C in a terminal reaches us alone and the order of stopping stays
    /// ours. Output goes to a log beside its data.
    pub(crate) fn spawn(launch: &Launch<'_>) -> Result<Self, StackError> {
        let name = launch.program.file_name().unwrap_or_default();
        let log = launch.dir.path().join(name).with_extension("log");
        let output = File::create(&log).map_err(StackError::file("create", &log))?;
        let errors = output.try_clone().map_err(StackError::file("open", &log))?;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .current_dir(launch.dir.path())
            .env("LC_ALL", "C")
            .process_group(0);
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        if let Some(user) = launch.run_as {
            // Setting the user as root also drops our supplementary groups (std does so when none are named).
            command.uid(user.uid).gid(user.gid);
        }
        let child = command.spawn().map_err(|cause| cannot_run(launch, &cause))?;
        let process = Self {
            server: launch.server,
            child,
            log,
            stop_signal: launch.stop_signal,
            stopped: false,
        };
        launch.dir.record_group(process.pid())?;
        Ok(process)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks until the server answers. Notices when the process ends instead.
    pub(crate) async fn until_ready<T, Fut>(&mut self, port: u16, ask: impl Fn() -> Fut) -> Result<T, StackError>
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
            self.still_runs(port)?;
            patience
                .pause()
                .await
                .map_err(|timed_out| self.not_ready(timed_out.waited, last))?;
        }
    }

    /// Waits for a program that ends by itself, and takes anything but success for an error.
    pub(crate) async fn finish(mut self) -> Result<(), StackError> {
        let mut patience = Patience::new(READY_LIMIT);
        let status = loop {
            if let Some(status) = self.ended()? {
                break status;
            }
            let still_running = || "it is still running".to_owned();
            patience
                .pause()
                .await
                .map_err(|timed_out| self.not_ready(timed_out.waited, still_running()))?;
        };
        if status.success() {
            Ok(())
        } else {
            Err(self.failed(status))
        }
    }

    /// Ends it: a signal, a bounded wait, then SIGKILL. A process that had ended by itself is reported, also when a signal
    /// of somebody else's was quicker than ours.
    pub(crate) fn stop(&mut self) -> Result<(), StackError> {
        if std::mem::replace(&mut self.stopped, true) {
            return Ok(());
        }
        let ended_before = self.has_ended()?;
        if !ended_before {
            self.signal(self.stop_signal)?;
        }
        let ended_in_time = self.ends_within(STOP_LIMIT)?;
        let status = self.end_group()?;
        let by_stranger = ended_in_time && status.signal().is_some_and(|signal| signal != self.stop_signal as i32);
        if ended_before || by_stranger {
            Err(self.died(status))
        } else {
            Ok(())
        }
    }

    fn still_runs(&mut self, port: u16) -> Result<(), StackError> {
        let Some(status) = self.ended()? else { return Ok(()) };
        if self.log_tail().contains(PORT_TAKEN) {
            return Err(StackError::PortTaken {
                server: self.server,
                port,
            });
        }
        Err(self.failed(status))
    }

    /// How it ended, if it has; nothing is left of it then.
    fn ended(&mut self) -> Result<Option<ExitStatus>, StackError> {
        if !self.has_ended()? {
            return Ok(None);
        }
        self.stopped = true;
        self.end_group().map(Some)
    }

    /// Kills what is left of the group and reaps the leader. Helpers that a server forked can outlive it for a moment, and
    /// would write into a directory that is about to go.
    fn end_group(&mut self) -> Result<ExitStatus, StackError> {
        self.signal(Signal::SIGKILL)?;
        if !self.ends_within(KILL_LIMIT)? {
            return Err(self.stop_failed(format!("process {} outlives SIGKILL", self.pid())));
        }
        let status = self.child.wait().map_err(|cause| self.stop_failed(cause.to_string()))?;
        self.group_empties()?;
        Ok(status)
    }

    fn ends_within(&self, limit: Duration) -> Result<bool, StackError> {
        let mut patience = Patience::new(limit);
        loop {
            if self.has_ended()? {
                return Ok(true);
            }
            if patience.pause_blocking().is_err() {
                return Ok(false);
            }
        }
    }

    /// Looks without reaping: as long as the leader is not reaped, the group's number cannot become a stranger's.
    fn has_ended(&self) -> Result<bool, StackError> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = waitid(Id::Pid(self.group()?), flags).map_err(|errno| self.stop_failed(errno.to_string()))?;
        Ok(status != WaitStatus::StillAlive)
    }

    /// To the whole group, so that helpers go with the server.
    fn signal(&self, signal: Signal) -> Result<(), StackError> {
        let group = self.group()?;
        killpg(group, signal).map_err(|errno| self.stop_failed(format!("{signal} to process group {group}: {errno}")))
    }

    /// Waits for the killed helpers, which are not our children to reap. Asks with signal 0, which harms nobody.
    fn group_empties(&self) -> Result<(), StackError> {
        let group = self.group()?;
        let mut patience = Patience::new(KILL_LIMIT);
        while killpg(group, None) != Err(Errno::ESRCH) {
            patience.pause_blocking().map_err(|_| {
                self.stop_failed(format!(
                    "processes of group {group} outlive SIGKILL, or nobody reaps them"
                ))
            })?;
        }
        Ok(())
    }

    /// The process leads a group of the same number.
    fn group(&self) -> Result<Pid, StackError> {
        i32::try_from(self.pid())
            .map(Pid::from_raw)
            .map_err(|error| self.stop_failed(error.to_string()))
    }

    /// The last lines of the log; empty when there is none, which the message around it survives.
    fn log_tail(&self) -> String {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    fn failed(&self, status: ExitStatus) -> StackError {
        if self.log_tail().contains(DISK_FULL) || is_full(&self.log) {
            return StackError::DiskFull {
                server: self.server,
                directory: self.log.parent().unwrap_or(Path::new("/")).to_owned(),
            };
        }
        let program = self.log.file_stem().unwrap_or_default().to_string_lossy();
        let problem = format!("{program} ended with {status}");
        StackError::Start {
            server: self.server,
            problem,
            log_tail: self.log_tail(),
        }
    }

    fn died(&self, status: ExitStatus) -> StackError {
        StackError::Died {
            server: self.server,
            pid: self.pid(),
            status,
            log_tail: self.log_tail(),
        }
    }

    fn not_ready(&self, waited: Duration, last: String) -> StackError {
        StackError::NotReady {
            server: self.server,
            waited,
            last,
            log_tail: self.log_tail(),
        }
    }

    fn stop_failed(&self, problem: String) -> StackError {
        StackError::Stop {
            server: self.server,
            problem,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!(%error, "while stopping a server");
        }
    }
}

/// Whether nothing more can be written beside this file: the log that would say so is on the same disk.
fn is_full(file: &Path) -> bool {
    nix::sys::statvfs::statvfs(file).is_ok_and(|disk| disk.blocks_available() == 0)
}

fn cannot_run(launch: &Launch<'_>, cause: &std::io::Error) -> StackError {
    let user = launch
        .run_as
        .map_or_else(|| "this user".to_owned(), |user| format!("user `{}`", user.name));
    let problem = format!(
        "cannot run {} in {}: {cause}; both must be open to {user} (TMPDIR chooses another place for the directory)",
        launch.program.display(),
        launch.dir.path().display()
    );
    StackError::Start {
        server: launch.server,
        problem,
        log_tail: String::new(),
    }
}

/// A server process with its directory. Fields drop in this order: nothing writes any more when the directory goes.
#[derive(Debug)]
pub(crate) struct NativeServer {
    pub(crate) process: Process,
    pub(crate) dir: ServerDir,
}

impl NativeServer {
    /// Ends the process and removes the directory, off the runtime's threads because both block.
    pub(crate) async fn stop(mut self) -> Result<(), StackError> {
        let server = self.process.server;
        let stopping = tokio::task::spawn_blocking(move || {
            let stopped = self.process.stop();
            let removed = self.dir.remove();
            stopped.and(removed)
        });
        stopping.await.map_err(|error| StackError::Stop {
            server,
            problem: error.to_string(),
        })?
    }
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

    fn shell(script: &str, dir: &ServerDir) -> Process {
        let arguments = vec!["-c".to_owned(), script.to_owned()];
        let program = PathBuf::from("/bin/sh");
        let stop_signal = Signal::SIGTERM;
        Process::spawn(&Launch {
            server: Server::Redis,
            program,
            arguments,
            dir,
            run_as: None,
            stop_signal,
        })
        .unwrap()
    }

    fn wait_for_log(process: &Process, word: &str) {
        let mut patience = Patience::new(READY_LIMIT);
        while !process.log_tail().contains(word) {
            patience.pause_blocking().unwrap();
        }
    }

    fn is_alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[test]
    fn a_process_that_ignores_the_signal_is_killed() {
        let (_parent, dir) = room();
        let mut process = shell("trap '' TERM; echo armed; while :; do sleep 1; done", &dir);
        wait_for_log(&process, "armed");
        process.stop().unwrap();
        assert!(!is_alive(process.pid()));
    }

    /// 1. The leader forks a helper that ignores the polite signal. 2. The leader ends at that signal.
    /// 3. The helper must be gone, too, when `stop` returns.
    #[test]
    fn helpers_do_not_outlive_their_leader() {
        let (_parent, dir) = room();
        let helper = r#"sh -c 'trap "" TERM; echo $$ > helper; echo armed; while :; do sleep 1; done' & wait"#;
        let mut process = shell(helper, &dir);
        wait_for_log(&process, "armed");
        let helper = std::fs::read_to_string(dir.path().join("helper")).unwrap();
        process.stop().unwrap();
        assert!(!is_alive(process.pid()));
        assert!(!is_alive(helper.trim().parse().unwrap()), "helper {helper} is left");
    }

    #[tokio::test]
    async fn the_end_of_the_log_explains_a_failed_start() {
        let (_parent, dir) = room();
        let script = "for i in $(seq 30); do echo line $i; done; echo broken beyond repair >&2; exit 3";
        let error = shell(script, &dir)
            .until_ready(1, async || Err::<(), _>("nothing".into()))
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("ended with exit status: 3") && text.contains("broken beyond repair"),
            "{text}"
        );
        assert!(!text.contains("line 5\n") && text.contains("line 30\n"), "{text}");
    }

    #[tokio::test]
    async fn a_taken_port_is_told_from_other_failures() {
        let (_parent, dir) = room();
        let mut process = shell("echo 'bind: Address already in use'; exit 1", &dir);
        let error = process
            .until_ready(7, async || Err::<(), _>("nothing".into()))
            .await
            .unwrap_err();
        assert!(matches!(error, StackError::PortTaken { port: 7, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_server_that_died_meanwhile_is_reported_when_stopped() {
        let (_parent, dir) = room();
        let mut process = shell("exit 4", &dir);
        assert!(process.ends_within(READY_LIMIT).unwrap());
        let error = process.stop().unwrap_err();
        assert!(
            matches!(error, StackError::Died { status, .. } if status.code() == Some(4)),
            "{error}"
        );
        process.stop().unwrap();
    }

    #[test]
    fn a_program_that_cannot_run_is_named_with_its_place() {
        let (_parent, dir) = room();
        let program = PathBuf::from("/no/such/program");
        let (arguments, stop_signal) = (Vec::new(), Signal::SIGTERM);
        let launch = Launch {
            server: Server::Redis,
            program,
            arguments,
            dir: &dir,
            run_as: None,
            stop_signal,
        };
        let error = Process::spawn(&launch).unwrap_err().to_string();
        assert!(error.contains("cannot run /no/such/program in "), "{error}");
    }
}
