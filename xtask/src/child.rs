//! Programs that this command runs to their end, and whether they are there. Ctrl-C and SIGTERM end those that run, and
//! this command then returns in order, so that what it started besides (a container engine) is stopped, too.

use std::{
    collections::BTreeSet,
    os::unix::process::CommandExt,
    process::{Command, ExitStatus, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// Exit code of an interrupted command, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;

/// The process groups that run now.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());
static STOPPED: AtomicBool = AtomicBool::new(false);

/// Takes over Ctrl-C and SIGTERM for the rest of the process.
pub(crate) fn end_on_signal() -> anyhow::Result<()> {
    let handler = || {
        STOPPED.store(true, Ordering::SeqCst);
        end_running();
    };
    ctrlc::set_handler(handler).context("cannot handle Ctrl-C")
}

/// Whether a signal came.
pub(crate) fn stopped() -> bool {
    STOPPED.load(Ordering::SeqCst)
}

/// Runs a program to its end; its own messages say why it failed.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = status(command).with_context(|| format!("cannot run {name}"))?;
    ensure!(status.success(), "{name} failed ({status})");
    Ok(())
}

/// Whether a program succeeds, whatever it prints.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let asked = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Runs a program in a process group of its own, so that a signal reaches it through us, with all that it started.
fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    ensure!(!stopped(), "interrupted");
    let mut child = command.process_group(0).spawn()?;
    let group = child.id().cast_signed();
    running().insert(group);
    if stopped() {
        // The signal came between the first look and the insertion.
        end_running();
    }
    let status = child.wait();
    running().remove(&group);
    ensure!(!stopped(), "interrupted");
    Ok(status?)
}

/// Whether a program can be run by its name.
pub(crate) fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

fn end_running() {
    for group in running().iter() {
        // It may have ended meanwhile.
        let _ = killpg(Pid::from_raw(*group), Signal::SIGTERM);
    }
}

/// Nothing panics while it is held; and ends must be told even if something did.
fn running() -> MutexGuard<'static, BTreeSet<i32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_path_is_found_and_nothing_else() {
        assert!(on_path("sh"));
        assert!(!on_path("no-such-program-anywhere"));
    }
}
