//! Progress of a run for its user: a bar on a terminal, plain lines elsewhere.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use load::printable;

use crate::say;

/// Progress of one command, on stderr.
pub(crate) struct Progress {
    /// `None` when stderr is not a terminal.
    bar: Option<ProgressBar>,
}

impl Progress {
    /// A bar when stderr is a terminal.
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {elapsed} {bar:12} {wide_msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            // Of length 0 it would be full before anything has happened.
            let bar = ProgressBar::new(1).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar }
    }

    /// Whether a terminal shows a bar.
    pub(crate) fn has_bar(&self) -> bool {
        self.bar.is_some()
    }

    /// A line that stays.
    pub(crate) fn line(&self, text: &str) {
        // It may come from a subject, and acts on no terminal.
        let text = printable(text);
        match &self.bar {
            Some(bar) => bar.println(&*text),
            None => say::err(text),
        }
    }

    /// A line for those who have no bar to look at.
    pub(crate) fn step(&self, text: &str) {
        if self.bar.is_none() {
            say::err(text);
        }
    }

    /// The length of the whole load, in milliseconds: what the bar fills up to.
    pub(crate) fn expect_ms(&self, total_ms: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total_ms);
        }
    }

    /// Where the load is now; only a terminal shows it. How long it will take is known, and not guessed from how fast
    /// it went.
    pub(crate) fn at(&self, done_ms: u64, message: &str) {
        if let Some(bar) = &self.bar {
            let left_s = bar.length().unwrap_or_default().saturating_sub(done_ms).div_ceil(1000);
            bar.set_position(done_ms);
            bar.set_message(format!("{left_s}s left, {message}"));
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
