//! The lock file beside a server's directory: it says whose the directory is and which process groups work in it.
//!
//! The file is locked (flock) for as long as its owner lives, whichever way the owner ends; a lock file that can be
//! locked is a dead one's. Only what such a file stands for is ever removed by a later start: the directory of the same
//! name, and processes that are of a group written in the file and work in that directory. Both conditions must hold,
//! because numbers are reused and because people look around in directories with a shell.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use procfs::process::Stat;

use crate::error::StackError;
use crate::identity::{self, Identity};
use crate::wait::Patience;

/// Beginning of the names of our directories and their lock files. It says where to look, and is never a reason to
/// remove anything.
pub(crate) const PREFIX: &str = "loadtest-stack-";
const SUFFIX: &str = ".lock";
/// The first line of the file; another version of it is not ours to judge.
const HEADER: &str = "loadtest-stack lock 1";
/// Two owners meeting on one name, or a sweep at the moment of creation, is a matter of bad luck; not five times in a
/// row.
const ATTEMPTS: u32 = 5;
/// The kernel ends a killed process at once unless it hangs in a device.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// A lock file that this process holds.
#[derive(Debug)]
pub(crate) struct Claim {
    file: Flock<File>,
    path: PathBuf,
}

impl Claim {
    /// Takes a name under `parent` that nobody else has, beginning with [`PREFIX`] and `kind`.
    pub(crate) fn take(parent: &Path, kind: &str) -> Result<Self, StackError> {
        let owner = Identity::own().map_err(|problem| StackError::File {
            action: "say who owns a directory in",
            path: parent.to_owned(),
            cause: io::Error::other(problem),
        })?;
        let mut tried = 0;
        loop {
            tried += 1;
            let path = parent.join(format!("{PREFIX}{kind}-{:08x}{SUFFIX}", rand::random::<u32>()));
            match Self::create(&path, &owner) {
                Ok(claim) => return Ok(claim),
                Err(cause) if tried == ATTEMPTS || !is_bad_luck(&cause) => {
                    return Err(StackError::file("create a directory under", parent)(cause));
                }
                Err(_) => {}
            }
        }
    }

    /// The directory that this claim stands for; making and removing it is the caller's business.
    pub(crate) fn directory(&self) -> PathBuf {
        self.path.with_extension("")
    }

    /// Writes down that the process leads a group which works in the directory. Before this returns, nobody would find
    /// the process if we were killed.
    pub(crate) fn record_group(&self, pid: u32) -> Result<(), StackError> {
        let started_ticks = identity::stat(pid.cast_signed()).map_or(0, |stat| stat.starttime);
        let line = format!("group {pid} {started_ticks}\n");
        let written = (&*self.file).write_all(line.as_bytes());
        written.map_err(StackError::file("write", &self.path))
    }

    /// Removes the lock file, after the directory has gone. Doing so again is no error.
    pub(crate) fn release(&self) -> Result<(), StackError> {
        ignore_missing(std::fs::remove_file(&self.path)).map_err(StackError::file("remove", &self.path))
    }

    /// A sweep may come between creating and locking, take the file for a dead one's, and remove it. So afterwards the
    /// name must still lead to what was locked.
    fn create(path: &Path, owner: &Identity) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(true).mode(0o600);
        let file = lock(options.open(path)?)?;
        if !is_same_file(path, &file) {
            return Err(Errno::EWOULDBLOCK.into());
        }
        (&*file).write_all(format!("{HEADER}\nowner {owner}\n").as_bytes())?;
        Ok(Self {
            file,
            path: path.to_owned(),
        })
    }
}

fn lock(file: File) -> io::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

fn is_bad_luck(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::WouldBlock)
}

fn is_same_file(path: &Path, file: &File) -> bool {
    let (Ok(there), Ok(here)) = (path.symlink_metadata(), file.metadata()) else {
        return false;
    };
    (there.dev(), there.ino()) == (here.dev(), here.ino())
}

fn ignore_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes what dead owners left under `parent`, and says for each what it was. What cannot be removed is logged and
/// left to the next start; a directory that cannot be read has nothing of ours.
pub(crate) fn sweep(parent: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let locks = entries.filter(|entry| is_lock_name(&entry.file_name().to_string_lossy()));
    let swept = locks.filter_map(|entry| match sweep_one(&entry.path()) {
        Ok(swept) => swept,
        Err(error) => {
            tracing::warn!(%error, lock = %entry.path().display(), "what a dead owner left cannot be removed");
            None
        }
    });
    swept.collect()
}

