//! A container engine for the tests: the one that answers, or one of our own for as long as they run, with its data in
//! a temporary directory.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};

use crate::child::{on_path, succeeds};

/// Starting loads a few kernel modules on a fresh machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// An engine stops its containers first, and gives each ten seconds.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
const PREFIX: &str = "loadtest-engine-";
const LOCK: &str = "lock";
/// Options to try one after the other: a restricted machine may refuse the overlay file system, and rules for the
/// firewall.
const ATTEMPTS: [&[&str]; 4] = [
    &[],
    &["--storage-driver=vfs"],
    &["--iptables=false", "--ip6tables=false"],
    &["--storage-driver=vfs", "--iptables=false", "--ip6tables=false"],
];

/// An engine that answers. Dropping it ends one of our own and removes its data.
pub(crate) struct Engine {
    /// The value of `DOCKER_HOST`, when it is not the default one.
    host: Option<String>,
    /// Held for its end.
    _own: Option<Own>,
}

struct Own {
    daemon: Child,
    directory: PathBuf,
    /// Locked for as long as we live: what a dead one left can be told from what a living one has.
    _lock: File,
}

impl Engine {
    /// The engine that answers; `None` when there is none.
    pub(crate) fn running() -> Option<Self> {
        answers(None).then_some(Self { host: None, _own: None })
    }

    /// The engine that answers, else one of our own.
    pub(crate) fn provide() -> anyhow::Result<Self> {
        sweep();
        if let Some(engine) = Self::running() {
            return Ok(engine);
        }
        ensure!(
            geteuid().is_root(),
            "no container engine answers, and starting one needs root"
        );
        let mut problems = Vec::new();
        for arguments in ATTEMPTS {
            match Own::start(arguments) {
                Ok((own, host)) => {
                    eprintln!(
                        "started a container engine for these tests: dockerd {}",
                        arguments.join(" ")
                    );
                    return Ok(Self {
                        host: Some(host),
                        _own: Some(own),
                    });
                }
                Err(problem) => problems.push(format!("{problem:#}")),
            }
        }
        bail!(
            "no container engine answers, and none could be started:\n{}",
            problems.join("\n")
        )
    }

    /// The command-line client, talking to this engine.
    pub(crate) fn client(&self) -> Command {
        client(self.host.as_deref())
    }

    /// The variables by which tests find it.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        self.host.iter().map(|host| ("DOCKER_HOST", host.clone())).collect()
    }
}

impl Own {
    fn start(arguments: &[&str]) -> anyhow::Result<(Self, String)> {
        let directory = std::env::temp_dir().join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let lock = File::create(directory.join(LOCK))?;
        lock.lock()?;
        let log = directory.join("dockerd.log");
        let host = format!("unix://{}", directory.join("socket").display());
        let daemon = daemon(&directory, &host, arguments, &log);
        let daemon = daemon
            .inspect_err(|_| remove(&directory))
            .context("cannot run dockerd")?;
        let mut own = Self {
            daemon,
            directory,
            _lock: lock,
        };
        let up = within(START_LIMIT, || match own.daemon.try_wait()? {
            Some(status) => bail!("it ended with {status}"),
            None => Ok(answers(Some(&host))),
        });
        let started = up.and_then(|up| {
            ensure!(up, "it did not answer within {} s", START_LIMIT.as_secs());
            Ok(())
        });
        started.with_context(|| format!("dockerd {}: {}", arguments.join(" "), tail(&log)))?;
        Ok((own, host))
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        // One that ended by itself is not there to be told.
        let _ = kill(Pid::from_raw(self.daemon.id().cast_signed()), Signal::SIGTERM);
        if !within(STOP_LIMIT, || Ok(self.daemon.try_wait()?.is_some()))? {
            self.daemon.kill()?;
            self.daemon.wait()?;
        }
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("the container engine of these tests does not end: {error}");
        }
        clear(&self.directory);
    }
}

fn daemon(directory: &Path, host: &str, arguments: &[&str], log: &Path) -> io::Result<Child> {
    let output = File::create(log)?;
    let mut command = Command::new("dockerd");
    for (option, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
        command.arg(option).arg(directory.join(name));
    }
    command.args(["--host", host]).args(arguments);
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
}

/// `docker`, or `podman`, which understands the same words.
fn client(host: Option<&str>) -> Command {
    let mut command = Command::new(if on_path("docker") { "docker" } else { "podman" });
    if let Some(host) = host {
        command.env("DOCKER_HOST", host);
    }
    command
}

fn answers(host: Option<&str>) -> bool {
    succeeds(client(host).args(["version", "--format", "{{.Server.Version}}"]))
}

/// Removes processes, mounts and files of engines whose owner was killed.
fn sweep() {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        if is_abandoned(&entry.path()) {
            eprintln!("removing what a killed run left: {}", entry.path().display());
            clear(&entry.path());
        }
    }
}

/// Ours, and nobody holds its lock. The name alone says nothing.
fn is_abandoned(directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let is_ours = |meta: fs::Metadata| meta.is_dir() && meta.uid() == geteuid().as_raw();
    let ours = directory.symlink_metadata().is_ok_and(is_ours);
    ours && File::open(directory.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}

/// Ends what runs with this directory on its command line (the engine's own helpers), then unmounts and removes.
fn clear(directory: &Path) {
    // What does not end keeps its mounts and so the directory, which is then reported.
    let _ = within(STOP_LIMIT, || {
        let running = processes_of(directory);
        for &pid in &running {
            // It may have ended meanwhile.
            let _ = kill(pid, Signal::SIGKILL);
        }
        Ok(running.is_empty())
    });
    for mount in mounts_in(directory) {
        // Of no use to anybody any more; what cannot be unmounted keeps the directory, which is then reported.
        let _ = Command::new("umount").arg(mount).status();
    }
    remove(directory);
}

fn remove(directory: &Path) {
    if let Err(error) = fs::remove_dir_all(directory) {
        eprintln!("cannot remove {}: {error}", directory.display());
    }
}

fn processes_of(directory: &Path) -> Vec<Pid> {
    let needle = format!("{}/", directory.display());
    let own = std::process::id().cast_signed();
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names_it = |pid: &i32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != own && String::from_utf8_lossy(&words).contains(&needle)
    };
    pids.filter(names_it).map(Pid::from_raw).collect()
}

/// The innermost first.
fn mounts_in(directory: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    let mut inside: Vec<PathBuf> = points.filter(|point| point.starts_with(directory)).collect();
    inside.reverse();
    inside
}

/// The last lines of the engine's log.
fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

/// Looks until it is so; `false` when the time is up.
#[expect(
    clippy::disallowed_methods,
    reason = "a wait with a deadline in a program without a runtime"
)]
fn within(limit: Duration, mut is_so: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<bool> {
    let started = Instant::now();
    while !is_so()? {
        if started.elapsed() > limit {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_abandoned() {
        let directory = std::env::temp_dir().join(format!("{PREFIX}test-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        assert!(!is_abandoned(&directory), "without a lock it is not ours");
        let held = File::create(directory.join(LOCK)).unwrap();
        held.lock().unwrap();
        assert!(!is_abandoned(&directory), "it is held");
        drop(held);
        assert!(is_abandoned(&directory));
        clear(&directory);
        assert!(!directory.exists());
    }
}
