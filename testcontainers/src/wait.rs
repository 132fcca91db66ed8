//! The one place where waiting happens: asking again, with growing pauses, until a deadline. What is asked, and what an
//! answer means, is the caller's business.

use std::time::{Duration, Instant};

/// Short at first, so that a quick server is not waited for longer than it needs.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Long enough not to load a machine that is busy starting servers.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The time allowed is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {:.1} s", waited.as_secs_f64())]
pub struct TimedOut {
    /// How long was waited.
    pub waited: Duration,
}

/// A budget of time for one wait.
///
/// ```
/// # async fn example(mut ask: impl AsyncFnMut() -> bool) -> Result<(), stack::wait::TimedOut> {
/// let mut patience = stack::wait::Patience::new(std::time::Duration::from_secs(10));
/// while !patience.bound(ask()).await? {
///     patience.pause().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Patience {
    started: Instant,
    limit: Duration,
    next_pause: Duration,
}

impl Patience {
    /// Starts the clock.
    pub fn new(limit: Duration) -> Self {
        Self {
            started: Instant::now(),
            limit,
            next_pause: FIRST_PAUSE,
        }
    }

    /// How long this wait has lasted.
    pub fn waited(&self) -> Duration {
        self.started.elapsed()
    }

    /// Pauses before the next question. Fails when the time is up.
    pub async fn pause(&mut self) -> Result<(), TimedOut> {
        tokio::time::sleep(self.take_pause()?).await;
        Ok(())
    }

    /// Pauses before the next question and blocks the thread, for destructors, which cannot await. Fails when the time
    /// is up.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the wait with a deadline that the lint asks for"
    )]
    pub fn pause_blocking(&mut self) -> Result<(), TimedOut> {
        std::thread::sleep(self.take_pause()?);
        Ok(())
    }

    /// Gives one question no more than what is left of the time.
    pub async fn bound<F: Future>(&self, question: F) -> Result<F::Output, TimedOut> {
        tokio::time::timeout(self.left(), question)
            .await
            .map_err(|_| self.timed_out())
    }

    fn take_pause(&mut self) -> Result<Duration, TimedOut> {
        let left = self.left();
        if left.is_zero() {
            return Err(self.timed_out());
        }
        let pause = self.next_pause.min(left);
        self.next_pause = (self.next_pause * 2).min(LONGEST_PAUSE);
        Ok(pause)
    }

    fn left(&self) -> Duration {
        self.limit.saturating_sub(self.started.elapsed())
    }

    fn timed_out(&self) -> TimedOut {
        TimedOut { waited: self.waited() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut patience = Patience::new(Duration::from_hours(1));
        let pauses: Vec<u128> = (0..7).map(|_| patience.take_pause().unwrap().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 100, 100]);
    }

    #[test]
    fn the_time_runs_out() {
        let mut patience = Patience::new(Duration::from_millis(12));
        while patience.pause_blocking().is_ok() {}
        assert!(patience.waited() >= Duration::from_millis(12));
    }

    #[tokio::test]
    async fn a_question_without_an_answer_is_cut_off() {
        let patience = Patience::new(Duration::from_millis(12));
        let error = patience.bound(std::future::pending::<()>()).await.unwrap_err();
        assert!(error.waited >= Duration::from_millis(12));
    }
}
