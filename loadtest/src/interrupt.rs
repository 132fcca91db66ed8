//! Ctrl-C and SIGTERM: the first stops the run cleanly and keeps what it has, the second gives up waiting for the
//! drain.
//!
//! Ours is installed before goose starts: only one handler can be, and goose's ends the process on the second signal,
//! which would leave servers and directories behind.

use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

use crate::{error::HarnessError, say};

/// Stop signals for one command.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    /// Cancelled by the first signal: finish what is in flight, then stop.
    pub(crate) stop: CancellationToken,
    /// Cancelled by the second: abandon what is in flight. Servers are still stopped and directories removed.
    pub(crate) abort: CancellationToken,
}

impl Interrupt {
    /// The process-wide signals; the handler is installed by the first call.
    ///
    /// # Errors
    /// When the operating system refuses the handler.
    pub(crate) fn install() -> Result<Self, HarnessError> {
        static INSTALLED: OnceLock<Interrupt> = OnceLock::new();
        if let Some(installed) = INSTALLED.get() {
            return Ok(installed.clone());
        }
        let interrupt = Self {
            stop: CancellationToken::new(),
            abort: CancellationToken::new(),
        };
        let handler = interrupt.clone();
        ctrlc::set_handler(move || handler.signalled()).map_err(HarnessError::internal)?;
        Ok(INSTALLED.get_or_init(|| interrupt).clone())
    }

    /// `Err(Interrupted)` once a signal has come.
    pub(crate) fn check(&self) -> Result<(), HarnessError> {
        if self.stop.is_cancelled() {
            Err(HarnessError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// The outcome of `work`, unless a signal comes first: then `work` is dropped.
    ///
    /// # Errors
    /// [`HarnessError::Interrupted`] after a signal.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, HarnessError> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(HarnessError::Interrupted),
            done = work => Ok(done),
        }
    }

    /// The same signals as the load takes them.
    pub(crate) fn of_load(&self) -> load::Stop {
        load::Stop {
            stop: self.stop.clone(),
            abort: self.abort.clone(),
        }
    }

    fn signalled(&self) {
        if self.stop.is_cancelled() {
            say::err("again: abandoning the requests in flight; stopping the servers");
            self.abort.cancel();
        } else {
            say::err("stopping: finishing what is in flight and keeping what was measured (once more to hurry)");
            self.stop.cancel();
        }
    }
}
