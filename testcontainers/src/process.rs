//! One supervised process: started in a process group of its own, watched until it is ready, its output read or logged,
//! ended within a bound together with all that it started.
//!
//! Which program with which options, and how to ask whether it is ready, is the caller's business. Errors are
//! predicates ("did not start: ..."), to be put behind the name of what was started.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use stack::process::{Ending, Output, Supervised};
//! use stack::wait::Patience;
//! let mut command = std::process::Command::new("/usr/local/bin/service");
//! command.arg("serve").env_clear().env("BIND_ADDR", "127.0.0.1:0");
//! let log = std::path::Path::new("service.log");
//! let mut service = Supervised::spawn(command, Output::Lines { errors: Some(log) }, Ending::default())?;
//! let patience = &mut Patience::new(std::time::Duration::from_mins(1));
//! let address = service.line(patience, |line| line.strip_prefix("listening on ").map(str::to_owned)).await?;
//! let ask = async || tokio::net::TcpStream::connect(&address).await.map_err(|error| error.to_string());
//! service.until_ready(patience, ask).await?;
//! service.stop().await?;
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::fs::File;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::killpg;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use tokio::signal::unix::{SignalKind, signal};

use crate::wait::{Patience, TimedOut};

pub use nix::sys::signal::Signal;

/// Well above the time of an orderly end, which is well under a second for most programs.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// The kernel ends a killed process at once unless it hangs in a device.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// Enough of a log to see why a program refused to start.
const LOG_TAIL_LINES: usize = 20;

/// Failure of a process, to be read behind its name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It could not be started, or ended before it was ready.
    #[error("did not start: {problem}{}", log_end(log_tail))]
    NotStarted {
        /// The program and what happened to it.
        problem: String,
        /// The end of its log; empty when it never ran.
        log_tail: String,
    },
    /// It runs, but did not answer in time.
    #[error("was not ready after {:.0} s, its last answer was: {last}{}", waited.as_secs_f64(), log_end(log_tail))]
    NotReady {
        /// How long it was given.
        waited: Duration,
        /// The result of the last attempt.
        last: String,
        /// The end of its log.
        log_tail: String,
    },
    /// A program that does its work and ends did not succeed.
    #[error("failed: {program} ended with {status}{}", log_end(log_tail))]
    Failed {
        /// The program's name.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log_tail: String,
    },
    /// It ended by itself while it was needed.
    #[error(
        "(pid {pid}) had ended by itself before it was stopped ({status}){}",
        log_end(log_tail)
    )]
    Died {
        /// The process that ended.
        pid: u32,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log_tail: String,
    },
    /// It could not be brought to an end.
    #[error("could not be stopped: {problem}")]
    Stop {
        /// The process that is left, and why.
        problem: String,
    },
}

impl ProcessError {
    /// A start that failed before there was a log.
    pub(crate) fn not_started(problem: impl fmt::Display) -> Self {
        Self::NotStarted {
            problem: problem.to_string(),
            log_tail: String::new(),
        }
    }

    /// For `map_err`: something that could not be ended.
    pub(crate) fn stop(problem: impl fmt::Display) -> Self {
        Self::Stop {
            problem: problem.to_string(),
        }
    }

    /// The end of the log, empty where there is none.
    pub(crate) fn log_tail(&self) -> &str {
        match self {
            Self::NotStarted { log_tail, .. }
            | Self::NotReady { log_tail, .. }
            | Self::Failed { log_tail, .. }
            | Self::Died { log_tail, .. } => log_tail,
            Self::Stop { .. } => "",
        }
    }
}

/// Where the outputs of a process go. A log is appended to.
#[derive(Debug, Clone, Copy)]
pub enum Output<'a> {
    /// Standard output and errors go into this file.
    Logged(&'a Path),
    /// Standard output is read by [`Supervised::line`] or [`Supervised::finish`]; needs a tokio runtime.
    Lines {
        /// The file for standard error; `None` sends it where our own goes.
        errors: Option<&'a Path>,
    },
}

/// How a process is ended.
#[derive(Debug, Clone, Copy)]
pub struct Ending {
    /// Asks it to end.
    pub signal: Signal,
    /// How long it is waited for after that; then it is killed.
    pub limit: Duration,
    /// Whether it is also asked when the handle is dropped, instead of killed at once.
    pub ask_when_dropped: bool,
}