fn is_lock_name(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(SUFFIX)
}

/// `None` when the owner lives or is none of our business.
fn sweep_one(path: &Path) -> io::Result<Option<String>> {
    let Some(mut file) = open_own(path)? else {
        return Ok(None);
    };
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let Some(left) = Left::read(&text) else { return Ok(None) };
    let directory = path.with_extension("");
    let processes = left.end_processes(&directory)?;
    remove_directory(&directory)?;
    ignore_missing(std::fs::remove_file(path))?;
    Ok(Some(format!("{} with {processes} processes", directory.display())))
}

/// Opens and locks the lock file of a dead owner. It must belong to this user: a file of somebody else's could send our
/// signals and removals anywhere.
fn open_own(path: &Path) -> io::Result<Option<Flock<File>>> {
    let is_own = |facts: &Metadata| facts.is_file() && facts.uid() == geteuid().as_raw();
    if !path.symlink_metadata().is_ok_and(|facts| is_own(&facts)) {
        return Ok(None);
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(OFlag::O_NOFOLLOW.bits());
    let opened = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    // Looked at again, because the name may lead elsewhere by now.
    if !is_own(&opened.metadata()?) {
        return Ok(None);
    }
    match lock(opened) {
        Ok(file) => Ok(is_same_file(path, &file).then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Waits for stragglers: a directory that is written to while it is removed is not empty at the end.
pub(crate) fn remove_directory(directory: &Path) -> io::Result<()> {
    let mut patience = Patience::new(KILL_LIMIT);
    loop {
        match ignore_missing(std::fs::remove_dir_all(directory)) {
            // A file that vanished meanwhile also reads as "not found".
            Ok(()) if !directory.exists() => return Ok(()),
            Ok(()) => patience.pause_blocking().map_err(io::Error::other)?,
            Err(cause) => patience.pause_blocking().map_err(|_| cause)?,
        }
    }
}

/// Contents of a dead owner's lock file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    /// Numbers of process groups with the start of their leaders in ticks since boot; empty after a reboot.
    groups: Vec<(i32, u64)>,
}

impl Left {
    /// `None` for what is not ours to judge: another version, or a container whose processes cannot be seen from here.
    /// An empty file is of an owner that was killed before its first line; numbers of an earlier boot mean nothing.
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        match lines.next() {
            None => return Some(Self::default()),
            Some(HEADER) => {}
            Some(_) => return None,
        }
        let owner = lines.next().and_then(|line| line.strip_prefix("owner "));
        let owner: Option<Identity> = owner.and_then(|owner| owner.parse().ok());
        let groups = lines.filter_map(group).collect();
        match owner {
            Some(owner) if owner.is_local() => Some(Self { groups }),
            Some(owner) if owner.is_of_this_boot() => None,
            None | Some(_) => Some(Self::default()),
        }
    }

    /// Kills them and waits until they are gone; says how many there were.
    fn end_processes(&self, directory: &Path) -> io::Result<usize> {
        let found = self.processes(directory);
        let mut patience = Patience::new(KILL_LIMIT);
        loop {
            let alive = self.processes(directory);
            if alive.is_empty() {
                return Ok(found.len());
            }
            for pid in alive {
                match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
            patience.pause_blocking().map_err(io::Error::other)?;
        }
    }

    fn processes(&self, directory: &Path) -> Vec<i32> {
        if self.groups.is_empty() {
            return Vec::new();
        }
        let all = procfs::process::all_processes().into_iter().flatten().flatten();
        let stats = all.filter_map(|process| process.stat().ok());
        stats
            .filter(|stat| self.has(stat) && !identity::is_over(stat) && works_in(stat.pid, directory))
            .map(|stat| stat.pid)
            .collect()
    }

    fn has(&self, process: &Stat) -> bool {
        let of = |&(group, started_ticks): &(i32, u64)| process.pgrp == group && process.starttime >= started_ticks;
        self.groups.iter().any(of)
    }
}

fn group(line: &str) -> Option<(i32, u64)> {
    let (pid, started_ticks) = line.strip_prefix("group ")?.split_once(' ')?;
    Some((pid.parse().ok()?, started_ticks.parse().ok()?))
}

/// A directory that is gone is shown with a word behind it.
fn works_in(pid: i32, directory: &Path) -> bool {
    let Ok(at) = std::fs::read_link(format!("/proc/{pid}/cwd")) else {
        return false;
    };
    let at = at.to_string_lossy();
    Path::new(at.strip_suffix(" (deleted)").unwrap_or(&at)).starts_with(directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    /// Leaves the file and the directory, but nobody who holds the lock, as when an owner is killed.
    fn abandon(claim: Claim) -> PathBuf {
        std::fs::create_dir(claim.directory()).unwrap();
        let directory = claim.directory();
        drop(claim);
        directory
    }

    fn sleeper(directory: &Path) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").current_dir(directory).process_group(0);
        command.spawn().unwrap()
    }

    fn ended(mut child: Child) -> bool {
        child.wait().unwrap().code().is_none()
    }

    #[test]
    fn what_a_living_owner_has_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let claim = Claim::take(parent.path(), "test").unwrap();
        std::fs::create_dir(claim.directory()).unwrap();
        assert_eq!(sweep(parent.path()), Vec::<String>::new());
        assert!(claim.directory().exists());
        claim.release().unwrap();
        claim.release().unwrap();
        assert!(!claim.path.exists());
    }

    #[test]
    fn what_a_dead_owner_left_goes_with_its_processes() {
        let parent = tempfile::tempdir().unwrap();
        let claim = Claim::take(parent.path(), "test").unwrap();
        let directory = claim.directory();
        std::fs::create_dir(&directory).unwrap();
        let child = sleeper(&directory);
        claim.record_group(child.id()).unwrap();
        drop(claim);
        // Reaped on another thread, as init would.
        let reaper = std::thread::spawn(move || ended(child));
        let swept = sweep(parent.path());
        assert_eq!(swept, [format!("{} with 1 processes", directory.display())]);
        assert!(reaper.join().unwrap(), "the process was not killed");
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_process_that_only_has_the_number_or_only_the_place_is_spared() {
        let parent = tempfile::tempdir().unwrap();
        let claim = Claim::take(parent.path(), "test").unwrap();
        std::fs::create_dir(claim.directory()).unwrap();
        let mut with_number = sleeper(parent.path());
        let mut in_place = sleeper(&claim.directory());
        claim.record_group(with_number.id()).unwrap();
        drop(claim);
        assert_eq!(sweep(parent.path()).len(), 1);
        for child in [&mut with_number, &mut in_place] {
            assert_eq!(child.try_wait().unwrap(), None, "a stranger was killed");
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_name_alone_is_no_reason_to_remove_anything() {
        let parent = tempfile::tempdir().unwrap();
        let without_lock = parent.path().join("loadtest-stack-redis-0");
        std::fs::create_dir(&without_lock).unwrap();
        for (name, text) in [
            ("later", "loadtest-stack lock 2\n".to_owned()),
            ("theirs", "a file of somebody else's\n".to_owned()),
            ("container", format!("{HEADER}\nowner {}\n", elsewhere("pid:[1]"))),
        ] {
            let directory = parent.path().join(format!("{PREFIX}{name}"));
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.with_extension("lock"), text).unwrap();
        }
        let target = parent.path().join("target");
        std::fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, parent.path().join("loadtest-stack-link.lock")).unwrap();
        let before = std::fs::read_dir(parent.path()).unwrap().count();
        assert_eq!(sweep(parent.path()), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), before);
    }

    #[test]
    fn an_owner_killed_at_its_first_step_leaves_no_trace_either() {
        let parent = tempfile::tempdir().unwrap();
        let claim = Claim::take(parent.path(), "test").unwrap();
        let directory = abandon(claim);
        std::fs::write(directory.with_extension("lock"), "").unwrap();
        assert_eq!(sweep(parent.path()).len(), 1);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    /// This process as another namespace would see it.
    fn elsewhere(namespace: &str) -> String {
        let own = Identity::own().unwrap().to_string();
        let mut fields: Vec<&str> = own.split_whitespace().collect();
        fields[1] = namespace;
        fields.join(" ")
    }

    #[test]
    fn after_a_reboot_numbers_mean_nothing() {
        let text = format!("{HEADER}\nowner another-boot pid:[1] 7 7\ngroup 1 0\n");
        assert_eq!(Left::read(&text), Some(Left::default()));
        let own = Identity::own().unwrap();
        let left = Left::read(&format!("{HEADER}\nowner {own}\ngroup 1 0\n")).unwrap();
        assert_eq!(left.groups, [(1, 0)]);
    }
}
