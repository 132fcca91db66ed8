//! Keeping to a schedule: a kernel timer on its own thread, which wakes within a tenth of a millisecond where tokio's
//! own timers take one (docs/COSTS.md, "Pacing").

use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::unix::AsyncFd;

use crate::clock::Clock;

/// Wakes at times of a round's clock.
pub(crate) struct Pacer {
    timer: AsyncFd<Timer>,
    clock: Clock,
}

/// tokio asks for a raw descriptor, nix shows a borrowed one.
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Pacer {
    /// A timer on the current runtime.
    #[expect(
        deprecated,
        reason = "its successor is unsafe because a type may lie about its descriptor; ours owns it and keeps it"
    )]
    pub(crate) fn new(clock: Clock) -> std::io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        Ok(Self {
            timer: AsyncFd::new(Timer(timer))?,
            clock,
        })
    }

    /// Returns once the clock reads `at_us`; at once when it does already.
    pub(crate) async fn until(&self, at_us: u64) -> std::io::Result<()> {
        if self.clock.now_us() >= at_us {
            return Ok(());
        }
        let expiration = Expiration::OneShot(self.clock.kernel_time(at_us));
        // Setting it forgets an earlier expiration, so that nothing has to be read from the timer.
        self.timer
            .get_ref()
            .0
            .set(expiration, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        while self.clock.now_us() < at_us {
            // What is ready here may still be an earlier setting: then it is cleared, and the wait goes on.
            self.timer.readable().await?.clear_ready();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wakes_at_or_after_its_time_also_when_that_is_past() {
        let clock = Clock::start().unwrap();
        let pacer = Pacer::new(clock).unwrap();
        for at_us in [2_000, 2_500, 1_000, 5_000] {
            pacer.until(at_us).await.unwrap();
            assert!(clock.now_us() >= at_us);
        }
    }
}