/// SIGTERM, five seconds; killed when the handle is dropped.
impl Default for Ending {
    fn default() -> Self {
        Self {
            signal: Signal::SIGTERM,
            limit: STOP_LIMIT,
            ask_when_dropped: false,
        }
    }
}

/// A running process, the leader of its own process group. Dropping it ends the whole group and waits until it is gone.
#[derive(Debug)]
pub struct Supervised {
    program: String,
    child: Child,
    /// `None` when nothing is read by line, or once it was handed to a reader.
    lines: Option<Lines<BufReader<ChildStdout>>>,
    log: Option<PathBuf>,
    ending: Ending,
    /// How it ended, once it is reaped.
    ended: Option<ExitStatus>,
}

impl Supervised {
    /// Starts it in its own process group, so that Ctrl-C in a terminal reaches us alone and the order of stopping
    /// stays ours. Arguments, environment, directory and standard input are as the command has them; a piped standard
    /// input stays open for as long as this value lives, or this process.
    pub fn spawn(mut command: Command, output: Output<'_>, ending: Ending) -> Result<Self, ProcessError> {
        let program = Path::new(command.get_program());
        let shown = program.display().to_string();
        let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = match output {
            Output::Logged(log) => Some(log),
            Output::Lines { errors } => errors,
        };
        if let Some(path) = log {
            let file = File::options().create(true).append(true).open(path);
            let logged = file.and_then(|file| Ok((file.try_clone()?, file)));
            let (errors, output) = logged.map_err(|cause| {
                ProcessError::not_started(format!("cannot write the log {}: {cause}", path.display()))
            })?;
            command.stderr(errors).stdout(output);
        }
        if matches!(output, Output::Lines { .. }) {
            command.stdout(Stdio::piped());
        }
        let place = command
            .get_current_dir()
            .map_or_else(String::new, |directory| format!(" in {}", directory.display()));
        let spawned = command.process_group(0).spawn();
        let mut child =
            spawned.map_err(|cause| ProcessError::not_started(format!("cannot run {shown}{place}: {cause}")))?;
        let stdout = child.stdout.take();
        let mut process = Self {
            program,
            child,
            lines: None,
            log: log.map(Path::to_owned),
            ending,
            ended: None,
        };
        let stdout = stdout
            .map(ChildStdout::from_std)
            .transpose()
            .map_err(ProcessError::not_started)?;
        process.lines = stdout.map(|stdout| BufReader::new(stdout).lines());
        Ok(process)
    }

