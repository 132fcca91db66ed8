//! Shows a round while it runs: where it is, and rate, percentiles and errors so far.

use std::time::Duration;

use load::Attack;
use measure::recorder::Windows;
use tokio::time::sleep_until;

use super::plan::{Plan, PlannedLaunch};
use crate::progress::Progress;

/// How often everything is sampled and progress shown.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How often those who have no bar to look at get a line.
const LINE_EVERY_S: u64 = 10;

/// One round on the screen.
pub(super) struct Display<'a> {
    plan: &'a Plan,
    launch: PlannedLaunch,
    attack: &'a Attack,
    progress: &'a Progress,
}

impl<'a> Display<'a> {
    pub(super) fn new(plan: &'a Plan, launch: PlannedLaunch, attack: &'a Attack, progress: &'a Progress) -> Self {
        Self {
            plan,
            launch,
            attack,
            progress,
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.attack.clock().now_us() / 1000
    }

    pub(super) fn windows(&self) -> Windows {
        self.attack.timeline().windows
    }

    /// A line for those who have no bar.
    pub(super) fn phase_begins(&self) {
        self.progress.step(&self.place());
    }

    /// Shows where the round is and sleeps to its next full second, or to `end_us`; false once that is reached, or the
    /// load has stopped.
    pub(super) async fn tick(&self, end_us: u64) -> bool {
        let clock = self.attack.clock();
        let step_us = u64::try_from(SAMPLE_EVERY.as_micros()).unwrap_or(u64::MAX);
        let now_us = clock.now_us();
        self.show(now_us);
        if now_us >= end_us {
            return false;
        }
        let next_us = ((now_us / step_us + 1) * step_us).min(end_us);
        tokio::select! {
            () = sleep_until(clock.instant(next_us)) => next_us < end_us,
            () = self.attack.stopped() => false,
        }
    }

    /// "during measure of block 2 of 5", for messages.
    pub(super) fn when(&self) -> String {
        format!(
            "during {} of block {} of {}",
            self.phase(),
            self.launch.block + 1,
            self.plan.schedule.blocks
        )
    }

    fn phase(&self) -> &'static str {
        self.attack.timeline().phase_at(self.attack.clock().now_us())
    }

    /// "block 2/5 phase1 measure".
    fn place(&self) -> String {
        format!(
            "block {}/{} {} {}",
            self.launch.block + 1,
            self.plan.schedule.blocks,
            self.plan.subjects[self.launch.subject].name,
            self.phase()
        )
    }

    /// Rate, percentiles and errors so far: on the bar every second, in lines now and then.
    fn show(&self, now_us: u64) {
        let line_is_due = (now_us / 1_000_000).is_multiple_of(LINE_EVERY_S) && now_us >= 1_000_000;
        if self.progress.has_bar() {
            let per_launch_ms = u64::try_from(self.plan.load_per_launch().as_millis()).unwrap_or(u64::MAX);
            let done_ms = u64::from(self.launch.order) * per_launch_ms + (now_us / 1000).min(per_launch_ms);
            // Phase and figures first: a narrow terminal cuts the end.
            let text = format!("{} {}, {}", self.phase(), self.figures(now_us), self.place());
            self.progress.at(done_ms, &text);
        } else if line_is_due {
            self.progress
                .step(&format!("{} {}", self.place(), self.figures(now_us)));
        }
    }

    /// "812/s, p50/95/99 1.2/3.4/9.8 ms, 0 errors", of the measured phase.
    fn figures(&self, now_us: u64) -> String {
        let so_far = self.attack.so_far();
        let measured_s = now_us.saturating_sub(self.windows().warm_up_end_us) as f64 / 1e6;
        let rate = if measured_s > 0.0 {
            so_far.answers as f64 / measured_s
        } else {
            0.0
        };
        let quantile_ms = |quantile: f64| {
            let us = so_far.times.quantile_us(quantile);
            us.map_or_else(|| "-".to_owned(), |us| format!("{:.1}", us as f64 / 1000.0))
        };
        let [p50, p95, p99] = [0.5, 0.95, 0.99].map(quantile_ms);
        format!("{rate:.0}/s, p50/95/99 {p50}/{p95}/{p99} ms, {} errors", so_far.errors)
    }
}
