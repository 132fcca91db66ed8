//! Who runs a flight: the client that leads it, since a task of its own would cost two wake-ups at each miss. When that
//! client goes away, or has its answer before the flight's end, the flight goes on in a task, for those who still wait.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::runtime::Handle;

/// Work that survives whoever awaits it. Dropped before its end, it goes on in a task; outside of a runtime it ends
/// there, and those who wait for it learn that it did.
pub(crate) struct Detachable(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Detachable {
    pub(crate) fn new(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl Future for Detachable {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(work) = self.0.as_mut() else {
            return Poll::Ready(());
        };
        // A loader's panic ends the flight and not its client, as it would in a task.
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or(Poll::Ready(()));
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }
}

impl Drop for Detachable {
    fn drop(&mut self) {
        if let (Some(work), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}