    /// The number of the process, and of its group.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads its standard output until a line is what is looked for. Everything after that line is read away, so that
    /// the process never blocks on a full pipe.
    pub async fn line<T>(
        &mut self,
        patience: &Patience,
        mut find: impl FnMut(&str) -> Option<T>,
    ) -> Result<T, ProcessError> {
        let Some(mut lines) = self.lines.take() else {
            return Err(self.not_started("its output is read elsewhere"));
        };
        let reading = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(found) = find(&line) {
                    return Some(found);
                }
            }
            None
        };
        let silent = |timed_out: TimedOut| (timed_out.waited, "it has not said so yet".to_owned());
        match patience.bound(reading).await.map_err(silent) {
            Ok(Some(found)) => {
                let mut rest = lines.into_inner();
                tokio::spawn(async move { tokio::io::copy(&mut rest, &mut tokio::io::sink()).await });
                Ok(found)
            }
            Ok(None) => match patience.bound(self.ended()).await {
                Ok(status) => Err(self.ended_early(status?)),
                Err(_) => Err(self.not_started(format!("{} closed its output", self.program))),
            },
            Err((waited, last)) => Err(self.not_ready(waited, last)),
        }
    }

    /// Asks until it answers. Notices when it ends instead.
    pub async fn until_ready<T, Fut>(
        &mut self,
        patience: &mut Patience,
        ask: impl Fn() -> Fut,
    ) -> Result<T, ProcessError>
    where
        Fut: Future<Output = Result<T, String>>,
    {
        until_ready(self, patience, ask).await
    }

    /// Completes when it ends by itself; then nothing is left of its group.
    pub async fn ended(&mut self) -> Result<ExitStatus, ProcessError> {
        // Before the first look, so that no end is missed in between.
        let mut children = signal(SignalKind::child()).map_err(ProcessError::stop)?;
        loop {
            if let Some(status) = self.reap_if_ended()? {
                return Ok(status);
            }
            children.recv().await;
        }
    }

    /// Waits for a program that does its work and ends, handing on the lines that it prints. Anything but success is an
    /// error.
    pub async fn finish(mut self, patience: &Patience, mut on_line: impl FnMut(&str)) -> Result<(), ProcessError> {
        let lines = self.lines.take();
        let ending = async {
            if let Some(mut lines) = lines {
                while let Ok(Some(line)) = lines.next_line().await {
                    on_line(&line);
                }
            }
            self.ended().await
        };
        match patience.bound(ending).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(status) => Err(ProcessError::Failed {
                status: status?,
                log_tail: self.log_tail(),
                program: std::mem::take(&mut self.program),
            }),
            Err(timed_out) => Err(self.not_ready(timed_out.waited, "it is still running".to_owned())),
        }
    }

    /// Asks it to end, waits for no longer than its limit, then kills the group. An error says that it had ended by
    /// itself before, or was killed by somebody else, or is not gone.
    pub async fn stop(mut self) -> Result<(), ProcessError> {
        // Waiting blocks.
        let stopping = tokio::task::spawn_blocking(move || self.stop_blocking());
        stopping.await.map_err(ProcessError::stop)?
    }

    /// [`Supervised::stop`] for destructors and threads that may block. After the first time it does nothing.
    pub(crate) fn stop_blocking(&mut self) -> Result<(), ProcessError> {
        if self.ended.is_some() {
            return Ok(());
        }
        let signal = self.ending.signal;
        let ended_before = self.has_ended()?;
        if !ended_before {
            self.signal(signal)?;
        }
        let ended_in_time = self.ends_within(self.ending.limit)?;
        let status = self.end_group()?;
        let by_stranger = ended_in_time && status.signal().is_some_and(|number| number != signal as i32);
        if ended_before || by_stranger {
            Err(ProcessError::Died {
                pid: self.pid(),
                status,
                log_tail: self.log_tail(),
            })
        } else {
            Ok(())
        }
    }

    /// Lets it go on alone, also when this process has ended.
    pub fn detach(mut self) {
        // Dropped as a process that has ended, which has nothing left to be ended.
        self.ended = Some(ExitStatus::default());
    }

    /// The last lines of the log as a paragraph of its own, for the end of a message; empty when there is no log.
    pub fn log_end(&self) -> String {
        log_end(&self.log_tail())
    }

    /// The last lines of the log; empty when there is none, which the message around it survives.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log.as_ref().and_then(|log| std::fs::read(log).ok());
        last_lines(&log.unwrap_or_default())
    }

    /// How it ended, if it has; nothing is left of its group then.
    fn reap_if_ended(&mut self) -> Result<Option<ExitStatus>, ProcessError> {
        if self.ended.is_none() && self.has_ended()? {
            self.end_group()?;
        }
        Ok(self.ended)
    }

    /// Kills what is left of the group and reaps the leader. Helpers that it forked can outlive it for a moment, and
    /// would write into a directory that is about to go.
    fn end_group(&mut self) -> Result<ExitStatus, ProcessError> {
        self.signal(Signal::SIGKILL)?;
        if !self.ends_within(KILL_LIMIT)? {
            return Err(ProcessError::stop(format!("process {} outlives SIGKILL", self.pid())));
        }
        let status = self.child.wait().map_err(ProcessError::stop)?;
        self.ended = Some(status);
        self.group_empties()?;
        Ok(status)
    }

    fn ends_within(&self, limit: Duration) -> Result<bool, ProcessError> {
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
    fn has_ended(&self) -> Result<bool, ProcessError> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let status = waitid(Id::Pid(self.group()), flags).map_err(ProcessError::stop)?;
        Ok(status != WaitStatus::StillAlive)
    }

    /// To the whole group, so that helpers go with their leader.
    fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let group = self.group();
        killpg(group, signal).map_err(|errno| ProcessError::stop(format!("{signal} to process group {group}: {errno}")))
    }

    /// Waits for the killed helpers, which are not our children to reap. Asks with signal 0, which harms nobody.
    fn group_empties(&self) -> Result<(), ProcessError> {
        let group = self.group();
        let mut patience = Patience::new(KILL_LIMIT);
        while killpg(group, None) != Err(Errno::ESRCH) {
            patience.pause_blocking().map_err(|_| {
                ProcessError::stop(format!(
                    "processes of group {group} outlive SIGKILL, or nobody reaps them"
                ))
            })?;
        }
        Ok(())
    }

    /// The process leads a group of the same number.
    fn group(&self) -> Pid {
        Pid::from_raw(self.pid().cast_signed())
    }

    fn not_started(&self, problem: impl Into<String>) -> ProcessError {
        ProcessError::NotStarted {
            problem: problem.into(),
            log_tail: self.log_tail(),
        }
    }

    fn not_ready(&self, waited: Duration, last: String) -> ProcessError {
        ProcessError::NotReady {
            waited,
            last,
            log_tail: self.log_tail(),
        }
    }

    fn ended_early(&self, status: ExitStatus) -> ProcessError {
        self.not_started(format!("{} ended with {status}", self.program))
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let ended = match self.ended {
            Some(_) => Ok(()),
            None if self.ending.ask_when_dropped => self.stop_blocking(),
            None => self.end_group().map(drop),
        };
        if let Err(error) = ended {
            tracing::warn!("{} {error}", self.program);
        }
    }
}

