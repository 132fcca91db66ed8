//! A time-out that costs next to nothing where it does not come: one timer per caller, set again only when it goes off.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for all requests of a caller, one after the other.
///
/// A timer per request would be set and removed for each. This one stays at the first deadline; when it goes off there,
/// it is set to that of the request then in flight: once per length of a time-out.
#[derive(Default)]
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// `work`'s outcome; `None` when it is not there at `deadline`.
    pub(crate) async fn before<F: Future>(&mut self, deadline: Instant, work: F) -> Option<F::Output> {
        let mut work = std::pin::pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending => self.goes_off(deadline, context).map(|()| None),
        })
        .await
    }

    fn goes_off(&mut self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < timer.deadline() {
            timer.as_mut().reset(deadline);
        }
        loop {
            match timer.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) if timer.deadline() >= deadline => return Poll::Ready(()),
                Poll::Ready(()) => timer.as_mut().reset(deadline),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::pending, time::Duration};

    use tokio::time::sleep;

    use super::*;

    /// Longer than any test here may take: where it is reached, the test hangs and fails.
    const FAR: Duration = Duration::from_mins(1);

    fn after_ms(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[tokio::test]
    async fn what_ends_in_time_has_its_outcome_and_what_does_not_ends_at_its_deadline() {
        let mut alarm = Alarm::default();
        assert_eq!(alarm.before(Instant::now() + FAR, async { 7 }).await, Some(7));
        let deadline = after_ms(20);
        assert_eq!(alarm.before(deadline, pending::<()>()).await, None);
        assert!(Instant::now() >= deadline);
    }

    /// The timer of the first request goes off in the middle of the second, and is set to its deadline.
    #[tokio::test]
    async fn an_earlier_deadline_does_not_end_a_later_request() {
        let mut alarm = Alarm::default();
        assert_eq!(alarm.before(after_ms(20), tokio::task::yield_now()).await, Some(()));
        let timer_goes_off = sleep(Duration::from_millis(60));
        assert_eq!(alarm.before(Instant::now() + FAR, timer_goes_off).await, Some(()));
        let deadline = after_ms(20);
        assert_eq!(alarm.before(deadline, pending::<()>()).await, None);
        assert!(Instant::now() >= deadline);
    }

    #[tokio::test]
    async fn a_shorter_deadline_comes_before_the_one_that_is_set() {
        let mut alarm = Alarm::default();
        assert_eq!(
            alarm.before(Instant::now() + FAR, tokio::task::yield_now()).await,
            Some(())
        );
        assert_eq!(alarm.before(after_ms(20), pending::<()>()).await, None);
    }
}
