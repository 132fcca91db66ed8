//! Programs that this command runs to their end. Ctrl-C and SIGTERM end the one that runs, and this command then returns in
//! order, so that what it started besides (a container engine) is stopped, too.

use std::{
    os::unix::process::CommandExt,
    process::{Command, ExitStatus},
    sync::atomic::{AtomicBool, AtomicI32, Ordering},
};

use anyhow::{Context, ensure};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// Exit code of an interrupted command, as shells report it.
pub(crate) const INTERRUPTED: u8 = 130;

/// The process group that runs now; 0 when none does. One at a time: this command does one thing after another.
static RUNNING: AtomicI32 = AtomicI32::new(0);
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

/// Runs a program in a process group of its own, so that a signal reaches it through us, with all that it started.
pub(crate) fn status(command: &mut Command) -> anyhow::Result<ExitStatus> {
    ensure!(!stopped(), "interrupted");
    let mut child = command.process_group(0).spawn()?;
    RUNNING.store(child.id().cast_signed(), Ordering::SeqCst);
    if stopped() {
        // The signal came between the first look and the store.
        end_running();
    }
    let status = child.wait();
    RUNNING.store(0, Ordering::SeqCst);
    ensure!(!stopped(), "interrupted");
    Ok(status?)
}

fn end_running() {
    let group = RUNNING.load(Ordering::SeqCst);
    if group != 0 {
        // It may have ended meanwhile.
        let _ = killpg(Pid::from_raw(group), Signal::SIGTERM);
    }
}