/// Something that was started and is to become ready.
pub(crate) trait Starting {
    /// An error when it has ended.
    fn still_runs(&mut self) -> impl Future<Output = Result<(), ProcessError>> + Send;
    /// The last lines of what it wrote.
    fn log_tail(&self) -> impl Future<Output = String> + Send;
}

impl Starting for Supervised {
    async fn still_runs(&mut self) -> Result<(), ProcessError> {
        match self.reap_if_ended()? {
            None => Ok(()),
            Some(status) => Err(self.ended_early(status)),
        }
    }

    async fn log_tail(&self) -> String {
        self.log_tail()
    }
}

/// Asks until it answers, and looks after each failure whether asking is still of use.
pub(crate) async fn until_ready<T, Fut>(
    started: &mut impl Starting,
    patience: &mut Patience,
    ask: impl Fn() -> Fut,
) -> Result<T, ProcessError>
where
    Fut: Future<Output = Result<T, String>>,
{
    loop {
        let last = match patience.bound(ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(problem)) => problem,
            Err(timed_out) => timed_out.to_string(),
        };
        started.still_runs().await?;
        if let Err(TimedOut { waited }) = patience.pause().await {
            let log_tail = started.log_tail().await;
            return Err(ProcessError::NotReady { waited, last, log_tail });
        }
    }
}

/// How a process ended, in words.
pub fn how_it_ended(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// The last lines of a log, whatever its bytes are.
pub(crate) fn last_lines(log: &[u8]) -> String {
    let log = String::from_utf8_lossy(log);
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

/// The log's end as a paragraph of its own, or nothing when there is none.
fn log_end(log_tail: &str) -> String {
    if log_tail.is_empty() {
        String::new()
    } else {
        format!("\nthe end of its log:\n{log_tail}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(1);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    /// Its standard output is read by line.
    fn talker(script: &str) -> Supervised {
        Supervised::spawn(shell(script), Output::Lines { errors: None }, Ending::default()).unwrap()
    }

    async fn says(process: &mut Supervised, word: &str) -> Result<String, ProcessError> {
        let wanted = |line: &str| line.strip_prefix(word).map(str::to_owned);
        process.line(&Patience::new(LIMIT), wanted).await
    }

    fn is_alive(pid: u32) -> bool {
        Path::new(&format!("/proc/{pid}")).exists()
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_signal_is_killed() {
        let ending = Ending {
            limit: Duration::from_millis(100),
            ..Ending::default()
        };
        let script = "trap '' TERM; echo armed; while :; do sleep 1; done";
        let mut process = Supervised::spawn(shell(script), Output::Lines { errors: None }, ending).unwrap();
        says(&mut process, "armed").await.unwrap();
        let pid = process.pid();
        process.stop().await.unwrap();
        assert!(!is_alive(pid));
    }

    /// 1. The leader forks a helper that ignores the polite signal. 2. The leader ends at that signal.
    /// 3. The helper must be gone, too, when `stop` returns.
    #[tokio::test]
    async fn helpers_do_not_outlive_their_leader() {
        let mut process = talker(r#"sh -c 'trap "" TERM; echo helper $$; while :; do sleep 1; done' & wait"#);
        let helper: u32 = says(&mut process, "helper ").await.unwrap().parse().unwrap();
        let pid = process.pid();
        process.stop().await.unwrap();
        assert!(!is_alive(pid));
        assert!(!is_alive(helper), "helper {helper} is left");
    }

    #[tokio::test]
    async fn a_dropped_process_is_killed_with_its_helpers() {
        let mut process = talker(r#"trap "" TERM; sh -c 'echo helper $$; while :; do sleep 1; done' & wait"#);
        let helper: u32 = says(&mut process, "helper ").await.unwrap().parse().unwrap();
        let pid = process.pid();
        drop(process);
        assert!(!is_alive(pid) && !is_alive(helper));
    }

    #[tokio::test]
    async fn the_end_of_the_log_explains_a_failed_start() {
        let directory = tempfile::tempdir().unwrap();
        let script = "for i in $(seq 30); do echo line $i; done; echo broken beyond repair >&2; exit 3";
        let output = directory.path().join("log");
        let mut process = Supervised::spawn(shell(script), Output::Logged(&output), Ending::default()).unwrap();
        let never = async || Err::<(), _>("nothing".into());
        let ready = process.until_ready(&mut Patience::new(LIMIT), never).await;
        let text = ready.unwrap_err().to_string();
        let start = "did not start: sh ended with exit status: 3\nthe end of its log:\nline 12\n";
        assert!(
            text.starts_with(start) && text.ends_with("line 30\nbroken beyond repair"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_process_that_never_answers_is_given_up() {
        let mut process = talker("while :; do sleep 1; done");
        let never = async || Err::<(), _>("no route".into());
        let patience = &mut Patience::new(Duration::from_millis(30));
        let error = process.until_ready(patience, never).await.unwrap_err().to_string();
        assert_eq!(error, "was not ready after 0 s, its last answer was: no route");
        let error = says(&mut process, "unheard").await;
        assert!(matches!(error, Err(ProcessError::NotReady { .. })), "{error:?}");
    }

    /// More than a pipe holds must not stop it after the line that was waited for.
    #[tokio::test]
    async fn what_it_prints_after_the_line_is_read_away() {
        let mut process = talker("echo first; echo address 7; head -c 1000000 /dev/zero; exit 5");
        assert_eq!(says(&mut process, "address ").await.unwrap(), "7");
        let status = process.ended().await.unwrap();
        assert_eq!(how_it_ended(status), "ended with exit code 5");
        process.stop().await.unwrap();
    }

    #[tokio::test]
    async fn an_end_before_the_line_is_noticed() {
        let error = says(&mut talker("echo other; kill -9 $$"), "address ")
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "did not start: sh ended with signal: 9 (SIGKILL)");
    }

    #[tokio::test]
    async fn a_program_that_ends_is_listened_to_and_must_succeed() {
        let mut heard = Vec::new();
        let patience = Patience::new(LIMIT);
        let finished = talker("echo one; echo two").finish(&patience, |line| heard.push(line.to_owned()));
        finished.await.unwrap();
        assert_eq!(heard, ["one", "two"]);
        let finished = talker("exit 2").finish(&patience, |_| ());
        let error = finished.await.unwrap_err().to_string();
        assert_eq!(error, "failed: sh ended with exit status: 2");
    }

    #[tokio::test]
    async fn a_process_that_died_meanwhile_is_reported_when_stopped() {
        let process = talker("exit 4");
        assert!(process.ends_within(LIMIT).unwrap());
        let error = process.stop().await.unwrap_err();
        assert!(
            matches!(error, ProcessError::Died { status, .. } if status.code() == Some(4)),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_piped_input_stays_open_until_the_end() {
        let mut command = shell("echo ready; read line; echo over; exit 6");
        command.stdin(Stdio::piped());
        let mut process = Supervised::spawn(command, Output::Lines { errors: None }, Ending::default()).unwrap();
        says(&mut process, "ready").await.unwrap();
        assert!(
            !process.ends_within(Duration::from_millis(50)).unwrap(),
            "its input ended"
        );
        process.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_detached_process_goes_on() {
        let mut process = talker("echo ready; while :; do sleep 1; done");
        says(&mut process, "ready").await.unwrap();
        let group = process.group();
        process.detach();
        assert!(killpg(group, None).is_ok());
        killpg(group, Signal::SIGKILL).unwrap();
        waitid(Id::Pid(group), WaitPidFlag::WEXITED).unwrap();
    }

    #[test]
    fn a_program_that_cannot_run_is_named_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("/no/such/program");
        command.current_dir(directory.path());
        let log = directory.path().join("log");
        let error = Supervised::spawn(command, Output::Logged(&log), Ending::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("did not start: cannot run /no/such/program in "),
            "{error}"
        );
    }
}
